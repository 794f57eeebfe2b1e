"""How fast windows of a Region are read, beside patches of the official layout.

    python -m benchmarks.region_windows [--dates 60] [--side 1024] [--compress] [--no-shards]

Makes a Region of noise in a temporary folder and reads it from the disk's cache: the time of what
the processor does, not of a disk.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

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


def make(root: pathlib.Path, dates: int, side: int, **form: bool) -> None:
    """Writes a Region of noise: one optical modality, without parcels."""
    grid = Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, side, side)
    (modality,), rng = DATASET.modalities, np.random.default_rng(0)
    when = tuple(DATASET.season_start + datetime.timedelta(5 * k) for k in range(dates))
    acquisitions = {modality.name: Acquisitions(when, ("8",) * dates)}
    writer.create(root, grid, DATASET, acquisitions, **form)
    out = Writer(root, grid, DATASET)
    for t in range(dates):
        for rows, columns in grid.blocks(SHARD):
            shape = (len(modality.channels), rows.stop - rows.start, columns.stop - columns.start)
            values = rng.normal(2000, 400, shape).astype(modality.dtype)
            out.write_shard(modality.name, t, rows, columns, values)
    out.finish(acquisitions, {}, {})


def measure(runs: Mapping[str, Callable[[], None]], times: int) -> dict[str, np.ndarray]:
    """Median seconds of each call, and of processors, all in turn and in any order."""
    taken: dict[str, list[tuple[float, float]]] = {text: [] for text in runs}
    rng = np.random.default_rng(2)
    for turn in range(times + 1):
        for text in rng.permutation([*runs]).tolist():
            started, busy = time.perf_counter(), time.process_time()
            runs[text]()
            if turn:  # the first one opens files
                now = time.perf_counter() - started, time.process_time() - busy
                taken[text].append(now)
    return {text: np.median(each, 0) for text, each in taken.items()}


def main() -> None:
    """Runs the benchmark: everything in turn, several times over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dates", type=int, default=60)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--compress", action="store_true")
    parser.add_argument("--no-shards", action="store_true")
    parser.add_argument("--times", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, file = pathlib.Path(folder, "R"), pathlib.Path(folder, "patch.npy")
        form = {"compress": given.compress, "shards": not given.no_shards}
        make(root, given.dates, given.side, **form)
        (name,), dates = DATASET.names, np.arange(given.dates)
        region = Region(root)
        rng = np.random.default_rng(1)

        def window(top: int, left: int, side: int = WINDOW) -> WindowSeries:
            place = slice(top, top + side), slice(left, left + side)
            return WindowSeries(region, name, *place, dates)

        def anywhere(side: int = WINDOW) -> WindowSeries:
            return window(*rng.integers(0, given.side - side + 1, 2).tolist(), side)

        def patch() -> StoredArray:
            return StoredArray(file)

        def reading(series: Callable[[], Any]) -> Callable[[], None]:
            # One date after the other, as training takes them.
            return lambda: collections.deque(series().parts(dates), maxlen=0)

        np.save(file, np.asarray(window(128, 256)))
        assert np.array_equal([*patch().parts(dates)], [*window(128, 256).parts(dates)])
        runs = {"patch of the official layout": reading(patch)}
        runs["window on the chunks"] = reading(lambda: window(128, 256))
        runs["window anywhere"] = reading(anywhere)
        runs[f"{CROP} x {CROP} anywhere"] = reading(lambda: anywhere(CROP))
        taken = measure(runs, given.times)
    first = taken[next(iter(runs))]
    print(f"{given.dates} dates of {WINDOW} x {WINDOW} pixels, {os.cpu_count()} cores")
    for text, each in taken.items():
        (wall, busy), (_, share) = 1000 * each, each / first
        print(f"{text:32s} {wall:6.1f} ms, {busy:6.1f} ms of processors, {share:.2f} of a patch's")


if __name__ == "__main__":
    main()
