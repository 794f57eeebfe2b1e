"""Pictures of a dataset: patches with their annotations, the series of one patch."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.paper.pictures.differences import ClassMap
from pastis_jax.viz.curves import save
from pastis_jax.viz.instances import draw_classes
from pastis_jax.viz.maps import SMALL, draw, filled, legend_entries, panel

SEMANTIC, INSTANCES = "semantic classes", "parcels"


@dataclasses.dataclass(frozen=True)
class Acquisition:
    """One acquisition of a patch.

    Attributes:
      picture: ``h w 3``, 0 to 1.
      date: As readers are told it.
    """

    picture: np.ndarray
    date: str


@dataclasses.dataclass(frozen=True)
class AnnotatedPatch:
    """What is shown of a patch.

    Attributes:
      title: What it is called.
      acquisitions: By what they are called.
      truth: Its classes and parcels.
    """

    title: str
    acquisitions: Mapping[str, Sequence[Acquisition]]
    truth: ClassMap


def dataset_panel(
    patches: Sequence[AnnotatedPatch],
    names: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
    path: str | os.PathLike[str],
    *,
    title: str,
) -> None:
    """Draws one row per patch: the first acquisition of each modality, classes, parcels.

    Args:
      patches: At least one, all of the same modalities.
      names: Class names; void has the index ``len(names)``.
      colours: Their colours, 0 to 255.
      path: PNG to write.
      title: Above the whole.
    """
    columns = [*patches[0].acquisitions, SEMANTIC, INSTANCES]
    shapes = [patch.truth.classes.shape for patch in patches]
    shown = np.concatenate([patch.truth.classes.ravel() for patch in patches])
    figure, grid = panel(shapes, columns, legend_entries(names, colours, shown), title)
    for patch, shape, row in zip(patches, shapes, grid, strict=True):
        row[0].set_ylabel(filled(patch.title), fontsize=SMALL)
        for axes, (first, *_) in zip(row, patch.acquisitions.values(), strict=False):
            draw(axes, first.picture, shape)
            axes.set_xlabel(first.date, fontsize=SMALL)
        _annotate(row[-2:], patch.truth, colours)
    save(figure, path)


def series_panel(
    patch: AnnotatedPatch,
    names: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
    path: str | os.PathLike[str],
    *,
    title: str,
) -> None:
    """Draws the series of a patch, a row for each modality, and its annotations at the right.

    Args:
      patch: As many acquisitions of each modality, in their order.
      names: Class names; void has the index ``len(names)``.
      colours: Their colours, 0 to 255.
      path: PNG to write.
      title: Above the whole.
    """
    shape, count = patch.truth.classes.shape, len(patch.acquisitions)
    most = max(map(len, patch.acquisitions.values()))
    beside = 2 if count == 1 else 1
    entries = legend_entries(names, colours, patch.truth.classes)
    figure, grid = panel([shape] * count, [""] * (most + beside), entries, title)
    for row, (name, acquisitions) in zip(grid, patch.acquisitions.items(), strict=True):
        row[0].set_ylabel(filled(name), fontsize=SMALL)
        for axes, acquisition in zip(row, acquisitions, strict=False):
            draw(axes, acquisition.picture, shape)
            axes.set_xlabel(acquisition.date, fontsize=SMALL)
        for axes in row[len(acquisitions) : most]:
            axes.set_axis_off()
    annotated = grid[:, most:].ravel()
    for axes in annotated[2:]:
        axes.set_axis_off()
    _annotate(annotated[:2], patch.truth, colours)
    for axes, text in zip(annotated, (SEMANTIC, INSTANCES), strict=False):
        axes.set_xlabel(text, fontsize=SMALL)
    save(figure, path)


def _annotate(axes: Sequence, truth: ClassMap, colours: Sequence[tuple[int, int, int]]) -> None:
    """Shows classes alone, then with the outlines of the parcels."""
    for place, instances in zip(axes, (None, truth.instances), strict=True):
        draw_classes(place, truth.classes, instances, colours)
