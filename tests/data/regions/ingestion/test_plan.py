"""Which layers make which acquisition, and on which grid."""

from __future__ import annotations

import datetime

import pytest
from refusal import refused_in_a_line

from pastis_jax.data.modality import Modality
from pastis_jax.data.regions.grid import Grid
from pastis_jax.data.regions.ingestion import extent, plan
from pastis_jax.data.regions.ingestion.resample import Footprint
from pastis_jax.data.regions.manifest import MASK, Layer
from pastis_jax.errors import DataError, UserError

pytest.importorskip("rasterio")
UTM, NEXT = "EPSG:32631", "EPSG:32632"
RED, NIR = ("red", "nir")
KIND = Modality("m", (RED, NIR), "int16", "reflectance x 10000", nodata=-10000)
DAY = datetime.date(2024, 5, 1)
GRID = Grid(UTM, 500000.0, 5000000.0, 10.0, 100, 100)


def at(left=500000, top=5000000, size=10.0, pixels=100, crs=UTM):
    return Footprint(crs, (size, 0.0, left, 0.0, -size, top), pixels, pixels)


def layer(path, channel, *, day=0, orbit="", unit="reflectance x 10000"):
    return Layer(path, "1", "m", channel, DAY + datetime.timedelta(day), orbit, unit)


def planned(places, grid=GRID):
    return plan.make(list(places), places, [KIND], grid)


def pair(prefix, where, **more):
    return {layer(f"{prefix}_{channel}.tif", channel, **more): where for channel in (RED, NIR)}


def paths(scene):
    return [one.path for one in scene.layers]


def test_days_and_orbits_are_acquisitions():
    places = pair("b", at(), day=1, orbit="R094") | pair("c", at(), day=1, orbit="R051")
    made = planned(places | pair("a", at(), day=5) | pair("d", at(), day=0))
    found = [(a.date.day, a.orbit) for a in made.acquisitions["m"]]
    assert found == [(1, ""), (2, "R051"), (2, "R094"), (6, "")]
    assert made.masked == frozenset()


def test_scenes_of_one_day_are_merged_by_path():
    east = at(left=500500)
    places = pair("tile2", east) | pair("tile1", at())
    (acquisition,) = planned(places).acquisitions["m"]
    assert [paths(scene) for scene in acquisition.scenes] == [
        ["tile1_red.tif", "tile1_nir.tif"],
        ["tile2_red.tif", "tile2_nir.tif"],
    ]


def test_two_files_of_one_tile_are_two_scenes():
    places = pair("tile_part1", at()) | pair("tile_part2", at())
    (acquisition,) = planned(places).acquisitions["m"]
    assert [scene.layers[0].path for scene in acquisition.scenes] == [
        "tile_part1_red.tif",
        "tile_part2_red.tif",
    ]


def test_bands_of_other_sizes_and_masks_are_of_the_same_scene():
    places = {
        layer("red.tif", RED): at(),
        layer("nir.tif", NIR): at(left=499999, size=20.0, pixels=50),
        layer("scl.tif", MASK, unit="scl"): at(size=20.0, pixels=50),
        layer("valid.tif", MASK, unit="valid"): at(),
    }
    made = planned(places)
    (scene,) = made.acquisitions["m"][0].scenes
    assert paths(scene) == ["red.tif", "nir.tif"]
    assert [one.path for one in scene.masks] == ["scl.tif", "valid.tif"]
    assert made.masked == {"m"}


def test_what_lies_elsewhere_is_told():
    places = pair("a", at()) | pair("b", at(left=600000), day=3)
    made = planned(places)
    assert [a.date.day for a in made.acquisitions["m"]] == [1]
    assert [a.name for a in made.outside] == ["m 2024-05-04"]


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ({layer("red.tif", RED): at()}, ("red.tif", "lacks nir")),
        ({layer("m.tif", MASK, unit="scl"): at()}, ("m.tif", "no values")),
        (pair("far", at(left=700000)), ("no scene shows anything",)),
    ],
)
def test_refused(places, words):
    refused_in_a_line(lambda: planned(places), *words)


def test_grid_of_scenes():
    made = extent.choose([at(), at(left=500500, top=5000200), at(size=20.0, pixels=50)])
    assert made == Grid(UTM, 500000.0, 5000200.0, 10.0, 120, 150)


def test_pixels_stay_where_they_lie():
    made = extent.choose([at(left=500003.5, top=5000001.25)])
    assert made == Grid(UTM, 500003.5, 5000001.25, 10.0, 100, 100)


def test_most_scenes_tell_the_system():
    made = extent.choose([at(), at(left=500100), at(crs=NEXT, left=-40000)])
    assert made.crs == UTM
    assert made.left % 10 == 0
    assert made.width > 110
    assert extent.choose([at(crs=NEXT), at()], crs=UTM).crs == UTM


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"bounds": (500105, 4999700, 500310, 4999900)}, (500100, 4999900, 10.0, 20, 21)),
        ({"pixel_size": 20.0}, (500000, 5000000, 20.0, 50, 50)),
        ({"bounds": (500100, 4999700, 500300, 4999900), "crs": UTM}, (500100, 4999900, 10, 20, 20)),
    ],
)
def test_grid_that_is_wanted(arguments, expected):
    left, top, size, height, width = expected
    assert extent.choose([at()], **arguments) == Grid(UTM, left, top, size, height, width)


def test_area_of_a_file(tmp_path):
    geopandas = pytest.importorskip("geopandas")
    shapely = pytest.importorskip("shapely")
    box = geopandas.GeoSeries([shapely.box(500101, 4999701, 500299, 4999899)], crs=UTM)
    box.to_file(tmp_path / "area.gpkg")
    assert extent.choose([at()], area=tmp_path / "area.gpkg") == Grid(
        UTM, 500100.0, 4999900.0, 10.0, 20, 20
    )
    (tmp_path / "area.txt").write_text("no")
    with pytest.raises(DataError, match=r"area.txt: cannot be read"):
        extent.choose([at()], area=tmp_path / "area.txt")


def test_degrees_need_a_system():
    degrees = at(left=3.0, top=45.0, size=1e-4, crs="EPSG:4326")
    refused_in_a_line(lambda: extent.choose([degrees]), "degrees", "`crs` EPSG:32631")
    made = extent.choose([degrees], crs=UTM)
    assert (made.pixel_size, made.crs) == (10.0, UTM)
    assert made.left <= 500000 <= made.left + 10 * made.width


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"crs": "EPSG:4326"}, "`crs`"),
        ({"crs": "EPSG:2263"}, "`crs`"),
        ({"crs": "nonsense"}, "`crs`"),
        ({"pixel_size": 0.0}, "`pixel_size`"),
        ({"bounds": (1, 2, 1, 3)}, "`bounds`"),
        ({"bounds": (1, 2, 3, float("nan"))}, "`bounds`"),
        ({"bounds": (0, 0, 1e9, 10)}, "`bounds`"),
        ({"bounds": (0, 0, 1, 1), "area": "x"}, "`area`"),
    ],
)
def test_grid_that_is_refused(arguments, word):
    with pytest.raises(UserError) as caught:
        extent.choose([at()], **arguments)
    assert word in str(caught.value)
