"""Configurations of training: nested, flat as flags, with defaults for each kind of data.

Every field is checked where it is defined; what concerns two groups, here.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any, ClassVar

from tyro.conf import OmitArgPrefixes

from pastis_jax import training
from pastis_jax.cli import flags
from pastis_jax.cli.weights import Weights, load_weights, of_weights, refuse_other_sizes
from pastis_jax.data import declared
from pastis_jax.errors import ArgumentError, UserError, refuse
from pastis_jax.tasks import (
    ModelSpec,
    PanopticModel,
    PanopticRecipe,
    ParcelModel,
    ParcelRecords,
    PatchRecords,
    RecordOptions,
    SemanticModel,
    SemanticRecipe,
)
from pastis_jax.text import is_plain


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Where and how a run runs. These may change when it is continued."""

    checkpoint_steps: int | None = None
    """Also write a checkpoint every so many steps within an epoch, so that a run killed in a long
    epoch loses less. Default: only after each epoch."""
    parallel: training.Parallel = "jit"
    """How a batch is spread over several devices: one program over sharded arrays (jit), or one
    mapped program on each device (pmap)."""
    distributed: bool = False
    """Train as one of several processes, on one machine or on many (docs/scaling.md). On TPU pods
    and under SLURM or Open MPI nothing else is needed."""
    coordinator: str | None = None
    """With --distributed elsewhere: HOST:PORT of the first process. Default:
    $JAX_COORDINATOR_ADDRESS."""
    processes: int | None = None
    """With --distributed elsewhere: number of processes. Default: $JAX_NUM_PROCESSES."""
    process_id: int | None = None
    """With --distributed elsewhere: number of this process, from 0. Default: $JAX_PROCESS_ID."""
    tensorboard: bool = False
    """Also write TensorBoard events to OUT/tensorboard. Needs the extra `tensorboard`."""
    profile: bool = False
    """Trace a few training steps with the JAX profiler, into OUT/profile."""
    plugin: tuple[str, ...] = ()
    """Modules to import first, which add encoders or fusion schemes of your own
    (docs/extending.md)."""
    out: pathlib.Path | None = None
    """Folder for configuration, metrics, result, plots and checkpoints. If it holds a stopped run
    with the same arguments, that run is continued. Default: a new folder below runs/."""
    overwrite: bool = False
    """If --out holds a run, delete what it wrote and start again."""

    def __post_init__(self) -> None:
        steps = self.checkpoint_steps
        refuse(
            "checkpoint_steps",
            steps is not None and steps < 1,
            "must be at least 1",
            "give 1000, say",
        )
        refuse(
            "overwrite",
            self.overwrite and self.out is None,
            "there is nothing to overwrite in a new folder",
            "name it by `out`, or leave it out",
        )
        given = (self.coordinator, self.processes, self.process_id)
        refuse(
            "coordinator`, `processes`, `process_id",
            not self.distributed and any(value is not None for value in given),
            "there is one process",
            "add `distributed`, or leave them out",
        )
        refuse(
            "parallel",
            self.distributed and self.parallel == "pmap",
            "pmap spreads a batch over the devices of one process",
            "leave it out, or leave out `distributed`",
        )


@dataclasses.dataclass(frozen=True)
class Config:
    """A run: model, records, recipe, and where it runs."""

    model: OmitArgPrefixes[ModelSpec]
    records: OmitArgPrefixes[RecordOptions]
    recipe: OmitArgPrefixes[training.Recipe]
    run: OmitArgPrefixes[RunOptions] = dataclasses.field(default_factory=RunOptions)

    task: ClassVar[str]

    def __post_init__(self) -> None:
        records, recipe = self.records, self.recipe
        for name, value in self.leaves().items():
            if isinstance(value, pathlib.Path):
                # What a run writes down, no terminal may obey where it is read.
                text = f"{value} {os.path.realpath(value)}"
                refuse(name, not is_plain(text), "its path holds what cannot be shown", "rename it")
        refuse(
            "date",
            getattr(records, "date", None) is not None
            and (recipe.temporal_dropout or recipe.removed_optical),
            "of a single date none can be dropped",
            "leave out `temporal_dropout` and `removed_optical`",
        )
        declared.shares("drop_rates", recipe.drop_rates)
        refuse(
            "modality_dropout",
            recipe.modality_dropout and not self.model.scheme.several,
            f"{self.model.fusion} fusion has one modality alone",
            "leave it out, or choose another `fusion`",
        )
        frozen, brought = (
            getattr(group, name, False)
            for group, name in ((self.model, "freeze"), (recipe, "from_parcels"))
        )
        fault = "no run of parcels brings trained encoders"
        remedy = "give `init_from` a run of parcels, or leave it out"
        refuse("freeze", frozen and not brought, fault, remedy)
        refuse(
            "init_from",
            getattr(recipe, "init_from", None) is not None
            and not recipe.from_parcels
            and (self.model.fusion != "single" or records.class_mapping is not None),
            "published weights are of one modality and the official classes",
            "give `fusion` single, leave out `class_mapping`",
        )

    def leaves(self) -> dict[str, Any]:
        """All fields of all groups, by their names, which are those of the flags."""
        groups = (getattr(self, field.name) for field in dataclasses.fields(self))
        return {
            field.name: getattr(group, field.name)
            for group in groups
            for field in dataclasses.fields(group)
        }

    def stored(self) -> dict[str, Any]:
        """What config.json and checkpoints hold: its paths mean the same anywhere."""
        return {
            name: os.path.abspath(os.path.expanduser(value))
            if isinstance(value, pathlib.Path)
            else value
            for name, value in self.leaves().items()
        }

    def replaced(self, **leaves: Any) -> Config:
        """Returns this configuration with other values of some fields.

        Raises:
          TypeError: If a name is no field of any group.
        """
        groups = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name, group in groups.items():
            own = {field.name for field in dataclasses.fields(group)} & leaves.keys()
            groups[name] = dataclasses.replace(group, **{n: leaves.pop(n) for n in own})
        if leaves:
            raise TypeError(f"{self.task} has no {', '.join(leaves)}")
        return dataclasses.replace(self, **groups)


@dataclasses.dataclass(frozen=True)
class ParcelConfig(Config):
    """Classify the crop of each parcel from satellite time series, optical and radar.

    Without --data, a small PASTIS-R is simulated (once, kept in the cache) and a good model is
    trained in minutes on two CPU cores. With --data, a folder of pixel sets is prepared on first
    use and the paper's protocol is the default: 100 epochs of 128 parcels a step.
    """

    model: OmitArgPrefixes[ParcelModel] = ParcelModel()
    records: OmitArgPrefixes[ParcelRecords] = ParcelRecords()
    recipe: OmitArgPrefixes[training.Recipe] = training.Recipe()

    task = "parcel"


@dataclasses.dataclass(frozen=True)
class SemanticConfig(Config):
    """Segment patches into crops from satellite time series, optical and radar.

    Without --data, a small PASTIS-R is simulated (once, kept in the cache) and a narrow model is
    trained on crops, in minutes on two CPU cores. With --data, a folder of patches is checked on
    first use and the paper's protocol is the default: 100 epochs of 4 whole patches a step.
    """

    model: OmitArgPrefixes[SemanticModel] = SemanticModel()
    records: OmitArgPrefixes[PatchRecords] = PatchRecords()
    recipe: OmitArgPrefixes[SemanticRecipe] = SemanticRecipe()

    task = "semantic"


@dataclasses.dataclass(frozen=True)
class PanopticConfig(Config):
    """Find the parcels of patches, and the crop of each, from satellite time series.

    Without --data, a small PASTIS-R is simulated (once, kept in the cache) and a narrow model is
    trained on crops, in minutes on two CPU cores. With --data, a folder of patches is checked on
    first use and the paper's protocol is the default: 100 epochs of 4 whole patches a step, at a
    learning rate of 0.01 and, from half of them on, 0.001.
    """

    model: OmitArgPrefixes[PanopticModel] = PanopticModel()
    records: OmitArgPrefixes[PatchRecords] = PatchRecords()
    recipe: OmitArgPrefixes[PanopticRecipe] = PanopticRecipe(learning_rate=1e-2, schedule="step")

    task = "panoptic"


CONFIGS: dict[str, type[Config]] = {
    kind.task: kind for kind in (ParcelConfig, SemanticConfig, PanopticConfig)
}
"""Configurations by task; their defaults are the paper's protocol."""

_NARROW = {
    "encoder_widths": (16, 16, 32),
    "decoder_widths": (16, 16, 32),
    "heads": 4,
    "model_features": 64,
    "learning_rate": 3e-3,
}
SIMULATED: dict[str, dict[str, Any]] = {
    "parcel": {"epochs": 12, "batch_size": 32},
    "semantic": {**_NARROW, "head_widths": (16,), "epochs": 3, "crop": 16},
    "panoptic": {
        **_NARROW,
        "decoder_widths": (32, 32, 32),
        "learning_rate": 2e-2,
        "schedule": "cosine",
        "epochs": 20,
        "warmup": 1,
        "crop": 32,
    },
}
"""Defaults on simulated data: what two CPU cores train in minutes."""

MAY_DIFFER = (*(field.name for field in dataclasses.fields(RunOptions)), "cache_dir", "cache")
"""Fields that may change when a run is continued."""


def defaults(
    task: str,
    data: pathlib.Path | None = None,
    weights: Weights | None = None,
    epochs: int | None = None,
) -> Config:
    """The configuration of a task without any flag but these.

    Args:
      task: Name of the task.
      data: The folder; None for simulated data.
      weights: Weights to start from, which have their own sizes.
      epochs: Number of epochs, if it is given.
    """
    config = CONFIGS[task]()
    if data is None:
        config = config.replaced(**SIMULATED[task])
    return config if weights is None else config.replaced(**of_weights(weights, epochs))


PATHS = {
    field.name
    for kind in CONFIGS.values()
    for group in vars(kind()).values()
    for field in dataclasses.fields(group)
    if "Path" in field.type
}
"""Fields that hold a path."""


def configure(task: str, **leaves: Any) -> Config:
    """The configuration of a task with these fields; the others have their defaults.

    Paths may be given as text.

    Raises:
      ArgumentError: If arguments are out of range or contradict each other.
    """
    given = {name for name in leaves.keys() & PATHS if leaves[name] is not None}
    leaves |= {name: pathlib.Path(leaves[name]) for name in given}
    data, source = (leaves.get(name) for name in ("data", "init_from"))
    weights = None
    if source is not None:
        weights = load_weights(task, source, leaves.get("modalities", ()))
    start = defaults(task, data, weights, leaves.get("epochs"))
    config = start.replaced(**leaves)
    if weights is not None:
        refuse_other_sizes(config.leaves(), weights)
    return config


@dataclasses.dataclass(frozen=True)
class _Ahead:
    """The flags that the meaning or the defaults of others depend on."""

    data: pathlib.Path | None = None
    init_from: pathlib.Path | None = None
    modalities: tuple[str, ...] = ()
    epochs: int | None = None
    plugin: tuple[str, ...] = ()


def parse(task: str, arguments: Sequence[str] | None, *, prog: str) -> Config:
    """Reads the flags of a task, those of the command line by default.

    Raises:
      ArgumentError: If arguments are out of range or contradict each other.
      UserError: If a flag is wrong, or published weights or a module cannot be loaded.
    """
    try:
        look = {"prog": prog, "add_help": False, "return_unknown_args": True}
        ahead, _ = flags.read(_Ahead, arguments, **look)
    except UserError:
        # All of them together say better what is wrong with one.
        flags.read(CONFIGS[task], arguments, prog=prog, default=CONFIGS[task]())
        raise
    import_plugins(ahead.plugin)
    weights = None
    if ahead.init_from is not None and task != "parcel":
        weights = load_weights(task, ahead.init_from, ahead.modalities)
    start = defaults(task, ahead.data, weights, ahead.epochs)
    config = flags.read(CONFIGS[task], arguments, prog=prog, default=start)
    if weights is not None:
        refuse_other_sizes(config.leaves(), weights)
    return config


def import_plugins(modules: Sequence[str]) -> None:
    """Imports modules that add encoders or schemes, also from the present folder.

    Raises:
      ArgumentError: If one cannot be imported.
    """
    if modules and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    for name in modules:
        try:
            importlib.import_module(name)
        except (ImportError, ValueError, TypeError) as error:
            remedy = "give modules that python can import from here"
            raise ArgumentError(f"{name}: {error}", argument="plugin", remedy=remedy) from error
