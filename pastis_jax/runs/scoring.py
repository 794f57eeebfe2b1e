"""Scores states of a run: sizes of batches, the model that takes them, what a task counts."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from pastis_jax import training
from pastis_jax.data.splits import BatchPlan, Splits
from pastis_jax.modality_dropout import only
from pastis_jax.runs import until
from pastis_jax.runs.until import Until
from pastis_jax.schemes import Model
from pastis_jax.tasks import Task
from pastis_jax.training import EpochMetrics, Outcome, Placement, Recipe, TrainState
from pastis_jax.types import Batch


def plan_of(recipe: Recipe, placement: Placement) -> BatchPlan:
    """Sizes and seed of the batches of a run, and which of their samples this process makes."""
    size = recipe.evaluation_size
    return BatchPlan(
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        rows=placement.rows(recipe.batch_size),
        evaluation_size=size,
        evaluation_rows=for_evaluation(placement).rows(size),
    )


def for_evaluation(placement: Placement) -> Placement:
    """Where batches of validation and test lie: they are taken whole."""
    return dataclasses.replace(placement, parts=1)


def model_for(
    task: Task, splits: Splits, *names: str, size: int, placement: Placement, **options: Any
) -> tuple[Callable[..., Model], Mapping[str, int]]:
    """What builds the model for batches of these splits, and the most dates that they may have.

    Args:
      task: The task.
      splits: The records.
      *names: Splits that batches come from.
      size: Samples in a batch.
      placement: Where they lie.
      **options: `rates` of temporal dropout.
    """
    share = -(-size // placement.parts)
    if placement.axis_name is not None:
        share = placement.padded(size) // (placement.devices * placement.parts)
    most = task.room(splits, names, share, options.get("rates", {}))
    # Of sharded batches the frames stay where they are, on all devices, and are all encoded.
    packed = placement.axis_name is not None or placement.devices == 1
    return functools.partial(task.model, most if packed else {}), most


class Scorer:
    """Scores states by a task's metrics; each is compiled once.

    Args:
      task: The task.
      splits: The records.
      placement: Where batches of validation and test lie.
      model: As these batches need it.
      evaluation: Makes the batches of a split; by default the records' own.
    """

    def __init__(
        self,
        task: Task,
        splits: Splits,
        placement: Placement,
        model: Model,
        evaluation: Callable[[str], Iterable[Batch]] | None = None,
    ):
        self._task, self._splits, self._placement = task, splits, placement
        self._evaluation = evaluation or splits.evaluation
        self.model = model
        self._metrics, self._steps, self._cut_steps = task.metrics(splits), {}, {}

    def __call__(
        self,
        state: TrainState,
        split: str,
        metric: str,
        *,
        batches: Iterator[Batch] | None = None,
        augment: Any = None,
        key: jax.Array | None = None,
        **context: float,
    ) -> Outcome:
        """Scores `state` on the samples of `split`, or on `batches` of it.

        Raises:
          UserError: If no sample of the split counts.
          NonFiniteLossError: Naming the samples of the batch.
        """
        chosen, options = [self._task.spec.modalities], {"augment": augment, "key": key}
        (outcome,) = self._each(state, split, metric, chosen, batches, context, **options)
        if batches is None and augment is None:
            training.check_counted(outcome.metrics, split)
        return outcome

    def subsets(
        self,
        state: TrainState,
        split: str,
        metric: str,
        chosen: Sequence[Sequence[str]],
        **context: float,
    ) -> list[Outcome]:
        """Scores `state` with some modalities of each sample, the others masked.

        Each batch is made once. It is the program that scores with all of them.

        Args:
          state: The state.
          split: Whose samples.
          metric: Name of the metric.
          chosen: Modalities of each score.
          **context: What the metric takes.

        Raises:
          UserError: If no sample of the split counts, with the first of `chosen`.
          NonFiniteLossError: Naming the samples of the batch.
        """
        outcomes = self._each(state, split, metric, chosen, None, context)
        training.check_counted(outcomes[0].metrics, split)
        return outcomes

    def _each(
        self, state, split, metric, chosen, batches, context, augment=None, key=None
    ) -> list[Outcome]:
        count, empty = self._metrics[metric]
        step = self._steps.get(metric)
        if step is None or augment is not None:
            step = training.make_evaluation_step(
                model=self.model,
                loss=self._task.loss,
                metric=count,
                placement=self._placement,
                augment=augment,
                key=key,
                cut=only,
            )
        if augment is None:
            self._steps[metric] = step
        size, names = self._splits.plan.evaluation_size, self._task.spec.modalities
        context = {name: jnp.float32(value) for name, value in context.items()}
        left = [{name: jnp.bool_(name in some) for name in names} for some in chosen]
        # A run that is opened again has no more than that; the same program rounds alike.
        return training.evaluate_each(
            state.tested,
            self._evaluation(split) if batches is None else batches,
            step=step,
            empty=lambda: EpochMetrics.empty(empty(), size),
            placement=self._placement,
            contexts=[{**context, "cut": some} for some in left],
            identify=self._splits.sources[split].identifier,
        )

    def until(
        self,
        state: TrainState,
        split: str,
        metric: str,
        days: Sequence[datetime.date],
        *,
        batches: Iterable[Batch] | None = None,
        **context: float,
    ) -> list[Until]:
        """Scores `state` by what had been observed up to each of some days.

        Each batch is made once, and one program serves all days.

        Raises:
          NonFiniteLossError: Naming the samples of the batch.
        """
        spec, splits = self._task.spec, self._splits
        count, empty = until.dated(*self._metrics[metric], spec.modalities)
        if (step := self._cut_steps.get(metric)) is None:
            needed = () if spec.scheme.masks else spec.modalities
            step = self._cut_steps[metric] = training.make_evaluation_step(
                model=self.model,
                loss=self._task.loss,
                metric=count,
                placement=self._placement,
                cut=functools.partial(until.cut, needed=needed),
            )
        context = {name: jnp.float32(value) for name, value in context.items()}
        outcomes = training.evaluate_each(
            state.tested,
            self._evaluation(split) if batches is None else batches,
            step=step,
            empty=lambda: EpochMetrics.empty(empty(), splits.plan.evaluation_size),
            placement=self._placement,
            contexts=[{**context, "cut": jnp.int32(splits.dataset.day(d))} for d in days],
            identify=splits.sources[split].identifier,
        )
        names = spec.modalities
        return [_known(day, outcome, names) for day, outcome in zip(days, outcomes, strict=True)]

    def of(self, state: TrainState, split: str, **options: Any) -> Callable[..., Outcome]:
        """A task's `Score` for this state and split."""
        return functools.partial(self, state, split, **options)


def of_subsets(
    task: Task, outcomes: Mapping[tuple[str, ...], Outcome]
) -> dict[str, dict[str, float] | None]:
    """What results hold of scores with some of the modalities.

    Args:
      task: The task.
      outcomes: By the modalities that were left.

    Returns:
      By these joined by +: scores, loss and number of samples not scored; None where none was.
    """

    def told(outcome: Outcome) -> dict[str, float] | None:
        if not outcome.metrics.loss.count:
            return None
        names = (*task.scores_in(outcome.scores), "loss")
        return {name: outcome.scores[name] for name in names} | {"unobserved": outcome.unobserved}

    return {" + ".join(names): told(outcome) for names, outcome in outcomes.items()}


def _known(day: datetime.date, outcome: Outcome, names: Sequence[str]) -> Until:
    """An outcome without what counted its dates; none where nothing else counted."""
    counted = outcome.metrics
    metrics = counted.replace(task=counted.task.metric)
    dates = {name: float(counted.task.dates[name].compute()) for name in names}
    known = dataclasses.replace(outcome, metrics=metrics) if counted.loss.count else None
    return Until(day, dates, known)
