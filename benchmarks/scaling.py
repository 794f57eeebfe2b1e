"""What a training step on many devices is expected to take, from its parts on one.

    python -m benchmarks.scaling                          # parcels
    python -m benchmarks.scaling --task semantic --bandwidth 25 100 450

Measures one device's step, counts the bytes of its gradients, and adds what a ring needs to sum
them: ``2 (P - 1) / P`` times their bytes over the bandwidth of a device's slowest link, none of it
hidden behind the computation. docs/scaling.md shows the result.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Literal

import jax
import numpy as np
import tyro

from benchmarks.steps import training_step
from pastis_jax import Batch, Series, training
from pastis_jax.data import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.tasks import ParcelModel, ParcelTask, SemanticModel, SemanticTask

MODALITIES = {"S2": (45, 10), "S1A": (70, 3), "S1D": (70, 3)}
DEVICES = (1, 8, 64, 256)


@dataclasses.dataclass(frozen=True)
class Config:
    """Expected efficiency of data parallelism, late fusion of three modalities, full size."""

    task: Literal["parcel", "semantic"] = "parcel"
    """Parcels, or patches of 128 x 128."""
    batch_size: int | None = None
    """Samples of each device. Default: 128 parcels, 4 patches."""
    bandwidth: tuple[float, ...] = (1.25, 25.0, 450.0)
    """Of a device's slowest link, each way, GB/s: 10 Gbit/s Ethernet, InfiniBand, NVLink."""
    steps: int = 3
    """Number of steps to measure; the fastest counts."""
    remat: bool = False
    """Compute activations of patches again in the backward pass."""


def build(config: Config, size: int):
    """Returns the compiled training step with its state, metrics and a full batch of `size`."""
    nomenclature = PASTIS_R.nomenclature
    if config.task == "parcel":
        shape, label_shape = (32,), (size,)
        spec, classes = ParcelModel(fusion="late"), ClassMapping.crops(nomenclature)
        task = ParcelTask(spec.of(PASTIS_R), PASTIS_R, classes)
    else:
        shape, label_shape = (128, 128), (size, 128, 128)
        spec = SemanticModel(fusion="late", remat=config.remat)
        task = SemanticTask(spec.of(PASTIS_R), PASTIS_R, ClassMapping.of(nomenclature))
    model = task.model()
    rng = np.random.default_rng(0)
    series = {
        name: Series(
            values=rng.normal(size=(size, t, *shape, c)).astype(np.float32),
            days=np.sort(rng.integers(0, 400, (size, t)), 1).astype(np.int32),
            valid=np.ones((size, t), bool),
            pixels=np.ones((size, *shape), bool) if config.task == "parcel" else None,
        )
        for name, (t, c) in MODALITIES.items()
    }
    label = rng.integers(0, 18, label_shape).astype(np.int32)
    batch = Batch(series, label, np.ones(size, bool), np.arange(size, dtype=np.int32))
    device = jax.sharding.Mesh(np.array(jax.devices()[:1]), (training.AXIS,))
    placement = training.Placement(device)
    step, optimizer = training_step(task, model, placement)
    state = training.create_state(model, optimizer, batch, jax.random.key(0))
    state = placement.whole(state)
    metrics = placement.whole(training.EpochMetrics.empty(task.empty(), size))
    batch = placement.batch(batch)
    return step.lower(state, metrics, batch).compile(), state, metrics, batch


def efficiency(seconds: float, size: int, devices: int, bandwidth: float) -> float:
    """Share of `devices` times one device's throughput.

    Args:
      seconds: A step on one device.
      size: Bytes of the gradients.
      devices: Number of devices ``P``.
      bandwidth: GB/s.
    """
    summing = 2 * (devices - 1) / devices * size / (bandwidth * 1e9)
    return seconds / (seconds + summing)


def main() -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m benchmarks.scaling")
    size = config.batch_size or (128 if config.task == "parcel" else 4)
    step, state, metrics, batch = build(config, size)
    seconds = []
    for _ in range(config.steps + 1):
        start = time.perf_counter()
        state, metrics = jax.block_until_ready(step(state, metrics, batch))
        seconds.append(time.perf_counter() - start)
    fastest = min(seconds[1:])
    gradients = 4 * training.count_parameters(state.params)
    print(f"{size} samples a device: {fastest:.3g} s; gradients: {gradients / 1e6:.2f} MB")
    print(f"| GB/s | {' | '.join(f'{p} devices' for p in DEVICES)} |")
    print("|---|" + "---|" * len(DEVICES))
    for bandwidth in config.bandwidth:
        cells = (f"{efficiency(fastest, gradients, p, bandwidth):.1%}" for p in DEVICES)
        print(f"| {bandwidth} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
