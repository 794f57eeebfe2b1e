"""Pictures of a Region from above: its folds, its classes, how often it was observed, itself."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation, Transform

from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.regions.grid import CHUNK, Grid
from pastis_jax.data.regions.inspection.parcel_map import UNKNOWN
from pastis_jax.data.regions.table import ParcelTable
from pastis_jax.viz.curves import GREY, INK, save
from pastis_jax.viz.maps import (
    FOLD_COLOURS,
    SMALL,
    class_map,
    filled,
    legend_entries,
    picture,
)

_SIDE = 7.5  # inches, of the longer side of a map
_LOOSE = (140, 140, 140)
_LOST = (255, 0, 255)
_PALE = 0.28
"""How much of its fold's colour a block has where no parcel is."""
_CONTESTED = (200, 0, 60)
_BACKGROUND, _OUTSIDE = (250, 247, 236), (222, 222, 222)
"""Colours of what is no parcel, and of what no scene shows."""
_STRIPES, _STRIPE = 80, 0.25
"""Stripes of void along a side of a map, and how much of them is dark."""
_EDGE = 0.75
"""How bright the last pixel of a parcel is that touches another."""


def fold_map(
    grid: Grid,
    numbers: np.ndarray,
    table: ParcelTable | None,
    folds: np.ndarray | None,
    dataset: Dataset,
    path: str | os.PathLike[str],
) -> None:
    """Draws the blocks of the folds, pale, with the parcels in them, and the gaps between them.

    Args:
      grid: Of the Region.
      numbers: Parcels at some of its pixels, evenly spread, as `ParcelMap` has them, (h, w).
      table: Of the parcels; None draws all alike.
      folds: Positions of the folds of the same pixels, -1 for none, (h, w); None if not known.
      dataset: What the folds are called.
      path: PNG to write.
    """
    names = [f"fold {fold}" for fold in dataset.folds]
    inks = np.array(
        [FOLD_COLOURS[i % len(FOLD_COLOURS)] for i in range(len(names))] + [_LOOSE], np.float64
    )
    pale = 255 - _PALE * (255 - inks)
    image = np.full((*numbers.shape, 3), 255.0)
    if folds is not None:
        image = pale[folds]
    if table is not None and len(table):
        own = np.append(table.fold, -1)[np.where(numbers > 0, numbers - 1, -1)]
        image = np.where((numbers > 0)[..., None], inks[own], image)
    elif table is None:
        image[numbers > 0] = _LOOSE
    image[_edges(numbers)] *= _EDGE
    image[numbers == -1] = _CONTESTED
    image[numbers == UNKNOWN] = _LOST
    axes, figure = _map(grid, image / 255)
    axes.set_title(f"{dataset.name}: folds and parcels", fontsize=11)
    handles = [
        Patch(facecolor=np.array(ink) / 255, label=filled(name))
        for name, ink in zip(names, inks, strict=False)
    ]
    if table is not None and (table.fold < 0).any():
        handles.append(Patch(facecolor=np.array(_LOOSE) / 255, label="parcels in no fold"))
    if (numbers == -1).any():
        label = "claimed by several parcels"
        handles.append(Patch(facecolor=np.array(_CONTESTED) / 255, label=label))
    if (numbers == UNKNOWN).any():
        handles.append(Patch(facecolor=np.array(_LOST) / 255, label="cannot be read"))
    if folds is not None and (folds < 0).any():
        handles.append(Patch(facecolor=pale[-1] / 255, label="gaps between folds"))
    _legend(figure, axes, handles)
    save(figure, path)


def classes_map(
    grid: Grid,
    numbers: np.ndarray,
    table: ParcelTable,
    seen: np.ndarray,
    dataset: Dataset,
    path: str | os.PathLike[str],
) -> None:
    """Draws the class of each parcel in its colour, void hatched, what no scene shows grey.

    Args:
      grid: Of the Region.
      numbers: Parcels at some of its pixels, as `fold_map` takes them, (h, w).
      table: Of the parcels.
      seen: Which of the same pixels were ever observed, (h, w).
      dataset: What their labels mean.
      path: PNG to write.
    """
    classes, nomenclature = ClassMapping.of(dataset.nomenclature), dataset.nomenclature
    of_parcel = np.append(classes.lookup[table.label], classes.void)
    beyond = classes.void
    if nomenclature.background_number is not None:
        beyond = int(classes.lookup[nomenclature.background_number])
    index = np.where(numbers > 0, of_parcel[np.where(numbers > 0, numbers - 1, -1)], classes.void)
    index[numbers == 0] = beyond
    colours = [*classes.colours]
    if beyond != classes.void:
        colours[beyond] = _BACKGROUND
    image = class_map(index, colours)
    image[_edges(numbers)] = image[_edges(numbers)] * _EDGE
    outside = (numbers == 0) & ~seen
    image[_striped(index.shape) & (index == classes.void)] = _LOOSE
    image[outside] = _OUTSIDE
    axes, figure = _map(grid, image)
    axes.set_title(f"{dataset.name}: classes of parcels", fontsize=11)
    handles = [
        Patch(facecolor=np.array(colour) / 255, edgecolor=GREY, hatch=hatched, label=text)
        for text, colour, hatched in legend_entries(classes.names, colours, index[~outside])
    ]
    if outside.any():
        label = "outside the scenes"
        handles.append(Patch(facecolor=np.array(_OUTSIDE) / 255, edgecolor=GREY, label=label))
    _legend(figure, axes, handles)
    save(figure, path)


def quick_look(
    grid: Grid,
    median: np.ndarray,
    dataset: Dataset,
    modality: str,
    path: str | os.PathLike[str],
) -> None:
    """Draws a modality as it is shown, light grey where nothing was clear.

    Args:
      grid: Of the Region.
      median: At some of its pixels, in the stored unit, NaN where not known, (h, w, c).
      dataset: What it is part of.
      modality: Its name.
      path: PNG to write.
    """
    sensor = dataset[modality]
    seen = np.isfinite(median[..., [sensor.channels.index(c) for c in sensor.shown.channels]])
    image = np.where(seen.all(-1, keepdims=True), picture(median, sensor), 0.9)
    axes, figure = _map(grid, image)
    shown = ", ".join(sensor.shown.channels)
    axes.set_title(f"{modality} ({shown}): median of clear dates", fontsize=11)
    _legend(figure, axes, [])
    save(figure, path)


def coverage(
    grid: Grid,
    counts: Mapping[str, tuple[np.ndarray, np.ndarray | None]],
    path: str | os.PathLike[str],
) -> None:
    """Draws how often each chunk was observed, and how often without clouds.

    Args:
      grid: Of the Region.
      counts: By modality, observations of a pixel, mean of those of each chunk that lie in the
        scenes, NaN without any, and those of them without clouds, or None where these are not
        known, (ny, nx).
      path: PNG to write.
    """
    panels = [
        (f"{name}: {what}", values, float(np.fmax.reduce(both[0], None, initial=1.0)))
        for name, both in counts.items()
        for what, values in zip(("observed", "clear"), both, strict=False)
        if values is not None
    ]
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    ratio = min(max(grid.height / grid.width, 0.3), 2.5)
    size = 3.6 * columns + 0.4, (2.9 * ratio + 0.5) * rows + 0.3
    figure = Figure(figsize=size, layout="compressed")
    drawn_on = [*figure.subplots(rows, columns, squeeze=False).flat]
    for axes, (title, values, top) in zip(drawn_on, panels, strict=False):
        extent = (0, values.shape[1] * CHUNK, values.shape[0] * CHUNK, 0)
        drawn = axes.imshow(
            values, cmap="cividis", vmin=0, vmax=top, extent=extent, interpolation="nearest"
        )
        axes.set_xlim(0, grid.width)
        axes.set_ylim(grid.height, 0)
        axes.set_aspect(ratio * grid.width / grid.height)  # strips are drawn wider than they are
        _bare(axes)
        low, high = (
            f"{end:.3g}" for end in (np.fmin.reduce(values, None), np.fmax.reduce(values, None))
        )
        axes.set_title(f"{title}, {low if low == high else f'{low} to {high}'}", fontsize=9)
        bar = figure.colorbar(drawn, ax=axes, shrink=0.85, aspect=16)
        bar.ax.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        bar.ax.tick_params(labelsize=7)
    for unused in drawn_on[len(panels) :]:
        unused.remove()
    title = "Times that a pixel was observed: mean of those of each chunk that lie in the scenes"
    figure.suptitle("\n".join(textwrap.wrap(title, int(18 * size[0]))), fontsize=10)
    save(figure, path)


def _map(grid: Grid, image: np.ndarray) -> tuple[Axes, Figure]:
    """A figure with an image of a whole grid, in pixels of the grid, north up, with a scale."""
    longest = max(grid.height, grid.width)
    wide, high = (max(_SIDE * side / longest, 1.2) for side in (grid.width, grid.height))
    figure = Figure(figsize=(wide, high))
    axes = figure.add_axes((0, 0, 1, 1))
    extent = (0, grid.width, grid.height, 0)
    axes.imshow(image, extent=extent, interpolation="nearest")
    _bare(axes)
    _scale(axes, grid)
    return axes, figure


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set(color=GREY, linewidth=0.5)


def _scale(axes: Axes, grid: Grid) -> None:
    """Draws a bar of round length below a map, and which way north is."""
    width = grid.width * grid.pixel_size
    power = 10 ** np.floor(np.log10(width / 4))
    length = power * max(factor for factor in (1, 2, 5) if factor * power <= width / 4)
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    lower = _below(axes, 9)
    share = length / width
    ends = {"marker": "|", "color": INK, "transform": lower, "clip_on": False}
    axes.add_line(Line2D([0, share], [0, 0], linewidth=1.2, **ends))
    beside = {"transform": lower, "fontsize": SMALL, "va": "center"}
    axes.text(share, 0, f"  {text}, north is up", **beside)


def _below(axes: Axes, points: float) -> Transform:
    """Fractions of the axes, from some points below them."""
    return axes.transAxes + ScaledTranslation(0, -points / 72, axes.figure.dpi_scale_trans)


def _legend(figure: Figure, axes: Axes, handles: Sequence[Patch]) -> None:
    if not handles:
        return
    longest = max(len(handle.get_label()) for handle in handles)
    columns = int(np.clip(figure.get_figwidth() * 72 / (0.6 * SMALL * (longest + 6)), 1, 6))
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=_below(axes, 14),
        ncols=min(columns, len(handles)),
        fontsize=SMALL,
        frameon=False,
        borderaxespad=0.2,
    )


def _striped(shape: tuple[int, int]) -> np.ndarray:
    """Pixels of a map (h, w) that are dark where it is hatched, from lower left to upper right."""
    period = max(4, max(shape) // _STRIPES)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows + columns) % period < max(1, round(_STRIPE * period))


def _edges(numbers: np.ndarray) -> np.ndarray:
    """Which pixels of parcels (h, w) have one of another parcel to the right or below."""
    edges = np.zeros(numbers.shape, bool)
    edges[:, :-1] |= (numbers[:, :-1] != numbers[:, 1:]) & (numbers[:, 1:] > 0)
    edges[:-1] |= (numbers[:-1] != numbers[1:]) & (numbers[1:] > 0)
    return edges & (numbers > 0)
