"""The training step that benchmarks measure: a task's, with Adam."""

from __future__ import annotations

from typing import Any

import jax
import optax

from pastis_jax import training
from pastis_jax.schemes import Model
from pastis_jax.tasks import Task

LEARNING_RATE = 1e-3


def training_step(
    task: Task, model: Model, placement: training.Placement | None = None, **options: Any
) -> tuple[training.TrainStep, optax.GradientTransformation]:
    """Makes the step, metrics and all, as a training compiles it, and its optimiser.

    Args:
      task: The task.
      model: Its model.
      placement: Where state and batches lie; by default on every device that there is.
      **options: Further ones of `training.make_train_step`.
    """
    schedule = training.make_schedule("constant", LEARNING_RATE, steps=1)
    optimizer = training.make_optimizer("adam", schedule)
    step = training.make_train_step(
        model=model,
        loss=task.loss,
        metric=task.metric,
        optimizer=optimizer,
        key=jax.random.key(0),
        placement=placement or training.Placement(),
        **options,
    )
    return step, optimizer
