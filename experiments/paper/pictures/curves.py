"""Pictures of scores of several models: of two by class, of all by epoch."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pastis_jax.viz.curves import GOLD, GREY, INK, row_labels, save

RED = "#b02030"
ENHANCEMENTS = {"base": GREY, "temporal dropout": INK, "auxiliary": RED, "both": GOLD}


def compare_per_class(
    scores: Mapping[str, np.ndarray],
    names: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
    path: str | os.PathLike[str],
    *,
    score: str,
    title: str,
) -> None:
    """Draws a score of two models for each class, joined, and their difference in points.

    The first model is a white dot, the second one of the class's colour: means over the seeds. Of
    several seeds, thin lines go from the lowest to the highest score, those of the first model
    above. A class that is absent for a model in every seed is said to be absent.

    Args:
      scores: ``s k`` by name of the model, a row per seed, NaN for an absent class.
      names: Class names, from top to bottom.
      colours: Their colours, 0 to 255.
      path: PNG to write.
      score: Name of the score.
      title: Above the whole.
    """
    models, (first, second) = list(scores), map(np.asarray, scores.values())
    means = [_mean_of_seeds(first), _mean_of_seeds(second)]
    k = len(names)
    figure = Figure(figsize=(7, 0.3 * k + 1.6), layout="constrained")
    axes = figure.subplots()
    for row in range(k):
        (low, high), colour = (mean[row] for mean in means), np.array(colours[row]) / 255
        if np.isnan([low, high]).any():
            axes.text(0.01, row, "absent", va="center", fontsize=8, color=GREY)
            continue
        axes.plot([low, high], [row, row], color=colour, linewidth=4, alpha=0.6, zorder=1)
        for values, shift in ((first, -0.22), (second, 0.22)):
            if len(values) > 1:
                ends = np.nanmin(values[:, row]), np.nanmax(values[:, row])
                axes.plot(ends, [row + shift] * 2, color=INK, linewidth=1, zorder=1)
        for value, face in ((low, "white"), (high, colour)):
            dot = {"markerfacecolor": face, "markeredgecolor": INK, "markersize": 7}
            axes.plot(value, row, "o", **dot, clip_on=False)
        text, ink = f"{100 * (high - low):+.1f}", INK if high >= low else RED
        axes.text(1.02, row, text, va="center", fontsize=8, color=ink, clip_on=False)
    overall = [f"{name}: mean {_mean_of_classes(scores[name]):.3f}" for name in models]
    handles = [
        Line2D([], [], marker="o", linestyle="", color=face, markeredgecolor=INK, label=text)
        for text, face in zip(overall, ("white", GREY), strict=True)
    ]
    if len(first) > 1:
        label = f"lowest to highest of {len(first)} seeds"
        handles.append(Line2D([], [], color=INK, linewidth=1, label=label))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    axes.text(1.02, -0.9, "points", va="center", fontsize=8, color=GREY)
    axes.set_yticks(range(k), row_labels(names))
    axes.set_ylim(k - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel(score)
    axes.set_title(title, fontsize=10)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def validation_curves(
    scores: Mapping[str, Mapping[str, Sequence[Sequence[float]]]],
    path: pathlib.Path,
    *,
    score: str,
) -> None:
    """Draws validation scores by epoch: a panel for each model, a colour for each enhancement.

    Args:
      scores: By model and enhancement (of ENHANCEMENTS), those of each run from epoch 1.
      path: PNG to write.
      score: Name of the score.
    """
    columns = min(4, len(scores))
    rows = -(-len(scores) // columns)
    figure = Figure(figsize=(max(2.4 * columns + 1, 5), 2.1 * rows + 0.8), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
    for (model, lines), axes in zip(scores.items(), panels, strict=False):
        for enhancement, runs in lines.items():
            for run in runs:
                marker = "o" if len(run) == 1 else None
                colour = ENHANCEMENTS[enhancement]
                axes.plot(range(1, len(run) + 1), run, color=colour, marker=marker, linewidth=1)
        axes.set_title(model, fontsize=10)
        axes.grid(alpha=0.3)
        axes.tick_params(labelbottom=True)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
        axes.spines[["top", "right"]].set_visible(False)
    for unused in panels:
        unused.remove()
    figure.axes[0].set_ylim(bottom=0)  # of all, once all is drawn
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel(f"validation {score}", fontsize=10)
    drawn = {name for lines in scores.values() for name in lines}
    shown = {name: colour for name, colour in ENHANCEMENTS.items() if name in drawn}
    handles = [Line2D([], [], color=colour, label=name) for name, colour in shown.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False)
    save(figure, path)


def _mean_of_seeds(values):
    """Mean over the seeds in which a class occurs, NaN if in none; ``k``."""
    seen = ~np.isnan(values)
    total, number = np.where(seen, values, 0).sum(0), seen.sum(0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _mean_of_classes(values):
    """Mean over seeds of the mean over the classes that occur; NaN for nothing."""
    return _mean_of_seeds(_mean_of_seeds(np.asarray(values).T)[:, None])[0]
