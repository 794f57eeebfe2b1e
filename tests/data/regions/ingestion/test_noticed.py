"""What is told of scenes and parcels: one line a kind, in words that fit the number."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import region_factory as factory

from pastis_jax.data.regions.ingestion import noticed
from pastis_jax.data.regions.ingestion.outlines import _of_classes
from pastis_jax.data.regions.ingestion.plan import Plan
from pastis_jax.data.regions.ingestion.resample import Footprint
from pastis_jax.data.regions.table import ParcelTable


@pytest.mark.parametrize(
    ("told", "texts"),
    [
        (
            noticed.of_damaged,
            ("1 file is damaged, its scene left out: a", "2 files are damaged, their scenes left"),
        ),
        (
            noticed.of_broken,
            ("1 scene lacks a channel and is left out: a", "2 scenes lack a channel and are left"),
        ),
        (
            noticed.of_unobserved,
            (
                "1 acquisition shows not one pixel of the region, and is left out: a",
                "2 acquisitions show not one pixel of the region, and are left out: a, b",
            ),
        ),
    ],
)
def test_words_fit_the_number(told, texts):
    for names, text in zip((["a"], ["a", "b"]), texts, strict=True):
        (found,) = told(names)
        assert found["text"].startswith(text)
        assert found["ids"] == names
    assert not [*told([])]


def test_resampled_layers_are_one_line_a_modality():
    grid = factory.GRID
    places = {
        side: Footprint(grid.crs, (side, 0, grid.left, 0, -side, grid.top), 10, 10)
        for side in (10.0, 20.0, 60.0)
    }
    footprints = [("S2", places[side]) for side in (10.0, 20.0, 20.0, 60.0)]
    footprints += [("S1A", places[20.0])]
    plan = Plan(grid=grid, **_nothing(Plan, "grid"))
    radar, optical = (found["text"] for found in noticed.of_plan(plan, footprints))
    how = "resampled (bilinear, masks by the nearest pixel) from pixels of"
    assert radar == f"1 of 1 layers of S1A is {how} 20 x 20 in EPSG:32631 (1)"
    twenty, sixty = "20 x 20 in EPSG:32631 (2)", "60 x 60 in EPSG:32631 (1)"
    assert optical == f"3 of 4 layers of S2 are {how} {twenty}, {sixty}"


def test_classes_that_lack_folds_are_one_line():
    classes = factory.dataset_of().nomenclature
    label, fold = np.array([1, 1, 1, 2, 2, 3], np.int32), np.array([0, 1, 2, 0, 2, 1], np.int32)
    names = np.array(["x"] * 6)
    table = ParcelTable(
        id=names, code=names, label=label, fold=fold, pixels=np.ones(6, np.int32), area=np.ones(6)
    )
    (found,) = _of_classes(table, classes, (1, 2, 3))
    two, three = (classes.classes[number].name for number in (2, 3))
    assert found["text"] == f"no parcel of {two} (fold 2), {three} (folds 1, 3)"


def _nothing(record, *given):
    """Empty values for the other fields of a record."""
    return {f.name: () for f in dataclasses.fields(record) if f.name not in given}
