"""Pictures of patches: what the satellites saw, what the model says, the truth, the errors."""

from __future__ import annotations

import dataclasses
import math
import os
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pastis_jax.data.nomenclature import CLASSES, MODALITIES, VOID
from pastis_jax.viz.curves import GREY, INK, save

CORRECT, WRONG = (217, 217, 217), (200, 0, 60)
_VOID_COLOUR, _HATCH = CLASSES[VOID].colour, "/////"

_DB = np.array([(-18, -4), (-25, -11), (0, 14)], np.float32).T
"""Lowest and highest VV, VH and VV - VH of the radar composite, dB."""

# Sizes in inches: one map, the strip beside or below it, one line of the legend.
_CELL, _STRIP, _LINE = 2.1, 0.3, 0.2
SMALL = 8  # points


@dataclasses.dataclass(frozen=True)
class PanelRow:
    """One patch of a segmentation panel.

    Attributes:
      title: What the patch is called.
      rgb: ``h w 3``, 0 to 1, as from `rgb`; None if the run uses no optical images.
      radar: ``h w 3``, 0 to 1, as from `radar_composite`; None if the run uses no radar.
      predicted: ``h w``, class index; the number of classes is void.
      truth: ``h w``, class index; the number of classes is void.
    """

    title: str
    rgb: np.ndarray | None
    radar: np.ndarray | None
    predicted: np.ndarray
    truth: np.ndarray


def rgb(reflectance: np.ndarray) -> np.ndarray:
    """Returns the true colours (B4, B3, B2) of an optical image, ``h w 3`` float32, 0 to 1.

    The 2nd to 98th percentile of the three bands together become 0 to 1: one stretch, so hues stay.
    Pixels without data (-10000 or not finite in one of the three bands) count for nothing and are
    black; an image of one value is mid-grey.

    Args:
      reflectance: ``h w 10``, surface reflectance x 10000, bands in file order.
    """
    sensor = MODALITIES["S2"]
    if reflectance.ndim != 3 or reflectance.shape[-1] != len(sensor.channels):
        raise ValueError(f"expected h w {len(sensor.channels)}, got {reflectance.shape}")
    bands = [sensor.channels.index(band) for band in ("B4", "B3", "B2")]
    values = reflectance[..., bands].astype(np.float32)
    seen = np.all(np.isfinite(values) & (values != sensor.nodata), -1, keepdims=True)
    if not seen.any():
        return np.zeros_like(values)
    low, high = np.percentile(values[seen[..., 0]], (2, 98))
    values = np.where(seen, values, low)
    if high > low:
        stretched = np.clip((values - low) / (high - low), 0, 1)
    else:
        stretched = (1 + np.sign(values - low)) / 2
    return np.where(seen, stretched, 0).astype(np.float32)


def radar_composite(backscatter: np.ndarray) -> np.ndarray:
    """Returns VV, VH and VV - VH as red, green and blue, ``h w 3`` float32, 0 to 1.

    VV from -18 to -4 dB, VH from -25 to -11 dB and VV - VH from 0 to 14 dB become 0 to 1, what is
    outside is clipped: patches and dates compare. Pixels with a value that is not finite are black.

    Args:
      backscatter: ``h w 3``, dB, channels in file order.
    """
    if backscatter.ndim != 3 or backscatter.shape[-1] != len(_DB.T):
        raise ValueError(f"expected h w {len(_DB.T)}, got {backscatter.shape}")
    values = backscatter.astype(np.float32)
    seen = np.all(np.isfinite(values), -1, keepdims=True)
    low, high = _DB
    return np.clip((np.where(seen, values, low) - low) / (high - low), 0, 1)


def class_map(index: np.ndarray, colours: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """Returns the class of each pixel in its colour, void white, ``h w 3`` uint8.

    Args:
      index: ``h w``, class index; the number of classes is void.
      colours: Colour of each class, 0 to 255.

    Raises:
      ValueError: If an index is no class and not void.
    """
    if index.size and not 0 <= index.min() <= index.max() <= len(colours):
        found = f"{index.min()} to {index.max()}"
        raise ValueError(f"class indices must be 0 to {len(colours)} (void), got {found}")
    return np.array([*colours, _VOID_COLOUR], np.uint8)[index]


def error_map(predicted: np.ndarray, truth: np.ndarray, void: int) -> np.ndarray:
    """Returns correct pixels light grey, wrong ones red, void ones white, ``h w 3`` uint8.

    Args:
      predicted: ``h w``, class index.
      truth: ``h w``, class index.
      void: The index in `truth` that is not counted.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"prediction {predicted.shape} and truth {truth.shape} differ in shape")
    return class_map(np.where(truth == void, 2, predicted != truth), (CORRECT, WRONG))


def segmentation_panel(
    rows: Sequence[PanelRow],
    names: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
    path: str | os.PathLike[str],
    *,
    title: str,
) -> None:
    """Draws one row per patch: RGB, radar, prediction, truth, errors; the classes shown below.

    RGB and radar are columns if any row has them. Void (index ``len(names)``) is white, hatched and
    not counted: neither as an error nor in the accuracy below each row.

    Args:
      rows: The patches, at least one.
      names: Class names.
      colours: Official colours, 0 to 255.
      path: PNG to write.
      title: Above the whole.
    """
    if not rows:
        raise ValueError("a panel needs at least one row")
    void = len(names)
    pictures = [_pictures(row, colours, void) for row in rows]
    columns = [name for name in pictures[0] if any(p[name] is not None for p in pictures)]
    shown = np.concatenate([m.ravel() for r in rows for m in (r.predicted, r.truth)])
    shapes = [row.truth.shape for row in rows]
    figure, grid = panel(shapes, columns, legend_entries(names, colours, shown), title)
    for row, axes_of_row, picture in zip(rows, grid, pictures, strict=True):
        for axes, column in zip(axes_of_row, columns, strict=True):
            draw(axes, picture[column], row.truth.shape)
        by_name = dict(zip(columns, axes_of_row, strict=True))
        hatch(by_name["prediction"], row.predicted == void)
        for column in ("truth", "errors"):
            hatch(by_name[column], row.truth == void)
        axes_of_row[0].set_ylabel(textwrap.fill(row.title, 30), fontsize=SMALL)
        counted = row.truth != void
        hits = np.mean((row.predicted == row.truth)[counted]) if counted.any() else None
        text = "all void" if hits is None else f"accuracy {100 * hits:.1f} %"
        by_name["errors"].set_xlabel(text, fontsize=SMALL)
    grid[0, columns.index("errors")].title.set_color(np.array(WRONG) / 255)
    save(figure, path)


def _pictures(row, colours, void):
    """The picture of each column, None where the row has none."""
    return {
        "RGB": row.rgb,
        "radar": row.radar,
        "prediction": class_map(row.predicted, colours),
        "truth": class_map(row.truth, colours),
        "errors": error_map(row.predicted, row.truth, void),
    }


Entry = tuple[str, tuple[int, int, int], str | None]
"""Text, colour and hatching of an entry of the legend."""


def legend_entries(
    names: Sequence[str], colours: Sequence[tuple[int, int, int]], shown: np.ndarray
) -> list[Entry]:
    """Returns the entries of the classes, and void, that are among the indices `shown`."""
    shown = np.unique(shown)
    entries: list[Entry] = [
        (textwrap.fill(name, 30), colour, None)
        for i, (name, colour) in enumerate(zip(names, colours, strict=True))
        if i in shown
    ]
    if len(names) in shown:
        entries.append(("Void (not counted)", _VOID_COLOUR, _HATCH))
    return entries


def panel(
    shapes: Sequence[tuple[int, int]],
    columns: Sequence[str],
    entries: Sequence[Entry],
    title: str,
    *,
    circles: Mapping[str, str] | None = None,
) -> tuple[Figure, np.ndarray]:
    """Returns a figure with a legend below, and its axes: a row per shape, titled columns.

    Args:
      shapes: Rows and columns ``h w`` of each patch.
      columns: Their titles.
      entries: Of the legend.
      title: Above the whole.
      circles: Colours of circles and what they mean, for the end of the legend.
    """
    circles = circles or {}
    width = _CELL * len(columns) + _STRIP
    texts = [text for text, *_ in entries] + [textwrap.fill(t, 30) for t in circles.values()]
    per_line = _entries_per_line(texts, width)
    tallest = max(text.count("\n") + 1 for text in texts)
    lines = math.ceil(len(texts) / per_line) * tallest
    heights = [h / w for h, w in shapes]
    height = sum(_CELL * h + _STRIP for h in heights) + _LINE * lines + 3 * _STRIP
    figure = Figure(figsize=(width, height), layout="compressed")
    figure.suptitle(textwrap.fill(title, int(width * 9)), fontsize=11)
    grid = figure.subplots(len(shapes), len(columns), squeeze=False, height_ratios=heights)
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title(column, fontsize=9)
    handles = [
        Patch(facecolor=np.array(colour) / 255, edgecolor=GREY if hatched else INK, hatch=hatched)
        for _, colour, hatched in entries
    ]
    ring = {"marker": "o", "linestyle": "", "markerfacecolor": "none", "markeredgewidth": 2}
    handles += [Line2D([], [], markeredgecolor=colour, **ring) for colour in circles]
    figure.legend(
        handles,
        texts,
        loc="outside lower center",
        ncols=per_line,
        fontsize=SMALL,
        frameon=False,
    )
    return figure, grid


def draw(axes: Axes, picture: np.ndarray | None, shape: tuple[int, int]) -> None:
    """Shows a picture, or that there is none."""
    if picture is None:
        picture = np.ones((*shape, 3))
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", color=GREY)
    axes.imshow(picture, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set(color=GREY, linewidth=0.5)


def hatch(axes: Axes, mask: np.ndarray) -> None:
    """Hatches the pixels of a mask, ``h w`` bool."""
    if not mask.any():
        return
    fine = 4  # contours cut the corners of pixels: cut those of quarter pixels
    rows, columns = ((np.arange(n * fine, dtype=np.float32) + 0.5) / fine - 0.5 for n in mask.shape)
    level = mask.repeat(fine, 0).repeat(fine, 1).astype(np.float32)
    area = axes.contourf(columns, rows, level, levels=[0.5, 1.5], colors="none", hatches=[_HATCH])
    area.set(edgecolor=GREY, linewidth=0)


def _entries_per_line(texts: Sequence[str], width: float) -> int:
    """How many legend entries stand side by side in `width` inches."""
    longest = max(len(line) for text in texts for line in text.splitlines())
    entry = (0.58 * longest + 5.5) * SMALL / 72  # letters, colour and gaps
    most = max(1, min(len(texts), int(width / entry)))
    return math.ceil(len(texts) / math.ceil(len(texts) / most))  # lines of even length
