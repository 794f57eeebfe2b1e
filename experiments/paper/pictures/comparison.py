"""Predictions of several models beside the truth, with the parcels marked that tell them apart."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import patches, patheffects

from experiments.paper.pictures.differences import ClassMap, Difference
from pastis_jax.viz.curves import save
from pastis_jax.viz.instances import draw_classes
from pastis_jax.viz.maps import SMALL, draw, filled, legend_entries, panel

CYAN, MAGENTA = "#00e5ff", "#ff2bd6"
_LEAST_RADIUS = 0.045  # of a side of the patch: small parcels are seen too


@dataclasses.dataclass(frozen=True)
class ComparisonRow:
    """One patch of a comparison.

    Attributes:
      title: What the patch is called.
      observations: Pictures ``h w 3``, 0 to 1, by column.
      maps: Predictions and truth by column.
      notes: What stands below a column.
      differences: Parcels to mark on every map.
    """

    title: str
    observations: Mapping[str, np.ndarray]
    maps: Mapping[str, ClassMap]
    notes: Mapping[str, str]
    differences: Sequence[Difference]


def comparison_panel(
    rows: Sequence[ComparisonRow],
    names: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
    path: str | os.PathLike[str],
    *,
    title: str,
    gained: str,
    lost: str,
) -> None:
    """Draws one row per patch: observations and maps side by side; the classes shown below.

    Parcels that were gained have a cyan circle on every map, those lost a magenta one. Instances
    have a black outline; void (index ``len(names)``) is white and hatched.

    Args:
      rows: The patches, at least one, all of the same columns.
      names: Class names.
      colours: Official colours, 0 to 255.
      path: PNG to write.
      title: Above the whole.
      gained: What a cyan circle means.
      lost: What a magenta circle means.
    """
    if not rows:
        raise ValueError("a panel needs at least one row")
    shown = np.concatenate([each.classes.ravel() for row in rows for each in row.maps.values()])
    shapes = [next(iter(row.maps.values())).classes.shape for row in rows]
    columns = [*rows[0].observations, *rows[0].maps]
    entries, circles = legend_entries(names, colours, shown), {CYAN: gained, MAGENTA: lost}
    figure, grid = panel(shapes, columns, entries, title, circles=circles)
    for row, shape, axes_of_row in zip(rows, shapes, grid, strict=True):
        axes_of_row[0].set_ylabel(filled(row.title), fontsize=SMALL)
        for axes, column in zip(axes_of_row, columns, strict=True):
            axes.set_xlabel(filled(row.notes.get(column, "")), fontsize=SMALL)
            if column in row.observations:
                draw(axes, row.observations[column], shape)
                continue
            shown_map = row.maps[column]
            draw_classes(axes, shown_map.classes, shown_map.instances, colours)
            for difference in row.differences:
                axes.add_patch(_circle(difference, least=_LEAST_RADIUS * max(shape)))
            axes.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5))
    save(figure, path)


def _circle(difference: Difference, *, least: float) -> patches.Circle:
    return patches.Circle(
        (difference.column, difference.row),
        max(difference.radius, least),
        fill=False,
        color=CYAN if difference.gained else MAGENTA,
        linewidth=1.8,
        path_effects=[patheffects.withStroke(linewidth=3.2, foreground="black")],
        zorder=3,  # above the outlines
    )
