"""Pictures of instances: centerness, predicted and true parcels with their outlines."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from pastis_jax.viz.curves import save
from pastis_jax.viz.maps import (
    SMALL,
    class_map,
    draw,
    filled,
    hatch,
    legend_entries,
    panel,
    picture_titles,
)

_CENTRE = "#ff3030"


@dataclasses.dataclass(frozen=True)
class PanopticRow:
    """One patch of a panoptic panel.

    Attributes:
      title: What the patch is called.
      pictures: What was observed, ``h w 3``, 0 to 1, as from `picture`, by the title of its column.
      heatmap: ``h w``, predicted centerness, 0 to 1.
      centres: ``i 2``, row and column of the true centres.
      predicted: ``h w``, predicted instance, 0 for none.
      predicted_class: ``h w``, its class index; the number of classes is void.
      truth: ``h w``, true instance, 0 for none.
      true_class: ``h w``, its class index; the number of classes is void.
    """

    title: str
    pictures: Mapping[str, np.ndarray]
    heatmap: np.ndarray
    centres: np.ndarray
    predicted: np.ndarray
    predicted_class: np.ndarray
    truth: np.ndarray
    true_class: np.ndarray


def outlines(instances: np.ndarray) -> np.ndarray:
    """Returns the edges of pixels between two instances, or an instance and none.

    Args:
      instances: ``h w``, instance of each pixel, 0 for none.

    Returns:
      Ends (x, y) of each edge, ``n 2 2``, in pixels: the middle of the first one is (0, 0).

    Examples:
      >>> outlines(np.array([[1, 2]])).tolist()
      [[[0.5, -0.5], [0.5, 0.5]]]
    """
    right = np.argwhere(instances[:, 1:] != instances[:, :-1])[:, ::-1]
    below = np.argwhere(instances[1:] != instances[:-1])[:, ::-1]
    upright = right[:, None] + np.array([(0.5, -0.5), (0.5, 0.5)])
    level = below[:, None] + np.array([(-0.5, 0.5), (0.5, 0.5)])
    return np.concatenate([upright, level])


def panoptic_panel(
    rows: Sequence[PanopticRow],
    names: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
    path: str | os.PathLike[str],
    *,
    title: str,
) -> None:
    """Draws one row per patch: pictures, centerness, predicted and true instances; classes below.

    Every picture that any row has is a column. Instances are in the colour of their class, with a
    black outline; pixels of none in the colour of class 0, the background. Dots on the centerness
    are the true centres. Void (index ``len(names)``) is white and hatched.

    Args:
      rows: The patches, at least one.
      names: Class names.
      colours: Official colours, 0 to 255.
      path: PNG to write.
      title: Above the whole.
    """
    if not rows:
        raise ValueError("a panel needs at least one row")
    observed = picture_titles([row.pictures for row in rows])
    columns = [*observed, "centerness", "prediction", "truth"]
    maps = [
        {
            "prediction": np.where(row.predicted > 0, row.predicted_class, 0),
            "truth": np.where(row.truth > 0, row.true_class, 0),
        }
        for row in rows
    ]
    shown = np.concatenate([pictured.ravel() for pair in maps for pictured in pair.values()])
    shapes = [row.truth.shape for row in rows]
    figure, grid = panel(shapes, columns, legend_entries(names, colours, shown), title)
    for row, pair, axes_of_row in zip(rows, maps, grid, strict=True):
        axes_of_row[0].set_ylabel(filled(row.title), fontsize=SMALL)
        for axes, name in zip(axes_of_row, observed, strict=False):
            draw(axes, row.pictures.get(name), row.truth.shape)
        centerness, prediction, truth = axes_of_row[len(observed) :]
        _draw_centerness(centerness, row)
        for axes, instances, classes in (
            (prediction, row.predicted, pair["prediction"]),
            (truth, row.truth, pair["truth"]),
        ):
            draw_classes(axes, classes, instances, colours)
            axes.set_xlabel(_count(instances, classes == len(names)), fontsize=SMALL)
    save(figure, path)


def draw_classes(
    axes: Axes,
    classes: np.ndarray,
    instances: np.ndarray | None,
    colours: Sequence[tuple[int, int, int]],
) -> None:
    """Shows classes in their colours, void hatched, and the outlines of `instances`, if any.

    Args:
      axes: Where to.
      classes: ``h w``, class index; the number of classes is void.
      instances: ``h w``, instance of each pixel, 0 for none.
      colours: Colour of each class, 0 to 255.
    """
    draw(axes, class_map(classes, colours), classes.shape)
    hatch(axes, classes == len(colours))
    if instances is not None:
        lines = LineCollection(outlines(instances), colors="black", linewidths=0.8)
        axes.add_collection(lines)


def _draw_centerness(axes: Axes, row: PanopticRow) -> None:
    draw(axes, row.heatmap, row.heatmap.shape)
    axes.images[0].set(cmap="viridis", clim=(0, 1))
    axes.plot(row.centres[:, 1], row.centres[:, 0], ".", color=_CENTRE, markersize=2)
    axes.set_xlabel("dots: true centres", fontsize=SMALL)


def _count(instances: np.ndarray, void: np.ndarray) -> str:
    """How many instances there are, and how many of them are void."""
    some, hidden = (len(np.unique(labels[labels > 0])) for labels in (instances, instances[void]))
    return f"{some} instances" + (f", {hidden} void" if hidden else "")
