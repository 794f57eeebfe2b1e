"""Compiled training and evaluation steps. Nothing in them waits for the host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PyTree

from pastis_jax import rng
from pastis_jax.metrics import Mean
from pastis_jax.nn.raw import all_series
from pastis_jax.training.sharding import Placement, join_over, sum_over
from pastis_jax.training.state import TrainState
from pastis_jax.types import Batch, Prediction, Series, Stored

LossFunction = Callable[[Prediction, Batch], tuple[Float[Array, " b"], Float[Array, " b"]]]
"""Mean loss and weight of each example: a weight of 0 for what does not count.

Under `pmap`, of the examples of one device; a loss that is no mean over examples sums over the
axis by itself."""


class Metric(Protocol):
    """State of a metric: built from batches, merged on the device, computed at the end.

    Its leaves add up: that of a batch is the sum of those of its parts.
    """

    def merge(self, other: Any) -> Any: ...


@struct.dataclass
class EpochMetrics:
    """What a pass over the data gathers, on the device.

    Attributes:
      loss: Mean loss, examples by their weight.
      samples: Number of real samples.
      gradient: Mean norm of the gradient, over the training steps.
      task: The task's metric.
      failed_step: First step with a non-finite loss, -1 for none.
      failed: ``b``, numbers of the records in that step's batch, -1 for blank ones.
    """

    loss: Mean
    samples: Int[Array, ""]
    gradient: Mean
    task: Metric
    failed_step: Int[Array, ""]
    failed: Int[Array, " b"]

    @classmethod
    def empty(cls, task: Metric, batch_size: int) -> EpochMetrics:
        """Returns the metrics of no batch; `task` is the task's empty metric."""
        none = jnp.zeros((), jnp.int32)
        numbers = jnp.full((batch_size,), -1, jnp.int32)
        return cls(Mean.empty(), none, Mean.empty(), task, none - 1, numbers)

    def update(
        self,
        losses: Float[Array, " b"],
        weights: Float[Array, " b"],
        task: Metric,
        batch: Batch,
        step: Int[Array, ""],
        axis_name: str | None = None,
        gradient: Mean | None = None,
    ) -> EpochMetrics:
        """Adds one batch; the arguments are what loss and metric gave for it.

        With `axis_name`, for the samples of one device; the result is the same on all devices.
        """
        mean, task, samples, total = sum_over(
            (
                Mean.from_batch(losses, weights),
                task,
                batch.real.sum(dtype=jnp.int32),
                losses.sum(),
            ),
            axis_name,
        )
        # Blank samples that fill up the devices come after the batch's own.
        kept = len(self.failed)
        numbers, real = (x[:kept] for x in join_over((batch.number, batch.real), axis_name))
        norm = 0.0 if gradient is None else gradient.total
        first_failure = (self.failed_step < 0) & ~jnp.isfinite(total + norm)
        return self.replace(
            loss=self.loss.merge(mean),
            samples=self.samples + samples,
            gradient=self.gradient if gradient is None else self.gradient.merge(gradient),
            task=self.task.merge(task),
            failed_step=jnp.where(first_failure, step, self.failed_step),
            failed=jnp.where(first_failure & real, numbers, self.failed),
        )


@struct.dataclass
class EvaluationMetrics(EpochMetrics):
    """What a pass of validation or test gathers.

    Attributes:
      unobserved: Number of real samples without a valid date, which count neither in the loss nor
        in the metric.
    """

    unobserved: Int[Array, ""]

    @classmethod
    def of(cls, metrics: EpochMetrics) -> EvaluationMetrics:
        """Returns the same of no batch."""
        return cls(**vars(metrics), unobserved=jnp.zeros((), jnp.int32))

    def counting(
        self, batch: Batch, valid: Bool[Array, " b"], axis_name: str | None = None
    ) -> EvaluationMetrics:
        """Counts the samples of one batch that are not `valid`; as `update`, of one device."""
        unobserved = (batch.real & ~valid).sum(dtype=jnp.int32)
        return self.replace(unobserved=self.unobserved + sum_over(unobserved, axis_name))


TrainStep = Callable[[TrainState, EpochMetrics, Batch], tuple[TrainState, EpochMetrics]]
EvaluationStep = Callable[[TrainState, EpochMetrics, Batch, Mapping[str, Any]], EpochMetrics]
PredictionStep = Callable[[TrainState, Mapping[str, Series | Stored], Mapping[str, Any]], PyTree]
Augmentation = Callable[[Array, Mapping[str, Series]], Mapping[str, Series]]
Cut = Callable[[Any, Mapping[str, Series]], Mapping[str, Series]]
"""Leaves a part of series: of some modalities, or what had been observed up to a day."""


def make_train_step(
    *,
    model: nn.Module,
    loss: LossFunction,
    metric: Callable[[Prediction, Batch], Metric],
    optimizer: optax.GradientTransformation,
    key: Array,
    placement: Placement,
    augment: Augmentation | None = None,
    ema: float | None = None,
) -> TrainStep:
    """Returns the compiled training step; state and metrics are donated.

    Args:
      model: A fusion scheme.
      loss: Mean loss and weight of each example.
      metric: Metric of a batch.
      optimizer: Optax transformation.
      key: Root key of the run; every step derives its own from it.
      placement: Devices to spread the batch over, and parts to take it in; under `pmap`, the
        model's `axis_name` is its.
      augment: Changes the series of a part under a key: temporal dropout.
      ema: Decay of the state's average, if it has one.
    """

    axis, parts = placement.axis_name, placement.parts

    def learn(params, batch_stats, batch: Batch, number):
        """Gradient of the summed losses of `batch`, and what was computed on the way."""
        series = all_series(batch.series)
        if augment is not None:
            series = augment(rng.stream(key, "augment", number), series)
        rngs = {"dropout": rng.stream(key, "dropout", number)}

        def objective(params):
            prediction, updated = model.apply(
                {"params": params, "batch_stats": batch_stats},
                series,
                train=True,
                **batch.given,
                rngs=rngs,
                mutable=["batch_stats"],
            )
            losses, weights = loss(prediction, batch)
            total = sum_over(Mean.from_batch(losses, weights).total, axis)
            return total, (updated["batch_stats"], metric(prediction, batch), losses, weights)

        return jax.grad(objective, has_aux=True)(params)

    def learn_in_parts(state: TrainState, batch: Batch):
        """The same of a batch whose parts are taken one after another; statistics see each."""

        def add(carry, part):
            batch_stats, gradient, task = carry
            number, batch = part
            new, (batch_stats, sums, *losses) = learn(state.params, batch_stats, batch, number)
            return (batch_stats, jax.tree.map(jnp.add, gradient, new), task.merge(sums)), losses

        split = jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), batch)
        numbers = state.step * parts + jnp.arange(parts)
        part = jax.tree.map(lambda x: x[0], split)
        kind, (_, task, *_) = jax.eval_shape(learn, state.params, state.batch_stats, part, 0)
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (kind, task))
        carry, losses = jax.lax.scan(add, (state.batch_stats, *nothing), (numbers, split))
        batch_stats, gradient, task = carry
        return gradient, (batch_stats, task, *(x.T.reshape(-1) for x in losses))

    def train_step(state: TrainState, metrics: EpochMetrics, batch: Batch):
        if parts == 1:
            learned = learn(state.params, state.batch_stats, batch, state.step)
        else:
            learned = learn_in_parts(state, batch)
        gradient, (batch_stats, task, losses, weights) = learned
        if axis is not None:
            # Every device has the whole batch's losses, and the derivative of their sum.
            gradient = jax.lax.pmean(gradient, axis)
        count = sum_over(Mean.from_batch(losses, weights).count, axis)
        gradient = jax.tree.map(lambda x: x / jnp.where(count > 0, count, 1), gradient)
        norm = Mean(optax.tree.norm(gradient), jnp.ones(()))
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        metrics = metrics.update(losses, weights, task, batch, state.step, axis, norm)
        params = optax.apply_updates(state.params, updates)
        average = state.average
        if average is not None:
            new = {"params": params, "batch_stats": batch_stats}
            average = optax.incremental_update(new, average, _share(ema, state.step))
        state = TrainState(
            step=state.step + 1,
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
            average=average,
        )
        return state, metrics

    return placement.compiled(train_step, ("whole", "whole", "batch"), donate=(0, 1))


def _share(decay: float, step: Int[Array, ""]) -> Float[Array, ""]:
    """Share of the new parameters in their average; larger in the first steps, to forget those."""
    return 1 - jnp.minimum(decay, (1 + step) / (10 + step))


def make_evaluation_step(
    *,
    model: nn.Module,
    loss: LossFunction,
    metric: Callable[..., Metric],
    placement: Placement,
    augment: Augmentation | None = None,
    key: Array | None = None,
    cut: Cut | None = None,
) -> EvaluationStep:
    """Returns the compiled evaluation step; metrics are donated.

    Args:
      model: A fusion scheme.
      loss: Mean loss and weight of each example.
      metric: Metric of a batch, from prediction, batch and the step's `context` by keyword.
      placement: Devices to spread the batch over; under `pmap`, the model's `axis_name` is its.
      augment: Changes the series under a key: test with dates removed.
      key: Key for `augment`; each batch derives its own from its first record.
      cut: Leaves a part of the series, which `cut` of the step's `context` tells; the context has
        it beside what the metric takes: one program for all parts.
    """

    axis = placement.axis_name

    def evaluation_step(
        state: TrainState, metrics: EpochMetrics, batch: Batch, context: Mapping[str, Any]
    ):
        series = all_series(batch.series)
        if augment is not None:
            first = join_over(batch.number[:1], axis)[0]
            series = augment(jax.random.fold_in(key, first), series)
        if cut is not None:
            left, context = context["cut"], {k: x for k, x in context.items() if k != "cut"}
            series = cut(left, series)
        batch = batch.replace(series=series)
        prediction = model.apply(state.variables, series, **batch.given)
        losses, weights = loss(prediction, batch)
        task = metric(prediction, batch, **context)
        metrics = metrics.update(losses, weights, task, batch, state.step, axis)
        if isinstance(metrics, EvaluationMetrics):
            metrics = metrics.counting(batch, prediction.valid, axis)
        return metrics

    return placement.compiled(evaluation_step, ("whole", "whole", "batch", "whole"), donate=(1,))


def make_prediction_step(
    *, model: nn.Module, output: Callable[..., PyTree[Array]], placement: Placement
) -> PredictionStep:
    """Returns the compiled step that predicts from series alone.

    Args:
      model: A fusion scheme.
      output: What is wanted of a prediction, ``b ...``; takes it, and the step's `context` by
        keyword.
      placement: Devices to spread the batch over; under `pmap`, the model's `axis_name` is its.
    """

    def prediction_step(
        state: TrainState, series: Mapping[str, Series | Stored], context: Mapping[str, Any]
    ):
        prediction = model.apply(state.variables, all_series(series))
        return join_over(output(prediction, **context), placement.axis_name)

    return placement.compiled(prediction_step, ("whole", "batch", "whole"), donate=())
