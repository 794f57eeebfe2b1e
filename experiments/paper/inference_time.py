"""Time to load and predict a test fold (paper, Table 4).

    python -m experiments.paper.inference_time --run runs/late --out inference/late.json

The paper, seconds for one fold of 500 patches: parcels early 192, late 149; semantic segmentation
280, 259; panoptic 414, 819. Early fusion has its radar interpolated while it loads; here the model
does it, on the device, so it is part of prediction.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import time
from typing import Any

import jax
import numpy as np
import tyro

from experiments.paper import finished
from pastis_jax import machine
from pastis_jax.cli import console
from pastis_jax.data.splits import PatchSplits, Splits
from pastis_jax.errors import refuse
from pastis_jax.runs import OpenedData
from pastis_jax.training import write_json

KIND = "inference_time"


@dataclasses.dataclass(frozen=True)
class Config:
    """Measure how long a finished run takes to load and predict its test fold.

    The outputs reach the host: classes, or a panoptic map. Nothing is scored, and no target of
    panoptic segmentation is made.
    """

    run: pathlib.Path
    """Folder of a finished run."""
    out: pathlib.Path
    """JSON file to write."""
    repeats: int = 3
    """Number of measurements, of which the median counts."""
    data: pathlib.Path | None = None
    """Folder of the run's data. Default: where the run had them."""
    cache_dir: pathlib.Path | None = None
    """Where prepared and simulated data are kept. Default: $PASTIS_JAX_CACHE or ~/.cache."""


def run(config: Config) -> None:
    """Measures, and writes what was found.

    Raises:
      UserError: For every mistake in the configuration, the run or its data.
    """
    refuse("repeats", config.repeats < 1, "must be at least 1", "give 3, say")
    console.check_out(config.out, ".json", kind=KIND)
    opened = finished.open_data(config.run, data=config.data, cache_dir=config.cache_dir)
    content = {
        "kind": KIND,
        **finished.origin(config.run, opened),
        **measure(opened, repeats=config.repeats),
    }
    write_json(config.out, content)
    seconds = ", ".join(f"{name} {value:.2f} s" for name, value in content["seconds"].items())
    console.say(f"{content['count']:,} {content['samples']} on {content['device']}: {seconds}")
    console.say(f"Written: {config.out}")


def measure(opened: OpenedData, *, repeats: int) -> dict[str, Any]:
    """Measures after compilation, `repeats` times in turn.

    Returns:
      `seconds`, medians of `measured`: `loading and prediction` together, as they overlap;
      `loading` alone; `prediction` alone, one batch after another, none loaded meanwhile. `count`
      of the `samples`, their area `km2` if they are patches, `settings`, `device` and `code`.
    """
    splits = opened.splits.without_targets() if _of_patches(opened) else opened.splits
    count = len(splits.sources["test"])
    start = time.perf_counter()
    jax.device_get(opened.predict(next(splits.evaluation("test", ahead=False))))
    compile_seconds = time.perf_counter() - start
    ways = {
        "loading and prediction": load_and_predict,
        "loading": load,
        "prediction": predict,
    }
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            measured[name].append(way(opened, splits))
    area = None
    if _of_patches(opened):
        area = count * math.prod(splits.size) * splits.dataset.pixel_size**2 / 1e6
    return {
        "seconds": {name: float(np.median(values)) for name, values in measured.items()},
        "measured": measured,
        "compile_seconds": compile_seconds,
        "samples": opened.task.samples,
        "count": count,
        "km2": area,
        "settings": {
            "repeats": repeats,
            "batch_size": splits.plan.evaluation_size,
            "in_memory": opened.run.saved.records.get("cache", False),
        },
        "device": machine.devices(),
        "code": machine.code_version(),
    }


def _of_patches(opened: OpenedData) -> bool:
    return isinstance(opened.splits, PatchSplits)


def load_and_predict(opened: OpenedData, splits: Splits) -> float:
    """Seconds until the host has what is predicted; the next batches are made meanwhile."""
    start, before = time.perf_counter(), None
    for batch in splits.evaluation("test"):
        # The device is given a batch before the host fetches what the one before gave.
        now = opened.predict(batch)
        jax.device_get(before)
        before = now
    jax.device_get(before)
    return time.perf_counter() - start


def load(opened: OpenedData, splits: Splits) -> float:
    """Seconds to make the batches on the host."""
    start = time.perf_counter()
    for _ in splits.evaluation("test"):
        pass
    return time.perf_counter() - start


def predict(opened: OpenedData, splits: Splits) -> float:
    """Seconds from batches on the host to what is predicted of them, on the host."""
    seconds = 0.0
    for batch in splits.evaluation("test", ahead=False):
        start = time.perf_counter()
        jax.device_get(opened.predict(batch))
        seconds += time.perf_counter() - start
    return seconds


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m experiments.paper.inference_time", args=argv)
    console.command(lambda: run(config))


if __name__ == "__main__":
    main()
