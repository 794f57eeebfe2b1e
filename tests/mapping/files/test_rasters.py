"""Rasters of a map: what blocks hold, exactly, in Cloud-Optimised GeoTIFFs."""

from __future__ import annotations

import collections
import dataclasses
import errno
import os
import shutil
import subprocess

import numpy as np
import pytest
import rasterio
from disk import full_disk
from drawn_map import GRID, KEY, make_map

import pastis_jax.mapping.made
from pastis_jax.mapping.blocks import NODATA, UNCLASSIFIED, UNCLASSIFIED_COLOUR, read_block
from pastis_jax.mapping.files import rasters

NAMES = ("crop", "confidence", "margin", "dates", "probabilities")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A map of two blocks, the folder of its files, its layers, and what was counted."""
    root = tmp_path_factory.mktemp("map")
    made, layers = make_map(root / "blocks", probabilities=True)
    (root / "map").mkdir()
    tally = rasters.write_rasters(made, root / "map")
    return made, root / "map", layers, tally


@pytest.mark.parametrize("name", NAMES)
def test_a_raster_holds_what_the_blocks_hold(drawn, name):
    made, out, layers, _ = drawn
    with rasterio.open(out / f"{name}.tif") as raster:
        values = layers[name].reshape(-1, GRID.height, GRID.width)
        np.testing.assert_array_equal(raster.read(), values)
        assert raster.dtypes[0] == values.dtype.name
        assert raster.crs.to_epsg() == 32631
        assert tuple(raster.transform)[:6] == GRID.transform
        assert raster.nodata == (None if name == "dates" else NODATA)
        bands = {"dates": made.run.modalities, "probabilities": made.classes.names}
        assert raster.descriptions == bands.get(name, (name,))
        unit = {"crop": None, "dates": "dates"}.get(name, "percent")
        assert {*raster.units} == {unit}


@pytest.mark.parametrize("name", NAMES)
def test_a_raster_is_cloud_optimised(drawn, name):
    """Tiled; all directories first; overviews before the pixels, the smallest first."""
    _, out, *_ = drawn
    with rasterio.open(out / f"{name}.tif") as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
        assert raster.block_shapes[0] == (512, 512)
        assert raster.overviews(1) == [2, 4]

        def places(item):
            found = [raster.get_tag_item(item, "TIFF", bidx=1, ovr=n) for n in (None, 0, 1)]
            return [int(place) for place in found]

        directories, tiles = places("IFD_OFFSET"), places("BLOCK_OFFSET_0_0")
    assert directories == sorted(directories)
    assert tiles == sorted(tiles, reverse=True)
    assert directories[-1] < tiles[-1]


def test_colours_and_names_of_classes(drawn):
    made, out, *_ = drawn
    with rasterio.open(out / "crop.tif") as raster:
        colours, tags = raster.colormap(1), raster.tags()
    for value, colour in enumerate(made.classes.colours):
        assert colours[value] == (*colour, 255)
    assert colours[UNCLASSIFIED] == (*UNCLASSIFIED_COLOUR, 255)
    assert colours[NODATA][3] == 0
    named = {int(k[6:]): text for k, text in tags.items() if k.startswith("CLASS_")}
    assert named == {**dict(enumerate(made.classes.names)), UNCLASSIFIED: rasters.UNKNOWN}
    assert {tags[f"DIGEST_{name.upper()}"] for name in KEY} == {*KEY.values()}
    assert tags["SEASON_START"] == "2023-09-01"
    assert tags["LAST_ACQUISITION"] == "2024-03-19"
    assert "TIFFTAG_DATETIME" not in tags


@pytest.mark.skipif(not shutil.which("gdalinfo"), reason="without GDAL's tools")
def test_gdal_names_the_classes(drawn):
    made, out, *_ = drawn
    command = ["gdalinfo", str(out / "crop.tif")]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"3: {made.classes.names[3]}" in text
    assert f"{UNCLASSIFIED}: {rasters.UNKNOWN}" in text


def test_overviews_of_classes_are_classes(drawn):
    """Those that most pixels are of: no class appears that is not there."""
    _, out, layers, _ = drawn
    with rasterio.open(out / "crop.tif", overview_level=0) as raster:
        small = raster.read(1)
    h, w = layers["crop"].shape
    crop = layers["crop"].reshape(h // 2, 2, w // 2, 2).transpose(0, 2, 1, 3)
    crop = crop.reshape(*small.shape, 4)
    assert (crop == small[..., None]).any(-1).all()
    same = (crop == crop[..., :1]).all(-1)
    np.testing.assert_array_equal(small[same], crop[same][:, 0])
    with rasterio.open(out / "confidence.tif", overview_level=0) as raster:
        assert (raster.read(1)[:, :-5] <= 100).all()  # nodata is not averaged in


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("threads", ["1", "4"])
def test_the_same_bytes_again(drawn, threads, tmp_path, monkeypatch):
    made, out, *_ = drawn
    monkeypatch.setenv("GDAL_NUM_THREADS", threads)
    rasters.write_rasters(made, tmp_path)
    assert files(tmp_path) == files(out)
    assert {*files(out)} == {*(f"{name}.tif" for name in NAMES), "crop.tif.aux.xml"}


def test_blocks_are_read_once_for_three_layers(drawn, tmp_path, monkeypatch):
    made, *_ = drawn
    read = collections.Counter()

    def counted(folder, block, *names):
        read.update(names)
        return read_block(folder, block, *names)

    monkeypatch.setattr(pastis_jax.mapping.made, "read_block", counted)
    rasters.write_rasters(made, tmp_path)
    assert {*read.values()} == {len(made.blocks)}
    assert {*read} == {*NAMES}


def test_what_is_counted(drawn):
    _, _, layers, tally = drawn
    np.testing.assert_array_equal(tally.values, np.bincount(layers["crop"].ravel(), minlength=256))
    chosen = layers["crop"] == 3
    assert tally.confidence[3] == layers["confidence"][chosen].sum()


@pytest.mark.parametrize("left", [100, 20_000, 60_000, -200, -1])
def test_a_full_disk_is_told_in_a_line(drawn, left, tmp_path, capfd):
    """Also where GDAL says nothing: it writes the last bytes of a file when it closes it."""
    made, out, *_ = drawn
    size = os.path.getsize(out / "confidence.tif")
    with (
        full_disk(left % size),
        pytest.raises(OSError, match=r"written to it|be written") as caught,
    ):
        rasters.write_rasters(made, tmp_path)
    assert caught.value.errno == errno.EIO
    assert caught.value.filename.endswith(("crop.tif", "confidence.tif"))
    assert "\n" not in str(caught.value)
    assert caught.value.__notes__ == ["make room there, or write elsewhere"]
    assert not [*tmp_path.glob(".*")]
    assert not [*tmp_path.glob("*.tmp")]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (513, 5)])
def test_small_maps(shape, tmp_path):
    grid = dataclasses.replace(GRID, height=shape[0], width=shape[1])
    made, layers = make_map(tmp_path / "blocks", grid=grid)
    (tmp_path / "map").mkdir()
    rasters.write_rasters(made, tmp_path / "map")
    with rasterio.open(tmp_path / "map" / "crop.tif") as raster:
        np.testing.assert_array_equal(raster.read(1), layers["crop"])
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
