"""What saves memory in a training step of U-TAE: how much, and at what cost in time.

    python -m benchmarks.semantic_memory                # late fusion first, then the other schemes
    python -m benchmarks.semantic_memory --measured     # runs every variant too, a quarter the side

Published widths, 4 patches with 61 S2 and 70 + 70 Sentinel-1 dates. Of 128 x 128 pixels, the
compiler says what the step needs beside its arguments; nothing is run. With --measured, patches are
of 32 x 32, and every variant runs in a process of its own: most memory the process ever held beyond
what it held before the first step, and the median time of a step.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks.steps import training_step
from pastis_jax import Batch, Series, training
from pastis_jax.data import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches import frame_capacity
from pastis_jax.models.utae import PIXELS_PER_CHUNK
from pastis_jax.tasks import SemanticModel, SemanticTask
from pastis_jax.temporal_dropout import temporal_dropout

DATES = {"S2": 61, "S1A": 70, "S1D": 70}
BATCH, SIZE, MEASURED_SIZE, ROUNDS = 4, 128, 32, 3
FRAMES_PER_CHUNK = PIXELS_PER_CHUNK // SIZE**2
VARIANTS = {
    "plain": {},
    "--bf16": {"bf16": True},
    "--temporal-dropout": {"temporal_dropout": True},
    "--accumulate 4": {"accumulate": 4},
    "--remat": {"remat": True},
    "--remat --bf16": {"remat": True, "bf16": True},
    "--remat --accumulate 4": {"remat": True, "accumulate": 4},
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Print the memory of training steps."""

    schemes: tuple[str, ...] = ("late", "decision", "early", "single")
    measured: bool = False
    """Run every variant of the first scheme too."""
    one: str | None = None
    """Run this SCHEME/VARIANT here, and print what it took as JSON."""


def build(scheme: str, variant: str, size: int):
    """Returns the step of a variant, and the shapes of its arguments."""
    options = dict(VARIANTS[variant])
    dropout, parts = options.pop("temporal_dropout", False), options.pop("accumulate", 1)
    spec = SemanticModel(fusion=scheme, **options).of(PASTIS_R)
    names, share = spec.modalities, BATCH // parts
    rates = {m: PASTIS_R[m].drop_rate for m in names} if dropout else {}
    most = {
        m: frame_capacity(np.full(BATCH, DATES[m]), share, 1 - rates.get(m, 0.0)) for m in names
    }
    task = SemanticTask(spec, PASTIS_R, ClassMapping.of(PASTIS_R.nomenclature))
    model, placement = task.model(most), training.Placement(parts=parts)
    # Under --remat, as many frames at a time whatever their size.
    chunk = FRAMES_PER_CHUNK * size**2
    model = model.clone(spatial=jax.tree.map(lambda part: part.clone(chunk=chunk), model.spatial))
    drop = functools.partial(temporal_dropout, rates=rates, most=most) if rates else None
    step, optimizer = training_step(task, model, placement, augment=drop)
    make_batch = functools.partial(example, names, size)
    make_state = functools.partial(training.create_state, model, optimizer)
    batch = jax.eval_shape(make_batch)
    state = jax.eval_shape(make_state, batch, jax.random.key(0))
    metrics = jax.eval_shape(lambda: training.EpochMetrics.empty(task.empty(), BATCH))
    return step, (state, metrics, batch), (make_state, task, placement, make_batch)


def example(modalities: tuple[str, ...], size: int) -> Batch:
    """Makes a batch of full series."""

    def series(m):
        shape = (BATCH, DATES[m])
        return Series(
            values=jnp.ones((*shape, size, size, len(PASTIS_R[m].channels))),
            days=jnp.broadcast_to(jnp.arange(shape[1]) * 5, shape),
            valid=jnp.ones(shape, bool),
        )

    return Batch(
        series={m: series(m) for m in modalities},
        label=jnp.ones((BATCH, size, size), jnp.int32),
        real=jnp.ones(BATCH, bool),
        number=jnp.arange(BATCH),
    )


def compiled_memory(scheme: str, variant: str) -> float:
    """Returns the temporary memory of a full-size training step, GB."""
    step, shapes, _ = build(scheme, variant, SIZE)
    return step.lower(*shapes).compile().memory_analysis().temp_size_in_bytes / 1e9


def measure(scheme: str, variant: str) -> dict[str, float]:
    """Runs a step some times: memory beyond what was held before, GB, and median time, s."""
    step, shapes, (make_state, task, placement, make_batch) = build(scheme, variant, MEASURED_SIZE)
    step = step.lower(*shapes).compile()
    batch = make_batch()
    state = placement.whole(make_state(batch, jax.random.key(0)))
    metrics = placement.whole(training.EpochMetrics.empty(task.empty(), BATCH))
    before, times = held(), []
    with Watch() as watch:
        for _ in range(ROUNDS + 1):
            start = time.perf_counter()
            state, metrics = jax.block_until_ready(step(state, metrics, placement.batch(batch)))
            times.append(time.perf_counter() - start)
    return {"memory": watch.most - before, "seconds": statistics.median(times[1:])}


def held() -> float:
    """Memory that this process holds, GB (Linux)."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e9


class Watch(threading.Thread):
    """Looks every few milliseconds how much memory this process holds.

    Attributes:
      most: The most it has held, GB.
    """

    def __init__(self):
        super().__init__(daemon=True)
        self.most, self._over = 0.0, threading.Event()

    def run(self):
        while not self._over.wait(0.005):
            self.most = max(self.most, held())

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self.join()


def main() -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m benchmarks.semantic_memory")
    if config.one is not None:
        print(json.dumps(measure(*config.one.split("/"))))
        return
    if config.measured:
        first = config.schemes[0]
        print(f"{first}, 4 x {MEASURED_SIZE} x {MEASURED_SIZE}, measured")
        print("| variant | memory | of plain | time of plain |\n|---|---|---|---|")
        plain = None
        for variant in VARIANTS:
            flags = [f"--one={first}/{variant}"]
            command = [sys.executable, "-m", "benchmarks.semantic_memory", *flags]
            run = subprocess.run(command, check=True, capture_output=True, text=True)
            took = json.loads(run.stdout.splitlines()[-1])
            plain = plain or took
            memory, seconds = (took[name] / plain[name] for name in ("memory", "seconds"))
            cells = f"{took['memory']:.2f} GB | {memory:.2f} | {seconds:.2f}"
            print(f"| {variant} | {cells} |", flush=True)
    print(f"4 x {SIZE} x {SIZE}, as compiled")
    print(f"| variant | {' | '.join(config.schemes)} |\n|---|{'---|' * len(config.schemes)}")
    for variant in VARIANTS:
        cells = [f"{compiled_memory(scheme, variant):.1f} GB" for scheme in config.schemes]
        print(f"| {variant} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
