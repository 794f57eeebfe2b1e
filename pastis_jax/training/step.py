"""Compiled training and evaluation steps. Nothing in them waits for the host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Float, Int

from pastis_jax import rng
from pastis_jax.metrics import Mean
from pastis_jax.training import sharding
from pastis_jax.training.state import TrainState
from pastis_jax.types import Batch, Prediction, Series

LossFunction = Callable[[Prediction, Batch], tuple[Float[Array, " b"], Float[Array, " b"]]]
"""Mean loss and weight of each example: a weight of 0 for what does not count."""


class Metric(Protocol):
    """State of a metric: built from batches, merged on the device, computed at the end."""

    def merge(self, other: Any) -> Any: ...


@struct.dataclass
class EpochMetrics:
    """What a pass over the data gathers, on the device.

    Attributes:
      loss: Mean loss, examples by their weight.
      samples: Number of real samples.
      task: The task's metric.
      failed_step: First step with a non-finite loss, -1 for none.
      failed_ids: ``b``, ids of that step's batch.
    """

    loss: Mean
    samples: Int[Array, ""]
    task: Metric
    failed_step: Int[Array, ""]
    failed_ids: Int[Array, " b"]

    @classmethod
    def empty(cls, task: Metric, batch_size: int) -> EpochMetrics:
        """Returns the metrics of no batch; `task` is the task's empty metric."""
        ids = jnp.full((batch_size,), -1, jnp.int32)
        none = jnp.zeros((), jnp.int32)
        return cls(Mean.empty(), none, task, none - 1, ids)

    def update(
        self,
        losses: Float[Array, " b"],
        weights: Float[Array, " b"],
        task: Metric,
        batch: Batch,
        step: Int[Array, ""],
    ) -> EpochMetrics:
        """Adds one batch; the arguments are what loss and metric gave for it."""
        first_failure = (self.failed_step < 0) & ~jnp.isfinite(losses.sum())
        return EpochMetrics(
            loss=self.loss.merge(Mean.from_batch(losses, weights)),
            samples=self.samples + batch.real.sum(dtype=jnp.int32),
            task=self.task.merge(task),
            failed_step=jnp.where(first_failure, step, self.failed_step),
            failed_ids=jnp.where(first_failure & batch.real, batch.id, self.failed_ids),
        )


TrainStep = Callable[[TrainState, EpochMetrics, Batch], tuple[TrainState, EpochMetrics]]
EvaluationStep = Callable[[TrainState, EpochMetrics, Batch, Mapping[str, Any]], EpochMetrics]
Augmentation = Callable[[Array, Mapping[str, Series]], Mapping[str, Series]]


def make_train_step(
    *,
    model: nn.Module,
    loss: LossFunction,
    metric: Callable[[Prediction, Batch], Metric],
    optimizer: optax.GradientTransformation,
    key: Array,
    mesh: jax.sharding.Mesh,
    augment: Augmentation | None = None,
    ema: float | None = None,
) -> TrainStep:
    """Returns the jitted training step; state and metrics are donated.

    Args:
      model: A fusion scheme.
      loss: Mean loss and weight of each example.
      metric: Metric of a batch.
      optimizer: Optax transformation.
      key: Root key of the run; every step derives its own from it.
      mesh: Devices to spread the batch over.
      augment: Changes the series under a key: temporal dropout.
      ema: Decay of the state's average of the parameters, if it has one.
    """

    def train_step(state: TrainState, metrics: EpochMetrics, batch: Batch):
        series = batch.series
        if augment is not None:
            series = augment(rng.stream(key, "augment", state.step), series)
        rngs = {"dropout": rng.stream(key, "dropout", state.step)}

        def objective(params):
            prediction, updated = model.apply(
                {"params": params, "batch_stats": state.batch_stats},
                series,
                train=True,
                **batch.given,
                rngs=rngs,
                mutable=["batch_stats"],
            )
            losses, weights = loss(prediction, batch)
            mean = Mean.from_batch(losses, weights).compute()
            return mean, (losses, weights, prediction, updated["batch_stats"])

        gradient, (losses, weights, prediction, batch_stats) = jax.grad(objective, has_aux=True)(
            state.params
        )
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        metrics = metrics.update(losses, weights, metric(prediction, batch), batch, state.step)
        params = optax.apply_updates(state.params, updates)
        average = state.average
        if average is not None:
            average = optax.incremental_update(params, average, _share(ema, state.step))
        state = TrainState(
            step=state.step + 1,
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
            average=average,
        )
        return state, metrics

    whole, batch = sharding.replicated(mesh), sharding.split(mesh)
    return jax.jit(
        train_step,
        in_shardings=(whole, whole, batch),
        out_shardings=(whole, whole),
        donate_argnums=(0, 1),
    )


def _share(decay: float, step: Int[Array, ""]) -> Float[Array, ""]:
    """Share of the new parameters in their average; larger in the first steps, to forget those."""
    return 1 - jnp.minimum(decay, (1 + step) / (10 + step))


def make_evaluation_step(
    *,
    model: nn.Module,
    loss: LossFunction,
    metric: Callable[..., Metric],
    mesh: jax.sharding.Mesh,
    augment: Augmentation | None = None,
    key: Array | None = None,
) -> EvaluationStep:
    """Returns the jitted evaluation step; metrics are donated.

    Args:
      model: A fusion scheme.
      loss: Mean loss and weight of each example.
      metric: Metric of a batch, from prediction, batch and the step's `context` by keyword.
      mesh: Devices to spread the batch over.
      augment: Changes the series under a key: test with dates removed.
      key: Key for `augment`; each batch derives its own from the ids in it.
    """

    def evaluation_step(
        state: TrainState, metrics: EpochMetrics, batch: Batch, context: Mapping[str, Any]
    ):
        series = batch.series
        if augment is not None:
            series = augment(jax.random.fold_in(key, batch.id[0]), series)
        prediction = model.apply(state.variables, series, **batch.given)
        losses, weights = loss(prediction, batch)
        task = metric(prediction, batch, **context)
        return metrics.update(losses, weights, task, batch, state.step)

    whole, batch = sharding.replicated(mesh), sharding.split(mesh)
    return jax.jit(
        evaluation_step,
        in_shardings=(whole, whole, batch, whole),
        out_shardings=whole,
        donate_argnums=(1,),
    )
