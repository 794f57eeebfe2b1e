"""Pictures of a folder of data: when was observed, what grows where, how classes look over time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import StrMethodFormatter, SymmetricalLogLocator

from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.dataset import Dataset, Modality
from pastis_jax.viz.curves import GREY, INK, row_labels, save
from pastis_jax.viz.maps import (
    FOLD_COLOURS,
    SMALL,
    class_map,
    draw,
    filled,
    hatch,
    legend_entries,
    panel,
    picture,
)

_APART = 62
"""Days between two dates beyond which a line would tell what nobody saw."""
_MARK = {"marker": "o", "markersize": 2.2}


def months(
    counts: Mapping[str, Mapping[str, float]],
    samples: int,
    path: str | os.PathLike[str],
    *,
    sample: str = "sample",
    clouds: Mapping[str, Mapping[str, float]] | None = None,
) -> None:
    """Draws the mean number of acquisitions of a sample in each month, a panel a modality.

    Args:
      counts: Acquisitions by modality and month, ``2019-05`` say.
      samples: Number of samples.
      path: PNG to write.
      sample: What a sample is.
      clouds: Share of them that is clouded, by modality and month, which is drawn pale; of a
        modality that is not here, or None, nothing is known.
    """
    names = sorted({month for of_modality in counts.values() for month in of_modality})
    figure = Figure(
        figsize=(max(5, 0.35 * len(names) + 1.5), 1.6 * len(counts) + 0.8), layout="constrained"
    )
    panels = figure.subplots(len(counts), 1, sharex=True, squeeze=False).flat
    for axes, (modality, of_modality) in zip(panels, counts.items(), strict=True):
        heights = [of_modality.get(month, 0) / max(samples, 1) for month in names]
        axes.bar(range(len(names)), heights, color=INK)
        title = modality
        if shares := (clouds or {}).get(modality):
            hidden = [
                height * shares.get(month, 0) for month, height in zip(names, heights, strict=True)
            ]
            clear = [height - cloud for height, cloud in zip(heights, hidden, strict=True)]
            axes.bar(range(len(names)), hidden, bottom=clear, color="#b9c9d6")
            title = f"{modality} (clouded ones pale)"
        axes.set_title(title, fontsize=10, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    figure.supylabel(f"acquisitions of a {sample}, mean", fontsize=9)
    save(figure, path)


def classes(
    counts: Mapping[object, Mapping[int, int]],
    dataset: Dataset,
    unit: str,
    path: str | os.PathLike[str],
) -> None:
    """Draws how often each class occurs in each fold, in its colour, on a logarithmic scale.

    Args:
      counts: By fold and number of the class.
      dataset: What the numbers mean.
      unit: What is counted.
      path: PNG to write.
    """
    every = enumerate(dataset.nomenclature.classes)
    known = [(n, entry) for n, entry in every if any(of.get(n) for of in counts.values())]
    figure = Figure(figsize=(7, 0.32 * len(known) + 1.2), layout="constrained")
    axes = figure.subplots()
    folds = [fold for fold in dataset.folds if counts.get(fold)]
    height = 0.8 / max(len(folds), 1)
    for place, fold in enumerate(folds):
        rows = np.arange(len(known)) + height * (place - (len(folds) - 1) / 2)
        values = [counts[fold].get(number, 0) for number, _ in known]
        colour = FOLD_COLOURS[dataset.folds.index(fold) % len(FOLD_COLOURS)]
        ink = np.array(colour) / 255
        axes.barh(rows, values, height, color=ink, edgecolor=GREY, linewidth=0.4, label=f"{fold}")
    axes.set_yticks(range(len(known)), row_labels([entry.title for _, entry in known]))
    axes.set_ylim(len(known) - 0.4, -0.6)
    axes.set_xscale("symlog", linthresh=1)
    axes.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel(f"{unit} (logarithmic scale)")
    if folds:
        beside = {"loc": "outside right upper", "fontsize": SMALL, "frameon": False}
        figure.legend(title="fold", title_fontsize=SMALL, **beside)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def patches(
    examples: Sequence[tuple[str, Mapping[str, tuple[np.ndarray, np.ndarray]], np.ndarray]],
    dataset: Dataset,
    path: str | os.PathLike[str],
) -> None:
    """Draws one row per patch: the median over the dates of each modality, and the labels.

    Args:
      examples: Title, values (t, c, h, w) and days (t,) by modality, and labels (h, w) of each.
      dataset: What the labels mean.
      path: PNG to write.
    """
    classes = ClassMapping.of(dataset.nomenclature)
    maps = [classes.lookup[labels] for _, _, labels in examples]
    columns = [*examples[0][1], "labels"]
    entries = legend_entries(classes.names, classes.colours, np.concatenate([*map(np.ravel, maps)]))
    figure, grid = panel([classes.shape for classes in maps], columns, entries, dataset.name)
    for (title, observed, _), index, row in zip(examples, maps, grid, strict=True):
        row[0].set_ylabel(filled(title), fontsize=SMALL)
        for axes, (name, (values, _)) in zip(row, observed.items(), strict=False):
            median = np.full((*values.shape[2:], values.shape[1]), np.nan, np.float32)
            if len(values):
                median = np.median(values.astype(np.float32), axis=0).transpose(1, 2, 0)
            draw(axes, picture(median, dataset[name]), index.shape)
        draw(row[-1], class_map(index, classes.colours), index.shape)
        hatch(row[-1], index == classes.void)
    save(figure, path)


def series(
    examples: Mapping[int, Sequence[Mapping[str, tuple[np.ndarray, np.ndarray]]]],
    dataset: Dataset,
    modality: str,
    path: str | os.PathLike[str],
    *,
    infrared: str = "",
    clear: bool = False,
) -> None:
    """Draws the mean of some parcels of each class over time, a mark a date.

    Drawn are the channels that are shown, without differences of others among them, whose values
    lie elsewhere. Marks that more than two months lie between are not joined. All panels have one
    range, of what the middle 98 per cent of the values need; the label counts what lies beyond.

    Args:
      examples: Values (t, c, s) and days (t,) by modality of some parcels, by number of the class.
      dataset: What the numbers mean.
      modality: Which to draw.
      path: PNG to write.
      infrared: A channel that is drawn in place of the last shown one, where the modality has it.
      clear: Whether clouds are left out of the values. If not, the brightest fifth of those of
        optical modalities is not asked for the range: crops would be left no room.
    """
    sensor, nomenclature = dataset[modality], dataset.nomenclature
    present = [number for number in sorted(examples) if not nomenclature.is_void(number)]
    if not present:
        present = sorted(examples)
    channels = _drawn(sensor, infrared)
    columns = min(3, len(present))
    rows = -(-len(present) // columns)
    figure = Figure(figsize=(3.6 * columns, 1.9 * rows + 0.6), layout="constrained")
    panels = [*figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat]
    drawn = []
    for number, axes in zip(present, panels, strict=False):
        for sample in examples[number]:
            values, days = sample[modality]
            missing = sensor.missing(values, range(1, values.ndim))
            seen = values.astype(np.float64) + sensor.offset
            if missing is not None:
                seen[missing] = np.nan
            order = np.argsort(days)
            for channel, ink in channels.items():
                line = _mean(seen[:, sensor.channels.index(channel)])[order]
                known = np.isfinite(line)
                on, heights = _broken(days[order][known], line[known])
                dates = [dataset.date(day) for day in on]
                axes.plot(dates, heights, color=ink, linewidth=0.8, alpha=0.7, **_MARK)
                drawn.append(line[known])
        axes.set_title(nomenclature.classes[number].name, fontsize=9)
        axes.tick_params(axis="x", rotation=60, labelsize=7)
        axes.grid(alpha=0.3)
    for unused in panels[len(present) :]:
        unused.remove()
    for axes in panels[len(present) - columns : len(present)]:  # the lowest of each column
        axes.tick_params(labelbottom=True)
    seen = np.concatenate([np.zeros(0), *drawn])
    beyond = 0.0
    if seen.size:
        bright = 80 if sensor.optical and not clear else 99
        low, high = np.percentile(seen, (1, bright))
        low, high = low - 0.1 * (high - low), high + (0.1 if bright == 99 else 0.5) * (high - low)
        if high > low:
            panels[0].set_ylim(low, high)
            beyond = float(((seen < low) | (seen > high)).mean())
    if len(channels) > 1:
        lines = [Line2D([], [], color=ink, **_MARK) for ink in channels.values()]
        figure.legend(lines, [*channels], loc="outside lower center", ncols=3, fontsize=8)
    text = f"{modality}: {', '.join(channels)} ({sensor.unit})"
    if beyond:
        text += f"; {100 * beyond:.1f} % of the values lie beyond"
        text += ", clouds among them" if sensor.optical and not clear else ""
    figure.supylabel(text, fontsize=9)
    save(figure, path)


def _drawn(sensor: Modality, infrared: str) -> dict[str, str]:
    """Channels of which series are drawn, and the colour of each."""
    shown = sensor.shown.channels
    if len(shown) == 1:
        return {shown[0]: INK}
    inks = dict(zip(shown, ("#b02030", "#3a7d2c", INK), strict=True))
    if infrared in sensor.channels and infrared not in shown:
        inks.pop(shown[-1])
        inks[infrared] = "#7b4fa3"
    differences = {f"{one}-{other}" for one in shown for other in shown}
    return {name: ink for name, ink in inks.items() if name not in differences}


def _broken(days: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rising days (t,) and values (t,), with NaN between those that lie far apart."""
    far = np.flatnonzero(np.diff(days) > _APART) + 1
    return np.insert(days, far, days[far] - 1), np.insert(values, far, np.nan)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the pixels (t, s) that were observed, NaN where none was."""
    seen = ~np.isnan(values)
    total = np.where(seen, values, 0).sum(1)
    return np.where(seen.any(1), total / np.maximum(seen.sum(1), 1), np.nan)
