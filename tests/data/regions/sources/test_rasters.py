"""Windows of rasters, as they are stored."""

from __future__ import annotations

import concurrent.futures
import datetime
import math
import multiprocessing
import os
import pickle

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")
import scene_files  # noqa: E402
from refusal import refused_in_a_line  # noqa: E402

from pastis_jax.data.regions.manifest import Layer  # noqa: E402
from pastis_jax.data.regions.sources import opened, rasters  # noqa: E402
from pastis_jax.data.regions.sources.checks import check_layers  # noqa: E402
from pastis_jax.data.regions.sources.find import find_layers  # noqa: E402
from pastis_jax.data.regions.sources.given import Given  # noqa: E402
from pastis_jax.data.regions.sources.opened import close_all, open_layer, read_group  # noqa: E402

ALL = slice(0, scene_files.SIDE)
SCALED = "reflectance x 10000"


def layer(path, band="1", **others):
    fields = {"modality": "S2", "channel": "B2", "unit": SCALED, "offset": 0.0}
    return Layer(str(path), band, date=datetime.date(2023, 9, 14), **{**fields, **others})


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


def descriptors(folder):
    """How many files of a folder this process has open."""
    links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
    return sum(os.path.exists(x) and os.readlink(x).startswith(str(folder)) for x in links)


@pytest.mark.parametrize("suffix", ["tif", "jp2"])
def test_windows_are_read_as_they_are_stored(tmp_path, suffix):
    values = scene_files.numbers(2)
    path = scene_files.write(tmp_path / f"a.{suffix}", values, nodata=0)
    one = open_layer(layer(path, "2"))
    assert (one.crs, one.height, one.width) == ("EPSG:32631", 8, 8)
    assert one.transform == (10.0, 0.0, 600000.0, 0.0, -10.0, 4900020.0)
    read = one.read(slice(2, 5), slice(1, 8))
    assert read.dtype == one.dtype == "uint16"
    np.testing.assert_array_equal(read, values[1, 2:5, 1:8])
    # The header's mark, unless the layer has one of its own.
    if suffix == "tif":
        assert one.nodata == 0
    assert open_layer(layer(path, nodata=65535.0)).nodata == 65535


def test_layers_of_a_file_are_read_at_once(tmp_path):
    values = scene_files.numbers(4)
    path = scene_files.write(tmp_path / "a.tif", values)
    group = [open_layer(layer(path, band)) for band in ("4", "1", "2")]
    read = read_group(group, slice(0, 3), slice(4, 8))
    np.testing.assert_array_equal(read, values[[3, 0, 1], 0:3, 4:8])
    other = open_layer(layer(scene_files.write(tmp_path / "b.tif", values)))
    with pytest.raises(ValueError, match="one file"):
        read_group([group[0], other], ALL, ALL)


@pytest.mark.parametrize(
    ("rows", "columns"), [(slice(-1, 3), ALL), (ALL, slice(0, 9)), (slice(5, 3), ALL)]
)
def test_nothing_is_read_beyond_a_file(tmp_path, rows, columns):
    one = open_layer(layer(scene_files.write(tmp_path / "a.tif")))
    with pytest.raises(ValueError, match="not within the file"):
        one.read(rows, columns)


def test_what_a_mask_of_the_file_hides_is_missing(tmp_path):
    values = scene_files.numbers(2)
    path = scene_files.write(tmp_path / "20230914.tif", values)
    shown = np.ones((8, 8), bool)
    shown[2, 3] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(shown)
    given = Given(offset={"S2": 0.0}, channels={"1": "B2", "2": "B3"})
    found = find_layers([path], given=given)
    assert all(math.isnan(x.nodata) for x in found.layers)
    assert check_layers(found.layers) == ["S2 has one date only, 2023-09-14"]
    group = [open_layer(x) for x in found.layers]
    assert [(x.dtype, math.isnan(x.nodata)) for x in group] == [("float32", True)] * 2
    read = read_group(group, ALL, ALL)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(read), np.broadcast_to(~shown, (2, 8, 8)))
    np.testing.assert_array_equal(read[:, shown], values[:, shown])


def test_scaled_numbers_are_those_that_their_unit_is_said_of(tmp_path):
    values = scene_files.numbers(1, "int16", first=-2000)
    values[0, 0, 0] = -32768
    path = scene_files.write(tmp_path / "a.tif", values, scale=0.01, offset=-5.0, nodata=-32768)
    one = open_layer(layer(path, modality="S1A", channel="VV", unit="dB"))
    assert (one.dtype, math.isnan(one.nodata)) == ("float32", True)
    read = one.read(ALL, ALL)
    assert np.isnan(read[0, 0])
    np.testing.assert_array_equal(read[1:], (values[0, 1:] * 0.01 - 5.0).astype(np.float32))


def test_reflectances_that_their_header_scales_keep_their_offset_in_the_layer(tmp_path):
    values = scene_files.numbers()
    path = scene_files.write(tmp_path / "a.tif", values, scale=1e-4, offset=-0.1)
    one = open_layer(layer(path, offset=-1000.0))
    np.testing.assert_array_equal(one.read(ALL, ALL), values[0])
    # Meant as reflectances, they are what the header makes of them.
    one = open_layer(layer(path, unit="reflectance"))
    expected = (values[0] * 1e-4 - 0.1).astype(np.float32)
    np.testing.assert_array_equal(one.read(ALL, ALL), expected)


def test_files_are_read_by_threads_at_once_and_few_stay_open(tmp_path, monkeypatch):
    monkeypatch.setattr(opened, "_OPEN", 3)
    all_values = [scene_files.numbers(first=1000 * k) for k in range(9)]
    layers = [
        open_layer(layer(scene_files.write(tmp_path / f"{k}.tif", values)))
        for k, values in enumerate(all_values)
    ]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        reads = list(pool.map(lambda one: one.read(ALL, ALL), layers * 20))
    for k, read in enumerate(reads):
        np.testing.assert_array_equal(read, all_values[k % 9][0])
    assert 0 < descriptors(tmp_path) <= 3
    close_all()
    assert descriptors(tmp_path) == 0


def _sum(one):
    return int(one.read(ALL, ALL).sum())


@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_layers_are_read_by_other_processes(tmp_path):
    one = open_layer(layer(scene_files.write(tmp_path / "a.tif")))
    assert pickle.loads(pickle.dumps(one)) == one
    expected = _sum(one)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map(_sum, [one]) == [expected]


def test_a_header_is_read_anew_where_a_file_has_changed(tmp_path):
    path = scene_files.write(tmp_path / "a.tif", names=("B2",))
    assert [len(h.bands) for h in opened.headers(path)] == [1]
    scene_files.write(path, names=("B2", "B3"))
    assert [len(h.bands) for h in opened.headers(path)] == [2]


def test_headers_say_what_files_do(tmp_path):
    path = scene_files.write(
        tmp_path / "a.tif", names=("B2",), scale=1e-4, offset=-0.1, nodata=0, units="1",
        tags={"ORBIT_DIRECTION": "DESCENDING"},
    )  # fmt: skip
    header = rasters.describe(path)
    (band,) = header.bands
    assert (band.key, band.name, band.units) == ("1", "B2", "1")
    assert (band.dtype, band.nodata) == ("uint16", 0)
    assert (band.scale, band.offset) == (1e-4, -0.1)
    assert (header.tags["pass"], header.coloured) == ("descending", False)


def test_layers_of_files_that_mark_by_nan_are_equal(tmp_path):
    path = tmp_path / "20230914.tif"
    scene_files.write(path, scene_files.numbers(1, "float32"), names=("B2",), nodata=math.nan)
    given = Given(unit={"S2": "reflectance"}, offset={"S2": 0.0})
    first = find_layers([path], given=given).layers
    opened._headers.cache_clear()
    assert find_layers([path], given=given).layers == first


def test_a_system_without_a_code_is_wkt(tmp_path):
    crs = "+proj=laea +lat_0=10 +lon_0=81 +datum=WGS84 +units=m"
    header = rasters.describe(scene_files.write(tmp_path / "a.tif", crs=crs))
    assert header.crs.startswith("PROJCS")
    assert rasterio.crs.CRS.from_user_input(header.crs) == rasterio.crs.CRS.from_string(crs)


def test_what_cannot_be_opened_is_named(tmp_path):
    path = scene_files.write(tmp_path / "a.tif")
    refused_in_a_line(lambda: open_layer(layer(path, "2")), "a.tif", "no band 2")
    refused_in_a_line(lambda: open_layer(layer(tmp_path / "b.tif")), "b.tif", "not found")
    (tmp_path / "c.tif").write_text("no raster")
    refused_in_a_line(lambda: open_layer(layer(tmp_path / "c.tif")), "c.tif", "skip_damaged")
    path = scene_files.write(tmp_path / "d.tif", crs=None)
    refused_in_a_line(lambda: open_layer(layer(path)), "d.tif", "where it lies")
    assert open_layer(layer(path), crs="EPSG:32631").crs == "EPSG:32631"


@pytest.mark.parametrize("suffix", ["tif", "jp2"])
def test_a_file_that_was_cut_off_is_named_when_it_is_read(tmp_path, suffix):
    values = np.random.default_rng(0).integers(0, 60000, (1, 256, 256)).astype(np.uint16)
    path = scene_files.write(tmp_path / f"a.{suffix}", values)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    whole = slice(0, 256)
    refused_in_a_line(
        lambda: open_layer(layer(path)).read(whole, whole), path.name, "cannot be read"
    )
    # Others are read all the same.
    assert _sum(open_layer(layer(scene_files.write(tmp_path / "b.tif")))) > 0
