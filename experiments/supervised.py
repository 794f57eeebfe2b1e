"""What parcels and patches share: scheme, training, test and report.

An experiment gives its data, parts, loss and metric; `train_and_test` does the rest.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from experiments import arguments, common
from experiments.arguments import Config, dropout_rates, stored
from experiments.datasets import Data
from experiments.paper import pooled
from pastis_jax import fusion, training, viz
from pastis_jax.data import simulate
from pastis_jax.nn import reference_initialisation
from pastis_jax.rng import fold_in_name
from pastis_jax.temporal_dropout import temporal_dropout
from pastis_jax.training.step import LossFunction, Metric
from pastis_jax.types import Batch, Prediction


@dataclasses.dataclass(frozen=True)
class Task:
    """What one experiment differs by from another.

    Attributes:
      name: Its name, as in ``experiments.<name>``.
      title: Its name for readers.
      samples: What a batch holds, in plural.
      classes: Names of the classes that count, in the order of the metric.
      colours: Their colours, 0 to 255.
      loss: Mean loss and weight of each sample.
      metric: Metric of a training batch.
      empty: Metric of no batch.
      score: Name of the validation score that selects the state.
    """

    name: str
    title: str
    samples: str
    classes: Sequence[str]
    colours: Sequence[tuple[int, int, int]]
    loss: LossFunction
    metric: Callable[[Prediction, Batch], Metric]
    empty: Callable[[], Metric]
    score: str = "mIoU"


def build_scheme(
    config: Config,
    *,
    spatial: Callable[[str], nn.Module],
    temporal: Callable[[], nn.Module],
    decoder: Callable[[], nn.Module],
) -> nn.Module:
    """Combines the parts of a task in the fusion scheme of a completed `config`.

    Args:
      config: Scheme, modalities and supervision.
      spatial: Makes S for a modality; early fusion asks for that of the first one.
      temporal: Makes T.
      decoder: Makes D.
    """
    names = config.modalities

    def each(part):
        return {m: part() for m in names}

    first, encoders = spatial(names[0]), {m: spatial(m) for m in names}
    auxiliary = each(decoder) if config.auxiliary else None
    match config.fusion:
        case "single":
            return fusion.single(names[0], first, temporal(), decoder())
        case "early":
            return fusion.early(names, first, temporal(), decoder())
        case "mid":
            own = each(temporal) if config.separate_temporal else None
            return fusion.mid(
                encoders, temporal(), decoder(), auxiliary=auxiliary, auxiliary_temporal=own
            )
        case "late":
            return fusion.late(encoders, each(temporal), decoder(), auxiliary=auxiliary)
        case "decision":
            return fusion.decision(
                encoders, each(temporal), each(decoder), auxiliary=config.auxiliary
            )


@dataclasses.dataclass(frozen=True)
class Parts:
    """What the model of a finished run is tested with.

    Attributes:
      task: The task.
      data: Its records.
      model: The scheme, as the batches of validation and test need it.
      output: What it is asked for: classes, or a panoptic map; takes a prediction, and `context` by
        keyword.
      metric: Metric of such a batch; by default the task's.
      empty: Metric of no batch.
      context: What metric and output take beside prediction and batch, by keyword.
    """

    task: Task
    data: Data
    model: nn.Module
    output: Callable[..., Any]
    metric: Callable[..., Metric] | None = None
    empty: Callable[[], Metric] | None = None
    context: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained scheme.

    Attributes:
      fit: The best state, and how it was reached.
      folder: The run's folder.
      parameters: Number of parameters by module.
      key: Root key of the run.
      data_seconds: Wall time until training began.
    """

    fit: training.Fit
    folder: training.RunFolder
    parameters: Mapping[str, int]
    key: jax.Array
    data_seconds: float


def make_optimizer(config: Config, steps: int) -> optax.GradientTransformation:
    """The optimiser of a completed `config`, for a run of so many steps."""
    schedule = training.make_schedule(config.schedule, config.learning_rate, steps=steps)
    decay = {} if config.weight_decay is None else {"weight_decay": config.weight_decay}
    return training.make_optimizer(config.optimizer, schedule, **decay)


def train(
    config: Config,
    task: Task,
    *,
    model: nn.Module,
    data: Data,
    validate: Callable[[training.TrainState], training.Outcome],
    folder: training.RunFolder,
    started: float,
    variables: Mapping[str, Any] | None = None,
    most: Mapping[str, int | None] | None = None,
    warmup: int = 0,
    warmup_model: nn.Module | None = None,
) -> Trained:
    """Trains `model` from where its run stopped, and keeps the state that validates best.

    Args:
      config: Completed.
      task: The task.
      model: Scheme to train.
      data: What to train on.
      validate: Scores a state by `task.score`.
      folder: Folder of the run; begun now, or continued.
      started: `time.perf_counter()` at the start of the run.
      variables: Weights to start from instead of drawn ones, of the same names and shapes.
      most: Most dates of a batch to keep in temporal dropout, by modality.
      warmup: Number of first epochs in which `warmup_model` is trained, on the same parameters.
      warmup_model: See `warmup`.
    """
    data_seconds = time.perf_counter() - started
    steps = config.epochs * data.steps_per_epoch
    optimizer, key = make_optimizer(config, steps), jax.random.key(config.seed)
    placement = arguments.placement(config)
    state = training.create_state(model, optimizer, next(data.evaluation("val")), key)
    if config.initialisation == "reference":
        drawn = fold_in_name(key, "reference")
        params = reference_initialisation(drawn, state.params, state.batch_stats)
        state = state.replace(params=params)
    if variables is not None:
        state = state.replace(params=variables["params"], batch_stats=variables["batch_stats"])
    if config.ema:
        state = state.replace(average=jax.tree.map(jnp.copy, state.variables))
    table = training.parameter_table(state.params)
    scheme, total = f"{config.fusion} fusion of {', '.join(config.modalities)}", sum(table.values())
    common.say(f"{scheme}: {total:,} parameters")
    for name, number in training.parameter_table(state.params, depth=1).items():
        common.say(f"  {number:>9,} {name}")
    events = training.Events(folder.path / "tensorboard") if config.tensorboard else None
    profile = None
    if config.profile and training.is_main():
        profile = training.Profile(folder.path / "profile", first=min(3, steps // 2))
    folder.begin()
    if config.out is None:
        common.say(f"If it is stopped, the same command with --out {folder.given} continues it.")
    rates = dropout_rates(config)

    def step(model):
        return training.make_train_step(
            model=model,
            loss=task.loss,
            metric=task.metric,
            optimizer=optimizer,
            key=key,
            placement=placement,
            augment=functools.partial(
                temporal_dropout, rates=rates, most=most, axis_name=placement.axis_name
            )
            if rates
            else None,
            ema=config.ema,
        )

    fit = training.fit(
        state,
        data.training(),
        epochs=config.epochs,
        steps_per_epoch=data.steps_per_epoch,
        step=step(model),
        empty=lambda: training.EpochMetrics.empty(task.empty(), config.batch_size),
        validate=validate,
        checkpoints=training.Checkpoints(folder.path / "checkpoints", stored(config)),
        folder=folder,
        placement=placement,
        score=task.score,
        warmup=warmup,
        warmup_step=step(warmup_model) if warmup else None,
        checkpoint_steps=config.checkpoint_steps,
        events=events,
        profile=profile,
    )
    return Trained(fit, folder, table, key, data_seconds)


def train_and_test(
    config: Config,
    task: Task,
    *,
    model: nn.Module,
    evaluation_model: nn.Module,
    data: Data,
    folder: training.RunFolder,
    started: float,
    variables: Mapping[str, Any] | None = None,
    most: Mapping[str, int | None] | None = None,
    more: Callable[[training.TrainState], Mapping[str, Any]] = lambda state: {},
) -> tuple[dict[str, Any], training.TrainState]:
    """Trains a classifier, selects on the validation folds, tests, and draws the plots.

    Args:
      config: Completed.
      task: The task; its metric is a confusion matrix.
      model: Scheme to train.
      evaluation_model: The same scheme as the batches of validation and test need it.
      data: What to train on and to test with.
      folder: Folder of the run; begun now, or continued.
      started: `time.perf_counter()` at the start of the run.
      variables: Weights to start from instead of drawn ones, of the same names and shapes.
      most: Most dates of a batch to keep in temporal dropout, by modality.
      more: Gives what else goes into result.json, from the tested state; for the main process.

    Returns:
      What result.json will hold, and the state that was tested.
    """
    placement = arguments.evaluation_placement(config)
    step = functools.partial(
        training.make_evaluation_step,
        model=evaluation_model,
        loss=task.loss,
        metric=task.metric,
        placement=placement,
    )
    plain_step = step()

    def score(state, split, step=plain_step):
        return training.evaluate(
            state,
            data.evaluation(split),
            step=step,
            empty=lambda: training.EpochMetrics.empty(
                task.empty(), arguments.evaluation_size(config)
            ),
            placement=placement,
        )

    trained = train(
        config,
        task,
        model=model,
        data=data,
        validate=lambda state: score(state, "val"),
        folder=folder,
        started=started,
        variables=variables,
        most=most,
    )
    state = trained.fit.state
    test = score(state, "test")
    without_dates = {}
    for share in config.removed_optical:
        removal = functools.partial(
            temporal_dropout, rates={"S2": share}, axis_name=placement.axis_name
        )
        cloudy = step(augment=removal, key=fold_in_name(trained.key, "removed dates"))
        without_dates[str(share)] = summary(score(state, "test", cloudy), task)

    result = {
        **facts(config, task, trained, test, root=data.root, started=started),
        "test": summary(test, task),
        "val": summary(trained.fit.best, task),
        "test_removed_optical": without_dates,
        "confusion": pooled.counts(test.metrics.task),
        **(more(state) if training.is_main() else {}),
    }
    if training.is_main():
        draw(config, trained, task, test)
    return result, state


def draw(config: Config, trained: Trained, task: Task, test: training.Outcome) -> None:
    """Draws the learning curves and the test scores of a classifier."""
    draw_curves(config, trained, task)
    folder = trained.folder
    counts = np.asarray(test.metrics.task.counts)
    viz.confusion_matrix(counts, task.classes, folder.path / "confusion_matrix.png")
    viz.iou_per_class(
        test.scores["IoU"], task.classes, task.colours, folder.path / "iou_per_class.png"
    )


def facts(
    config: Config,
    task: Task,
    trained: Trained,
    test: training.Outcome,
    *,
    root: pathlib.Path,
    started: float,
) -> dict[str, Any]:
    """What every result.json holds, whatever the task."""
    fit = trained.fit
    return {
        "title": f"{task.title}, {config.fusion} fusion of {' + '.join(config.modalities)}, "
        f"fold {config.fold}, {'simulated data' if simulate.is_simulated(root) else root.name}",
        "task": task.name,
        **{
            name: getattr(config, name)
            for name in ("fusion", "modalities", "temporal_dropout", "auxiliary", "fold", "seed")
        },
        "data": "simulated" if simulate.is_simulated(root) else "given",
        "folder": str(root),
        "samples": task.samples,
        "epochs": config.epochs,
        "best_epoch": fit.epoch,
        "parameters": sum(trained.parameters.values()),
        "parameters_by_module": trained.parameters,
        "seconds": {
            "data": trained.data_seconds,
            "compile": fit.compile_seconds,
            "train": fit.train_seconds,
            "data wait": fit.wait_seconds,
            "inference": test.seconds,
            "total": time.perf_counter() - started,
        },
        "throughput": {"train": fit.rate, "inference": test.rate},
        "peak_memory_gb": common.peak_memory(),
        "device": common.devices(),
        "code": common.code_version(),
    }


def draw_curves(config: Config, trained: Trained, task: Task) -> None:
    """Draws the learning curves of a run that trained."""
    if config.epochs:
        folder = trained.folder.path
        viz.learning_curves(
            folder / "metrics.jsonl", folder / "learning_curves.png", score=task.score
        )


def summary(outcome: training.Outcome, task: Task) -> dict[str, Any]:
    """Scores for result.json."""
    scores = outcome.scores
    return {
        "OA": scores["OA"],
        "mIoU": scores["mIoU"],
        "loss": scores["loss"],
        "iou": dict(zip(task.classes, scores["IoU"], strict=True)),
    }
