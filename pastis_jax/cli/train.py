"""Trains a task: `pastis-jax train parcel`, and `python -m experiments.parcel`."""

from __future__ import annotations

import os
import pathlib
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pastis_jax import compiled, runs, training
from pastis_jax.cli import config as configs
from pastis_jax.cli import console
from pastis_jax.cli.config import Config
from pastis_jax.cli.weights import load_published
from pastis_jax.data import simulate
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.declared import declare
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.regions.store import is_region
from pastis_jax.data.splits import Splits
from pastis_jax.errors import ArgumentError, UserError, refuse
from pastis_jax.runs import results
from pastis_jax.runs.from_parcels import start_from
from pastis_jax.tasks import TASKS, Task, folds_of
from pastis_jax.training import DELETE_RESULT, RunFolder, from_main, jsonable, main_first


def main(task: str, arguments: Sequence[str] | None = None, *, prog: str | None = None) -> None:
    """Command line of a task."""
    prog = prog or f"pastis-jax train {task}"
    less_memory = TASKS[task].less_memory
    console.command(lambda: run(configs.parse(task, arguments, prog=prog)), less_memory=less_memory)


def run(config: Config) -> dict[str, Any]:
    """Trains and tests as `config` says; returns the content of result.json.

    Raises:
      UserError: For every mistake in the configuration or the data.
    """
    started = time.perf_counter()
    if config.run.distributed:
        options = config.run
        training.connect(options.coordinator, options.processes, options.process_id)
    else:
        compiled.keep(config.records.cache_dir)
    config = for_data(config)
    folder = open_folder(config)
    result = run_in(folder, config.task, lambda: train(config, folder, started))
    if config.records.data is not None and is_region(config.records.data):
        out, data = (shlex.quote(os.fspath(path)) for path in (folder.given, config.records.data))
        console.say(f"next: pastis-jax predict --run {out} --data {data} --out MAP")
    return result


def for_data(config: Config) -> Config:
    """The configuration with what the data tell: which modalities there are.

    Raises:
      UserError: If the folder is none, or the configuration does not fit it.
    """
    dataset = dataset_of(config)
    folds_of(dataset, config.records.fold)
    model = config.model.of(dataset)
    if unknown := [name for name in model.modalities if name not in dataset.names]:
        fault = f"{dataset.name} has no {', '.join(unknown)}"
        remedy = f"choose among {', '.join(dataset.names)}"
        raise ArgumentError(fault, argument="modalities", remedy=remedy)
    refuse(
        "removed_optical",
        config.recipe.removed_optical and not any(dataset[m].optical for m in model.modalities),
        "there is nothing optical among the modalities",
        "leave it out",
    )
    refuse(
        "modality_dropout",
        config.recipe.modality_dropout and len(model.modalities) == 1,
        f"the model has {model.modalities[0]} alone",
        "leave it out, or name more `modalities`",
    )
    return config.replaced(modalities=model.modalities)


def dataset_of(config: Config) -> Dataset:
    """What the data of a configuration are, without looking at any array."""
    records = config.records
    if records.data is None:
        return declare(PASTIS_R, records.nodata, records.offset)
    return records.declared(records.data)


def open_folder(config: Config) -> RunFolder:
    """Looks at the folder of a run, before work that would be in vain; writes nothing.

    Raises:
      UserError: If a run of `config` can be neither begun nor continued there.
    """
    options, start = config.run, configs.defaults(config.task, config.records.data)
    name = f"{config.task}-{config.model.fusion}-fold{config.records.fold}"
    return RunFolder(
        from_main(lambda: str(options.out or default_out(name))),
        config.stored(),
        may_differ=configs.MAY_DIFFER,
        places=("data",),
        defaults=start.stored(),
        overwrite=options.overwrite,
    )


def default_out(name: str) -> pathlib.Path:
    """A new folder below runs/."""
    return pathlib.Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


def run_in(folder: RunFolder, task: str, work: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Begins or continues the run in `folder`; shows the stored result of a finished one.

    Args:
      folder: Of the run.
      task: Its task.
      work: Trains, tests and draws; gives the content of result.json, which is written last.

    Returns:
      The content of result.json.
    """
    result = folder.result
    if result is not None:
        check_result(folder)
        console.say(f"{folder.given} holds this run, finished; --overwrite starts it anew.")
    else:
        if folder.continues:
            console.say(f"Continuing {folder.given} {_stopped_at(folder)}.")
        try:
            result = jsonable(work())

            def finish() -> str:
                folder.write("result.json", result)
                return ""

            from_main(finish)  # The others wait until the main process has made its pictures.
        except (KeyboardInterrupt, OSError) as error:
            if (folder.path / "config.json").exists():
                error.add_note(f"the same command with --out {folder.given} continues this run")
            raise
        finally:
            folder.close()
    kind = TASKS[task]
    scores = kind.scores_in(result["test"])
    console.show_result(result, scores=scores, per_class=kind.per_class)
    console.say(
        f"Everything of this run is in {folder.given}; --out {folder.given} shows it again."
    )
    return result


def check_result(folder: RunFolder) -> None:
    """Refuses a stored result that cannot be shown.

    Raises:
      UserError: Naming the field that is missing or of another type.
    """
    try:
        results.check(folder.result, needed=(*results.NEEDED, *results.SHOWN))
    except ValueError as error:
        where = folder.path / results.FILE
        raise UserError(f"cannot be read ({error})", where=where, remedy=DELETE_RESULT) from error


def _stopped_at(folder: RunFolder) -> str:
    facts = training.stopped_at(folder.path / "checkpoints")
    if facts is None:
        return "from its beginning: it has no checkpoint yet"
    if facts["epoch"] == folder.config["epochs"]:
        return "after its last epoch"
    return f"from epoch {facts['epoch'] + 1}" + (
        f", step {facts['done'] + 1}" * bool(facts["done"])
    )


def train(config: Config, folder: RunFolder, started: float) -> dict[str, Any]:
    """Trains and tests as `config` says; returns the content of result.json.

    Args:
      config: With its modalities named.
      folder: Folder of the run.
      started: `time.perf_counter()` at the start of the run.
    """
    recipe, where = config.recipe, placement(config)
    splits, parcels = open_splits(config)
    task = make_task(config, splits.dataset, splits.classes)
    say_splits(splits, task, config)
    start = None
    if getattr(recipe, "init_from", None) is not None:
        start = first_weights(config, splits)
    if config.run.out is None:
        console.say(f"If it is stopped, the same command with --out {folder.given} continues it.")
    return runs.train(
        task,
        splits,
        recipe,
        folder,
        placement=where,
        started=started,
        fold=config.records.fold,
        records=records_of(config, splits),
        options=task_options(config),
        plugins=config.run.plugin,
        start=start,
        warmup=getattr(recipe, "warmup", 0),
        watching=runs.Watching(
            config.run.checkpoint_steps, config.run.tensorboard, config.run.profile
        ),
        data_on_device=getattr(config.records, "data_on_device", "off"),
        more=None if parcels is None else lambda predict: _components(predict, parcels),
        say=lambda text: console.say(console.as_flags(text)),
    )


def placement(config: Config) -> training.Placement:
    """Where the state and the batches of a run lie."""
    return training.Placement(parallel=config.run.parallel, parts=config.recipe.accumulate)


def open_splits(config: Config) -> tuple[Splits, Splits | None]:
    """Finds the data of a run, or simulates them, and opens them; the main process first.

    Returns:
      The records, and the same with panoptic targets where the run scores components.

    Raises:
      UserError: For every mistake in the data.
    """
    kind, plan = TASKS[config.task], runs.plan_of(config.recipe, placement(config))
    components = getattr(config.recipe, "components", False)
    options = {"targets": True} if components else {}

    def work() -> Splits:
        root = config.records.data or simulated(config)
        return kind.open(config.records, root, config.model, plan, **options)

    splits = main_first(work)
    # The model itself is not given the parcels.
    return (splits.without_targets(), splits) if components else (splits, None)


def simulated(config: Config) -> pathlib.Path:
    """The default simulated data of a task, made on first use and kept in the cache."""
    make = simulate.default_patches
    if config.task == "parcel":
        make = simulate.default_pixel_sets
    return make(config.records.cache_dir)


def say_splits(splits: Splits, task: Task, config: Config) -> None:
    """Tells how many samples there are to train, validate and test."""
    train, val, test = (f"{len(splits.sources[name]):,}" for name in ("train", "val", "test"))
    console.say(
        f"{train} {task.samples} to train, {val} to validate, {test} to test "
        f"(folds {dict(splits.folds)}), from {splits.root}"
    )
    for note in splits.notes:
        console.say(console.as_flags(f"Note: {note}"))
    if config.records.split_lists is not None and not config.records.compute_statistics:
        console.say("Channel statistics are of the samples to train: NORM files are of folds.")
    elif config.records.offset and not config.records.compute_statistics:
        console.say(
            "NORM files are taken to be of values as they are stored, without --offset; where they "
            "are of others, add --compute-statistics."
        )
    if getattr(config.records, "cache", False):
        total = sum(source.nbytes for source in splits.sources.values())
        console.say(f"--cache: up to {total / 1e9:.1f} GB of patches will be kept in memory.")


def make_task(config: Config, dataset: Dataset, classes: ClassMapping) -> Task:
    """Makes the task of a configuration for the classes of its data."""
    axis_name = training.AXIS if config.run.parallel == "pmap" else None
    return TASKS[config.task](
        config.model, dataset, classes, axis_name=axis_name, **task_options(config)
    )


def task_options(config: Config) -> dict[str, Any]:
    """What a task takes beside model and classes."""
    names = ("loss_weights", "min_confidence", "legacy_void") if config.task == "panoptic" else ()
    return {name: getattr(config.recipe, name) for name in names}


def records_of(config: Config, splits: Splits) -> dict[str, Any]:
    """How the records of a run were made, as it carries that."""
    names = vars(config.records)
    stored = {name: value for name, value in config.stored().items() if name in names}
    return {**stored, "data": os.fspath(splits.root)}


def _components(predict: Any, parcels: Splits) -> dict[str, Any]:
    from pastis_jax.tasks import components  # imports scipy

    return {"test_components": components.score(predict, parcels)}


def first_weights(config: Config, splits: Splits) -> runs.Start:
    """The weights that `init_from` names, as the start of a run.

    Raises:
      ArgumentError: If they do not fit the data.
    """
    if not config.recipe.from_parcels:
        return published_start(config, splits)
    run = runs.open_run(config.recipe.init_from)
    for name in run.modalities:
        own, other = run.dataset[name], splits.dataset[name]
        differs = (own.channels, own.unit) != (other.channels, other.unit)
        fault = f"the run's {name} is {', '.join(own.channels)} in {own.unit}, that of the data "
        fault += f"{', '.join(other.channels)} in {other.unit}"
        refuse("init_from", differs, fault, "give a run of such data")
    fold = run.result["fold"]
    if fold != config.records.fold:
        console.say(
            f"Note: the encoders were trained on the folds of --fold {fold}, which hold data that "
            f"--fold {config.records.fold} tests on, if the folds are the same."
        )
    return start_from(run, splits.encode.statistics)


def published_start(config: Config, splits: Splits) -> runs.Start:
    """Published weights as the start of a run.

    Raises:
      ArgumentError: If they do not fit the data.
    """
    published = load_published(config.task, config.recipe.init_from, config.model.modalities)
    (modality,) = config.model.modalities
    channels, outputs = len(splits.dataset[modality].channels), len(splits.classes.names) + 1
    settings, classes = published.settings, published.model.decoder.classes
    refuse(
        "init_from",
        settings.channels != channels,
        f"the weights take {settings.channels} channels, not the {channels} of {modality}",
        "name their modality by `modalities`",
    )
    refuse(
        "init_from",
        classes != outputs,
        f"the weights have {classes} outputs, not {outputs}",
        "give weights of the official classes",
    )
    fold = config.records.fold
    if settings.fold not in (None, fold):
        console.say(
            f"Note: these weights were trained on the folds of --fold {settings.fold}, which hold "
            f"data that --fold {fold} tests on."
        )
    return runs.Start(published.variables)
