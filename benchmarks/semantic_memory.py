"""Memory of a full-size semantic training step, with and without rematerialisation.

    python -m benchmarks.semantic_memory

Published widths, 4 patches of 128 x 128 with 61 S2 and 70 + 70 Sentinel-1 dates, no temporal
dropout: what did not fit in the paper's 32 GB for late and decision fusion (Table 2). Nothing is
run: the compiler says what the step needs beside its arguments.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import optax
import tyro

from experiments import patch_arguments, semantic
from pastis_jax import training
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.types import Batch, Series

DATES = {"S2": 61, "S1A": 70, "S1D": 70}
CHANNELS = {"S2": 10, "S1A": 3, "S1D": 3}


@dataclasses.dataclass(frozen=True)
class Config:
    """Print the memory of training steps."""

    schemes: tuple[str, ...] = ("single", "early", "late", "decision")
    batch_size: int = 4
    size: int = 128


def step_memory(config: Config, scheme: str, *, remat: bool) -> float:
    """Returns the temporary memory of a training step, GB."""
    arguments = semantic.Config(
        fusion=scheme, remat=remat, data=pathlib.Path("-"), batch_size=config.batch_size
    )
    arguments = patch_arguments.complete(arguments, simulated_epochs=1)
    classes = ClassMapping.official()
    task = semantic.make_task(classes)
    model = semantic.build_model(arguments, len(classes.names), {})
    b, n = config.batch_size, config.size

    def empty(modality):
        t = DATES[modality]
        return Series(
            values=jnp.zeros((b, t, n, n, CHANNELS[modality])),
            days=jnp.zeros((b, t), jnp.int32),
            valid=jnp.ones((b, t), bool),
        )

    batch = jax.eval_shape(
        lambda: Batch(
            series={m: empty(m) for m in arguments.modalities},
            label=jnp.zeros((b, n, n), jnp.int32),
            real=jnp.ones(b, bool),
            id=jnp.arange(b),
        )
    )
    optimizer = optax.adam(1e-3)
    key = jax.random.key(0)
    state = jax.eval_shape(functools.partial(training.create_state, model, optimizer), batch, key)
    metrics = jax.eval_shape(lambda: training.EpochMetrics.empty(task.empty(), b))
    step = training.make_train_step(
        model=model,
        loss=task.loss,
        metric=task.metric,
        optimizer=optimizer,
        key=key,
        placement=training.Placement(),
    )
    return step.lower(state, metrics, batch).compile().memory_analysis().temp_size_in_bytes / 1e9


def main() -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m benchmarks.semantic_memory")
    print("| scheme | plain | --remat |\n|---|---|---|")
    for scheme in config.schemes:
        cells = [f"{step_memory(config, scheme, remat=remat):.1f} GB" for remat in (False, True)]
        print(f"| {scheme} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
