"""An epoch of parcels on the device, at the size of PASTIS-R, and what a fold of it would take.

    python -m benchmarks.parcel_epoch                                    # an accelerator
    python -m benchmarks.parcel_epoch --parcels 500 --pixels 50 --epochs 2   # a CPU

The table is made up in memory, as large as the official pixel sets in 16 bits: no disk is read.
All steps of an epoch are one program (`AtOnce`), as a run has them on an accelerator; beside it,
one step after the other. The first epoch of each, which compiles, does not count.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import statistics
import time

import jax
import numpy as np
import tyro

from benchmarks.steps import training_step
from pastis_jax import training
from pastis_jax.data import ClassMapping
from pastis_jax.data.batches import iterate, training_rows
from pastis_jax.data.normalisation import marks_of
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.pixel_sets.packed import DATES, rows_of
from pastis_jax.nn.ragged import PixelTable, RaggedSeries
from pastis_jax.tasks import ParcelModel, ParcelTask
from pastis_jax.training.pace import pace_of
from pastis_jax.training.progress import Progress

LENGTHS = {"S2": (45, np.int16), "S1A": (70, np.float16), "S1D": (70, np.float16)}
FOLD_EPOCHS = 100


@dataclasses.dataclass(frozen=True)
class Config:
    """Time epochs of parcels whose table lies on the device."""

    parcels: int = 73_000
    """Parcels to train."""
    pixels: int = 200
    """Mean number of pixels of a parcel."""
    batch_size: int = 128
    """Parcels in a batch."""
    fusion: str = "late"
    """Fusion scheme."""
    epochs: int = 3
    """Epochs that count, of each way."""


def make_table(config: Config) -> PixelTable:
    """Parcels of lognormal sizes; values repeat, as no program can tell."""
    rng, n = np.random.default_rng(0), config.parcels
    pixels = rng.lognormal(np.log(config.pixels) - 0.32, 0.8, n).astype(np.int32) + 1
    series = {}
    for name, (dates, dtype) in LENGTHS.items():
        sensor, rows = PASTIS_R[name], pixels.astype(np.int64) * rows_of(dates)
        channels = len(sensor.channels)
        some = rng.integers(1, 30, (1 << 16, DATES, channels)).astype(dtype)
        series[name] = RaggedSeries(
            values=np.resize(some, (int(rows.sum()), DATES, channels)),
            first=(np.cumsum(rows) - rows).astype(np.int32),
            dates=np.full(n, dates, np.int32),
            days=np.tile(np.linspace(0, 390, dates).astype(np.int32), (n, 1)),
            mean=np.full(channels, 15, np.float32),
            deviation=np.full(channels, 8, np.float32),
            holes=np.zeros(n, bool),
            marks=marks_of(sensor),
        )
    return PixelTable(series=series, pixels=pixels, label=rng.integers(0, 18, n).astype(np.int32))


def main() -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m benchmarks.parcel_epoch")
    placement, table = training.Placement(), make_table(config)
    size = sum(one.values.nbytes for one in table.series.values())
    start = time.perf_counter()
    table = jax.block_until_ready(placement.whole(table))
    placed, steps = time.perf_counter() - start, config.parcels // config.batch_size
    classes, key = ClassMapping.crops(PASTIS_R.nomenclature), jax.random.key(0)
    task = ParcelTask(ParcelModel(fusion=config.fusion).of(PASTIS_R), PASTIS_R, classes)
    model = task.model()
    step, optimizer = training_step(task, model, placement)
    make = training.batch_maker(placement, key, 32)
    empty = functools.partial(training.EpochMetrics.empty, task.empty(), config.batch_size)
    found = {}
    for name, at_once in (("one program", True), ("step after step", False)):
        rows = iterate(training_rows(config.parcels, batch_size=config.batch_size, seed=0), False)
        batches = training.OnDevice(table, rows, make, placement, at_once=at_once)
        state = placement.whole(training.create_state(model, optimizer, next(batches), key))
        pace, progress, seconds = pace_of(batches, placement, steps), Progress(), []
        compiled = pace.compile(step, state, placement.whole(empty()))
        for _ in range(config.epochs + 1):
            start, done, metrics = time.perf_counter(), 0, placement.whole(empty())
            while done < steps:
                state, metrics, done = pace.advance(compiled, state, metrics, done, steps, progress)
            assert int(jax.device_get(metrics).samples) == steps * config.batch_size
            seconds.append(time.perf_counter() - start)
        found[name] = statistics.median(seconds[1:])
    where = f"{placed:.1f} s to {jax.devices()[0].device_kind}"
    print(f"{config.parcels:,} parcels, {size / 1e9:.1f} GB, laid in {where}")
    print("| way | seconds an epoch | parcels/s | minutes a fold of 100 epochs, training alone |")
    print("|---|---|---|---|")
    for name, epoch in found.items():
        rate, fold = steps * config.batch_size / epoch, FOLD_EPOCHS * epoch / 60
        print(f"| {name} | {epoch:.2f} | {rate:,.0f} | {fold:.1f} |")
    print(json.dumps({"config": dataclasses.asdict(config), "seconds": found, "bytes": size}))


if __name__ == "__main__":
    main()
