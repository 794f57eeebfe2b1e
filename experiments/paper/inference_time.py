"""Time to load and predict a test fold (paper, Table 4).

    python -m experiments.paper.inference_time --run runs/late --out inference/late.json

The paper, seconds for one fold of 500 patches: parcels early 192, late 149; semantic segmentation
280, 259; panoptic 414, 819. Early fusion has its radar interpolated while it loads; here the model
does it, on the device, so it is part of prediction.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
import time
from typing import Any

import jax
import numpy as np
import tyro

from experiments import arguments, common, datasets, patches, restored
from pastis_jax.training import write_json

KIND = "inference_time"
PIXEL_KM2 = 1e-4
"""Area of a pixel of 10 m."""


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
    cache_dir: pathlib.Path | None = None
    """Where prepared and simulated data are kept. Default: where the run had them."""


def run(config: Config) -> None:
    """Measures, and writes what was found.

    Raises:
      UserError: For every mistake in the configuration, the run or its data.
    """
    arguments.refuse((config.repeats < 1, "--repeats", "must be at least 1", "give 3, say"))
    common.check_out(config.out, ".json", kind=KIND)
    opened = restored.open_run(config.run, cache_dir=config.cache_dir)
    content = {
        "kind": KIND,
        **restored.origin(config.run, opened.result),
        **measure(opened, repeats=config.repeats),
    }
    write_json(config.out, content)
    seconds = ", ".join(f"{name} {value:.2f} s" for name, value in content["seconds"].items())
    common.say(f"{content['count']:,} {content['samples']} on {content['device']}: {seconds}")
    common.say(f"Written: {config.out}")


def measure(opened: restored.Restored, *, repeats: int) -> dict[str, Any]:
    """Measures after compilation, `repeats` times in turn.

    Returns:
      `seconds`, medians of `measured`: `loading and prediction` together, as they overlap;
      `loading` alone; `prediction` alone, one batch after another, none loaded meanwhile. `count`
      of the `samples`, their area `km2` if they are patches, `settings`, `device` and `code`.
    """
    data = _inputs(opened.parts.data)
    count = len(data.sources["test"])
    start = time.perf_counter()
    jax.device_get(opened.predict(next(data.evaluation("test", ahead=False))))
    compile_seconds = time.perf_counter() - start
    ways = {
        "loading and prediction": load_and_predict,
        "loading": load,
        "prediction": predict,
    }
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            measured[name].append(way(opened, data))
    area = count * math.prod(data.size) * PIXEL_KM2 if isinstance(data, patches.Data) else None
    return {
        "seconds": {name: float(np.median(values)) for name, values in measured.items()},
        "measured": measured,
        "compile_seconds": compile_seconds,
        "samples": opened.parts.task.samples,
        "count": count,
        "km2": area,
        "settings": {
            "repeats": repeats,
            "batch_size": data.evaluation_size,
            "in_memory": getattr(opened.config, "cache", False),
        },
        "device": common.devices(),
        "code": common.code_version(),
    }


def load_and_predict(opened: restored.Restored, data: datasets.Data) -> float:
    """Seconds until the host has what is predicted; the next batches are made meanwhile."""
    start, before = time.perf_counter(), None
    for batch in data.evaluation("test"):
        # The device is given a batch before the host fetches what the one before gave.
        now = opened.predict(batch)
        jax.device_get(before)
        before = now
    jax.device_get(before)
    return time.perf_counter() - start


def load(opened: restored.Restored, data: datasets.Data) -> float:
    """Seconds to make the batches on the host."""
    start = time.perf_counter()
    for _ in data.evaluation("test"):
        pass
    return time.perf_counter() - start


def predict(opened: restored.Restored, data: datasets.Data) -> float:
    """Seconds from batches on the host to what is predicted of them, on the host."""
    seconds = 0.0
    for batch in data.evaluation("test", ahead=False):
        start = time.perf_counter()
        jax.device_get(opened.predict(batch))
        seconds += time.perf_counter() - start
    return seconds


def _inputs(data: datasets.Data) -> datasets.Data:
    """Without the targets of panoptic segmentation."""
    if not isinstance(data, patches.Data):
        return data
    return dataclasses.replace(data, encode=dataclasses.replace(data.encode, instances=None))


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    prog = "python -m experiments.paper.inference_time"
    parse = functools.partial(tyro.cli, Config, prog=prog, args=argv)
    config = parse()
    common.command(lambda: run(config))


if __name__ == "__main__":
    main()
