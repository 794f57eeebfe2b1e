"""From scenes and parcels to a Region."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import season_files as files
from refusal import refused_in_a_line
from season_files import ALL, GIVEN, contents, findings

from pastis_jax.data.regions.grid import Grid
from pastis_jax.data.regions.ingestion.ingest import ingest
from pastis_jax.data.regions.manifest import read_manifest
from pastis_jax.data.regions.records.labels import Labels, Window
from pastis_jax.data.regions.sources.given import Given
from pastis_jax.data.regions.store import Region

pytest.importorskip("rasterio")


def test_values_dates_and_masks(scenes, whole):
    _, truth = scenes
    region = Region(whole)
    assert region.grid == files.GRID
    assert region.dataset.names == ("S2", "S1A", "S1D")
    assert region.days("S2").tolist() == [31, 65, 182]
    assert region.days("S1A").tolist() == region.days("S1D").tolist() == [32]
    values, mask = region.read("S2", *ALL), region.mask("S2", *ALL)
    classes = np.array([255, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 0], np.uint8)
    for t, date in enumerate(("2023-10-02", "2023-11-05", "2024-03-01")):
        np.testing.assert_array_equal(values[t], truth["S2", date].astype(np.int16) - 1000)
        np.testing.assert_array_equal(mask[t], classes[truth["mask", date]])
    assert region.observed("S2").sum() == 3 * files.GRID.height * files.GRID.width
    assert region.clouded("S2").sum() == (mask == 1).sum()
    assert not region.masked("S1A")
    for name in ("S1A", "S1D"):
        decibels = 10 * np.log10(truth[name, "2023-10-03"])
        expected = np.stack([*decibels, decibels[0] - decibels[1]]).astype(np.float16)
        np.testing.assert_array_equal(region.read(name, *ALL)[0], expected)


def test_manifest_gives_the_same_region(whole, tmp_path):
    assert len(read_manifest(whole / "manifest.csv")) == 3 * 11 + 2 * 2
    again = ingest(whole / "manifest.csv", tmp_path / "whole", **files.OPTIONS | {"workers": 2})
    before, now = contents(whole), contents(again)
    before.pop("findings.json")
    now.pop("findings.json")
    assert before == now


def test_scenes_that_overlap_are_merged(tmp_path):
    """Two tiles of a day: the first by path gives what both show, the other what it lacks."""
    left = files.GRID.part(slice(0, 150), slice(0, 120))
    right = files.GRID.part(slice(0, 150), slice(80, 200))
    one, other = files.optical(1, left), files.optical(2, right)
    one[:, :20, 100:] = 0
    for name, values, grid in (("T31A", one, left), ("T31B", other, right)):
        folder = tmp_path / "scenes" / name
        files.write_optical(folder, "2023-10-02", values, grid, nodata=0)
    root = ingest(
        tmp_path / "scenes", tmp_path / "r", given=Given(offset={"S2": 0.0}), **files.OPTIONS
    )
    expected = np.concatenate([one[:, :, :80], other], 2)
    expected[:, :, 80:120] = np.where(one[:, :, 80:] > 0, one[:, :, 80:], other[:, :, :40])
    np.testing.assert_array_equal(Region(root).read("S2", *ALL)[0], expected)


@pytest.mark.parametrize(
    ("change", "given", "words"),
    [
        (lambda x: x + 30000, 0.0, ("2023-10-02", "outside")),
        (lambda x: x // 100, 0.0, ("2023-10-02", "normalised or divided", "offset")),
        (lambda x: x, -4000.0, ("2023-10-02", "outside", "offset")),
        (lambda x: x // 10, -1000.0, ("2023-10-02", "offset")),
    ],
)
def test_implausible_scenes_are_refused_and_nothing_stays(tmp_path, change, given, words):
    values = change(files.optical(0)).astype(np.uint16)
    files.write_optical(tmp_path / "scenes", "2023-10-02", values)
    refused_in_a_line(
        lambda: ingest(
            tmp_path / "scenes", tmp_path / "r", given=Given(offset={"S2": given}), **files.OPTIONS
        ),
        *words,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["scenes"]


def test_what_is_0_everywhere_is_no_value_unless_it_is_said(tmp_path):
    values = files.optical(0, low=1200)
    values[:, :, :20] = 0
    files.write_optical(tmp_path / "scenes", "2023-10-02", values)
    refused_in_a_line(
        lambda: ingest(tmp_path / "scenes", tmp_path / "r", given=files.OFFSET, **files.OPTIONS),
        "2023-10-02",
        "10.0%",
        "`nodata` S2=0",
    )
    for mark, first in ((0.0, -10000), (np.nan, -1000)):
        given = dataclasses.replace(files.OFFSET, nodata={"S2": mark})
        root = ingest(tmp_path / "scenes", tmp_path / f"{mark}", given=given, **files.OPTIONS)
        assert Region(root).read("S2", *ALL)[0, 0, 0, 0] == first


def parcels(file, *, shift=0.0, codes=("BTH", "MIS", "CZH"), grid=files.GRID):
    import geopandas
    import shapely

    boxes, rows = [], []
    for row in range(0, grid.height - 10, 12):
        for column in range(0, grid.width - 10, 12):
            left, top = grid.left + column * 10 + shift, grid.top - row * 10
            boxes.append(shapely.box(left, top - 100, left + 100, top))
            rows.append(codes[len(rows) % len(codes)])
    frame = geopandas.GeoDataFrame({"CODE_CULTU": rows}, geometry=boxes, crs=grid.crs)
    frame.to_file(file)
    return frame


PARCELS = {"label": "CODE_CULTU", "folds": 3, "block": 300.0, "gap": 0.0}


def test_parcels(scenes, whole, tmp_path):
    frame = parcels(tmp_path / "parcels.gpkg")
    root = ingest(
        scenes[0],
        tmp_path / "r",
        given=GIVEN,
        parcels=tmp_path / "parcels.gpkg",
        **PARCELS,
        **files.OPTIONS,
    )
    region = Region(root)
    table, numbers = region.parcels, region.numbers(*ALL)
    assert len(table) == len(frame)
    assert table.code.tolist() == frame["CODE_CULTU"].tolist()
    assert (table.pixels == 100).all()
    assert numbers[0, 0] == 1
    assert numbers[11, 11] == 0
    np.testing.assert_array_equal(np.bincount(numbers.ravel())[1:], table.pixels)
    names = [region.dataset.nomenclature.classes[n].name for n in table.label[:3]]
    assert names == ["Soft winter wheat", "Corn", "Winter rapeseed"]
    assert set(table.fold.tolist()) <= {-1, 0, 1, 2}
    np.testing.assert_array_equal(region.read("S2", *ALL), Region(whole).read("S2", *ALL))


@pytest.mark.parametrize("unlabelled", ["background", "void"])
def test_pixels_of_no_parcel_are_background_or_void(scenes, tmp_path, unlabelled):
    parcels(tmp_path / "parcels.gpkg")
    root = ingest(
        scenes[0],
        tmp_path / "r",
        given=GIVEN,
        parcels=tmp_path / "parcels.gpkg",
        unlabelled=unlabelled,
        **PARCELS,
        **files.OPTIONS,
    )
    region = Region(root)
    assert region.info["parcels"]["unlabelled"] == unlabelled
    window = Window(slice(0, 128), slice(0, 128))
    semantic = Labels(region).read(window, (0, 1, 2)).semantic
    numbers, nomenclature = region.numbers(*ALL)[:128, :128], region.dataset.nomenclature
    wanted = getattr(nomenclature, f"{unlabelled}_number")
    assert wanted is not None
    assert set(semantic[numbers == 0].tolist()) == {wanted}
    inside = semantic[numbers > 0]
    assert (~nomenclature.is_void(inside) & ~nomenclature.is_background(inside)).any()


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        ({"shift": 1e5}, {}, ("parcels.gpkg",)),
        ({"codes": ("BTH", "XXX", "MIS")}, {}, ("parcels.gpkg", "XXX")),
        ({}, {"label": "nothing"}, ("parcels.gpkg", "nothing")),
        ({}, {"label": None}, ("`label`",)),
        ({}, {"folds": 2}, ("`folds`",)),
        ({}, {"unknown": "maybe"}, ("`unknown`",)),
        ({}, {"inner_buffer": -1.0}, ("`inner_buffer`",)),
        ({}, {"season_start": "yesterday"}, ("`season_start`",)),
        ({}, {"workers": 0}, ("`workers`",)),
        ({}, {"level": {"S9": "x"}}, ("`level`", "S9")),
        ({}, {"bounds": (0, 0, 10, 10)}, ("no scene shows",)),
        ({}, {"crs": "EPSG:4326"}, ("`crs`",)),
    ],
)
def test_refused_before_anything_is_written(scenes, tmp_path, make, options, words):
    parcels(tmp_path / "parcels.gpkg", **make)
    given = PARCELS | {"parcels": tmp_path / "parcels.gpkg", "given": GIVEN} | files.OPTIONS
    refused_in_a_line(lambda: ingest(scenes[0], tmp_path / "r", **given | options), *words)
    assert [path.name for path in tmp_path.iterdir()] == ["parcels.gpkg"]


def test_unknown_codes_may_be_void(scenes, tmp_path):
    parcels(tmp_path / "parcels.gpkg", codes=("BTH", "XXX", "MIS"))
    root = ingest(
        scenes[0],
        tmp_path / "r",
        given=GIVEN,
        parcels=tmp_path / "parcels.gpkg",
        unknown="void",
        **PARCELS,
        **files.OPTIONS,
    )
    region = Region(root)
    assert region.dataset.nomenclature.is_void(region.parcels.label[1])
    assert "XXX" in findings(root)["codes unknown"]


def test_datasets_and_their_files_are_sources(tmp_path):
    """A cube in memory gives what a file of it gives; what else varies with time is kept too."""
    xarray = pytest.importorskip("xarray")
    grid = files.GRID.part(slice(0, 40), slice(0, 50))
    values = np.stack([files.optical(seed, grid) for seed in range(2)])
    rain = np.random.default_rng(0).random((2, 40, 50)).astype(np.float32)
    x = grid.left + 10 * (np.arange(50) + 0.5)
    y = grid.top - 10 * (np.arange(40) + 0.5)
    axes = ("time", "y", "x")
    cube = xarray.Dataset(
        {name: (axes, values[:, k]) for k, name in enumerate(files.BANDS)}
        | {"total_precipitation": (axes, rain)},
        {"time": np.array(["2023-10-02", "2023-11-05"], "datetime64[ns]"), "y": y, "x": x},
        {"crs": files.UTM},
    )
    given = Given(offset={"S2": 0.0})
    root = ingest(cube, tmp_path / "memory", given=given, **files.OPTIONS)
    region, window = Region(root), (slice(0, 40), slice(0, 50))
    assert region.grid == grid
    assert region.days("S2").tolist() == [31, 65]
    np.testing.assert_array_equal(region.read("S2", *window), values.astype(np.int16))
    np.testing.assert_array_equal(region.read("weather", *window)[:, 0], rain)
    cube.to_zarr(tmp_path / "cube.zarr", consolidated=False)
    other = ingest(tmp_path / "cube.zarr", tmp_path / "stored", given=given, **files.OPTIONS)
    np.testing.assert_array_equal(Region(other).read("S2", *window), region.read("S2", *window))


def test_levels(scenes, tmp_path):
    root = ingest(scenes[0], tmp_path / "r", given=GIVEN, level={"S1A": "gamma0"}, **files.OPTIONS)
    assert Region(root).level("S1A") == "gamma0"
    assert Region(root).level("S2") == ""


def test_other_grids_are_resampled(scenes, tmp_path):
    """A plane of reflectance at 20 m, half a pixel off: interpolation is exact on it."""
    grid = Grid(files.UTM, 599995.0, 5200005.0, 20.0, 80, 110)
    rows, columns = np.mgrid[:80, :110]
    plane = (1000 + 8 * columns + 4 * rows).astype(np.uint16)
    for date in ("2023-10-02", "2023-11-02"):
        files.write_optical(tmp_path / "scenes", date, np.stack([plane] * 10), grid)
    root = ingest(
        tmp_path / "scenes",
        tmp_path / "r",
        given=Given(offset={"S2": 0.0}),
        pixel_size=10.0,
        bounds=(600000, 5198500, 602000, 5200000),
        **files.OPTIONS,
    )
    region = Region(root)
    assert dataclasses.replace(region.grid, height=150, width=200) == region.grid
    y = region.grid.top - 10 * (np.arange(150) + 0.5)
    x = region.grid.left + 10 * (np.arange(200) + 0.5)
    expected = 1000 + 8 * ((x - 599995) / 20 - 0.5) + 4 * ((5200005 - y) / 20 - 0.5)[:, None]
    np.testing.assert_allclose(region.read("S2", *ALL)[0, 0], expected, atol=0.51)
    assert "20 of 20 layers" in findings(root)["resampled"]
