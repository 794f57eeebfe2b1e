"""Trains a task on records into a run's folder: from first weights to what the run carries."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from pastis_jax import machine, training
from pastis_jax.data import calendar, simulate
from pastis_jax.data.normalisation import SEASON
from pastis_jax.data.regions.store import Region, is_region
from pastis_jax.data.splits import Splits
from pastis_jax.modality_dropout import subsets
from pastis_jax.rng import fold_in_name
from pastis_jax.runs import memory, saved
from pastis_jax.runs.drawing import draw
from pastis_jax.runs.learning import Start, augmentation_of, drop_rates, first_state, optimizer_of
from pastis_jax.runs.on_device import feed_of
from pastis_jax.runs.scoring import Scorer, for_evaluation, model_for, of_subsets
from pastis_jax.schemes import Model
from pastis_jax.tasks import Learned, Task
from pastis_jax.temporal_dropout import temporal_dropout
from pastis_jax.training import (
    EpochMetrics,
    Outcome,
    Placement,
    Recipe,
    RunFolder,
    TrainState,
)
from pastis_jax.types import Batch


@dataclasses.dataclass(frozen=True)
class Watching:
    """How a run is watched, which changes nothing of it.

    Attributes:
      checkpoint_steps: Also write a checkpoint within an epoch, every so many steps of it.
      tensorboard: Write TensorBoard events.
      profile: Trace a few training steps.
    """

    checkpoint_steps: int | None = None
    tensorboard: bool = False
    profile: bool = False


def train(
    task: Task,
    splits: Splits,
    recipe: Recipe,
    folder: RunFolder,
    *,
    placement: Placement,
    started: float,
    fold: int = 1,
    records: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    plugins: tuple[str, ...] = (),
    start: Start | None = None,
    warmup: int = 0,
    watching: Watching | None = None,
    data_on_device: str = "off",
    more: Callable[[Callable[[Batch], tuple[Any, Any]]], Mapping[str, Any]] | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Trains from where a run stopped, selects on validation, tests, draws, writes the run.

    Args:
      task: The task.
      splits: The records.
      recipe: How it is trained.
      folder: Folder of the run; begun now, or continued.
      placement: Where state and batches lie.
      started: `time.perf_counter()` at the start of the run.
      fold: Run of cross-validation, for the result.
      records: How the records were made, for the run; JSON-able.
      options: What else the task was made with, for the run.
      plugins: Modules that were imported, for the run.
      start: Weights to start from instead of drawn ones.
      warmup: First epochs that the task's warm-up model is trained in.
      watching: How the run is watched.
      data_on_device: Where batches are made; see `feed_of`.
      more: Gives what else goes into result.json, of what predicts on one device.
      say: Tells the reader a line.

    Returns:
      What result.json will hold.

    Raises:
      UserError: For a mistake in the arguments or the folder.
      NonFiniteLossError: Naming step and samples.
      OSError: If something cannot be written.
    """
    watching = watching or Watching()
    # Now: they may be gone in the end.
    simulated, lists = simulate.is_simulated(splits.root), saved.lists_of(records or {})
    memory.check_batches(splits, task.samples, say)
    days = calendar.spans(splits.observed("train"), task.spec.modalities)
    task.spec.refuse_all_masked({split: splits.observed(split) for split in splits.sources})
    for line in remarks(task, splits, days):
        say(f"Note: {line}.")
    data_seconds = time.perf_counter() - started
    rates, tested = drop_rates(task, recipe), for_evaluation(placement)
    build, most = model_for(
        task, splits, "train", size=recipe.batch_size, placement=placement, rates=rates
    )
    build_tested, _ = model_for(
        task, splits, "val", "test", size=recipe.evaluation_size, placement=tested
    )
    feed = feed_of(splits, placement, tested, asked=data_on_device)
    if feed.where is not None:
        say(f"{feed.where[0].upper()}{feed.where[1:]}.")

    def evaluation(split: str) -> Iterator[Batch]:
        # Tested on its records, as when it is opened again: the same scores to the last bit.
        return (feed if split == "val" else splits).evaluation(split)

    scorer = Scorer(task, splits, tested, build_tested(), evaluation)
    model = build()

    steps = recipe.epochs * splits.steps_per_epoch
    optimizer, key = optimizer_of(task, recipe, steps), jax.random.key(recipe.seed)
    state = first_state(
        model, optimizer, next(splits.evaluation("val", ahead=False)), key, recipe, start
    )
    table = training.parameter_table(state.params)
    describe(task, state, say)
    events = training.Events(folder.path / "tensorboard") if watching.tensorboard else None
    profile = None
    if watching.profile and training.is_main():
        profile = training.Profile(folder.path / "profile", first=min(3, steps // 2))
    folder.begin(splits.fingerprint.parts)
    augment = augmentation_of(task, recipe, rates, most, placement.axis_name)

    def step(model: Model) -> training.TrainStep:
        return training.make_train_step(
            model=model,
            loss=task.loss,
            metric=task.metric,
            optimizer=optimizer,
            key=key,
            placement=placement,
            augment=augment,
            ema=recipe.ema,
        )

    def validate(state: TrainState) -> Outcome:
        outcome = task.validate(scorer.of(state, "val"))
        feed.unchanged()  # before a checkpoint of this epoch takes the place of the last one
        return outcome

    warmup = min(warmup, max(0, recipe.epochs - 1))
    fit = training.fit(
        state,
        feed.training(),
        epochs=recipe.epochs,
        steps_per_epoch=splits.steps_per_epoch,
        step=step(model),
        empty=lambda: EpochMetrics.empty(task.empty(), recipe.batch_size),
        validate=validate,
        checkpoints=training.Checkpoints(folder.path / "checkpoints", folder.config, say=say),
        folder=folder,
        placement=placement,
        score=task.scores[0],
        warmup=warmup,
        warmup_step=step(build(warmup=True)) if warmup else None,
        checkpoint_steps=watching.checkpoint_steps,
        events=events,
        profile=profile,
        identify=splits.sources["train"].identifier,
    )
    context = task.context(fit.best)
    validated = task.calibrate(scorer.of(fit.state, "val"), context).metrics.task.fit
    temperature, kept = validated.temperature(task.told)
    if kept is not None:
        say(f"Note: probabilities are as the model gives them, at a temperature of 1: {kept}.")
    chosen = subsets(task.spec.modalities, task.spec.read)
    score = functools.partial(scorer.subsets, fit.state, "test", chosen=chosen)
    test, *fewer = task.test(score, context, temperature=temperature)
    feed.unchanged()
    result = {
        **facts(task, splits, recipe, fold, fit, table, simulated),
        "seconds": {
            "data": data_seconds,
            "compile": fit.compile_seconds,
            "train": fit.train_seconds,
            "data wait": fit.wait_seconds,
            "inference": test.seconds,
            "total": time.perf_counter() - started,
        },
        "throughput": {"train": fit.rate, "inference": test.rate},
        "test": task.summary(test),
        "test_subsets": of_subsets(task, dict(zip(chosen[1:], fewer, strict=True))),
        "val": task.summary(fit.best),
        "unobserved": test.unobserved,
        "absent": splits.absent,
        "skipped": {str(name): fault for name, fault in splits.gaps.skipped.items()},
        **task.counts(test),
        **context,
        "calibration": {
            "temperature": temperature,
            "of": task.told,
            "fitted_on": int(validated.count),
            **test.metrics.task.reliability(),
        },
    }
    if recipe.removed_optical:
        result["test_removed_optical"] = _removed(task, recipe, scorer, fit.state, key, context)
    if training.is_main():
        draw(task, splits, recipe, folder, fit.state, context, test, result, more)
    learned = Learned(splits.dataset, splits.classes, splits.encode.statistics)
    run = saved.Saved(
        task=task.name,
        spec=task.spec,
        options=options or {},
        learned=learned,
        context=context,
        fingerprint=splits.fingerprint.parts,
        records=records or {},
        batch_size=recipe.evaluation_size,
        plugins=plugins,
        days=days,
        levels=_levels(splits, task),
        window=getattr(splits, "size", None),
        temperature=temperature,
    )
    if training.is_main():
        saved.write(folder.path, run, fit.state.variables, lists)
    return result


def _levels(splits: Splits, task: Task) -> dict[str, str]:
    """What was done to the modalities before, where the records are of a Region."""
    if not is_region(splits.root):
        return {}
    region = Region(splits.root)
    levels = {name: region.level(name) for name in task.spec.modalities}
    return {name: level for name, level in levels.items() if level}


def remarks(task: Task, splits: Splits, trained: Mapping[str, calendar.Span]) -> list[str]:
    """What is odd about the days of a run's samples, a line each.

    Args:
      task: The task.
      splits: The records.
      trained: The days that it is trained on, by modality.
    """
    observed = {split: splits.observed(split) for split in splits.sources}
    (first, last), start = SEASON, splits.dataset.season_start
    far = [
        f"{name} {span.first} to {span.last}"
        for name, span in trained.items()
        if not first <= span.first <= span.last <= last or span.first > calendar.LATE
    ]
    season = f"days count from season_start {start}, and go far from it ({', '.join(far)}); give "
    season += "the data their own in dataset.json"
    lines = [season] * bool(far)
    lines += [
        calendar.not_trained_on(days, trained, name=split)
        for split, days in observed.items()
        if split != "train"
    ]
    return [*filter(None, [*lines, task.spec.not_enclosed([*itertools.chain(*observed.values())])])]


def describe(task: Task, state: TrainState, say: Callable[[str], None]) -> None:
    """Tells how many parameters a model has, and where."""
    table = training.parameter_table(state.params, depth=1)
    scheme = f"{task.spec.fusion} fusion of {', '.join(task.spec.modalities)}"
    say(f"{scheme}: {sum(table.values()):,} parameters")
    for name, number in table.items():
        say(f"  {number:>9,} {name}")


def _removed(task, recipe, scorer, state, key, context) -> dict[str, Any]:
    """Test scores with dates of optical modalities removed, by the share of them."""
    optical = [name for name in task.spec.modalities if task.dataset[name].optical]
    results = {}
    for share in recipe.removed_optical:
        removal = functools.partial(
            temporal_dropout, rates=dict.fromkeys(optical, share), axis_name=task.axis_name
        )
        key_of_removal = fold_in_name(key, "removed dates")
        score = scorer.of(state, "test", augment=removal, key=key_of_removal)
        results[str(share)] = task.summary(task.test(score, context))
    return results


def facts(
    task: Task,
    splits: Splits,
    recipe: Recipe,
    fold: int,
    fit: training.Fit,
    table: Mapping[str, int],
    simulated: bool,
) -> dict[str, Any]:
    """What every result.json holds, whatever the task."""
    spec, root = task.spec, splits.root
    return {
        "title": f"{task.title}, {spec.fusion} fusion of {' + '.join(spec.modalities)}, "
        f"fold {fold}, {'simulated data' if simulated else root.name}",
        "task": task.name,
        "dataset": splits.dataset.name,
        "fusion": spec.fusion,
        "modalities": spec.modalities,
        "temporal_dropout": recipe.temporal_dropout,
        "modality_dropout": recipe.modality_dropout,
        "auxiliary": spec.auxiliary,
        "fold": fold,
        "seed": recipe.seed,
        "data": "simulated" if simulated else "given",
        "folder": str(root),
        "samples": task.samples,
        "epochs": recipe.epochs,
        "best_epoch": fit.epoch,
        "parameters": sum(table.values()),
        "parameters_by_module": table,
        "peak_memory_gb": machine.peak_memory(),
        "device": machine.devices(),
        "code": machine.code_version(),
    }
