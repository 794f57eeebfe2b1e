"""Parcels are repaired and reprojected, and what was changed or left out is told."""

from __future__ import annotations

import os
import pathlib
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parcel_files import GRID, frame, geopandas, shapely, square, write, write_geojson
from refusal import refused_in_a_line

from pastis_jax.data.regions.grid import Grid
from pastis_jax.data.regions.parcels.numbers import Tally, number_blocks
from pastis_jax.data.regions.parcels.reading import read_parcels, repaired

REAL = "PASTIS_JAX_REAL_SCENES"


def read(folder, geometries, **arguments):
    file = write_geojson(folder / "parcels.geojson", geometries, crs="EPSG:32631")
    return read_parcels(file, label=None, id="n", grid=GRID, **arguments)


def told(parcels):
    return {entry["kind"]: entry["ids"] for entry in parcels.findings}


def at(*corners):
    """Corners in pixels of the grid, from its upper left corner."""
    return [(GRID.left + 10 * x, GRID.top - 10 * y) for x, y in corners]


BOW = shapely.Polygon(at((2, 2), (6, 6), (6, 2), (2, 6)))
SPIKE = shapely.Polygon(at((2, 2), (6, 2), (20, 2), (6, 2), (6, 6), (2, 6)))
OVERLAPPING = shapely.MultiPolygon([square(2, 2), square(4, 4)])
HOLE_BEYOND = shapely.Polygon(at((2, 2), (6, 2), (6, 6), (2, 6)), [at((4, 4), (8, 4), (8, 8))])
TWO = shapely.MultiPolygon([square(2, 2), square(20, 2)])
HOLED = square(2, 2, 9).difference(square(4, 4, 2))
HIGH = shapely.force_3d(square(2, 2), 80.0)
LINE = shapely.LineString(at((1, 1), (5, 5)))


@pytest.mark.parametrize(
    ("geometry", "pixels", "invalid"),
    [
        (BOW, 8, True),
        (SPIKE, 16, True),
        (OVERLAPPING, 28, True),
        (HOLE_BEYOND, 14, True),
        (TWO, 32, False),
        (HOLED, 77, False),
        (HIGH, 16, False),
        (shapely.GeometryCollection([square(2, 2), LINE]), 16, False),
        (shapely.GeometryCollection([shapely.GeometryCollection([TWO]), LINE]), 32, False),
    ],
)
def test_one_parcel_whatever_its_form(tmp_path, geometry, pixels, invalid):
    parcels = read(tmp_path, [square(40, 40), geometry])
    assert [*parcels.ids] == ["0", "1"]
    assert parcels.areas[1] == pytest.approx(100 * pixels, abs=1e-3)
    assert parcels.geometries[1].is_valid
    assert not parcels.geometries[1].has_z
    assert told(parcels) == ({"parcels repaired": ["1"]} if invalid else {})


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=3, max_size=7))
def test_repaired_outlines_hold_what_they_go_around(corners):
    """At least what an odd number of turns goes around, at most all; valid ones stay."""
    polygon = shapely.Polygon(corners)
    (made,), (invalid,) = repaired(np.array([polygon]))
    faces = shapely.polygonize([shapely.node(polygon.exterior)]).geoms
    around = shapely.unary_union([shapely.Polygon(face.exterior) for face in faces])
    assert made.is_valid
    assert made.geom_type in ("Polygon", "MultiPolygon")
    assert invalid == (not polygon.is_valid)
    if polygon.is_valid:
        assert made.equals(polygon)
    assert shapely.make_valid(polygon).area - 1e-9 <= made.area <= around.area + 1e-9


def test_what_is_no_polygon_is_told(tmp_path):
    flat = shapely.Polygon(at((1, 1), (5, 5), (9, 9)))
    others = [LINE, shapely.Point(*at((3, 3))), flat, shapely.Polygon(), square(2, 2)]
    parcels = read(tmp_path, others)
    assert [*parcels.ids] == ["4"]
    lost = [entry for entry in parcels.findings if entry["kind"] == "parcels lost"]
    assert [(entry["text"], entry["ids"]) for entry in lost] == [
        ("2 features with no polygon: 0, 1", ["0", "1"]),
        ("1 feature with no area: 2", ["2"]),
    ]
    outside = [entry["text"] for entry in parcels.findings if entry["kind"] == "parcels outside"]
    assert outside == [
        "1 of 5 features lies outside the region, or has no geometry, and is left out"
    ]
    refused_in_a_line(lambda: read(tmp_path, [LINE, flat]), "1 have no polygon, 1 have no area")


def test_features_without_geometry_are_told_of_parquet(tmp_path):
    file = write(tmp_path, "parquet", frame([square(2, 2), None, square(9, 9)]))
    parcels = read_parcels(file, label="crop", id="name", grid=GRID)
    assert told(parcels) == {"parcels lost": ["p1"]}
    assert [*parcels.ids] == ["p0", "p2"]


def test_equal_outlines_are_told(tmp_path):
    again = shapely.Polygon(square(2, 2).exterior.coords[::-1])
    parcels = read(tmp_path, [square(2, 2), square(9, 9), again, square(2, 2, 5)])
    assert told(parcels) == {"parcels doubled": ["0", "2"]}


def test_points_lie_in_parcel_and_grid(tmp_path):
    parcels = read(tmp_path, [HOLED, square(45, -10, 12), square(-30, 20, 32), TWO])
    points = shapely.points(parcels.points)
    assert shapely.contains(parcels.geometries, points).all()
    assert shapely.contains(shapely.box(*GRID.bounds), points).all()


@pytest.mark.parametrize("pixel_size", [10.0, 1.0])
@pytest.mark.parametrize("degree", [2.0, 0.05])
def test_long_lines_stay_where_they_are(tmp_path, pixel_size, degree):
    """A parallel is no straight line in UTM: corners alone would be off by pixels."""
    box = shapely.box(3.5, 45, 3.5 + degree, 45.4)
    file = write_geojson(tmp_path / "a.geojson", [box])
    grid = Grid("EPSG:32631", 535_000.0, 5_000_000.0, pixel_size, 8000, 8000)
    (outline,) = read_parcels(file, label=None, grid=grid).geometries
    line = shapely.LineString([(3.5 + degree * i / 5000, 45) for i in range(5001)])
    places = geopandas.GeoSeries([line], crs=4326).to_crs(32631)[0]
    away = shapely.distance(shapely.points(shapely.get_coordinates(places)), outline.boundary)
    assert away.max() < 0.02 * pixel_size


def test_large_files_do_not_fill_the_memory(tmp_path, monkeypatch):
    """Of a file of many features only those in the region become geometries."""
    squares = [square(column * 10, row * 10) for row in range(100) for column in range(100)]
    for form in ("gpkg", "shp"):
        file = write(tmp_path, form, frame(squares))
        seen = []
        original = shapely.from_wkb

        def counted(wkb, seen=seen, original=original, **arguments):
            seen.append(len(wkb))
            return original(wkb, **arguments)

        monkeypatch.setattr(shapely, "from_wkb", counted)
        parcels = read_parcels(file, label="crop", id="name", grid=GRID)
        monkeypatch.undo()
        assert len(parcels) == 5 * 6  # those of every tenth pixel
        assert sum(seen) < 60


@pytest.fixture
def real(tmp_path):
    if REAL not in os.environ:
        pytest.skip(f"{REAL} is not set")

    def real(name):
        return pathlib.Path(shutil.copy(pathlib.Path(os.environ[REAL], name), tmp_path))

    return real


def test_french_parcels(real):
    file = real("lpis_samples/fr_rpg_2022_100_parcels.gpkg")
    expected = geopandas.read_file(file).to_crs(32631).set_index("id_parcel")
    left, _, _, top = expected.total_bounds
    grid = Grid("EPSG:32631", left - 50, top + 50, 10.0, 100_000, 100_000)
    parcels = read_parcels(file, label="code_cultu", id="id_parcel", grid=grid)
    assert len(parcels) == 100
    assert parcels.findings == ()
    expected = expected.loc[[*parcels.ids]]
    assert [*parcels.codes] == [*expected.code_cultu]
    assert (shapely.hausdorff_distance(parcels.geometries, expected.geometry.values) < 0.01).all()
    hectares = expected.surf_parc.to_numpy()
    np.testing.assert_allclose(parcels.areas / 1e4, hectares, rtol=0.02, atol=0.01)


def test_slovenian_parcels_reach_beyond_their_scenes(real):
    file = real("eolearn_testeopatch/TestEOPatch/vector_timeless/LULC.gpkg")
    grid = Grid("EPSG:32633", 465_180.0, 5_080_260.0, 10.0, 102, 101)
    parcels = read_parcels(file, label="RABA_ID", grid=grid)
    tally = Tally(len(parcels))
    for _ in number_blocks(parcels.geometries, grid, tally=tally):
        pass
    assert len(parcels) == 88
    assert {f["kind"]: int(f["text"].split()[0]) for f in parcels.findings} == {
        "parcels beyond": 26
    }
    assert tally.pixels.sum() == 102 * 101  # they cover all of it, and nothing twice
    assert tally.contested == 0
