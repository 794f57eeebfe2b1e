"""A pass over data that scores a state, and what a loss that is not finite ends."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax

from pastis_jax.errors import UserError
from pastis_jax.training.feed import place
from pastis_jax.training.sharding import Placement
from pastis_jax.training.state import TrainState
from pastis_jax.training.step import EpochMetrics, EvaluationMetrics, EvaluationStep
from pastis_jax.types import Batch

Identify = Callable[[int], Any]
"""Gives the identifier of the sample that was made from the record of a number."""


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite; the text names the step and the batch's samples."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Result of a pass over data.

    Attributes:
      scores: What the task's metric computes, and `loss`.
      metrics: The metric state itself, on the host; None where only the scores were kept.
      samples: Number of real samples.
      seconds: Wall time, loading included; compilation too if `step` had not run before.
      unobserved: Number of these without a valid date, which count in no score.
    """

    scores: dict[str, Any]
    metrics: EpochMetrics | None
    samples: int
    seconds: float
    unobserved: int = 0

    @property
    def rate(self) -> float:
        """Samples per second."""
        return self.samples / max(self.seconds, 1e-9)


def evaluate(
    state: TrainState,
    batches: Iterable[Batch],
    *,
    step: EvaluationStep,
    empty: Callable[[], EpochMetrics],
    placement: Placement,
    context: Mapping[str, Any] | None = None,
    identify: Identify = int,
) -> Outcome:
    """Runs `step` over all `batches`; metrics are fetched once, at the end.

    Args:
      state: What to evaluate.
      batches: Each once.
      step: Evaluation step.
      empty: Makes the empty metrics.
      placement: Devices.
      context: What the metric takes beside prediction and batch, by keyword.
      identify: Names the samples of a batch that fails.

    Raises:
      NonFiniteLossError: Naming the samples of the batch.
    """
    options = {"step": step, "empty": empty, "placement": placement, "identify": identify}
    (outcome,) = evaluate_each(state, batches, contexts=[context or {}], **options)
    return outcome


def evaluate_each(
    state: TrainState,
    batches: Iterable[Batch],
    *,
    step: EvaluationStep,
    empty: Callable[[], EpochMetrics],
    placement: Placement,
    contexts: Sequence[Mapping[str, Any]],
    identify: Identify = int,
) -> list[Outcome]:
    """Does what `evaluate` does under several contexts; each batch is made once.

    Args:
      state: As for `evaluate`, and so are the others.
      batches: Each once.
      step: Evaluation step.
      empty: Makes the empty metrics.
      placement: Devices.
      contexts: What the metric takes beside prediction and batch, by keyword.
      identify: Names the samples of a batch that fails.

    Returns:
      An outcome for each context; the seconds are shared evenly among them.

    Raises:
      NonFiniteLossError: Naming the samples of the batch.
    """
    every = [placement.whole(EvaluationMetrics.of(empty())) for _ in contexts]
    contexts = [placement.whole(context) for context in contexts]
    start = time.perf_counter()
    for batch in batches:
        placed = place(batch, batches, placement)
        every = [
            step(state, metrics, placed, context)
            for metrics, context in zip(every, contexts, strict=True)
        ]
    every = jax.device_get(every)
    seconds = (time.perf_counter() - start) / max(len(contexts), 1)
    outcomes = []
    for metrics in every:
        check_finite(metrics, identify)
        samples, unobserved = int(metrics.samples), int(metrics.unobserved)
        outcomes.append(Outcome(scores_of(metrics), metrics, samples, seconds, unobserved))
    return outcomes


def check_finite(metrics: EpochMetrics, identify: Identify = int) -> None:
    """Looks at metrics on the host.

    Raises:
      NonFiniteLossError: Naming the first such step and its batch's samples.
    """
    if int(metrics.failed_step) >= 0:
        samples = ", ".join(str(identify(int(n))) for n in metrics.failed if n >= 0)
        raise NonFiniteLossError(
            f"the loss is not finite at step {int(metrics.failed_step)}, batch of {samples}"
        )


def check_counted(metrics: EpochMetrics, where: str) -> None:
    """Looks at metrics on the host.

    Args:
      metrics: Of a pass over data.
      where: Which pass it was.

    Raises:
      UserError: If nothing counted: a loss of nothing is 0, and a score of it no score.
    """
    if not metrics.loss.count:
        fault = f"none of {int(metrics.samples)} samples counts: without a valid date, or void"
        remedy = "correct the data, which pastis-jax inspect looks at"
        raise UserError(fault, where=where, remedy=remedy)


def scores_of(metrics: EpochMetrics) -> dict[str, Any]:
    """What metrics on the host compute, and `loss`."""
    scores = {"loss": float(metrics.loss.compute()), **metrics.task.compute()}
    if metrics.gradient.count:
        scores["gradient_norm"] = float(metrics.gradient.compute())
    return scores
