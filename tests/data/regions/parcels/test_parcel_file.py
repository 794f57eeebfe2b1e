"""The file of parcels is GeoParquet that others read, and the same for the same parcels."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from parcel_files import GRID, geopandas, shapely, square
from refusal import refused_in_a_line

from pastis_jax.data.regions.parcels.parcel_file import write_parcels
from pastis_jax.data.regions.parcels.reading import read_parcels
from pastis_jax.data.regions.table import FILE, ParcelTable, read_table

TABLE = ParcelTable(
    id=np.array(["1", "FR/2", "é"]),
    code=np.array(["BTH", "", "MIS"]),
    label=np.array([1, 3, 2], np.int32),
    fold=np.array([2, -1, 0], np.int32),
    pixels=np.array([16, 0, 9], np.int32),
    area=np.array([1600.0, 12.5, 900.0]),
)
GEOMETRIES = np.array([square(2, 2), shapely.MultiPolygon([square(9, 9, 1)]), square(20, 2, 3)])
NAMES = {"crs": GRID.crs, "classes": ["none", "wheat", "maize", "void"], "folds": [1, "b", 3]}


@pytest.fixture
def file(tmp_path):
    write_parcels(TABLE, GEOMETRIES, tmp_path / FILE, **NAMES)
    return tmp_path / FILE


def test_the_table_is_read_back(file):
    table = read_table(file.parent, (1, "b", 3))
    for field in dataclasses.fields(ParcelTable):
        value, expected = (getattr(of, field.name) for of in (table, TABLE))
        np.testing.assert_array_equal(value, expected)
        assert value.dtype.kind == expected.dtype.kind


def test_others_read_it(file):
    frame = geopandas.read_parquet(file)
    assert frame.crs == GRID.crs
    assert [*frame.columns] == [
        *("id", "code", "label", "class", "fold", "pixels", "area", "geometry")
    ]
    assert [*frame["class"]] == ["wheat", "void", "maize"]
    assert [*frame["fold"].fillna("none")] == ["3", "none", "1"]
    assert (frame.geometry.to_numpy() == GEOMETRIES).all()
    parquet = pytest.importorskip("pyarrow.parquet")
    content = json.loads(parquet.read_schema(file).metadata[b"geo"])
    assert content["version"] == "1.1.0"
    inside = tuple(shapely.bounds(GEOMETRIES[2].buffer(-1)))
    some = geopandas.read_parquet(file, bbox=inside)
    assert [*some["id"]] == ["é"]


def test_it_can_be_parcels_of_another_region(file):
    parcels = read_parcels(file, label="code", id="id", grid=GRID)
    assert [*parcels.ids] == [*TABLE.id]
    assert [*parcels.codes] == [*TABLE.code]


def test_equal_parcels_give_equal_bytes(file, tmp_path):
    write_parcels(TABLE, GEOMETRIES.copy(), tmp_path / "again.parquet", **NAMES)
    assert (tmp_path / "again.parquet").read_bytes() == file.read_bytes()


def test_no_parcels(tmp_path):
    none = ParcelTable(*(getattr(TABLE, f.name)[:0] for f in dataclasses.fields(TABLE)))
    write_parcels(none, GEOMETRIES[:0], tmp_path / FILE, **NAMES)
    assert len(read_table(tmp_path, (1, "b", 3))) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": ["a", "a", "b"]}, "an identifier occurs twice"),
        ({"id": ["a", None, "b"]}, "column id has lines with nothing in it"),
        ({"id": [1, 2, 3]}, "column id holds int64, not texts"),
        ({"label": [1.5, 2, 3]}, "column label holds double, not integers"),
        ({"label": np.array([1, -2, 3], np.int32)}, "column label holds numbers that are not 0"),
        ({"pixels": np.array([1, -2, 3], np.int32)}, "column pixels holds numbers that are not 0"),
        ({"fold": ["3", "4", None]}, "fold 4 is none of the dataset's"),
        ({"area": None}, "there is no column area"),
    ],
)
def test_another_table_is_refused(file, change, words):
    frame = geopandas.read_parquet(file)
    for name, values in change.items():
        if values is None:
            frame = frame.drop(columns=name)
        else:
            frame[name] = values
    frame.to_parquet(file)
    refused_in_a_line(lambda: read_table(file.parent, (1, "b", 3)), str(file), words, "again")


def test_parcels_may_all_have_no_fold(tmp_path):
    none = dataclasses.replace(TABLE, fold=np.full(3, -1, np.int32))
    write_parcels(none, GEOMETRIES, tmp_path / FILE, **NAMES)
    np.testing.assert_array_equal(read_table(tmp_path, (1, "b", 3)).fold, [-1] * 3)
