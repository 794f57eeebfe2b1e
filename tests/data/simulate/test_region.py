"""The simulated region: files that say what they hold, and a truth that agrees with them."""

from __future__ import annotations

import csv
import datetime
import filecmp
import importlib
import json

import numpy as np
import pytest
from commands import exit_code

from pastis_jax.cli import simulate as command
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.simulate import simulate_region
from pastis_jax.data.simulate.landscape import images, places, scenes, vectors
from pastis_jax.errors import UserError

geopandas = pytest.importorskip("geopandas")
rasterio = pytest.importorskip("rasterio")
features = importlib.import_module("rasterio.features")
warp = importlib.import_module("rasterio.warp")

SIZE, DATES = 128, 6


def made(out, seed=0):
    return simulate_region(out, size=SIZE, dates=DATES, seed=seed, progress=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made(tmp_path_factory.mktemp("region") / "r")


@pytest.fixture(scope="module")
def truth(folder):
    return json.loads((folder / "truth" / "truth.json").read_text())


@pytest.fixture(scope="module")
def listed(folder):
    with open(folder / "truth" / "parcels.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def drawn(folder):
    return geopandas.read_file(folder / "parcels.gpkg")


def arrays(folder, modality, row):
    """What a Region must hold of a scene: values, mask if there is one, and how."""
    stamp = row["date"].replace("-", "")
    files = (folder / "truth" / modality).glob(f"{stamp}_*.npy")
    return {file.stem.partition("_")[2]: np.load(file) for file in files}


def affine(grid):
    return rasterio.Affine(grid["pixel_size"], 0, grid["left"], 0, -grid["pixel_size"], grid["top"])


def on_grid(file, grid, resampling):
    """A file on the region's grid: bilinear at exact coordinates, float32 with NaN, or nearest."""
    with rasterio.open(file) as raster:
        values, nothing = raster.read(), raster.nodata
        if resampling == warp.Resampling.bilinear:
            values = values.astype(np.float32)
            values[values == nothing] = nothing = np.nan
        out = np.full((len(values), grid["height"], grid["width"]), nothing, values.dtype)
        warp.reproject(
            *(values, out),
            src_transform=raster.transform,
            src_crs=raster.crs,
            src_nodata=nothing,
            dst_transform=affine(grid),
            dst_crs=grid["crs"],
            dst_nodata=nothing,
            resampling=resampling,
            tolerance=0,
            XSCALE="1",
            YSCALE="1",
        )
    return out


def scene_rows(truth, modality):
    return truth["modalities"][modality]["scenes"]


def test_one_seed_gives_one_folder(folder, tmp_path):
    again, other = made(tmp_path / "again"), made(tmp_path / "other", seed=1)
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    _, mismatch, errors = filecmp.cmpfiles(folder, again, files, shallow=False)
    assert (mismatch, errors) == ([], [])
    assert not filecmp.cmp(folder / "parcels.gpkg", other / "parcels.gpkg", shallow=False)


def test_every_scene_is_listed_once(folder, truth):
    rows = [row for name in PASTIS_R.names for row in scene_rows(truth, name)]
    named = [file for row in rows for file in row["files"]]
    assert sorted(named) == sorted(file.name for file in (folder / "scenes").iterdir())
    start = datetime.date.fromisoformat(truth["season_start"])
    for name in PASTIS_R.names:
        own = scene_rows(truth, name)
        dates = [datetime.date.fromisoformat(row["date"]) for row in own]
        assert len(own) == DATES
        assert dates == sorted(set(dates))
        assert 0 <= (dates[0] - start).days <= (dates[-1] - start).days <= 365
        assert all(row["date"].replace("-", "") in file for row in own for file in row["files"])
    assert {row["orbit"] for row in scene_rows(truth, "S1A")} == {"088", "161"}
    assert {row["orbit"] for row in scene_rows(truth, "S1D")} == {"139"}


def test_optical_files_say_what_they_hold(folder, truth):
    tiles = set()
    for row in scene_rows(truth, "S2"):
        images_of_day = [file for file in row["files"] if "SCL" not in file]
        tiles.add(tuple(file[3:9] for file in images_of_day))
        for file in images_of_day:
            east = "T32TLS" in file
            with (
                rasterio.open(folder / "scenes" / file) as raster,
                rasterio.open(folder / "scenes" / file.replace(".tif", "_SCL.tif")) as mask,
            ):
                assert raster.descriptions == PASTIS_R.modalities[0].channels
                assert set(raster.dtypes) == {"uint16"}
                assert set(raster.scales) == {1e-4}
                assert set(raster.offsets) == {-0.1}
                assert raster.nodata == 0
                assert raster.crs.to_epsg() == (32632 if east else 32631)
                assert raster.tags()["ACQUISITION_DATE"] == row["date"]
                assert (mask.bounds, mask.crs) == (raster.bounds, raster.crs)
                assert (mask.res, raster.res) == ((20, 20), (10, 10))
                assert set(np.unique(mask.read())) <= {0, 3, 4, 5, 6, 8, 9, 10}
    assert tiles == {("T31TGM", "T32TLS"), ("T31TGM",), ("T32TLS",)}


def test_radar_files_say_what_they_hold(folder, truth):
    bounds = {}
    for name, direction in (("S1A", "ascending"), ("S1D", "descending")):
        for row in scene_rows(truth, name):
            (file,) = row["files"]
            assert file == f"S1_{name[-1]}_{row['date'].replace('-', '')}_R{row['orbit']}.tif"
            with rasterio.open(folder / "scenes" / file) as raster:
                assert raster.descriptions == ("VV", "VH")
                assert set(raster.dtypes) == {"float32"}
                assert set(raster.units) == {"linear power"}
                assert raster.tags()["ORBIT_DIRECTION"] == direction
                assert raster.tags()["RELATIVE_ORBIT"] == row["orbit"]
                values = raster.read(masked=True)
                assert values.mask.any()
                assert values.min() > 0
                bounds[row["orbit"]] = raster.bounds
    assert len(set(bounds.values())) == 3
    west, east = bounds["088"], bounds["161"]
    assert west.left < east.left < west.right < east.right


def test_what_lies_on_the_grid_is_exact(folder, truth):
    """By windows alone: no interpolation, and no library's idea of a pixel."""
    grid = truth["grid"]
    for name in ("S2", "S1A"):
        for row in scene_rows(truth, name):
            own = arrays(folder, name, row)
            for file in row["files"]:
                if "SCL" in file or "T32TLS" in file:
                    continue
                with rasterio.open(folder / "scenes" / file) as raster:
                    column = (raster.bounds.left - grid["left"]) / 10
                    assert raster.bounds.top == grid["top"]
                    assert column == int(column)
                    window = np.s_[:, int(column) : int(column) + raster.width]
                    numbers = raster.read()
                how = own["how"][window]
                exact = np.isin(how, (scenes.EXACT, scenes.EITHER))
                np.testing.assert_array_equal(exact, numbers[0] != raster.nodata)
                values = own["values"][(slice(None), *window)]
                if name == "S2":
                    kept = numbers[:, exact].astype(np.int16) - images.OFFSET
                else:
                    vv, vh = (10 * np.log10(numbers[:, exact])).astype(np.float16)
                    kept = np.stack([vv, vh, vv - vh])
                np.testing.assert_array_equal(values[:, exact], kept)


def test_masks_on_the_grid_are_exact(folder, truth):
    seen = set()
    for row in scene_rows(truth, "S2"):
        own = arrays(folder, "S2", row)
        for file in row["files"]:
            if "T31TGM" in file and "SCL" in file:
                with rasterio.open(folder / "scenes" / file) as raster:
                    scene = raster.read(1).repeat(2, 0).repeat(2, 1)
                mask = own["mask"][:, : scene.shape[1]]
                np.testing.assert_array_equal(mask == 1, np.isin(scene, (3, 8, 9, 10)))
                np.testing.assert_array_equal(mask == 255, scene == 0)
                seen |= set(np.unique(mask))
    assert {0, 1} <= seen


def test_the_eastern_tile_agrees_with_the_truth(folder, truth):
    bound = truth["modalities"]["S2"]["tolerance"]
    compared = 0
    for row in scene_rows(truth, "S2"):
        own = arrays(folder, "S2", row)
        alone = own["how"] == scenes.RESAMPLED
        for file in (file for file in row["files"] if "T32TLS" in file):
            if "SCL" in file:
                scene = on_grid(folder / "scenes" / file, truth["grid"], warp.Resampling.nearest)
                agree = images.clouded(scene[0]) == own["mask"]
                assert agree[alone].mean() > 0.999
                continue
            again = on_grid(folder / "scenes" / file, truth["grid"], warp.Resampling.bilinear)
            again = np.rint(again) - images.OFFSET
            np.testing.assert_allclose(again[:, alone], own["values"][:, alone], rtol=0, atol=bound)
            assert np.isnan(again[0][own["how"] == scenes.MISSING]).all()
            compared += alone.sum()
            # Beside the other tile's: the same ground at the same place, twice interpolated.
            both = own["how"] == scenes.EITHER
            for channel in np.flatnonzero([both.any()] * 10):
                here = own["values"][channel][both].astype(np.float32)
                there, moved = (again[channel][both], np.roll(again[channel], 3, 1)[both])
                error = np.nanmean(np.abs(there - here))
                assert error < min(100, 0.6 * np.nanmean(np.abs(moved - here)))
    assert compared > SIZE**2


def test_what_lies_beside_the_grid_agrees_with_the_truth(folder, truth):
    bound = truth["modalities"]["S1D"]["tolerance"]
    for row in scene_rows(truth, "S1D"):
        own = arrays(folder, "S1D", row)
        assert set(np.unique(own["how"])) == {scenes.MISSING, scenes.RESAMPLED, scenes.EDGE}
        file = folder / "scenes" / row["files"][0]
        level = 10 * np.log10(on_grid(file, truth["grid"], warp.Resampling.bilinear))
        level = np.stack([*level, level[0] - level[1]])
        seen = own["how"] == scenes.RESAMPLED
        np.testing.assert_allclose(level[:, seen], own["values"][:, seen], rtol=0, atol=bound)
        assert np.isnan(level[:, own["how"] == scenes.MISSING]).all()
        assert np.isnan(own["values"][:, ~seen]).all()


def test_parcels_rasterise_to_the_truth(folder, truth, drawn, listed):
    grid = truth["grid"]
    assert drawn.crs.to_epsg() == 2154
    assert list(drawn["ID_PARCEL"]) == [row["id"] for row in listed]
    assert list(drawn["CODE_CULTU"]) == [row["code"] for row in listed]
    numbers = np.load(folder / "truth" / "numbers.npy")
    shape, place = numbers.shape, affine(grid)
    got, times = np.zeros(shape, np.int32), np.zeros(shape, int)
    for number, polygon in enumerate(drawn.make_valid().to_crs(grid["crs"]), start=1):
        inside = features.rasterize([polygon], out_shape=shape, transform=place) > 0
        got[inside], times = number, times + inside
    got[times > 1] = vectors.CONTESTED
    np.testing.assert_array_equal(got, numbers)
    assert times.max() == 2
    classes = np.load(folder / "truth" / "classes.npy")
    label = np.array([0, *(int(row["class"]) for row in listed), 19])
    np.testing.assert_array_equal(classes, label[numbers])
    for number, row in enumerate(listed, start=1):
        assert int(row["pixels"]) == (numbers == number).sum()
    assert {int(row["class"]) for row in listed} == {*range(1, 20)}


def test_odd_parcels_are_odd(folder, truth, drawn, listed):
    kinds = {row["kind"]: number for number, row in enumerate(listed) if row["kind"]}
    assert {kind: listed[number]["id"] for kind, number in kinds.items()} == (
        truth["special_parcels"]
    )
    valid = drawn.is_valid
    assert list(np.flatnonzero(~valid)) == [kinds["bow-tie"]]
    pixels = {kind: int(listed[number]["pixels"]) for kind, number in kinds.items()}
    assert pixels["bow-tie"] == 56
    assert pixels["smaller than a pixel"] == 1
    assert pixels["holds no centre"] == pixels["outside"] == 0
    shapes = drawn.to_crs(truth["grid"]["crs"]).geometry
    for kind in ("smaller than a pixel", "holds no centre"):
        assert shapes[kinds[kind]].area == pytest.approx(16, abs=0.1)
    left = shapes.bounds["minx"] - truth["grid"]["left"]
    assert left[kinds["reaches beyond"]] == pytest.approx(-vectors.BEYOND, abs=0.01)
    assert left[kinds["outside"]] < -vectors.AWAY
    common = shapes[kinds["overlaps"]].intersection(shapes[kinds["overlapped"]]).area
    numbers = np.load(folder / "truth" / "numbers.npy")
    assert common == pytest.approx(100 * (numbers == vectors.CONTESTED).sum(), abs=1)


def test_bilinear_places():
    values = np.arange(12.0).reshape(3, 4)
    rows, columns = np.array([[0.0, 1.5, 2.5, -2.0]]), np.array([[0.0, 0.25, 1.0, 0.0]])
    at = places.Bilinear(values.shape, rows, columns)
    missing = values == 11
    whole, some = at.coverage(missing)
    np.testing.assert_array_equal(whole, [[True, True, False, False]])
    np.testing.assert_array_equal(some, [[True, True, True, False]])
    np.testing.assert_array_equal(at(values)[whole], [0.0, 6.25])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--size", "200"], ["--size: got 200", "multiple of 64 from 128 to 4096"]),
        (["--size", "64"], ["--size: got 64"]),
        (["--dates", "61"], ["--dates: got 61", "6 to 60"]),
        (["--seed", "-1"], ["--seed: got -1"]),
        (["--clustering", "2"], ["--clustering: got 2"]),
        (["--parcels", "9"], ["--parcels", "--region"]),
        (["--patches", "9"], ["--patches", "--region"]),
        (["--out", "elsewhere"], ["--region", "--out"]),
    ],
    ids=lambda x: " ".join(x),
)
def test_refused_in_a_line(flags, words, tmp_path, capsys):
    assert exit_code(lambda: command.main(["--region", str(tmp_path / "r"), *flags])) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert all(word in err for word in words), err
    assert not any(tmp_path.iterdir())


def test_a_folder_in_use_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(UserError, match="not an empty folder"):
        made(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_without_the_extra_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(importlib.sys.modules, "rasterio", None)
    with pytest.raises(UserError, match=r"rasterio.*geo"):
        made(tmp_path / "r")
    assert not any(tmp_path.iterdir())


def test_the_command_says_what_to_do_next(folder, tmp_path, capsys):
    out = tmp_path / "r"
    flags = ["--region", str(out), "--size", str(SIZE), "--dates", str(DATES)]
    assert exit_code(lambda: command.main(flags)) == 0
    printed = capsys.readouterr().out
    assert f"pastis-jax ingest {out}/scenes" in printed
    assert "--season-start 2023-09-01" in printed
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    _, mismatch, errors = filecmp.cmpfiles(folder, out, files, shallow=False)
    assert (mismatch, errors) == ([], [])
