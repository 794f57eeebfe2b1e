"""How fast windows of a Region are read, beside patches of the official layout.

    python -m benchmarks.region_windows [--dates 60] [--side 1024] [--compress]

Makes a Region of noise in a temporary folder and reads it from the disk's cache: the time of what
the processor does, not of a disk.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import functools
import os
import pathlib
import tempfile
import time
from collections.abc import Callable

import numpy as np

from pastis_jax.data.npy import StoredArray
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.regions import writer
from pastis_jax.data.regions.grid import SHARD, Grid
from pastis_jax.data.regions.records.window_series import WindowSeries
from pastis_jax.data.regions.store import Region
from pastis_jax.data.regions.writer import Acquisitions, Writer

WINDOW, CROP = 128, 32
DATASET = dataclasses.replace(PASTIS_R, modalities=PASTIS_R.modalities[:1])


def make(root: pathlib.Path, dates: int, side: int, compress: bool) -> None:
    """Writes a Region of noise: one optical modality, without parcels."""
    grid = Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, side, side)
    (modality,), rng = DATASET.modalities, np.random.default_rng(0)
    when = tuple(DATASET.season_start + datetime.timedelta(5 * k) for k in range(dates))
    acquisitions = {modality.name: Acquisitions(when, ("8",) * dates)}
    writer.create(root, grid, DATASET, acquisitions, compress=compress)
    out = Writer(root, grid, DATASET)
    for t in range(dates):
        for rows, columns in grid.blocks(SHARD):
            shape = (len(modality.channels), rows.stop - rows.start, columns.stop - columns.start)
            values = rng.normal(2000, 400, shape).astype(modality.dtype)
            out.write_shard(modality.name, t, rows, columns, values)
    out.finish(acquisitions, {}, {})


def measure(read: Callable[[], np.ndarray], times: int = 20) -> np.ndarray:
    """Median seconds of a call, and its mean seconds of processors."""
    taken, busy = [], time.process_time()
    for _ in range(times):
        started = time.perf_counter()
        read()
        taken.append(time.perf_counter() - started)
    return np.array([np.median(taken), (time.process_time() - busy) / times])


def main() -> None:
    """Runs the benchmark: everything in turn, several times over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dates", type=int, default=60)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--compress", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, file = pathlib.Path(folder, "R"), pathlib.Path(folder, "patch.npy")
        make(root, given.dates, given.side, given.compress)
        (name,), dates = DATASET.names, np.arange(given.dates)
        region = Region(root)
        rng = np.random.default_rng(1)

        def window(top: int, left: int, side: int = WINDOW) -> np.ndarray:
            place = slice(top, top + side), slice(left, left + side)
            return np.stack([*WindowSeries(region, name, *place, dates).parts(dates)])

        def anywhere(side: int = WINDOW) -> np.ndarray:
            return window(*rng.integers(0, given.side - side + 1, 2), side)

        np.save(file, window(128, 256))

        def patch() -> np.ndarray:
            return np.stack([*StoredArray(file).parts(dates)])

        assert np.array_equal(patch(), window(128, 256))
        runs = {"patch of the official layout": patch}
        runs["window on the chunks"] = functools.partial(window, 128, 256)
        runs["window anywhere"] = anywhere
        runs[f"{CROP} x {CROP} anywhere"] = functools.partial(anywhere, CROP)
        taken = {text: [] for text in runs}
        for _ in range(given.rounds):
            for text, read in runs.items():
                taken[text].append(measure(read))
    print(f"{given.dates} dates of {WINDOW} x {WINDOW} pixels, {os.cpu_count()} cores")
    for text, each in taken.items():
        wall, busy = np.median(each, 0)
        print(f"{text:36s} {1000 * wall:6.1f} ms, {1000 * busy:6.1f} ms of processors")


if __name__ == "__main__":
    main()
