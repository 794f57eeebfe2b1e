"""Lets a run of version 0.1 carry what it needs: `pastis-jax upgrade RUN`."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
import tyro

from pastis_jax import runs, training
from pastis_jax.cli import config as configs
from pastis_jax.cli import console, flags, train
from pastis_jax.data import calendar
from pastis_jax.errors import UserError
from pastis_jax.json_files import read_object
from pastis_jax.runs import fields, results, saved
from pastis_jax.tasks import Learned

_REMEDY = "give a finished run of version 0.1, which has config.json, result.json and checkpoints"


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Write run.json, dataset.json and weights.npz into a finished run that has none yet.

    This is for runs that were trained before a run carried these files. Existing files are left as
    they are. The data of the run are needed once, for its classes, statistics and fingerprint.
    """

    run: Annotated[pathlib.Path, tyro.conf.Positional]
    """Folder of the run."""
    data: pathlib.Path | None = None
    """Its data, if they have moved."""
    cache_dir: pathlib.Path | None = None
    """Where prepared and simulated data are kept. Default: $PASTIS_JAX_CACHE or ~/.cache."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    given = flags.command_flags(Arguments, arguments, prog="pastis-jax upgrade")
    console.command(lambda: run(given))


def run(given: Arguments) -> None:
    """Upgrades as the arguments say.

    Raises:
      UserError: If there is no such run, or its data are not there.
    """
    folder = given.run.expanduser().absolute()
    if (folder / saved.RUN).exists():
        raise UserError("this run has it all", where=folder / saved.RUN, remedy="open it")
    result, stored = results.read(folder, remedy=_REMEDY), _read(folder / "config.json")
    config = _config(folder, result, stored, given)
    splits, _ = train.open_splits(config)
    task = train.make_task(config, splits.dataset, splits.classes)
    state = _state(folder, config, task, splits)
    context = {name: float(result[name]) for name in task.context_names if name in result}
    records = train.records_of(config, splits)
    saved.write(
        folder,
        saved.Saved(
            task=task.name,
            spec=task.spec,
            options=train.task_options(config),
            learned=Learned(splits.dataset, splits.classes, splits.encode.statistics),
            context=context,
            fingerprint=splits.fingerprint.parts,
            records=records,
            batch_size=config.recipe.evaluation_size,
            plugins=(),
            days=calendar.spans(splits.observed("train"), task.spec.modalities),
            code=str(result.get("code", "before run.json")),
        ),
        state.variables,
        saved.lists_of(records),
    )
    console.say(f"{given.run} carries what it needs: {runs.open_run(folder)}.")


def _read(file: pathlib.Path) -> dict[str, Any]:
    try:
        return read_object(file, remedy=_REMEDY)
    except FileNotFoundError:
        raise UserError("cannot be read (file not found)", where=file, remedy=_REMEDY) from None


def _config(
    folder: pathlib.Path, result: Mapping[str, Any], stored: Mapping[str, Any], given: Arguments
) -> configs.Config:
    """The configuration of a run, whose fields are called as they are today."""
    task = result["task"]
    left = {*configs.MAY_DIFFER, "init_from", "removed_optical"}
    leaves: dict[str, Any] = {}
    try:
        for group in vars(configs.defaults(task)).values():
            names = {field.name for field in dataclasses.fields(group)} - left
            given_there = {name: value for name, value in stored.items() if name in names}
            leaves |= fields.values(type(group), names, given_there)
    except ValueError as error:
        fault, where = f"cannot be read ({error})", folder / "config.json"
        raise UserError(fault, where=where, remedy=_REMEDY) from error
    data = given.data or leaves.pop("data", None)
    leaves["data"] = None if data is None else pathlib.Path(data)
    return train.for_data(configs.configure(task, **leaves, cache_dir=given.cache_dir))


def _state(folder, config, task, splits) -> training.TrainState:
    """The state that the run was tested with."""
    steps = max(1, config.recipe.epochs * splits.steps_per_epoch)
    create = functools.partial(
        training.create_state, task.model(), config.recipe.make_optimizer(steps)
    )
    shapes = jax.eval_shape(create, next(splits.evaluation("val")), jax.random.key(0))
    if config.recipe.ema:
        shapes = shapes.replace(average=shapes.variables)
    checkpoints = training.Checkpoints(folder / "checkpoints", {})
    return checkpoints.load("best", training.Placement().whole_like(shapes))
