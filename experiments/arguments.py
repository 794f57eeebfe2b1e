"""Arguments that every experiment takes."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pastis_jax import training
from pastis_jax.errors import UserError
from pastis_jax.temporal_dropout import PAPER_RATES


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
    """Step size of Adam. Default: 1e-3, panoptic 1e-2, as in the paper; on simulated patches 3e-3,
    panoptic 2e-2."""
    schedule: training.Schedule | None = None
    """Learning rate over a run: constant, a tenth of it from half of the epochs on, or falling to 0
    as a cosine. Default: constant; panoptic: step, as in the paper, with --data, cosine without."""
    optimizer: training.Optimizer = "adam"
    """Adam, as in the paper, or Adam with decoupled weight decay."""
    weight_decay: float | None = None
    """Share of the weights that each step of adamw takes off, times the learning rate. Default:
    0.01."""
    accumulate: int = 1
    """Take each batch in so many parts, one after another, and add their gradients: memory of a
    part, steps of the batch. Batch norms see a part at a time."""
    ema: float | None = None
    """Also keep a moving average of weights and running statistics with this decay per step (0.999,
    say); it is what is validated, kept and tested."""
    initialisation: Literal["he", "reference"] = "he"
    """First weights: He-normal, or as the published code draws them."""
    removed_optical: tuple[float, ...] = ()
    """Also test with each S2 date removed with these probabilities, as clouds might; the last one
    of a sample always stays. (experiments.paper.cloud_cover removes exact shares.)"""
    compute_statistics: bool = False
    """Normalise with statistics computed from the data, not those of the NORM files."""
    cache_dir: pathlib.Path | None = None
    """Where prepared and simulated data are kept. Default: $PASTIS_JAX_CACHE or ~/.cache."""
    seed: int = 0
    """Everything random follows from it."""
    checkpoint_steps: int | None = None
    """Also write a checkpoint within an epoch, every so many steps of it, so that a run killed in a
    long epoch loses less. Default: after each epoch."""
    parallel: training.Parallel = "jit"
    """How a batch is spread over several devices: one program over sharded arrays, or mapped
    programs that sum by name."""
    distributed: bool = False
    """Train as one of several processes, on one machine or many (docs/scaling.md): on TPU pods and
    under SLURM or Open MPI nothing else is needed."""
    coordinator: str | None = None
    """With --distributed elsewhere: HOST:PORT of the first process. Default:
    $JAX_COORDINATOR_ADDRESS."""
    processes: int | None = None
    """With --distributed elsewhere: number of processes. Default: $JAX_NUM_PROCESSES."""
    process_id: int | None = None
    """With --distributed elsewhere: number of this one, from 0. Default: $JAX_PROCESS_ID."""
    tensorboard: bool = False
    """Write TensorBoard events to OUT/tensorboard too. Needs the extra `tensorboard`."""
    profile: bool = False
    """Trace a few training steps with the JAX profiler into OUT/profile."""
    out: pathlib.Path | None = None
    """Folder for configuration, metrics, result, plots and checkpoints. A run of the same arguments
    that was stopped in it is continued. Default: a new one below runs/."""
    overwrite: bool = False
    """Start anew if --out holds a run: what it wrote is deleted."""


Given = TypeVar("Given", bound=Config)

DEVICES = ("parallel", "distributed", "coordinator", "processes", "process_id")
MAY_DIFFER = (
    *("out", "overwrite", "cache_dir", "cache", "checkpoint_steps", "tensorboard", "profile"),
    *DEVICES,
)
"""Arguments that may change when a run is continued."""


def complete(
    config: Config,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float = 1e-3,
    schedule: training.Schedule = "constant",
    least_epochs: int = 1,
) -> Config:
    """Fills in the arguments that depend on others, and refuses what contradicts itself.

    Args:
      config: As given.
      epochs: Default of the task on this data.
      batch_size: Default of the task on this data.
      learning_rate: Default of the task on this data.
      schedule: Default of the task on this data.
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
        schedule=config.schedule or schedule,
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
        (not 0 < config.learning_rate < 1, "--learning-rate", "must be 0 to 1", "give 1e-3, say"),
        (
            config.weight_decay is not None and config.optimizer != "adamw",
            "--weight-decay",
            f"--optimizer {config.optimizer} has none",
            "add --optimizer adamw, or leave it out",
        ),
        (
            not 0 <= (config.weight_decay or 0) <= 1,
            "--weight-decay",
            "must be 0 to 1",
            "give 0.01, say",
        ),
        (
            not 1 <= config.accumulate <= config.batch_size,
            "--accumulate",
            f"a batch of {config.batch_size} has 1 to {config.batch_size} parts",
            "give such a number",
        ),
        (
            config.ema is not None and not 0 < config.ema < 1,
            "--ema",
            "must be between 0 and 1",
            "give 0.999, say",
        ),
        (
            config.checkpoint_steps is not None and config.checkpoint_steps < 1,
            "--checkpoint-steps",
            "must be at least 1",
            "give 1000, say",
        ),
        (
            config.overwrite and config.out is None,
            "--overwrite",
            "there is nothing to overwrite in a new folder",
            "name it by --out, or leave it out",
        ),
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


def stored(config: Config) -> dict[str, Any]:
    """What config.json and checkpoints hold of `config`: its paths mean the same anywhere."""
    return {
        name: pathlib.Path(os.path.abspath(os.path.expanduser(value)))
        if isinstance(value, pathlib.Path)
        else value
        for name, value in dataclasses.asdict(config).items()
    }


def restored(kind: type[Given], content: Mapping[str, Any], where: pathlib.Path) -> Given:
    """The inverse of `stored`: the completed `kind` of configuration that config.json holds.

    Args:
      kind: Of the task.
      content: That of config.json.
      where: Its path.

    Raises:
      UserError: If it is of another kind, or of another version of this code.
    """
    hints = typing.get_type_hints(kind)
    names = {field.name for field in dataclasses.fields(kind)}
    if differing := names ^ content.keys():
        what = f"its arguments are not those of this version ({', '.join(sorted(differing))})"
        raise UserError(what, where=where, remedy="use the version that wrote it")

    def value(name):
        given = content[name]
        if isinstance(given, list):
            return tuple(given)
        is_path = pathlib.Path in typing.get_args(hints[name])
        return pathlib.Path(given) if is_path and given is not None else given

    return kind(**{name: value(name) for name in names})


def connect(config: Config) -> None:
    """Meets the other processes of the run, if `config` says so; before all else that a run does.

    Raises:
      UserError: If they are not found, or flags contradict each other.
    """
    given = (config.coordinator, config.processes, config.process_id)
    refuse(
        (
            not config.distributed and any(one is not None for one in given),
            "--coordinator, --processes, --process-id",
            "there is one process",
            "add --distributed, or leave them out",
        ),
        (
            config.distributed and config.parallel == "pmap",
            "--parallel",
            "pmap spreads a batch over the devices of one process",
            "leave it out, or leave out --distributed",
        ),
    )
    if config.distributed:
        training.connect(*given)


def placement(config: Config) -> training.Placement:
    """Where the state and the batches of a run lie."""
    return training.Placement(parallel=config.parallel, parts=config.accumulate)


def evaluation_size(config: Config) -> int:
    """Samples in a batch of validation and test: a part of a training batch."""
    return -(-config.batch_size // config.accumulate)


def evaluation_placement(config: Config) -> training.Placement:
    """Where the batches of validation and test lie."""
    return training.Placement(parallel=config.parallel)


def batches(config: Config) -> dict[str, Any]:
    """Sizes and seed of the batches that this process makes, as `datasets.Data` names them."""
    size = evaluation_size(config)
    return {
        "batch_size": config.batch_size,
        "seed": config.seed,
        "rows": placement(config).rows(config.batch_size),
        "evaluation_size": size,
        "evaluation_rows": evaluation_placement(config).rows(size),
    }


def axis_name(config: Config) -> str | None:
    """Device axis that the parts of a model sum over by name, if they do."""
    return training.AXIS if config.parallel == "pmap" else None


def refuse(*cases: tuple[Any, str, str, str]) -> None:
    """Raises the first of `cases`, (wrong, flag, what, remedy), that is wrong.

    Raises:
      UserError: If one is.
    """
    for wrong, flag, what, remedy in cases:
        if wrong:
            raise UserError(what, where=flag, remedy=remedy)


def dropout_rates(config: Config) -> Mapping[str, float]:
    """Rates of temporal dropout by modality; empty for none."""
    return PAPER_RATES if config.temporal_dropout else {}
