"""How fast windows of a Region are read, beside patches of the official layout.

    python -m benchmarks.region_windows [--dates 60] [--side 1024]

Makes a Region of noise in a temporary folder and reads it from the disk's cache: the time of what
the processor does, not of a disk.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import pathlib
import tempfile
import time

import numpy as np

from pastis_jax.data.npy import StoredArray
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.regions import writer
from pastis_jax.data.regions.grid import SHARD, Grid
from pastis_jax.data.regions.records.window_series import WindowSeries
from pastis_jax.data.regions.store import Region
from pastis_jax.data.regions.writer import Acquisitions, Writer

WINDOW = 128
DATASET = dataclasses.replace(PASTIS_R, modalities=PASTIS_R.modalities[:1])


def make(root: pathlib.Path, dates: int, side: int) -> None:
    """Writes a Region of noise: one optical modality, without parcels."""
    grid = Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, side, side)
    (modality,), rng = DATASET.modalities, np.random.default_rng(0)
    when = tuple(DATASET.season_start + datetime.timedelta(5 * k) for k in range(dates))
    acquisitions = {modality.name: Acquisitions(when, ("8",) * dates)}
    writer.create(root, grid, DATASET, acquisitions)
    out = Writer(root, grid, DATASET)
    for t in range(dates):
        for rows, columns in grid.blocks(SHARD):
            shape = (len(modality.channels), rows.stop - rows.start, columns.stop - columns.start)
            values = rng.normal(2000, 400, shape).astype(modality.dtype)
            out.write_shard(modality.name, t, rows, columns, values)
    out.finish(acquisitions, {}, {})


def seconds(read, times: int = 20) -> float:
    """Median time of a call (s)."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        read()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dates", type=int, default=60)
    parser.add_argument("--side", type=int, default=1024)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, file = pathlib.Path(folder, "R"), pathlib.Path(folder, "patch.npy")
        make(root, given.dates, given.side)
        region, dates = Region(root), np.arange(given.dates)
        (name,) = DATASET.names
        rng = np.random.default_rng(1)

        def window(top: int, left: int) -> np.ndarray:
            place = slice(top, top + WINDOW), slice(left, left + WINDOW)
            return np.stack([*WindowSeries(region, name, *place, dates).parts(dates)])

        def anywhere() -> np.ndarray:
            return window(*rng.integers(0, given.side - WINDOW + 1, 2))

        np.save(file, window(128, 256))

        def patch() -> np.ndarray:
            return np.stack([*StoredArray(file).parts(dates)])

        assert np.array_equal(patch(), window(128, 256))
        aligned, moved, official = (
            seconds(lambda: window(128, 256)),
            seconds(anywhere),
            seconds(patch),
        )
        busy = time.process_time()
        for _ in range(10):
            anywhere()
        each = (time.process_time() - busy) / 10
    print(f"{given.dates} dates of {WINDOW} x {WINDOW} pixels, {os.cpu_count()} cores")
    for text, value in (
        ("patch of the official layout", official),
        ("window on the chunks", aligned),
        ("window anywhere", moved),
    ):
        print(f"{text:30s} {1000 * value:7.1f} ms   {value / official:.1f} x")
    print(
        f"processor time of a window anywhere {1000 * each:.1f} ms: {1 / each:.1f} a second a core"
    )


if __name__ == "__main__":
    main()
