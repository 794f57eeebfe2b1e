"""Parcels of a map as files: columns, coordinate system, style, and the same bytes again."""

from __future__ import annotations

import datetime
import sqlite3
import time
import types
from xml.etree import ElementTree

import geopandas
import numpy as np
import pyogrio
import pytest
import region_factory as factory
import shapely

from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.regions.parcels.reading import read_parcels
from pastis_jax.mapping.blocks import NODATA, UNCLASSIFIED
from pastis_jax.mapping.files.parcel_style import STYLES, style_of
from pastis_jax.mapping.files.vectors import write_vectors
from pastis_jax.mapping.options import MapOptions
from pastis_jax.mapping.parcel_results import ParcelResults

CLASSES = ClassMapping.crops(factory.dataset_of().nomenclature)
FILES = ("parcels.gpkg", "parcels.parquet")


def a_map(probabilities=False, **changes):
    """Three parcels: one that is told, one that is unclassified, one of which nothing is known."""
    made = types.SimpleNamespace(
        classes=CLASSES,
        region=types.SimpleNamespace(grid=factory.GRID),
        run=types.SimpleNamespace(modalities=("S2", "S1A")),
        last_day=datetime.date(2024, 5, 31),
        options=MapOptions(probabilities=probabilities),
    )
    probability = np.zeros((3, len(CLASSES.names)), np.float32)
    probability[0, [4, 1, 0]] = 0.7, 0.2, 0.1
    probability[1] = 1 / len(CLASSES.names)
    probability[2] = np.nan
    boxes = shapely.box([600000.5, 601000, 602000], 5190000.25, [600100, 601100, 602100], 5190100)
    fields = {
        "id": np.array(["a", "b", "é"]),
        "label": np.array([4, UNCLASSIFIED, NODATA], np.uint8),
        "probability": probability,
        "pixels": np.array([99.5, 100, 0]),
        "dates": np.array([[3, 1], [2, 0], [0, 0]], np.uint16),
        "hectares": shapely.area(boxes) / 1e4,
        "truth": np.array([4, -1, 2], np.int32),
        "held_out": np.array([True, False, False]),
        "geometry": boxes,
    }
    return made, ParcelResults(**fields | changes)


def read(file):
    if file.suffix == ".parquet":
        return geopandas.read_parquet(file)
    return geopandas.read_file(file, layer="parcels")


@pytest.mark.parametrize("file", FILES)
def test_columns(tmp_path, file):
    made, results = a_map()
    write_vectors(made, results, tmp_path)
    frame = read(tmp_path / file)
    frame = frame.astype(object).where(frame.notna(), None)
    rows = frame.drop(columns=["geometry"]).to_dict("records")
    names = CLASSES.names
    assert rows[0] == {
        **{"id": "a", "class": 4, "code": str(CLASSES.codes[4]), "name": names[4]},
        **{"confidence": 0.7, "margin": 0.5, "second": names[1], "second_confidence": 0.2},
        **{"third": names[0], "third_confidence": 0.1, "pixels": 99.5},
        **{"dates_S2": 3, "dates_S1A": 1, "hectares": 0.9925, "mapped_hectares": 0.995},
        **{"truth": names[4], "held_out": True},
    }
    told = [(row["class"], row["code"], row["name"], row["confidence"]) for row in rows[1:]]
    assert told == [(None, "", "Unclassified", 0.0556), (None, "", "No data", None)]
    assert rows[2]["second"] is None
    assert [row["truth"] for row in rows] == [names[4], None, names[2]]
    frame = read(tmp_path / file)
    assert frame.crs == factory.GRID.crs
    assert shapely.equals(frame.geometry.to_numpy(), results.geometry).all()


def test_probabilities_of_all_classes(tmp_path):
    made, results = a_map(probabilities=True)
    write_vectors(made, results, tmp_path)
    frame = geopandas.read_parquet(tmp_path / FILES[1])[[f"p_{name}" for name in CLASSES.names]]
    np.testing.assert_allclose(frame, results.probability, atol=5e-5)


def test_no_truth_no_column(tmp_path):
    made, results = a_map(truth=np.full(3, -1, np.int32))
    write_vectors(made, results, tmp_path)
    assert not {"truth", "held_out"} & {*geopandas.read_parquet(tmp_path / FILES[1])}


def test_no_parcel(tmp_path):
    made, results = a_map()
    none = {name: getattr(results, name)[:0] for name in vars(results)}
    write_vectors(made, ParcelResults(**none), tmp_path)
    for file in FILES:
        assert len(read(tmp_path / file)) == 0


def test_the_same_bytes_again(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_vectors(*a_map(), tmp_path / name)
        time.sleep(1.1)  # clocks of files show seconds
    assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") is None
    for file in FILES:
        one, two = ((tmp_path / name / file).read_bytes() for name in ("one", "two"))
        assert one == two


def test_the_style_is_found_by_qgis(tmp_path):
    """In the table and by the columns that QGIS looks for, as the layer's own."""
    write_vectors(*a_map(), tmp_path)
    with sqlite3.connect(tmp_path / FILES[0]) as base:
        found = base.execute(
            f"SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM {STYLES}"
        ).fetchall()
        geometry = base.execute("SELECT table_name, column_name FROM gpkg_geometry_columns")
        assert geometry.fetchall() == [("parcels", "geom")]
        assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    base.close()
    assert found == [("parcels", "geom", 1, style_of(CLASSES))]


def test_colours_of_the_style():
    root = ElementTree.fromstring(style_of(CLASSES))
    renderer = root.find("renderer-v2")
    assert renderer.get("attr") == "class"
    symbols = {symbol.get("name"): symbol for symbol in renderer.iter("symbol")}
    told = {
        category.get("value"): (
            category.get("label"),
            symbols[category.get("symbol")].find(".//Option[@name='color']").get("value"),
        )
        for category in renderer.iter("category")
    }
    for number, (name, colour) in enumerate(zip(CLASSES.names, CLASSES.colours, strict=True)):
        assert told[str(number)] == (name, "{},{},{},255".format(*colour))
    assert told[""][0] == "Unclassified, no data"


def test_read_as_parcels_of_another_region(tmp_path):
    write_vectors(*a_map(), tmp_path)
    for file in FILES:
        grid = factory.Grid("EPSG:32631", 600000.0, 5190200.0, 10.0, height=100, width=300)
        read = read_parcels(tmp_path / file, label="code", grid=grid, id="id")
        assert read.ids.tolist() == ["a", "b", "é"]
