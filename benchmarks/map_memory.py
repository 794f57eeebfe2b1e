"""How much memory a map takes, by processes, and how fast it is made.

    python -m benchmarks.map_memory RUN --workers 4

Makes a Region of noise in a temporary folder, of the modalities that the run takes, and maps it by
`pastis-jax predict`. Memory is the most that each process had resident, as the kernel counts it.
Of patches of 128 pixels along both axes all, or one of `--every`, are observed: a map of a large
Region then takes as long as one of a small Region, and as much memory as if it were whole.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import tyro

from pastis_jax.data.regions import writer
from pastis_jax.data.regions.grid import CHUNK, SHARD, Grid
from pastis_jax.data.regions.writer import Acquisitions, Writer
from pastis_jax.runs import Run

_SECONDS = 0.1


def make(root: pathlib.Path, run: Run, side: int, dates: int, every: int) -> None:
    """Writes a Region of noise, without parcels."""
    grid, dataset = Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, side, side), run.dataset
    when = tuple(dataset.season_start + datetime.timedelta(360 * k // dates) for k in range(dates))
    acquisitions = {name: Acquisitions(when, ("8",) * dates) for name in run.modalities}
    writer.create(root, grid, dataset, acquisitions)
    out, rng = Writer(root, grid, dataset), np.random.default_rng(0)
    for name in run.modalities:
        modality, (mean, std) = dataset[name], run.saved.learned.statistics[name]
        noise = rng.normal(size=(len(mean), SHARD, SHARD)).astype(np.float32)
        noise = (noise * std[:, None, None] + mean[:, None, None]).astype(modality.dtype)
        for rows, columns in grid.blocks(SHARD):
            values = noise[:, : rows.stop - rows.start, : columns.stop - columns.start].copy()
            down, right = (
                np.arange(side.start, side.stop) // CHUNK % every == every // 2
                for side in (rows, columns)
            )
            values[:, ~(down[:, None] & right)] = writer.missing_value(modality)
            for t in range(dates):
                out.write_shard(name, t, rows, columns, values)
    out.finish(acquisitions, {}, {})


def peaks(pid: int) -> dict[int, tuple[float, str]]:
    """Most resident memory of a process and those that it started, GB, and what each is."""
    found, waiting = {}, [pid]
    while waiting:
        one = waiting.pop()
        try:
            status = pathlib.Path(f"/proc/{one}/status").read_text()
            command = pathlib.Path(f"/proc/{one}/cmdline").read_text()
            for task in pathlib.Path(f"/proc/{one}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:  # It has ended.
            continue
        lines = dict(line.split(":", 1) for line in status.splitlines())
        if "VmHWM" in lines and "resource_tracker" not in command:
            kind = "worker" if "spawn_main" in command else "command"
            found[one] = int(lines["VmHWM"].split()[0]) * 1024 / 1e9, kind
    return found


@dataclasses.dataclass(frozen=True)
class Arguments:
    """How much memory a map takes, by processes, and how fast it is made."""

    run: tyro.conf.Positional[pathlib.Path]
    """Folder of a finished run of patches."""
    side: int = 2560
    """Rows and columns of the Region, pixels."""
    dates: int = 30
    """Of each modality."""
    workers: int = 1
    """Processes that predict."""
    every: int = 1
    """Of patches along each axis, one of so many is observed."""
    stride: int | None = None
    """Pixels from one window to the next."""


def main() -> None:
    """Runs the benchmark."""
    given = tyro.cli(Arguments, prog="python -m benchmarks.map_memory")
    with tempfile.TemporaryDirectory() as folder:
        region, out = pathlib.Path(folder, "region"), pathlib.Path(folder, "map")
        make(region, Run(given.run), given.side, given.dates, given.every)
        size = sum(file.stat().st_size for file in region.rglob("*") if file.is_file())
        command = [sys.executable, "-m", "pastis_jax.cli", "predict", "--run", str(given.run)]
        command += ["--data", str(region), "--out", str(out), "--workers", str(given.workers)]
        if given.stride:
            command += ["--stride", str(given.stride)]
        started, most = time.monotonic(), {}
        running = subprocess.Popen(command)
        while running.poll() is None:
            most |= peaks(running.pid)
            time.sleep(_SECONDS)
        taken, used = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if running.returncode:
            raise SystemExit(running.returncode)
        written = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    memory = sorted(most.values(), key=lambda each: each[1])
    print(f"{given.side} x {given.side} pixels, {given.dates} dates, {given.workers} worker(s)")
    for gigabytes, kind in memory:
        print(f"{kind:8s} {gigabytes:5.2f} GB")
    result = {
        **{name: str(value) for name, value in vars(given).items()},
        "peaks_gb": [round(gigabytes, 3) for gigabytes, _ in memory],
        "sum_gb": round(sum(gigabytes for gigabytes, _ in memory), 3),
        "seconds": round(taken, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "region_gb": round(size / 1e9, 3),
        "map_gb": round(written / 1e9, 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
