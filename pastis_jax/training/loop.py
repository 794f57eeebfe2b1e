"""The loop over epochs: train, validate, keep the best, log."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import tqdm

from pastis_jax.training import sharding
from pastis_jax.training.checkpoint import Checkpoints
from pastis_jax.training.logging import RunFolder
from pastis_jax.training.state import TrainState
from pastis_jax.training.step import EpochMetrics, EvaluationStep, TrainStep
from pastis_jax.types import Batch

REFRESH_SECONDS = 0.5


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite; the text names the step and the batch's ids."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Result of a pass over data.

    Attributes:
      scores: What the task's metric computes, and `loss`.
      metrics: The metric state itself, on the host.
      samples: Number of real samples.
      seconds: Wall time, loading included; compilation too if `step` had not run before.
    """

    scores: dict[str, Any]
    metrics: EpochMetrics
    samples: int
    seconds: float

    @property
    def rate(self) -> float:
        """Samples per second."""
        return self.samples / max(self.seconds, 1e-9)


@dataclasses.dataclass(frozen=True)
class Fit:
    """Result of `fit`.

    Attributes:
      state: State with the best validation score.
      epoch: Its epoch, from 1.
      best: Its validation outcome.
      train_seconds: Wall time of training steps, without compilation and validation.
      compile_seconds: Wall time of compiling the training step.
      rate: Training samples per second.
    """

    state: TrainState
    epoch: int
    best: Outcome
    train_seconds: float
    compile_seconds: float
    rate: float


def evaluate(
    state: TrainState,
    batches: Iterable[Batch],
    *,
    step: EvaluationStep,
    empty: Callable[[], EpochMetrics],
    mesh: jax.sharding.Mesh,
    context: Mapping[str, Any] | None = None,
) -> Outcome:
    """Runs `step` over all `batches`; metrics are fetched once, at the end.

    Args:
      state: What to evaluate.
      batches: Each once.
      step: Evaluation step.
      empty: Makes the empty metrics.
      mesh: Devices.
      context: What the metric takes beside prediction and batch, by keyword.

    Raises:
      NonFiniteLossError: Naming the ids of the batch.
    """
    metrics = jax.device_put(empty(), sharding.replicated(mesh))
    start = time.perf_counter()
    for batch in batches:
        metrics = step(state, metrics, jax.device_put(batch, sharding.split(mesh)), context or {})
    metrics = jax.device_get(metrics)
    seconds = time.perf_counter() - start
    _check_finite(metrics)
    return Outcome(_scores(metrics), metrics, int(metrics.samples), seconds)


def fit(
    state: TrainState,
    batches: Iterator[Batch],
    *,
    epochs: int,
    steps_per_epoch: int,
    step: TrainStep,
    empty: Callable[[], EpochMetrics],
    validate: Callable[[TrainState], Outcome],
    checkpoints: Checkpoints,
    folder: RunFolder,
    mesh: jax.sharding.Mesh,
    score: str = "mIoU",
    warmup: int = 0,
    warmup_step: TrainStep | None = None,
) -> Fit:
    """Trains for `epochs`; after each, validates, writes a line of metrics and the checkpoints.

    Args:
      state: Fresh state.
      batches: Endless training batches.
      epochs: Number of epochs; with 0 the given state is validated and kept.
      steps_per_epoch: Number of batches in an epoch.
      step: Training step.
      empty: Makes the empty metrics of an epoch.
      validate: Scores a state; the best (the earlier of equals) is kept.
      checkpoints: Where `best` and `last` go.
      folder: Where the log goes.
      mesh: Devices.
      score: Name of the score that counts.
      warmup: Number of first epochs that `warmup_step` takes instead.
      warmup_step: Training step of these.

    Raises:
      NonFiniteLossError: Naming the step and the batch's ids.
    """
    whole, split = sharding.replicated(mesh), sharding.split(mesh)
    state = jax.device_put(state, whole)
    if epochs == 0:
        outcome = validate(state)
        checkpoints.save("best", state, epoch=0, **{f"val_{score}": outcome.scores[score]})
        return Fit(state, 0, outcome, train_seconds=0.0, compile_seconds=0.0, rate=0.0)
    batch = jax.device_put(next(batches), split)
    start = time.perf_counter()
    steps = [step] if warmup == 0 else [step, warmup_step]
    steps = [one.lower(state, jax.device_put(empty(), whole), batch).compile() for one in steps]
    compile_seconds = time.perf_counter() - start

    best, best_epoch, seconds, samples = None, 0, 0.0, 0
    with _progress(epochs * steps_per_epoch) as bar:
        for epoch in range(1, epochs + 1):
            bar.set_description(f"epoch {epoch}/{epochs}")
            start = time.perf_counter()
            metrics = jax.device_put(empty(), whole)
            step = steps[0 if epoch > warmup else 1]
            for _ in range(steps_per_epoch):
                state, metrics = step(state, metrics, batch)
                # The device computes while the host makes the next batch.
                batch = jax.device_put(next(batches), split)
                if bar.update(1):
                    _show(bar, metrics, best, score)
            metrics = jax.device_get(metrics)
            seconds += time.perf_counter() - start
            _check_finite(metrics)
            samples += int(metrics.samples)
            train, outcome = _scores(metrics), validate(state)
            improved = best is None or outcome.scores[score] > best.scores[score]
            facts = {"epoch": epoch, f"val_{score}": outcome.scores[score]}
            checkpoints.save("last", state, **facts)
            if improved:
                best, best_epoch = outcome, epoch
                checkpoints.save("best", state, **facts)
            folder.log(
                epoch=epoch,
                step=epoch * steps_per_epoch,
                train=_plain(train),
                val=_plain(outcome.scores),
                seconds=seconds,
            )
            _show(bar, metrics, best, score)
    assert best is not None
    return Fit(
        state=checkpoints.load("best", state),
        epoch=best_epoch,
        best=best,
        train_seconds=seconds,
        compile_seconds=compile_seconds,
        rate=samples / seconds,
    )


@contextlib.contextmanager
def _progress(steps: int):
    """A progress bar on a terminal, a line now and then in a log file."""
    interval = REFRESH_SECONDS if sys.stderr.isatty() else 15.0
    with tqdm.tqdm(total=steps, unit="step", mininterval=interval, dynamic_ncols=True) as bar:
        yield bar


def _show(bar: tqdm.tqdm, metrics: EpochMetrics, best: Outcome | None, score: str) -> None:
    """Shows the epoch so far; the only time that the host waits for a step, so now and then."""
    metrics = jax.device_get(metrics)
    _check_finite(metrics)
    train = _scores(metrics)
    rate = bar.n / max(bar.format_dict["elapsed"], 1e-9)
    text = f"loss {train['loss']:.3f}"
    if score in train:
        text += f", {score} {train[score]:.3f}"
    if best is not None:
        text += f", best val {score} {best.scores[score]:.3f}"
    bar.set_postfix_str(f"{text}, {rate * len(metrics.failed_ids):.0f} samples/s")


def _check_finite(metrics: EpochMetrics) -> None:
    if int(metrics.failed_step) >= 0:
        ids = [int(i) for i in metrics.failed_ids if i >= 0]
        raise NonFiniteLossError(
            f"the loss is not finite at step {int(metrics.failed_step)}, batch of ids {ids}"
        )


def _scores(metrics: EpochMetrics) -> dict[str, Any]:
    return {"loss": float(metrics.loss.compute()), **metrics.task.compute()}


def _plain(scores: dict[str, Any]) -> dict[str, float]:
    """The scalar scores."""
    return {name: value for name, value in scores.items() if isinstance(value, float)}
