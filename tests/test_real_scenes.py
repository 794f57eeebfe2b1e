"""Files as users have them, where PASTIS_JAX_REAL_SCENES names a folder of them: every input, one
command. Values are held against those of the files themselves."""

from __future__ import annotations

import json
import os
import pathlib
import re
import runpy
import shutil
import sys

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.features
import scene_files
import xarray
from commands import exit_code

from pastis_jax.cli.main import main
from pastis_jax.data.regions import Region
from pastis_jax.data.regions.parcels.crops import read_crops

SCENES = os.environ.get("PASTIS_JAX_REAL_SCENES", "")
pytestmark = pytest.mark.skipif(not SCENES, reason="PASTIS_JAX_REAL_SCENES names no folder")
PAGE = pathlib.Path(__file__).parent.parent / "docs" / "own_data.md"


def copied(name, folder):
    """A file or folder of the real ones, in a folder of the test."""
    source = pathlib.Path(SCENES) / name
    copy = shutil.copytree if source.is_dir() else shutil.copy
    return pathlib.Path(copy(source, folder / source.name))


def ingest(*words):
    return exit_code(lambda: main(["ingest", *map(str, words)]))


def whole(region, name):
    return region.read(name, slice(0, region.grid.height), slice(0, region.grid.width))


def test_a_cube_of_openeo(tmp_path):
    file = copied("worldcereal_openeo_cube/worldcereal_preprocessed_inputs.nc", tmp_path)
    out = tmp_path / "region"
    assert ingest(file, "--out", out, "--season-start", "2020-11-01", "--offset", "S2=0") == 0
    region = Region(out)
    with xarray.open_dataset(file, engine="h5netcdf") as cube:
        blue = cube["S2-L2A-B02"].values
        seen = np.flatnonzero((np.isfinite(blue) & (blue != 65535)).any((1, 2)))
        assert len(seen) == 10
        values = whole(region, "S2")
        for place, channel in enumerate(region.dataset["S2"].channels):
            raw = cube[f"S2-L2A-B{channel[1:].zfill(2)}"].values[seen]
            assert np.array_equal(np.where(raw == 65535, -10000, raw), values[:, place])
        raw = cube["S1-SIGMA0-VV"].values.astype(np.float64)
        known = np.isfinite(raw) & (raw > 0)
        decibels = 20 * np.log10(raw[known]) - 83
        stored = whole(region, "S1")[:, 0].astype(np.float64)
        assert np.abs(stored[known] - decibels).max() < 0.02
        tmean = region.dataset["weather"].channels.index("AGERA5-TMEAN")
        raw = cube["AGERA5-TMEAN"].values
        assert np.array_equal(whole(region, "weather")[:, tmean], raw, equal_nan=True)


def test_a_stack_of_earth_engine(tmp_path, capsys):
    file = copied("gee_stack_togo/98-togo_2019-02-06_2020-02-01.tif", tmp_path)
    words = (file, "--out", tmp_path / "region", "--season-start", "2019-02-01")
    words += ("--unit", "S2=reflectance x 10000", "S1=dB", "--offset", "S2=0")
    assert ingest(*words) == 2
    assert "EPSG:32631" in capsys.readouterr().err
    assert ingest(*words, "--crs", "EPSG:32631") == 0
    region = Region(tmp_path / "region")
    assert region.days("S2").tolist() == [5 + 30 * k for k in range(12)]
    with rasterio.open(file) as stack:
        bands = [
            k for k, name in enumerate(stack.descriptions, 1) if re.fullmatch(r"B4(_\d+)?", name)
        ]
        raw = stack.read(bands)
    red = whole(region, "S2")[:, region.dataset["S2"].channels.index("B4")]
    for own, other in zip(red, raw, strict=True):
        own = own[own != -10000]
        assert abs(np.median(own) - np.median(other)) < 0.03 * np.median(other)
        assert other.min() - 1 <= own.min()
        assert own.max() <= other.max() + 1


def test_an_eopatch_by_the_recipe(tmp_path, monkeypatch):
    whole_patch, patch = copied("eolearn_testeopatch/TestEOPatch", tmp_path), tmp_path / "EOPATCH"
    order = np.argsort([2, 1, 4, 3, 0])
    scenes = np.load(pathlib.Path(SCENES) / "eolearn_testeopatch/REFERENCE_SCENES.npy")[order]
    for name in ("data", "mask", "vector_timeless"):
        (patch / name).mkdir(parents=True)
    np.save(patch / "data/BANDS-S2-L1C.npy", scenes)
    for name in ("CLM", "IS_DATA"):
        np.save(patch / f"mask/{name}.npy", np.load(whole_patch / f"mask/{name}.npy")[:5])
    for name in ("bbox.geojson", "vector_timeless/LULC.gpkg"):
        shutil.copy(whole_patch / name, patch / name)
    times = json.loads((whole_patch / "timestamps.json").read_text())[:5]
    (patch / "timestamps.json").write_text(json.dumps(times))
    (code,) = re.findall(r"```python\n(# eopatch.py\n.*?)```", PAGE.read_text(), re.S)
    (tmp_path / "eopatch.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["eopatch.py", "EOPATCH", "region", "2015-07-01"])
    runpy.run_path("eopatch.py")
    region = Region(tmp_path / "region")
    assert region.days("S2").tolist() == [10, 30, 50, 60, 70]
    stored = whole(region, "S2")
    bands = (1, 2, 3, 4, 5, 6, 7, 8, 11, 12)
    assert region.level("S2") == "L1C"
    for date, place in ((0, 2), (4, 7)):
        own, raw = stored[date, place].astype(float), scenes[date, ..., bands[place]] * 10000
        inner = own[5:95, 5:95]
        assert np.corrcoef(inner.ravel(), raw[5:95, 5:95].ravel())[0, 1] > 0.95
        assert abs(np.median(inner) - np.median(raw[5:95, 5:95])) < 10
    clouds = np.load(patch / "mask/CLM.npy")[..., 0].mean((1, 2))
    mask = region.mask("S2", slice(0, region.grid.height), slice(0, region.grid.width))
    assert np.allclose((mask == 1).mean((1, 2)), clouds, atol=0.03)
    assert len(region.parcels.id) == 87  # of 88: one only touches the edge of the patch


def test_parcels_of_the_french_register(tmp_path):
    file = copied("lpis_samples/fr_rpg_2022_100_parcels.gpkg", tmp_path)
    parcels = geopandas.read_file(file)
    assert read_crops("rpg").unknown(parcels["code_cultu"]) == {}
    own = parcels.to_crs("EPSG:32631")
    middle = own[own["code_cultu"] == "CZH"].geometry.iloc[0].representative_point()
    corner = (np.floor(middle.x / 50) * 50 - 25600, np.ceil(middle.y / 50) * 50 + 25600)
    for day in ("2021-10-01", "2022-03-01", "2022-06-01"):
        scene_files.write(
            tmp_path / f"scenes/S2_{day}.tif",
            scene_files.numbers(3, side=1024) % 3000 + 500,
            names=("B2", "B3", "B4"),
            corner=corner,
            pixel=50.0,
            nodata=0,
        )
    words = ("--season-start", "2021-09-01", "--offset", "S2=0", "--parcels", file)
    words += ("--unit", "S2=reflectance x 10000", "--label", "code_cultu", "--classes", "rpg")
    words += ("--folds", 3)
    words += ("--parcel-id", "id_parcel", "--out", tmp_path / "region", tmp_path / "scenes")
    assert ingest(*words) == 0
    region = Region(tmp_path / "region")
    numbers = region.numbers(slice(0, 1024), slice(0, 1024))
    codes = own.assign(id=own["id_parcel"].astype(str)).set_index("id")
    seen = 0
    for row, (name, code) in enumerate(zip(region.parcels.id, region.parcels.code, strict=True), 1):
        parcel = codes.loc[str(name)]
        assert code == parcel["code_cultu"]
        drawn = rasterio.features.rasterize(
            [parcel.geometry], numbers.shape, transform=rasterio.Affine(*region.grid.transform)
        )
        assert np.array_equal(numbers == row, drawn == 1)
        seen += int(drawn.sum())
    assert len(region.parcels.id) == 4
    assert seen > 10


def test_a_table_of_worldcereal(tmp_path):
    import pandas

    file = copied("worldcereal_openeo_cube/month_2022_FRA_LPIS_POLY_110.geoparquet", tmp_path)
    words = ("--samples", file, "--out", tmp_path / "sets", "--label", "ewoc_code")
    assert ingest(*words, "--season-start", "2021-09-01", "--min-samples", 10) == 0
    table = pandas.read_parquet(file)
    listed = pandas.read_csv(tmp_path / "sets/metadata_parcel.csv")
    assert len(listed) == table["sample_id"].nunique() == 500
    for parcel in listed["ID_PARCEL"][:3]:
        name = listed.set_index("ID_PARCEL").loc[parcel].astype(str)
        own = table[table["sample_id"].isin(name.tolist())].sort_values("timestamp")
        raw = own["S2-L2A-B04"].to_numpy()
        stored = np.load(tmp_path / f"sets/DATA_S2/S2_{parcel}.npy")[:, 2, 0]
        raw, stored = raw[raw != 65535], stored[stored != -10000]
        assert np.array_equal(raw, stored)
