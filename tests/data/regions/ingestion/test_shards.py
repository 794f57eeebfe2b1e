"""One shard of one acquisition, made of its scenes."""

from __future__ import annotations

import datetime
import types

import numpy as np
import pytest

from pastis_jax.data.modality import Modality
from pastis_jax.data.regions.grid import Grid
from pastis_jax.data.regions.ingestion.plan import Acquisition, Scene
from pastis_jax.data.regions.ingestion.shards import DamagedError, Maker
from pastis_jax.data.regions.manifest import MASK, Layer
from pastis_jax.errors import DataError

pytest.importorskip("rasterio")
GRID = Grid("EPSG:32631", 500000.0, 5000000.0, 10.0, 6, 8)
DAY = datetime.date(2024, 5, 1)
OPTICAL = Modality("m", ("red", "nir"), "int16", "reflectance x 10000", nodata=-10000)
RADAR = Modality("m", ("VV", "VH", "VV-VH"), "float16", "dB")
SCALED = "reflectance x 10000"


def opened(values, grid=GRID, nodata=0.0):
    """A layer in memory, as one of a file is."""

    def read(rows, columns):
        if values is None:
            raise DataError("cannot be read", where="bad.tif", remedy="copy it again")
        return values[rows, columns]

    return types.SimpleNamespace(
        crs=grid.crs,
        transform=grid.transform,
        height=grid.height,
        width=grid.width,
        nodata=nodata,
        read=read,
    )


def layer(path, channel, unit=SCALED, offset=0.0):
    return Layer(path, "1", "m", channel, DAY, "", unit, offset)


def make(scenes, of, modality=OPTICAL, *, masked=False, part=GRID):
    acquisition = Acquisition("m", DAY, "", tuple(scenes))
    return Maker(GRID, of).make(acquisition, modality, part, masked=masked)


def two_scenes(first, second, masks=()):
    """Scenes of two channels, the second of which is 1 more."""
    of, scenes = {}, []
    for path, values in (("a", first), ("b", second)):
        own = [layer(f"{path}_{channel}.tif", channel) for channel in OPTICAL.channels]
        of[own[0]] = opened(values)
        of[own[1]] = opened(np.where(values > 0, values + 1, 0).astype(values.dtype))
        clear = [layer(f"{path}_mask.tif", MASK, "cloud")] if masks else []
        of |= {one: opened(masks[len(scenes)]) for one in clear}
        scenes.append(Scene(tuple(own), tuple(clear)))
    return scenes, of


def test_the_first_scene_that_shows_a_pixel_gives_it_and_its_mask():
    first, second = np.full((6, 8), 1000, np.uint16), np.full((6, 8), 2000, np.uint16)
    first[:, 5:], second[:, 7:] = 0, 0
    clouds = [np.zeros((6, 8), np.uint8), np.ones((6, 8), np.uint8)]
    made = make(*two_scenes(first, second, clouds), masked=True)
    assert made.values[0, 0].tolist() == [1000] * 5 + [2000] * 2 + [-10000]
    assert made.values[1, 0].tolist() == [1001] * 5 + [2001] * 2 + [-10000]
    assert made.mask[0].tolist() == [0] * 5 + [1] * 2 + [255]


def test_a_pixel_is_of_one_scene_in_all_channels():
    first, second = np.full((6, 8), 1000, np.uint16), np.full((6, 8), 2000, np.uint16)
    scenes, of = two_scenes(first, second)
    gone = first.copy()
    gone[0, 0] = 0
    of[scenes[0].layers[1]] = opened(gone)  # one channel alone is missing there
    made = make(scenes, of)
    assert made.values[:, 0, 0].tolist() == [2000, 2001]
    assert made.values[:, 0, 1].tolist() == [1000, 1000]


def test_a_mask_that_lies_elsewhere_is_used_where_there_is_no_other():
    scenes, of = two_scenes(np.full((6, 8), 1000, np.uint16), np.zeros((6, 8), np.uint16))
    wide = GRID.part(slice(-2, 8), slice(-2, 10))
    mask = layer("clouds.tif", MASK, "cloud")
    clouds = np.zeros((10, 12), np.uint8)
    clouds[2, 2] = 1
    made = make([*scenes, Scene((), (mask,))], of | {mask: opened(clouds, wide)}, masked=True)
    assert made.mask[0].tolist() == [1, *[0] * 7]
    part = GRID.part(slice(1, 3), slice(0, 8))
    made = make(
        [*scenes, Scene((), (mask,))], of | {mask: opened(clouds, wide)}, masked=True, part=part
    )
    assert made.mask.shape == (2, 8)
    assert not made.mask.any()


def test_powers_become_decibels_and_their_difference():
    own = [layer(f"{name}.tif", name, "linear power") for name in ("VV", "VH")]
    vv, vh = np.full((6, 8), 0.1, np.float32), np.full((6, 8), 0.01, np.float32)
    vv[0, 0] = 0
    of = {own[0]: opened(vv, nodata=None), own[1]: opened(vh, nodata=None)}
    made = make([Scene(tuple(own))], of, RADAR)
    assert made.values.dtype == np.float16
    np.testing.assert_array_equal(made.values[:, 0, 1], np.array([-10, -20, 10], np.float16))
    np.testing.assert_array_equal(np.isnan(made.values[:, 0, 0]), [True, False, True])


def test_what_cannot_be_read_names_its_layer():
    scenes, of = two_scenes(*np.full((2, 6, 8), 1000, np.uint16))
    of[scenes[1].layers[1]] = opened(None)
    first = of[scenes[0].layers[0]].read(slice(0, 6), slice(0, 8))
    first[0, 0] = 0  # else the second scene is not needed
    with pytest.raises(DamagedError) as caught:
        make(scenes, of)
    assert caught.value.layer == scenes[1].layers[1]
