"""Our side of a row: a task's steps as a training or an opened run compiles them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.compare.timing import Way
from benchmarks.steps import training_step
from pastis_jax import training
from pastis_jax.nn.raw import all_series
from pastis_jax.schemes import Model
from pastis_jax.tasks import Task
from pastis_jax.types import Batch, Prediction

EXACT = "highest"
"""Precision of products while results are compared; on a CPU they have no other."""


@dataclasses.dataclass(frozen=True)
class Step(Way):
    """A compiled step as a way.

    Attributes:
      program: What was compiled.
    """

    program: Any = None


def exact(function: Any, *arguments: Any) -> Any:
    """Runs a function compiled, with exact products of float32."""
    with jax.default_matmul_precision(EXACT):
        return jax.jit(function)(*arguments)


def forward(model: Model, variables: Mapping[str, Any], batch: Batch) -> Prediction:
    """Predicts from a batch at inference."""
    return exact(lambda v, s: model.apply(v, all_series(s)), variables, batch.series)


def gradient(task: Task, model: Model, variables: Mapping[str, Any], batch: Batch):
    """Mean loss of a batch in training, and its gradient by parameter.

    Args:
      task: Gives the loss.
      model: Without dropout.
      variables: Its variables.
      batch: One batch.
    """

    def objective(params, rest, batch):
        prediction, _ = model.apply(
            {"params": params, **rest},
            batch.series,
            train=True,
            **batch.given,
            mutable=["batch_stats"],
        )
        losses, weights = task.loss(prediction, batch)
        return jnp.sum(losses * weights) / jnp.sum(weights)

    rest = {name: variables[name] for name in variables if name != "params"}
    return exact(jax.value_and_grad(objective), variables["params"], rest, batch)


def training_way(task: Task, model: Model, variables: Mapping[str, Any], batch: Batch) -> Step:
    """The training step, metrics and all; the batch is on the device already."""
    placement = training.Placement()
    step, optimizer = training_step(task, model, placement)
    # Copies: the step takes its state's memory.
    variables = jax.tree.map(jnp.array, dict(variables))
    params = variables["params"]
    number = jnp.zeros((), jnp.int32)
    state = training.TrainState(
        number, params, variables.get("batch_stats", {}), optimizer.init(params)
    )
    metrics = training.EpochMetrics.empty(task.empty(), len(batch.real))
    batch = placement.batch(batch)
    held = {"now": (placement.whole(state), placement.whole(metrics))}
    program = step.lower(*held["now"], batch).compile()

    def start():
        held["now"] = program(*held["now"], batch)
        return held["now"]

    return Step(start, jax.block_until_ready, program=program)


def state_of(variables: Mapping[str, Any], placement: training.Placement) -> training.TrainState:
    """The variables as prediction steps take them, on the device."""
    state = training.TrainState(jnp.zeros((), jnp.int32), **variables, opt_state=())
    return placement.whole(state)


def inference_way(model: Model, variables: Mapping[str, Any], batch: Batch, output: Any) -> Step:
    """What an opened run does with a batch that is on the device already.

    Args:
      model: The model.
      variables: Its variables.
      batch: One batch.
      output: What is wanted of a prediction.
    """
    placement = training.Placement()
    step = training.make_prediction_step(model=model, output=output, placement=placement)
    state, series = state_of(variables, placement), placement.batch(batch.series)
    program = step.lower(state, series, {}).compile()
    return Step(lambda: program(state, series, {}), jax.block_until_ready, program=program)
