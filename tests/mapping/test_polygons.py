"""Polygons of a file in place of the Region's own: repaired, reprojected, and none vanishes."""

from __future__ import annotations

import geopandas
import map_factory
import numpy as np
import pytest
import region_factory as factory
import shapely
from parcel_maps import blocks_of, made_of, mapper_of
from refusal import refused_in_a_line

from pastis_jax.data.regions import table
from pastis_jax.data.regions.parcels.numbers import rasterise
from pastis_jax.data.regions.parcels.reading import read_parcels
from pastis_jax.data.regions.store import Region
from pastis_jax.mapping import blocks
from pastis_jax.mapping.blocks import NODATA
from pastis_jax.mapping.mapper import Mapper
from pastis_jax.mapping.options import MapOptions
from pastis_jax.mapping.parcel_summary import notes, painted, results
from pastis_jax.mapping.polygons import Polygons, polygons_of

GRID = factory.Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, height=140, width=300)
LEFT, TOP = GRID.left, GRID.top


def box(row, column, height, width):
    """A rectangle, in pixels from the upper left corner."""
    left, top = LEFT + 10 * column, TOP - 10 * row
    return shapely.box(left, top - 10 * height, left + 10 * width, top)


GIVEN = {
    "whole": box(10, 10, 20, 20),
    "overlaps": box(60, 60, 20, 20),
    "overlapped": box(70, 70, 20, 20),
    "hidden": box(62, 62, 4, 4),  # within one of them: contested, it has no pixel
    "sliver": box(20.6, 50, 0.3, 30),  # between centres of pixels
    "beyond": box(120, 280, 60, 60),
    "across chunks": box(115, 100, 20, 60),
    "crossing": shapely.Polygon(
        [(LEFT + x, TOP - y) for x, y in ((2000, 100), (2200, 300), (2200, 100), (2000, 300))]
    ),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = tmp_path_factory.mktemp("polygons")
    factory.make_region(place / "R", grid=GRID, days={"S2": (10, 40, 200)})
    run = map_factory.make_run(place / "run", "parcel", place / "R", modalities=("S2",))
    far = {"outside": box(0, 400, 10, 10)}
    frame = geopandas.GeoDataFrame(
        {"name": [*GIVEN, *far]}, geometry=[*GIVEN.values(), *far.values()], crs=GRID.crs
    )
    frame.to_file(place / "own.gpkg", layer="parcels")
    frame.to_crs("EPSG:2154").to_file(place / "other.gpkg", layer="parcels")
    return place, run


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "SHARD", 128)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("file", ["own.gpkg", "other.gpkg"])
def test_none_vanishes(made, tmp_path, monkeypatch, file):
    place, run = made
    given = {"parcels": place / file, "parcel_id": "name"}
    mapper = mapper_of(run, place / "R", monkeypatch, **given)
    made_map = made_of(mapper, tmp_path, blocks_of(GRID, 128))
    table = results(made_map)
    assert table.id.tolist() == [*GIVEN]
    pixels = dict(zip(table.id.tolist(), table.pixels.tolist(), strict=True))
    assert pixels == {
        **{"whole": 400, "overlaps": 284, "overlapped": 300, "hidden": 0, "sliver": 0},
        **{"beyond": 400, "across chunks": 1200, "crossing": pixels["crossing"]},
    }
    assert 180 <= pixels["crossing"] <= 220
    lost = {name for name, label in zip(table.id, table.label, strict=True) if label == NODATA}
    assert lost == {"hidden", "sliver"}
    assert (table.truth == -1).all()
    assert not table.held_out.any()
    areas = shapely.area([*GIVEN.values()][:7]) / 1e4
    np.testing.assert_allclose(table.hectares[:7], areas, rtol=2e-3)
    told = "\n".join([*mapper.notes, *notes(made_map)])
    for word in ("repaired: crossing", "beyond the region", "lies outside", "overlap so"):
        assert word in told
    assert "2 of 8 parcels have no pixel of the map: nodata (hidden, sliver)" in told


@pytest.mark.usefixtures("small_blocks")
def test_painted_as_the_polygons_lie(made, tmp_path, monkeypatch):
    place, run = made
    mapper = mapper_of(run, place / "R", monkeypatch, parcels=place / "own.gpkg")
    made_map = made_of(mapper, tmp_path, blocks_of(GRID, 128))
    read = read_parcels(place / "own.gpkg", label=None, grid=GRID)
    numbers = np.maximum(rasterise(read.geometries, GRID), 0)
    crop = np.append(NODATA, results(made_map).label)[numbers]
    for block, content in painted(made_map):
        assert np.array_equal(content["crop"], crop[block.rows, block.columns])


def test_a_region_without_parcels(made, tmp_path):
    place, run = made
    root = tmp_path / "R"
    factory.make_region(root, grid=GRID, days={"S2": (10, 40, 200)})
    (root / table.FILE).unlink()
    refused_in_a_line(lambda: Mapper(run, Region(root), MapOptions()), "`parcels`", str(root))
    options = MapOptions(parcels=place / "own.gpkg")
    assert len(polygons_of("parcel", Region(root), options)) == len(GIVEN)
    assert polygons_of("semantic", Region(root), MapOptions()) is None


def test_instances_take_no_polygons(made):
    options = MapOptions(parcels=made[0] / "own.gpkg")
    refused_in_a_line(lambda: polygons_of("panoptic", Region(made[0] / "R"), options), "`parcels`")


@pytest.mark.parametrize("name", ["parcel_id", "parcels_layer", "parcels_crs"])
def test_what_is_of_a_file_needs_one(name):
    refused_in_a_line(lambda: MapOptions(**{name: "a"}), f"`{name}`")


def test_numbers_are_those_of_any_window(made):
    polygons = Polygons(Region(made[0] / "R"), MapOptions(parcels=made[0] / "own.gpkg"))
    whole = polygons.numbers(slice(0, 140), slice(0, 300))
    part = polygons.numbers(slice(50, 90), slice(55, 131))
    assert np.array_equal(part, whole[50:90, 55:131])
    assert {*np.unique(part)} >= {-1, 0, 2, 3}
