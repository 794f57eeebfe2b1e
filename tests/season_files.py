"""Small scenes in files, as users have them."""

from __future__ import annotations

import datetime
import hashlib
import json

import numpy as np

from pastis_jax.data.regions.grid import Grid
from pastis_jax.data.regions.sources.given import Given

BANDS = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
UTM = "EPSG:32631"
GRID = Grid(UTM, 600000.0, 5200000.0, 10.0, 150, 200)
START = datetime.date(2023, 9, 1)
ALL = (slice(0, GRID.height), slice(0, GRID.width))
OFFSET = Given(offset={"S2": -1000.0})
GIVEN = Given(offset={"S2": -1000.0}, unit={"S1A": "linear power", "S1D": "linear power"})
OPTIONS = {"season_start": START, "progress": False, "workers": 1}


def write(file, values, grid=GRID, *, names=(), nodata=None, **more):
    """Writes (c, h, w) as a GeoTIFF on a grid."""
    import rasterio

    file.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        file,
        "w",
        driver="GTiff",
        count=len(values),
        height=values.shape[1],
        width=values.shape[2],
        dtype=values.dtype,
        crs=grid.crs,
        transform=rasterio.Affine(*grid.transform),
        nodata=nodata,
        **{"compress": "deflate", "tiled": True, "blockxsize": 64, "blockysize": 64} | more,
    ) as raster:
        raster.write(values)
        for place, name in enumerate(names, 1):
            raster.set_band_description(place, name)


def optical(seed, grid=GRID, low=200, high=4000):
    """Reflectances x 10000, (10, h, w) uint16."""
    rng = np.random.default_rng(seed)
    return rng.integers(low, high, (10, grid.height, grid.width)).astype(np.uint16)


def power(seed, grid=GRID):
    """Linear power of VV and VH, (2, h, w) float32."""
    rng = np.random.default_rng(seed)
    means = np.array([0.1, 0.02])[:, None, None]
    return (means * rng.gamma(4, 0.25, (2, grid.height, grid.width))).astype(np.float32)


def write_optical(folder, date, values, grid=GRID, **more):
    """A file of all bands of a date."""
    write(folder / f"S2_{date}.tif", values, grid, names=BANDS, **more)


def season(folder, dates=("2023-10-02", "2023-11-05", "2024-03-01"), radar=("2023-10-03",)):
    """Writes scenes of Sentinel-2 with masks, and of both passes of Sentinel-1; returns them."""
    truth = {}
    for seed, date in enumerate(dates):
        truth["S2", date] = values = optical(seed)
        write_optical(folder, date, values, nodata=0)
        mask = np.random.default_rng(100 + seed).integers(0, 12, (1, 75, 100)).astype(np.uint8)
        truth["mask", date] = mask[0].repeat(2, 0).repeat(2, 1)
        write(folder / f"S2_{date}_SCL.tif", mask, coarse(GRID), names=["SCL"])
    for seed, date in enumerate(radar):
        for name, direction in (("S1A", "ascending"), ("S1D", "descending")):
            truth[name, date] = values = power(seed + 10 * (name == "S1D"))
            file = folder / f"S1_{direction}_{date}.tif"
            write(file, values, names=["VV", "VH"])
    return truth


def coarse(grid, times=2):
    """A grid of the same extent of larger pixels."""
    size = grid.pixel_size * times
    return Grid(grid.crs, grid.left, grid.top, size, grid.height // times, grid.width // times)


def contents(folder):
    """Digests of all files in a folder, by name."""
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def findings(root):
    """What was noticed of a Region, by kind."""
    return {one["kind"]: one["text"] for one in json.loads((root / "findings.json").read_text())}
