"""What parcels and patches share: arguments, scheme, training, test and report.

An experiment gives its data, parts, loss and metric; `train_and_test` does the rest.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
import optax
from flax import linen as nn

from experiments import common
from pastis_jax import fusion, training, viz
from pastis_jax.errors import UserError
from pastis_jax.nn import reference_initialisation
from pastis_jax.rng import fold_in_name
from pastis_jax.temporal_dropout import PAPER_RATES, temporal_dropout
from pastis_jax.training.step import LossFunction, Metric
from pastis_jax.types import Batch, Prediction


@dataclasses.dataclass(frozen=True)
class Config:
    """Arguments of every experiment."""

    fusion: Literal["single", "early", "mid", "late", "decision"] = "mid"
    """Where the modalities meet: one modality alone, raw channels, dates, embeddings, decisions."""
    modalities: tuple[Literal["S2", "S1A", "S1D"], ...] = ()
    """Modalities to use; by default all three, or S2 with `--fusion single`. Early fusion resamples
    to the dates of the first one."""
    temporal_dropout: bool = False
    """Drop dates while training: 40 % of S2, 20 % of each Sentinel-1 orbit."""
    auxiliary: bool = False
    """Supervise each modality by a decoder of its own too, weight 0.5 (mid, late, decision)."""
    separate_temporal: bool = False
    """With mid fusion and --auxiliary: a temporal encoder of its own for each auxiliary decoder."""
    data: pathlib.Path | None = None
    """Official folder of the task. Default: a simulated one."""
    fold: Literal[1, 2, 3, 4, 5] = 1
    """Official run: 1 trains on folds 1 2 3, validates on 4, tests on 5, and so on cyclically."""
    epochs: int | None = None
    """Default: 100 with --data, as in the paper; a few on the simulated set."""
    batch_size: int | None = None
    """Samples per step. Default: as in the paper with --data; for a CPU on the simulated set."""
    learning_rate: float | None = None
    """Step size of Adam. Default: 1e-3, as in the paper; 3e-3 on simulated patches."""
    initialisation: Literal["he", "reference"] = "he"
    """First weights: He-normal, or as the published code draws them."""
    removed_optical: tuple[float, ...] = ()
    """Also test with these shares (0 to 1) of the S2 dates removed, as clouds would."""
    compute_statistics: bool = False
    """Normalise with statistics computed from the data, not those of the NORM files."""
    cache_dir: pathlib.Path | None = None
    """Where prepared and simulated data are kept. Default: $PASTIS_JAX_CACHE or ~/.cache."""
    seed: int = 0
    """Everything random follows from it."""
    out: pathlib.Path | None = None
    """Folder for configuration, metrics, result, plots and checkpoints. Default: below runs/."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What one experiment differs by from another.

    Attributes:
      name: Its name, as in ``experiments.<name>``.
      samples: What a batch holds, in plural.
      classes: Names of the classes that count, in the order of the metric.
      colours: Their colours, 0 to 255.
      loss: Mean loss and weight of each sample.
      metric: Metric of a batch.
      empty: Metric of no batch.
    """

    name: str
    samples: str
    classes: Sequence[str]
    colours: Sequence[tuple[int, int, int]]
    loss: LossFunction
    metric: Callable[[Prediction, Batch], Metric]
    empty: Callable[[], Metric]


def complete(
    config: Config,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float = 1e-3,
    least_epochs: int = 1,
) -> Config:
    """Fills in the arguments that depend on others, and refuses what contradicts itself.

    Args:
      config: As given.
      epochs: Default of the task on this data.
      batch_size: Default of the task on this data.
      learning_rate: Default of the task on this data.
      least_epochs: 0 where a model comes trained.

    Raises:
      UserError: Naming the flag.
    """
    every = ("S2",) if config.fusion == "single" else ("S2", "S1A", "S1D")
    modalities = tuple(dict.fromkeys(config.modalities)) or every
    config = dataclasses.replace(
        config,
        modalities=modalities,
        epochs=epochs if config.epochs is None else config.epochs,
        batch_size=batch_size if config.batch_size is None else config.batch_size,
        learning_rate=learning_rate if config.learning_rate is None else config.learning_rate,
    )
    refuse(
        (
            config.fusion == "single" and len(modalities) != 1,
            "--modalities",
            f"--fusion single takes one modality, got {len(modalities)}",
            "name one, or choose another fusion scheme",
        ),
        (
            config.auxiliary and config.fusion in ("single", "early"),
            "--auxiliary",
            f"--fusion {config.fusion} has no predictions per modality to supervise",
            "leave it out, or choose mid, late or decision",
        ),
        (
            config.separate_temporal and not (config.auxiliary and config.fusion == "mid"),
            "--separate-temporal",
            "this is for the auxiliary decoders of mid fusion",
            "add --fusion mid --auxiliary, or leave it out",
        ),
        (
            config.epochs < least_epochs,
            "--epochs",
            f"must be at least {least_epochs}",
            "give a larger number",
        ),
        (
            not 1 <= config.batch_size <= 65536,
            "--batch-size",
            "must be 1 to 65536",
            "give such a number",
        ),
        (
            config.batch_size % jax.device_count() != 0,
            "--batch-size",
            f"must be divisible by the {jax.device_count()} devices",
            "give a multiple of it",
        ),
        (not 0 < config.learning_rate < 1, "--learning-rate", "must be 0 to 1", "give 1e-3, say"),
        (not 0 <= config.seed < 2**32, "--seed", "must be 0 to 4294967295", "give 0, say"),
        (
            config.removed_optical and "S2" not in modalities,
            "--removed-optical",
            "there is no S2 among the modalities",
            "leave it out",
        ),
        (
            not all(0 <= share <= 1 for share in config.removed_optical),
            "--removed-optical",
            "shares go from 0 to 1",
            "give 0.7 for 70 %",
        ),
    )
    return config


def refuse(*cases: tuple[Any, str, str, str]) -> None:
    """Raises the first of `cases`, (wrong, flag, what, remedy), that is wrong.

    Raises:
      UserError: If one is.
    """
    for wrong, flag, what, remedy in cases:
        if wrong:
            raise UserError(what, where=flag, remedy=remedy)


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


def dropout_rates(config: Config) -> Mapping[str, float]:
    """Rates of temporal dropout by modality; empty for none."""
    return PAPER_RATES if config.temporal_dropout else {}


def train_and_test(
    config: Config,
    task: Task,
    *,
    model: nn.Module,
    evaluation_model: nn.Module,
    batches: Iterator[Batch],
    evaluation: Callable[[str], Iterator[Batch]],
    steps_per_epoch: int,
    root: pathlib.Path,
    folder_path: pathlib.Path,
    started: float,
    variables: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], training.TrainState]:
    """Trains, selects on the validation folds, tests, and writes the run's folder.

    Args:
      config: Completed.
      task: The task.
      model: Scheme to train.
      evaluation_model: The same scheme as `evaluation`'s batches need it.
      batches: Endless training batches.
      evaluation: Makes the batches of `val` or `test`.
      steps_per_epoch: Number of batches in an epoch.
      root: Folder of the data.
      folder_path: Folder of the run; made now.
      started: `time.perf_counter()` at the start of the run.
      variables: Weights to start from instead of drawn ones, of the same names and shapes.
      facts: What else result.json should hold.

    Returns:
      The content of result.json, and the state that was tested.
    """
    data_seconds = time.perf_counter() - started
    optimizer = optax.adam(config.learning_rate)
    key = jax.random.key(config.seed)
    mesh = training.data_mesh()
    state = training.create_state(model, optimizer, next(evaluation("val")), key)
    if config.initialisation == "reference":
        params = reference_initialisation(fold_in_name(key, "reference"), state.params)
        state = state.replace(params=params)
    if variables is not None:
        state = state.replace(params=variables["params"], batch_stats=variables["batch_stats"])
    parameters = training.count_parameters(state.params)
    common.say(
        f"{config.fusion} fusion of {', '.join(config.modalities)}: {parameters:,} parameters"
    )

    def empty():
        return training.EpochMetrics.empty(task.empty(), config.batch_size)

    step = functools.partial(
        training.make_evaluation_step,
        model=evaluation_model,
        loss=task.loss,
        metric=task.metric,
        mesh=mesh,
    )
    validation_step = step()

    def score(state, split, step=validation_step):
        return training.evaluate(state, evaluation(split), step=step, empty=empty, mesh=mesh)

    folder = training.RunFolder(folder_path)
    folder.write("config.json", dataclasses.asdict(config))
    rates = dropout_rates(config)
    fit = training.fit(
        state,
        batches,
        epochs=config.epochs,
        steps_per_epoch=steps_per_epoch,
        step=training.make_train_step(
            model=model,
            loss=task.loss,
            metric=task.metric,
            optimizer=optimizer,
            key=key,
            mesh=mesh,
            augment=functools.partial(temporal_dropout, rates=rates) if rates else None,
        ),
        empty=empty,
        validate=lambda state: score(state, "val"),
        checkpoints=training.Checkpoints(folder.path / "checkpoints", dataclasses.asdict(config)),
        folder=folder,
        mesh=mesh,
    )
    test = score(fit.state, "test")
    without_dates = {}
    for share in config.removed_optical:
        removal = functools.partial(temporal_dropout, rates={"S2": share})
        cloudy = step(augment=removal, key=fold_in_name(key, "removed dates"))
        without_dates[str(share)] = summary(score(fit.state, "test", cloudy), task)

    result = {
        "title": f"{task.samples.capitalize()}, {config.fusion} fusion of "
        f"{' + '.join(config.modalities)}, fold {config.fold}, "
        f"{'simulated data' if config.data is None else root.name}",
        "task": task.name,
        **{
            name: getattr(config, name)
            for name in ("fusion", "modalities", "temporal_dropout", "auxiliary", "fold", "seed")
        },
        "data": "simulated" if config.data is None else "given",
        "folder": str(root),
        "samples": task.samples,
        "epochs": config.epochs,
        "best_epoch": fit.epoch,
        "parameters": parameters,
        "test": summary(test, task),
        "val": summary(fit.best, task),
        "test_removed_optical": without_dates,
        "confusion": test.metrics.task.counts,
        "seconds": {
            "data": data_seconds,
            "compile": fit.compile_seconds,
            "train": fit.train_seconds,
            "inference": test.seconds,
            "total": time.perf_counter() - started,
        },
        "throughput": {"train": fit.rate, "inference": test.rate},
        "peak_memory_gb": common.peak_memory(),
        **(facts or {}),
    }
    folder.write("result.json", result)
    if config.epochs:
        viz.learning_curves(folder.path / "metrics.jsonl", folder.path / "learning_curves.png")
    counts = np.asarray(test.metrics.task.counts)
    viz.confusion_matrix(counts, task.classes, folder.path / "confusion_matrix.png")
    viz.iou_per_class(
        test.scores["IoU"], task.classes, task.colours, folder.path / "iou_per_class.png"
    )
    return training.jsonable(result), fit.state


def summary(outcome: training.Outcome, task: Task) -> dict[str, Any]:
    """Scores for result.json."""
    scores = outcome.scores
    return {
        "OA": scores["OA"],
        "mIoU": scores["mIoU"],
        "loss": scores["loss"],
        "iou": dict(zip(task.classes, scores["IoU"], strict=True)),
    }
