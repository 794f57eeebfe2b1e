"""What an accelerator does with U-TAE: memory of a step, digits of bfloat16, frames a second.

    python -m benchmarks.device --only memory
    python -m benchmarks.device --only accuracy frames --short

- memory: of a training step of late fusion at full size (4 patches, 61 + 70 + 70 dates), plain and
  with `--remat`: as compiled, and the most that the device held while it ran once.
- accuracy: one patch learned by heart from the same weights, in float32 and in bfloat16: losses,
  and pixels that are right.
- frames: 32 dates of 128 x 128 pixels in bfloat16, 4 and 16 patches, training and inference.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator
from typing import Literal

import jax
import numpy as np
import tyro
from scipy import ndimage

from benchmarks import semantic_memory
from benchmarks.compare import ours, utae
from benchmarks.compare.timing import take_turns
from benchmarks.steps import training_step
from pastis_jax import machine, training
from pastis_jax.cli import console
from pastis_jax.errors import refuse
from pastis_jax.types import Batch

STEPS, EVERY = 40, 10
"""Steps of the accuracy, and after how many it is looked at."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Measure what the device does with U-TAE."""

    only: tuple[Literal["memory", "accuracy", "frames"], ...] = ()
    """Parts to measure. Default: all."""
    repeats: int = 5
    """Measurements of a rate, of which the median counts."""
    short: bool = False
    """Take small work, to try the command."""


def memory(config: Config) -> Iterator[str]:
    """Memory of training steps; --remat first, as the device tells the most it has ever held."""
    yield "| late fusion, 4 patches | as compiled | most held |\n|---|---|---|"
    side = 16 if config.short else semantic_memory.SIZE
    for variant in ("--remat", "plain"):
        step, shapes, (make_state, task, placement, make_batch) = semantic_memory.build(
            "late", variant, side
        )
        program = step.lower(*shapes).compile()
        compiled = program.memory_analysis().temp_size_in_bytes
        batch = placement.batch(make_batch())
        state = placement.whole(jax.jit(make_state)(batch, jax.random.key(0)))
        metrics = training.EpochMetrics.empty(task.empty(), len(batch.real))
        try:
            jax.block_until_ready(program(state, placement.whole(metrics), batch))
            held = _most_held()
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            held = "does not fit"
        yield f"| {variant} | {compiled / 1e9:.1f} GB | {held} |"


def _most_held() -> str:
    kept = jax.devices()[0].memory_stats()
    return f"{kept['peak_bytes_in_use'] / 1e9:.1f} GB" if kept else "not told"


def learnable(patches: int, frames: int, side: int) -> Batch:
    """Smooth images, whose classes are steps of the first channel's first frame."""
    batch = utae.make_batch(patches, frames, side)
    rng, scale = np.random.default_rng(0), 8
    shape = (patches, frames, side // scale, side // scale, 10)
    smooth = ndimage.zoom(rng.normal(size=shape), (1, 1, scale, scale, 1), order=1)
    edges = np.quantile(smooth[:, 0, ..., 0], np.linspace(0, 1, utae.CLASSES - 1)[1:-1])
    label = np.digitize(smooth[:, 0, ..., 0], edges).astype(np.int32)
    series = batch.series["S2"].replace(values=smooth.astype(np.float32))
    return batch.replace(series={"S2": series}, label=label)


def accuracy(config: Config) -> Iterator[str]:
    """Learns a patch in both precisions."""
    batch = learnable(1, *((3, 32) if config.short else (16, 128)))
    steps, every = (4, 2) if config.short else (STEPS, EVERY)
    yield "| step | loss, float32 | bfloat16 | pixels right, float32 | bfloat16 |"
    yield "|---|---|---|---|---|"
    told = {}
    for half in (False, True):
        task = utae.task(bf16=half)
        model, placement = utae.without_dropout(task.model()), training.Placement()
        learn, optimizer = training_step(task, model, placement)
        predict = training.make_prediction_step(
            model=model, placement=placement, output=task.predicted
        )
        state = placement.whole(training.create_state(model, optimizer, batch, jax.random.key(0)))
        placed = placement.batch(batch)
        for step in range(1, steps + 1):
            empty = placement.whole(training.EpochMetrics.empty(task.empty(), len(batch.real)))
            state, metrics = learn(state, empty, placed)
            if step % every == 0:
                found = predict(state, placed.series, {})
                right = float(np.mean(np.asarray(found) == batch.label))
                told.setdefault(step, []).append((float(metrics.loss.compute()), right))
    for step, ((loss, right), (loss_half, right_half)) in told.items():
        cells = f"{loss:.4f} | {loss_half:.4f} | {right:.3f} | {right_half:.3f}"
        yield f"| {step} | {cells} |"


def frames(config: Config) -> Iterator[str]:
    """Frames a second in bfloat16."""
    yield "| patches | training, frames/s | inference, frames/s |\n|---|---|---|"
    count, side = (3, 32) if config.short else (utae.FRAMES, utae.SIDE)
    for patches in (1, 2) if config.short else (4, 16):
        task, batch = utae.task(bf16=True), utae.make_batch(patches, count, side)
        model = task.model()
        streams = {name: jax.random.key(0) for name in ("params", "dropout")}
        variables = jax.jit(lambda s, m=model, k=streams: m.init(k, s, train=True))(batch.series)
        cells = []
        for make in (
            lambda t=task, m=model, v=variables, b=batch: ours.training_way(t, m, v, b),
            lambda t=task, m=model, v=variables, b=batch: ours.inference_way(m, v, b, t.predicted),
        ):
            try:
                turns = take_turns({"": make()}, repeats=config.repeats, least=0.5)[""]
                cells.append(f"{patches * count / statistics.median(turns):,.0f}")
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                cells.append("does not fit")
        yield f"| {patches} | {' | '.join(cells)} |"


PARTS = {"memory": memory, "accuracy": accuracy, "frames": frames}


def run(config: Config) -> None:
    """Measures and prints."""
    refuse("repeats", config.repeats < 1, "must be at least 1", "give 5, say")
    print(f"{machine.devices()}, JAX {jax.__version__}, code {machine.code_version()}", flush=True)
    for name in config.only or PARTS:
        print("", flush=True)
        for text in PARTS[name](config):
            print(text, flush=True)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m benchmarks.device", args=argv)
    console.command(lambda: run(config))


if __name__ == "__main__":
    main()
