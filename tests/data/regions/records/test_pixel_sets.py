"""Parcels of a Region as pixel sets."""

from __future__ import annotations

import dataclasses
import json
import types

import numpy as np
import pytest
import region_factory as factory

from pastis_jax.data.assignment import Assignment
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets
from pastis_jax.data.regions.records import chunk_columns
from pastis_jax.data.regions.records.index import boxed_bound, find_parcels, identifiers
from pastis_jax.data.regions.records.pixel_sets import RegionPixelSets
from pastis_jax.data.regions.store import Region
from pastis_jax.data.regions.table import ParcelTable
from pastis_jax.data.simulate.writer import geometry
from pastis_jax.errors import ArgumentError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("region") / "R"
    return root, factory.make_region(root)


def test_every_pixel_row_by_row(made):
    root, truth = made
    folder = RegionPixelSets(root)
    assert len(folder.parcels) == (truth["fold"] >= 0).sum()
    assert [p.fold for p in folder.parcels] != []
    for parcel in folder.parcels:
        number = int(parcel.id[1:])
        assert parcel.fold == (1, 2, 3)[truth["fold"][number - 1]]
        assert parcel.label == truth["label"][number - 1]
        inside = truth["numbers"] == number
        assert np.array_equal(parcel.geometric_features, np.float32(geometry(inside)))
        for name, (values, days) in folder.read(parcel).items():
            every = factory.DAYS[name]
            dates = [every.index(int(day)) for day in dict.fromkeys(days.tolist())]
            kept = [t for t, day in enumerate(every) if day in {every[i] for i in dates}]
            assert np.array_equal(values, truth[name][kept][:, :, inside], equal_nan=True)


def test_days_are_those_that_observed_the_home(made):
    """The left third of the Region is not seen by every second date of S1A."""
    root, truth = made
    folder = RegionPixelSets(root)
    for parcel in folder.parcels:
        columns = np.flatnonzero((truth["numbers"] == int(parcel.id[1:])).any(0))
        if columns[-1] < 128:
            assert folder.patches[parcel.patch].days["S1A"].tolist() == [100]
        if columns[0] >= 256:
            assert folder.patches[parcel.patch].days["S1A"].tolist() == [5, 100, 210]


def test_what_is_left_out_is_told(made):
    root, truth = made
    (note,) = RegionPixelSets(root).notes
    lost = (truth["fold"] < 0).sum()
    assert note.startswith(f"{lost} of {len(truth['fold'])} parcels lie where folds meet")


def test_names_that_cannot_be_kept_are_told(made, monkeypatch):
    table = Region(made[0]).parcels
    renamed = dataclasses.replace(table, id=np.char.add("field ", table.id))
    monkeypatch.setattr(Region, "parcels", renamed)
    folder = RegionPixelSets(made[0])
    assert {type(parcel.id) for parcel in folder.parcels} == {int}
    assert any("each has its number in parcels.parquet" in note for note in folder.notes)


def test_a_sweep_reads_each_column_about_once(made, monkeypatch):
    root, _ = made
    monkeypatch.setattr(chunk_columns, "_MEMORY", 20_000_000)
    folder = RegionPixelSets(root)
    for parcel in folder.parcels:
        folder.read(parcel)
    chunks = np.prod(folder.region.grid.chunks) * len(folder.modalities)
    assert folder._columns.read <= 1.5 * chunks


def test_prepared(made, tmp_path):
    root, truth = made
    prepared = prepare_pixel_sets(root, cache=tmp_path, progress=False)
    assert prepared.lengths == {"S2": 4, "S1A": 3, "S1D": 2}
    source = prepared.source([1, 2])
    assert len(source) == np.isin(truth["fold"], (0, 1)).sum()
    record = source[0]
    inside = truth["numbers"] == int(record["parcel"][1:])
    assert np.array_equal(record["S2"]["values"], truth["S2"][:, :, inside])
    # What was prepared is used again.
    again = prepare_pixel_sets(root, cache=tmp_path, progress=False)
    assert again.path == prepared.path
    assert again.notes({"train": [1], "val": [2], "test": [3]})[0].endswith(")")


def test_clouded_acquisitions_are_missing(made, tmp_path):
    root, truth = made
    folder = RegionPixelSets(root, ["S2"], max_cloud=0.5)
    hidden = 0
    for parcel in folder.parcels:
        inside = truth["numbers"] == int(parcel.id[1:])
        (values, _), expected = folder.read(parcel)["S2"], truth["S2"][:, :, inside].copy()
        shares = (truth["S2 mask"][:, inside] == 1).mean(1)
        hidden += (shares > 0.5).sum()
        expected[shares > 0.5] = -10000
        assert np.array_equal(values, expected)
    assert hidden
    plain = prepare_pixel_sets(root, modalities=["S2"], cache=tmp_path, progress=False)
    clear = prepare_pixel_sets(
        root, modalities=["S2"], max_cloud=0.5, cache=tmp_path, progress=False
    )
    assert plain.path != clear.path
    assert plain.fingerprint.differing(clear.fingerprint.parts) == ["clouded acquisitions"]


def test_no_masks_to_go_by(made):
    with pytest.raises(ArgumentError, match="holds no masks of S1A, S1D"):
        RegionPixelSets(made[0], ["S1A", "S1D"], max_cloud=0.5)


def test_bound_of_parcels_in_a_window(made):
    root, truth = made
    index, numbers = find_parcels(Region(root)), truth["numbers"]
    most = max(
        np.count_nonzero(np.unique(numbers[y : y + 64, x : x + 64]))
        for y in range(0, 300 - 63, 3)
        for x in range(0, 400 - 63, 3)
    )
    assert most <= boxed_bound(index, (64, 64), numbers.shape) <= 2 * most


def test_lists_take_the_place_of_folds(made, tmp_path):
    """Parcels where folds meet are in none, but may be in a list."""
    root, truth = made
    between = [f"p{row + 1}" for row in np.flatnonzero(truth["fold"] < 0)[:3]]
    file = tmp_path / "lists.json"
    file.write_text(json.dumps({"train": between, "val": ["p1", "p2"], "test": ["p5"]}))
    lists = Assignment.read(file)
    folder = RegionPixelSets(root, assignment=lists)
    assert sorted(p.id for p in folder.parcels) == sorted([*between, "p1", "p2", "p5"])
    assert {p.id for p in folder.parcels if p.fold == "train"} == {*between}
    assert folder.notes == ()
    prepared = prepare_pixel_sets(root, assignment=lists, cache=tmp_path, progress=False)
    assert len(prepared.source(["train"])) == 3


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["7", "a-1", "x"], [7, "a-1", "x"]),
        (["7", "FR/1", "x"], [1, 2, 3]),
        (["7", "7.0", "x"], [1, 2, 3]),
    ],
)
def test_identifiers_are_numbers_where_names_cannot_be(ids, expected):
    none = np.zeros(3, np.int32)
    table = ParcelTable(np.array(ids), none, none, none, none, none)
    assert identifiers(types.SimpleNamespace(parcels=table)) == expected
