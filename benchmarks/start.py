"""Seconds from the start of a process to its first prediction, with and without kept programs.

    python -m benchmarks.start RUN [--repeats 3]

Each start is a process of its own: it imports, opens the run, compiles and predicts one sample of
noise. `off` keeps no programs, `cold` finds none and keeps them, `warm` finds what `cold` kept.
Off and warm take turns; programs lie in a temporary folder.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import tyro

PROGRAM = """
import sys, time
from pastis_jax import compiled
compiled.keep()
import numpy as np
import pastis_jax
from pastis_jax.data.normalisation import marks_of, travelling
from pastis_jax.types import Stored
run = pastis_jax.open_run(sys.argv[1])
opened = time.time()
size, dates = int(sys.argv[2]), int(sys.argv[3])
flat = run.task.name == "parcel"
space = (32,) if flat else run.saved.window or (128, 128)
series, rng = {}, np.random.default_rng(0)
for name in run.modalities:
    modality, (mean, std) = run.dataset[name], run.saved.learned.statistics[name]
    shape = (size, dates, len(mean), *space)
    noise = rng.normal(size=shape).astype("f4") * std.reshape(-1, *(1 for _ in space))
    series[name] = Stored(
        values=(noise + mean.reshape(-1, *(1 for _ in space))).astype(travelling(modality)),
        days=np.tile(np.arange(dates, dtype=np.int32) * 4, (size, 1)),
        valid=np.ones((size, dates), bool),
        mean=np.tile(mean, (size, 1)),
        deviation=np.tile(std, (size, 1)),
        pixels=np.ones((size, 32), bool) if flat else None,
        geometric=np.ones((size, 4), "f4") if getattr(run.task.spec, "geometric", 0) else None,
        marks=marks_of(modality),
    )
made = time.time()
run.answer(series)
first = time.time()
run.answer(series)
print("times", opened, made, first, time.time())
"""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Seconds from the start of a process to its first prediction."""

    run: tyro.conf.Positional[pathlib.Path]
    """Folder of a finished run."""
    dates: int = 30
    """Of each modality."""
    size: int = 1
    """Samples that are predicted."""
    repeats: int = 3
    """Starts of each kind but `cold`; the median is reported."""


def start(given: Arguments, cache: str, keep: bool) -> dict[str, float]:
    """Seconds of one start: until the run is open, to the first prediction, a second one."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("JAX_C")}
    own |= {"PASTIS_JAX_CACHE": cache, "JAX_ENABLE_COMPILATION_CACHE": str(keep).lower()}
    command = [sys.executable, "-c", PROGRAM, str(given.run), str(given.size), str(given.dates)]
    began = time.time()
    done = subprocess.run(command, env=own, check=True, capture_output=True, text=True)
    line = next(x for x in done.stdout.splitlines() if x.startswith("times "))
    opened, made, first, second = map(float, line.split()[1:])
    noise = made - opened
    return {
        "open": opened - began,
        "first prediction": first - began - noise,
        "next prediction": second - first,
    }


def main() -> None:
    """Runs the benchmark."""
    given = tyro.cli(Arguments, prog="python -m benchmarks.start")
    with tempfile.TemporaryDirectory() as cache:
        times = {"cold": [start(given, cache, True)], "off": [], "warm": []}
        for _ in range(given.repeats):
            for kind in ("off", "warm"):
                times[kind].append(start(given, cache, kind == "warm"))
        kept = [*pathlib.Path(cache).glob("compiled/*/*-cache")]
        size = sum(file.stat().st_size for file in kept)
    print("| programs | run is open | first prediction | next one |\n|---|---|---|---|")
    result = {}
    for kind, all_of in times.items():
        result[kind] = {name: statistics.median(x[name] for x in all_of) for name in all_of[0]}
        print(f"| {kind} | " + " | ".join(f"{x:.2f} s" for x in result[kind].values()) + " |")
    print(f"{len(kept)} programs, {size / 1e6:.1f} MB")
    print(json.dumps({**result, "programs": len(kept), "bytes": size}))


if __name__ == "__main__":
    main()
