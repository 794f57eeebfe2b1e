"""Pictures of patches: what the satellites saw, what the model says, the truth, the errors."""

from __future__ import annotations

import dataclasses
import math
import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pastis_jax.data.dataset import Modality
from pastis_jax.text import plain
from pastis_jax.viz.curves import GREY, INK, save

FOLD_COLOURS = (
    *((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233)),
    *((213, 94, 0), (240, 228, 66), (120, 94, 160)),
)
"""Colours that are told apart by all eyes (Okabe and Ito), and one more."""
CORRECT, WRONG = (217, 217, 217), (200, 0, 60)
_VOID_COLOUR, _HATCH = (255, 255, 255), "/////"

# Sizes in inches: one map, the strip beside or below it, one line of the legend.
_CELL, _STRIP, _LINE = 2.1, 0.3, 0.2
SMALL = 8  # points
_COLUMN, _BESIDE = 30, 90
"""Characters of the title of a column, and of what stands in lines of a third of that."""


@dataclasses.dataclass(frozen=True)
class PanelRow:
    """One patch of a segmentation panel.

    Attributes:
      title: What the patch is called.
      pictures: What was observed, ``h w 3``, 0 to 1, as from `picture`, by the title of its column.
      predicted: ``h w``, class index; the number of classes is void.
      truth: ``h w``, class index; the number of classes is void.
    """

    title: str
    pictures: Mapping[str, np.ndarray]
    predicted: np.ndarray
    truth: np.ndarray


def picture(values: np.ndarray, modality: Modality) -> np.ndarray:
    """Returns an image as `modality` is shown, ``h w 3`` float32, 0 to 1.

    What lies between the lowest and the highest value becomes 0 to 1, what is outside is clipped.
    Where the modality gives no ranges, the 2nd to 98th percentile of the shown channels together
    do: one stretch, so hues stay; an image of one value is mid-grey. Pixels without data (missing
    or not finite in a shown channel) count for nothing and are black. One channel is shown in grey.

    Args:
      values: ``h w c``, in the stored unit, channels in file order.
      modality: What observed it.

    Raises:
      ValueError: If the shape is another.
    """
    if values.ndim != 3 or values.shape[-1] != len(modality.channels):
        raise ValueError(f"expected h w {len(modality.channels)}, got {values.shape}")
    shown = modality.shown
    values = values[..., [modality.channels.index(name) for name in shown.channels]]
    lost, values = modality.missing(values), values.astype(np.float32)
    seen = np.all(np.isfinite(values) if lost is None else np.isfinite(values) & ~lost, -1)
    if not seen.any():
        return np.zeros((*seen.shape, 3), np.float32)
    if shown.ranges is None:
        low, high = np.percentile(values[seen], (2, 98))
    else:
        low, high = np.array(shown.ranges, np.float32).T - np.float32(modality.offset)
    seen = seen[..., None]
    above, span = np.where(seen, values, low) - low, high - low
    levels = np.clip(above / span, 0, 1) if np.all(span > 0) else (1 + np.sign(above)) / 2
    levels = np.where(seen, levels, 0).astype(np.float32)
    return levels.repeat(3 // len(shown.channels), axis=-1)


def class_map(index: np.ndarray, colours: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """Returns the class of each pixel in its colour, void white, ``h w 3`` uint8.

    Args:
      index: ``h w``, class index; the number of classes is void.
      colours: Colour of each class, 0 to 255.

    Raises:
      ValueError: If an index is no class and not void.

    Examples:
      >>> class_map(np.array([[0, 1]]), [(0, 128, 0)]).tolist()
      [[[0, 128, 0], [255, 255, 255]]]
    """
    if index.size and not 0 <= index.min() <= index.max() <= len(colours):
        span = f"{index.min()} to {index.max()}"
        raise ValueError(f"class indices must be 0 to {len(colours)} (void), got {span}")
    return np.array([*colours, _VOID_COLOUR], np.uint8)[index]


def error_map(predicted: np.ndarray, truth: np.ndarray, void: int) -> np.ndarray:
    """Returns correct pixels light grey, wrong ones red, void ones white, ``h w 3`` uint8.

    Args:
      predicted: ``h w``, class index.
      truth: ``h w``, class index.
      void: The index in `truth` that is not counted.

    Raises:
      ValueError: If the two differ in shape.

    Examples:
      >>> error_map(np.array([[0, 1, 1]]), np.array([[0, 0, 9]]), void=9).shape
      (1, 3, 3)
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
    """Draws one row per patch: pictures, prediction, truth, errors; the classes shown below.

    Every picture that any row has is a column. Void (index ``len(names)``) is white, hatched and
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
    observed = picture_titles([row.pictures for row in rows])
    columns = [*observed, "prediction", "truth", "errors"]
    shown = np.concatenate([m.ravel() for r in rows for m in (r.predicted, r.truth)])
    shapes = [row.truth.shape for row in rows]
    figure, grid = panel(shapes, columns, legend_entries(names, colours, shown), title)
    for row, axes_of_row in zip(rows, grid, strict=True):
        for axes, name in zip(axes_of_row, observed, strict=False):
            draw(axes, row.pictures.get(name), row.truth.shape)
        prediction, truth, errors = axes_of_row[len(observed) :]
        draw(prediction, class_map(row.predicted, colours), row.truth.shape)
        draw(truth, class_map(row.truth, colours), row.truth.shape)
        draw(errors, error_map(row.predicted, row.truth, void), row.truth.shape)
        hatch(prediction, row.predicted == void)
        for axes in (truth, errors):
            hatch(axes, row.truth == void)
        axes_of_row[0].set_ylabel(filled(row.title), fontsize=SMALL)
        counted = row.truth != void
        hits = np.mean((row.predicted == row.truth)[counted]) if counted.any() else None
        text = "all void" if hits is None else f"accuracy {100 * hits:.1f} %"
        errors.set_xlabel(text, fontsize=SMALL)
    grid[0, -1].title.set_color(np.array(WRONG) / 255)
    save(figure, path)


def filled(text: str) -> str:
    """Text in short lines, cut where it is too long for what it stands beside."""
    return textwrap.fill(plain(text, _BESIDE), _BESIDE // 3)


def picture_titles(pictures: Iterable[Mapping[str, np.ndarray]]) -> list[str]:
    """Returns the titles of the pictures of all rows together, in the order they come in."""
    return list(dict.fromkeys(title for row in pictures for title in row))


Entry = tuple[str, tuple[int, int, int], str | None]
"""Text, colour and hatching of an entry of the legend."""


def legend_entries(
    names: Sequence[str], colours: Sequence[tuple[int, int, int]], shown: np.ndarray
) -> list[Entry]:
    """Returns the entries of the classes, and void, that are among the indices `shown`."""
    shown = np.unique(shown)
    entries: list[Entry] = [
        (filled(name), colour, None)
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
    texts = [text for text, *_ in entries] + [filled(t) for t in circles.values()]
    per_line = _entries_per_line(texts, width)
    tallest = max(text.count("\n") + 1 for text in texts)
    lines = math.ceil(len(texts) / per_line) * tallest
    heights = [h / w for h, w in shapes]
    height = sum(_CELL * h + _STRIP for h in heights) + _LINE * lines + 3 * _STRIP
    figure = Figure(figsize=(width, height), layout="compressed")
    figure.suptitle(textwrap.fill(plain(title, 400), int(width * 9)), fontsize=11)
    grid = figure.subplots(len(shapes), len(columns), squeeze=False, height_ratios=heights)
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title(plain(column, _COLUMN), fontsize=9)
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
