"""Ingesting scenes beside `gdalwarp` of the same files: time, time of processors, peak memory.

    python -m benchmarks.ingest
    python -m benchmarks.ingest --dates 10 --workers 1 2 4

Writes scenes of Sentinel-2 with masks on the grid, and of both passes of Sentinel-1 a third of a
pixel off, then runs `pastis-jax ingest` in a process of its own, and `gdalwarp` (bilinear, to the
same grid) once for each file. Workers are threads, so the peak is that of the one process. Needs
the extra geo, and GDAL's programs on the path.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import numpy as np
import tyro
from scipy import ndimage

LEFT, TOP, PIXEL = 600000.0, 5200000.0, 10.0
BANDS = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
START = datetime.date(2023, 9, 3)


@dataclasses.dataclass(frozen=True)
class Config:
    """Measure the ingestion of scenes beside gdalwarp of the same files."""

    dates: int = 60
    """Of each modality."""
    size: int = 1024
    """Side of the scenes, pixels."""
    workers: tuple[int, ...] = (1, 2)
    """Shards that are made at once; each number is measured."""


def write(file: pathlib.Path, values: np.ndarray, left: float, top: float, pixel: float, **more):
    """Writes (c, h, w) as a tiled and compressed GeoTIFF."""
    import rasterio

    names = more.pop("names")
    form = {"driver": "GTiff", "tiled": True, "blockxsize": 256, "blockysize": 256}
    place = {"crs": "EPSG:32631", "transform": rasterio.Affine(pixel, 0, left, 0, -pixel, top)}
    shape = dict(zip(("count", "height", "width"), values.shape, strict=True))
    with rasterio.open(
        file, "w", dtype=values.dtype, compress="deflate", **form, **place, **shape, **more
    ) as raster:
        raster.write(values)
        for number, name in enumerate(names, 1):
            raster.set_band_description(number, name)


def simulate(folder: pathlib.Path, config: Config) -> None:
    """Writes smooth noise as scenes: what it compresses to is as in real ones."""
    rng, n = np.random.default_rng(0), config.size
    land = ndimage.gaussian_filter(rng.normal(size=(10, n, n)), (0, 3, 3))
    land /= land.std((1, 2), keepdims=True)
    for number in range(config.dates):
        date = START + datetime.timedelta(6 * number)
        optical = 2500 + 600 * land + rng.normal(0, 30, land.shape)
        optical = optical.clip(1, 9000).astype(np.uint16)
        write(folder / f"S2_{date}.tif", optical, LEFT, TOP, PIXEL, names=BANDS, nodata=0)
        mask = rng.integers(4, 7, (1, n // 2, n // 2)).astype(np.uint8)
        write(folder / f"S2_{date}_SCL.tif", mask, LEFT, TOP, 2 * PIXEL, names=["SCL"])
        for after, name in ((1, "ascending"), (3, "descending")):
            power = np.array([0.1, 0.02])[:, None, None] * np.exp(0.3 * land[:2])
            power = (power * rng.gamma(5, 0.2, power.shape)).astype(np.float32)
            file = folder / f"S1_{name}_{date + datetime.timedelta(after)}.tif"
            write(file, power, LEFT - 3, TOP + 3, PIXEL, names=["VV", "VH"])


def measure(*commands: Sequence[str]) -> tuple[float, float, float]:
    """Runs commands one after the other; seconds, seconds of processors, and peak gigabytes."""
    begun, busy, peak = time.perf_counter(), 0.0, 0.0
    for command in commands:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        errors = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        if status:
            sys.exit(errors.decode()[-500:])
        busy += used.ru_utime + used.ru_stime
        peak = max(peak, used.ru_maxrss / 1e6)
    return time.perf_counter() - begun, busy, peak


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the measurements."""
    config = tyro.cli(Config, args=arguments)
    if shutil.which("gdalwarp") is None:
        sys.exit("gdalwarp is not on the path: install GDAL's programs")
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        scenes = root / "scenes"
        scenes.mkdir()
        simulate(scenes, config)
        ingest = [sys.executable, "-m", "pastis_jax.cli", "ingest", str(scenes)]
        ingest += ["--season-start", "2023-09-01", "--offset", "S2=-1000"]
        ingest += ["--unit", "S1A=linear power", "S1D=linear power"]
        right, bottom = LEFT + config.size * PIXEL, TOP - config.size * PIXEL
        warp = ["gdalwarp", "-q", "-t_srs", "EPSG:32631", "-tr", str(PIXEL), str(PIXEL)]
        warp += ["-te", *map(str, (LEFT, bottom, right, TOP))]
        (root / "warped").mkdir()
        warps = [
            [*warp, "-r", "near" if "SCL" in file.name else "bilinear", str(file), str(out)]
            for file in sorted(scenes.iterdir())
            for out in [root / "warped" / file.name]
        ]
        print(f"{3 * config.dates} dates of {config.size} x {config.size} pixels")
        runs = {"gdalwarp": warps}
        for workers in config.workers:
            words = ["--workers", str(workers), "--out", str(root / f"region{workers}")]
            runs[f"ingest, {workers} at once"] = [[*ingest, *words]]
        for name, commands in runs.items():
            wall, busy, peak = measure(*commands)
            text = f"{name}: {wall:.1f} s, {busy:.1f} s of processors, {peak:.2f} GB at most"
            print(text, flush=True)


if __name__ == "__main__":
    main()
