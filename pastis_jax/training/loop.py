"""The loop over epochs: train, validate, keep the best, log; from where it stopped, if it did."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import tqdm

from pastis_jax.errors import UserError
from pastis_jax.training.checkpoint import Checkpoints
from pastis_jax.training.evaluation import Identify, Outcome, check_counted, check_finite, scores_of
from pastis_jax.training.feed import Batches
from pastis_jax.training.logging import RunFolder
from pastis_jax.training.pace import pace_of
from pastis_jax.training.processes import is_main
from pastis_jax.training.progress import Progress
from pastis_jax.training.sharding import Placement
from pastis_jax.training.state import TrainState
from pastis_jax.training.step import EpochMetrics, TrainStep
from pastis_jax.training.watch import Events, Profile

REFRESH_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Fit:
    """Result of `fit`.

    Attributes:
      state: State with the best validation score.
      epoch: Its epoch, from 1.
      best: Its validation outcome.
      train_seconds: Wall time of training steps, without compilation and validation.
      compile_seconds: Wall time of compiling the training step.
      wait_seconds: Part of `train_seconds` in which the devices may have waited for a batch.
      rate: Training samples per second.
    """

    state: TrainState
    epoch: int
    best: Outcome
    train_seconds: float
    compile_seconds: float
    wait_seconds: float
    rate: float


def fit(
    state: TrainState,
    batches: Batches,
    *,
    epochs: int,
    steps_per_epoch: int,
    step: TrainStep,
    empty: Callable[[], EpochMetrics],
    validate: Callable[[TrainState], Outcome],
    checkpoints: Checkpoints,
    folder: RunFolder,
    placement: Placement,
    score: str = "mIoU",
    warmup: int = 0,
    warmup_step: TrainStep | None = None,
    checkpoint_steps: int | None = None,
    events: Events | None = None,
    profile: Profile | None = None,
    identify: Identify = int,
) -> Fit:
    """Trains for `epochs`; after each, validates, writes a line of metrics and the checkpoints.

    If `checkpoints` hold a part of the run, it goes on from the newest, on the present devices: on
    the same ones, all that follows is what it would have been, bit for bit.

    Args:
      state: Fresh state.
      batches: Training batches, from the first one on.
      epochs: Number of epochs; with 0 the given state is validated and kept.
      steps_per_epoch: Number of batches in an epoch.
      step: Training step.
      empty: Makes the empty metrics of an epoch.
      validate: Scores a state; the best (the earlier of equals) is kept. NaN, of an epoch that has
        no score, is below any number.
      checkpoints: Where `best` and `last` go.
      folder: Where the log goes.
      placement: Devices.
      score: Name of the score that counts.
      warmup: Number of first epochs that `warmup_step` takes instead.
      warmup_step: Training step of these.
      checkpoint_steps: Also write `last` within an epoch, whenever so many steps of it are done.
      events: Where the log goes too.
      profile: Traces some steps.
      identify: Names the samples of a batch that fails.

    Raises:
      NonFiniteLossError: Naming the step and the batch's samples.
      OSError: If something cannot be written; the checkpoints before that stay.
      UserError: If a checkpoint cannot be read, epochs had another length before, or no sample of
        an epoch counted.
    """
    state = placement.whole(state)
    if epochs == 0:
        folder.restart_log()
        outcome = validate(state)
        checkpoints.save("best", state, epoch=0, **{f"val_{score}": outcome.scores[score]})
        return Fit(state, 0, outcome, 0.0, 0.0, 0.0, 0.0)
    metrics, progress = placement.whole(empty()), Progress()
    check = functools.partial(Progress.from_facts, score=score)
    if (before := checkpoints.resume(state, metrics, check=check)) is not None:
        state, metrics, facts = before
        _check_length(facts["steps_per_epoch"], steps_per_epoch, checkpoints)
        progress = check(facts)
        try:
            batches.set_state(progress.batches)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            fault = "the state of the batches in its newest checkpoint is damaged"
            where, remedy = checkpoints.folder, "start anew by `overwrite`"
            raise UserError(fault, where=where, remedy=remedy) from error
    folder.restart_log(progress.log)
    draw = events.write if events and is_main() else lambda step, values: None
    for line in progress.log:
        draw(line["step"], _scalars(line))

    def keep() -> None:
        checkpoints.save(
            "last", state, metrics=metrics, steps_per_epoch=steps_per_epoch, **progress.facts()
        )

    compile_seconds = 0.0
    if progress.epoch < epochs:
        pace = pace_of(batches, placement, steps_per_epoch, singly=profile is not None)
        start = time.perf_counter()
        needed = {e <= warmup for e in range(progress.epoch + 1, epochs + 1)}
        steps = {
            early: pace.compile(warmup_step if early else step, state, metrics) for early in needed
        }
        compile_seconds = time.perf_counter() - start

    finished = progress.epoch * steps_per_epoch + progress.done
    with _progress_bar(epochs * steps_per_epoch, finished) as bar:
        for epoch in range(progress.epoch + 1, epochs + 1):
            bar.set_description(f"epoch {epoch}/{epochs}")
            start, waited, elapsed = time.perf_counter(), progress.waited, progress.seconds
            step, done = steps[epoch <= warmup], progress.done
            while (first := done) < steps_per_epoch:
                if profile:
                    profile.before_step()
                stop = steps_per_epoch
                if checkpoint_steps:
                    stop = min(stop, (done // checkpoint_steps + 1) * checkpoint_steps)
                state, metrics, done = pace.advance(step, state, metrics, done, stop, progress)
                if profile:
                    profile.after_step(metrics)
                if bar.update(done - first):
                    _show(bar, metrics, progress.best, score, done, identify)
                if checkpoint_steps and done % checkpoint_steps == 0 and done < steps_per_epoch:
                    check_finite(jax.device_get(metrics), identify)
                    progress.seconds += time.perf_counter() - start
                    progress.done = done
                    keep()
                    start = time.perf_counter()
            trained = jax.device_get(metrics)
            progress.seconds += time.perf_counter() - start
            check_finite(trained, identify)
            check_counted(trained, f"epoch {epoch}")
            progress.samples += int(trained.samples)
            train, outcome = scores_of(trained), validate(state)
            best = None if progress.best is None else progress.best.scores[score]
            if _is_better(outcome.scores[score], best):
                progress.best, progress.best_epoch = outcome, epoch
                value = {f"val_{score}": outcome.scores[score]}
                checkpoints.save("best", state, epoch=epoch, **value)
            progress.epoch, progress.done = epoch, 0
            progress.log.append(
                {
                    "epoch": epoch,
                    "step": epoch * steps_per_epoch,
                    "train": _plain(train),
                    "val": _plain(outcome.scores),
                    "seconds": progress.seconds,
                    "data_wait": (progress.waited - waited) / (progress.seconds - elapsed),
                }
            )
            metrics = placement.whole(empty())
            keep()
            folder.log(**progress.log[-1])
            draw(epoch * steps_per_epoch, _scalars(progress.log[-1]))
            _show(bar, trained, progress.best, score, steps_per_epoch, identify)
    if profile:
        profile.close(state)
    if events:
        events.close()
    assert progress.best is not None
    return Fit(
        state=checkpoints.load("best", state),
        epoch=progress.best_epoch,
        best=progress.best,
        train_seconds=progress.seconds,
        compile_seconds=compile_seconds,
        wait_seconds=progress.waited,
        rate=progress.samples / progress.seconds,
    )


def stopped_at(folder: pathlib.Path) -> dict[str, Any] | None:
    """Facts of the checkpoint that a run would continue from; None if nothing was saved yet.

    Args:
      folder: A run's folder of checkpoints.

    Raises:
      UserError: If there are checkpoints, but no sound one.
    """
    chosen, facts, _ = Checkpoints(folder, {}).sound(Progress.from_facts)
    return None if chosen is None else facts


def _is_better(score: float, best: float | None) -> bool:
    """Whether a score takes the place of the best one so far; NaN does of none."""
    if best is None or score > best:
        return True
    return math.isnan(best) and not math.isnan(score)


def _check_length(before: int, now: int, checkpoints: Checkpoints) -> None:
    if before != now:
        raise UserError(
            f"an epoch of this run had {before} steps, of the data there are now it has {now}",
            where=checkpoints.folder,
            remedy="bring the data back, or start anew by `overwrite`",
        )


@contextlib.contextmanager
def _progress_bar(steps: int, finished: int):
    """A progress bar on a terminal, a line now and then in a log file."""
    interval = REFRESH_SECONDS if sys.stderr.isatty() else 15.0
    with tqdm.tqdm(
        total=steps,
        initial=finished,
        unit="step",
        mininterval=interval,
        dynamic_ncols=True,
        disable=not is_main(),
    ) as bar:
        yield bar


def _show(
    bar: tqdm.tqdm,
    metrics: EpochMetrics,
    best: Outcome | None,
    score: str,
    done: int,
    identify: Identify,
) -> None:
    """Shows the epoch after `done` steps.

    But for checkpoints within an epoch, the only time that the host waits for one of them.
    """
    if bar.disable:
        return
    metrics = jax.device_get(metrics)
    if jax.process_count() == 1:  # else at the end of the epoch, all processes together
        check_finite(metrics, identify)
    train = scores_of(metrics)
    rate = (bar.n - bar.initial) / max(bar.format_dict["elapsed"], 1e-9)
    text = f"loss {train['loss']:.3f}"
    if score in train:
        text += f", {score} {train[score]:.3f}"
    if best is not None:
        text += f", best val {score} {best.scores[score]:.3f}"
    bar.set_postfix_str(f"{text}, {rate * int(metrics.samples) / done:.0f} samples/s")


def _plain(scores: dict[str, Any]) -> dict[str, float]:
    """The scalar scores."""
    return {name: value for name, value in scores.items() if isinstance(value, float)}


def _scalars(line: dict[str, Any]) -> dict[str, Any]:
    """What is drawn of a line of the log."""
    return {name: line[name] for name in ("train", "val", "data_wait")}
