"""The form of a run: what it carries beside its log, so that it needs nothing else.

    run.json       format, task, model, statistics, classes, context, days, fingerprint of the data
    dataset.json   what the data are
    weights.npz    weights and running statistics, float32

Lists of samples that took the place of folds are in split_lists.json: scoring needs them.

`checkpoints/`, config.json and metrics.jsonl are for continuing it, result.json and the pictures
for readers: none of these is needed to predict.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Array, PyTree

from pastis_jax import machine
from pastis_jax.calibration import COOLEST, HOTTEST
from pastis_jax.data import dataset_file
from pastis_jax.data.assignment import Assignment
from pastis_jax.data.calendar import Span
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.dataset import Dataset
from pastis_jax.errors import UserError
from pastis_jax.json_files import read_object
from pastis_jax.runs import fields, weights
from pastis_jax.tasks import RECORDS, SPECS, TASKS, Learned, ModelSpec, RecordOptions, Task
from pastis_jax.training import write_json
from pastis_jax.training.recipe import LARGEST_BATCH

FORMAT = 1
"""Version of this form. A later version of the code reads all that came before."""
RUN, DATASET, LISTS = "run.json", dataset_file.FILE, "split_lists.json"


@dataclasses.dataclass(frozen=True)
class Saved:
    """What a run carries.

    Attributes:
      task: Name of the task.
      spec: The model.
      options: What else the task is made with.
      learned: Dataset, classes and statistics.
      context: What predictions need beside the weights.
      fingerprint: Parts of the fingerprint of the data it saw.
      records: How its records were made, as plain JSON.
      batch_size: Samples in its batches of validation and test.
      plugins: Modules that were imported to train it.
      days: What days it was trained on, by modality; empty in runs that came before these.
      levels: What was done to modalities before, ``sigma0`` say, by modality, where that is known.
      window: Rows and columns of the patches that it was tested on; None of parcels, and in runs
        that came before these.
      code: Version of the code that trained it.
      checksums: SHA-256 of the files beside run.json, by name; empty in runs of versions that wrote
        none down.
      temperature: By which logits are divided, so that probabilities mean what they say; 1 in runs
        of versions that fitted none.
    """

    task: str
    spec: ModelSpec
    options: Mapping[str, Any]
    learned: Learned
    context: Mapping[str, float]
    fingerprint: Mapping[str, str]
    records: Mapping[str, Any]
    batch_size: int
    plugins: tuple[str, ...]
    days: Mapping[str, Span] = dataclasses.field(default_factory=dict)
    levels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    window: tuple[int, int] | None = None
    code: str = dataclasses.field(default_factory=machine.code_version)
    checksums: Mapping[str, str] = dataclasses.field(default_factory=dict)
    temperature: float = 1.0

    def record_options(self) -> RecordOptions:
        """How its records were made.

        Raises:
          ValueError: If a field is unknown or of another type.
          ArgumentError: If one is out of range.
        """
        return fields.restore(RECORDS[self.task], self.records)


def lists_of(records: Mapping[str, Any]) -> Assignment | None:
    """Reads the lists of samples that records are made by, if there are any.

    Raises:
      DataError: If they cannot be read.
    """
    file = records.get("split_lists")
    return None if file is None else Assignment.read(file)


def carried_lists(folder: pathlib.Path, saved: Saved) -> pathlib.Path | None:
    """Where a run carries lists of samples; None where it has none, or is of an older version.

    Raises:
      UserError: If the file is not what was written.
    """
    if LISTS not in saved.checksums:
        return None
    try:
        whole = _checksum(folder / LISTS) == saved.checksums[LISTS]
        fault = "" if whole else "not what was written: its checksum differs"
    except OSError as error:
        fault = f"cannot be read ({error.strerror})"
    if fault:
        raise UserError(fault, where=folder / LISTS, remedy=weights.REMEDY)
    return folder / LISTS


def write(
    folder: pathlib.Path,
    saved: Saved,
    variables: PyTree[Array],
    lists: Assignment | None = None,
) -> None:
    """Writes what a run carries into its folder, each file as a whole; run.json comes last."""
    learned = saved.learned
    checksums = {weights.WEIGHTS: weights.write(folder, variables)}
    write_json(folder / DATASET, dataset_file.to_json(learned.dataset))
    checksums[DATASET] = _checksum(folder / DATASET)
    if lists is not None:
        write_json(folder / LISTS, lists.to_json(), indent=None)
        checksums[LISTS] = _checksum(folder / LISTS)
    classes = learned.classes
    write_json(
        folder / RUN,
        {
            "format": FORMAT,
            "code": saved.code,
            "task": saved.task,
            "model": dataclasses.asdict(saved.spec),
            "options": saved.options,
            "statistics": {
                name: {"mean": mean.tolist(), "std": std.tolist()}
                for name, (mean, std) in learned.statistics.items()
            },
            "classes": {
                "names": classes.names,
                "colours": classes.colours,
                "codes": classes.codes,
                "lookup": classes.lookup.tolist(),
                "background": classes.background,
            },
            "context": saved.context,
            "temperature": saved.temperature,
            "fingerprint": saved.fingerprint,
            "records": saved.records,
            "batch_size": saved.batch_size,
            "plugins": saved.plugins,
            "days": {name: dataclasses.asdict(span) for name, span in saved.days.items()},
            "levels": saved.levels,
            "window": saved.window,
            "checksums": checksums,
        },
    )


def _checksum(file: pathlib.Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def read(folder: pathlib.Path) -> Saved:
    """Reads what a run carries, but for its weights; every field is checked.

    Raises:
      UserError: If there is no finished run, or a file of it cannot be read.
    """
    file = folder / RUN
    try:
        content = read_object(file, remedy=weights.REMEDY)
    except FileNotFoundError:
        remedy = "give the folder of a run that is finished"
        raise UserError("no finished run here", where=folder, remedy=remedy) from None
    version = content.get("format")
    if not fields.is_integer(version):
        fault = "cannot be read (its format is no number)"
        raise UserError(fault, where=file, remedy=weights.REMEDY)
    if version != FORMAT:
        fault = f"a run of format {version}, this version reads {FORMAT}"
        raise UserError(fault, where=file, remedy="use a later version")
    described = dataset_file.read(folder / DATASET)
    plugins: tuple[str, ...] = ()
    try:
        plugins = fields.texts(content["plugins"], "its plugins")
        checksums = _texts_by_name(content.get("checksums", {}), "checksums")
        if checksums.get(DATASET, actual := _checksum(folder / DATASET)) != actual:
            raise ValueError(f"{DATASET} is not what was written: its checksum differs")
        task = content["task"]
        if not isinstance(task, str) or task not in TASKS:
            raise ValueError(f"there is no task {fields.shown(task)}")
        spec = fields.restore(SPECS[task], content["model"])
        _check_modalities(spec, described)
        saved = Saved(
            task=task,
            spec=spec,
            options=_options(TASKS[task], content["options"]),
            learned=Learned(
                described,
                _classes(content["classes"], described),
                _statistics(content["statistics"], spec, described),
            ),
            context=_context(TASKS[task], content["context"]),
            fingerprint=_texts_by_name(content["fingerprint"], "fingerprint"),
            records=content["records"],
            batch_size=_batch_size(content["batch_size"]),
            plugins=plugins,
            code=_text(content["code"], "code"),
            days=_days(content.get("days", {}), described),
            levels=_texts_by_name(content.get("levels", {}), "levels"),
            window=_window(content.get("window")),
            checksums=checksums,
            temperature=_temperature(content.get("temperature", 1.0)),
        )
        saved.record_options()
        return saved
    except UserError as error:
        fault = f"{error.where}: {error.fault}"
        if plugins:
            fault = f"{fault} (it was trained with these modules: {', '.join(plugins)})"
        raise UserError(fault, where=file, remedy=error.remedy) from error
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        fault = f"cannot be read ({type(error).__name__}: {error})"
        raise UserError(fault, where=file, remedy=weights.REMEDY) from error


def _options(task: type[Task], content: Any) -> dict[str, Any]:
    """What this task is made with beside what every task is."""
    own, every = ({field.name for field in dataclasses.fields(kind)} for kind in (task, Task))
    return fields.values(task, own - every, content)


def _check_modalities(spec: ModelSpec, described: Dataset) -> None:
    if not spec.modalities:
        raise ValueError("its model has no modalities")
    if unknown := [name for name in spec.modalities if name not in described.names]:
        raise ValueError(f"its dataset has no modality {fields.shown(unknown[0])}")


def _batch_size(value: Any) -> int:
    if not fields.is_integer(value) or not 1 <= value <= LARGEST_BATCH:
        raise ValueError(f"its batch size is {fields.shown(value)}")
    return value


def _window(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    whole = isinstance(value, list) and len(value) == 2 and all(map(fields.is_integer, value))
    if not whole or not all(1 <= side <= 65536 for side in value):
        raise ValueError(f"its window is {fields.shown(value)}, not two numbers of pixels")
    return value[0], value[1]


def _days(content: Mapping[str, Mapping[str, float]], described: Dataset) -> dict[str, Span]:
    days = {}
    for name, span in content.items():
        days[name] = Span(int(span["first"]), int(span["last"]), float(span["median"]))
        if name not in described.names or not span["first"] <= span["median"] <= span["last"]:
            raise ValueError(f"its days of {name} are {span}")
    return days


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"its {name} is {fields.shown(value)}, no text")
    return value


def _texts_by_name(value: Any, name: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError(f"its {name} is {fields.shown(value)}, no texts by name")
    return value


def _temperature(value: Any) -> float:
    if not fields.is_number(value) or not COOLEST <= value <= HOTTEST:
        raise ValueError(
            f"its temperature is {fields.shown(value)}, not {COOLEST:g} to {HOTTEST:g}"
        )
    return float(value)


def _context(task: type[Task], content: Any) -> dict[str, float]:
    if not isinstance(content, dict) or {*content} != {*task.context_names}:
        wanted = ", ".join(task.context_names) or "nothing"
        raise ValueError(f"its context is {fields.shown(content)}, not {wanted}")
    for name, value in content.items():
        if not fields.is_number(value) or not 0 <= value <= 1:
            raise ValueError(f"its {name} is {fields.shown(value)}, not 0 to 1")
    return {name: float(value) for name, value in content.items()}


def _classes(content: Mapping[str, Any], described: Dataset) -> ClassMapping:
    names = fields.texts(content["names"], "its classes")
    lookup, codes, colours = content["lookup"], content["codes"], content["colours"]
    number, classes = len(names), described.nomenclature.classes
    if not isinstance(lookup, list) or not all(map(fields.is_integer, lookup)):
        raise ValueError(f"its lookup of classes is {fields.shown(lookup)}, not integers")
    # Every class is one of the dataset's, or several of them.
    if len(lookup) != len(classes) or not {*range(number)} <= {*lookup} <= {*range(number + 1)}:
        raise ValueError("its classes are not those of its dataset")
    if not isinstance(codes, list) or not all(fields.fits(x, int | str | None) for x in codes):
        raise ValueError(f"its codes of classes are {fields.shown(codes)}")
    if not isinstance(colours, list) or not all(map(_is_colour, colours)):
        raise ValueError(f"its colours of classes are {fields.shown(colours)}")
    if not len(colours) == len(codes) == number:
        raise ValueError("its classes are not those of its dataset")
    background = content["background"]
    if not (background is None or (fields.is_integer(background) and background == 0)):
        raise ValueError(f"its background is {fields.shown(background)}")
    if len({*names}) < number:
        raise ValueError("its classes are not told apart")
    return ClassMapping(
        names=names,
        colours=tuple((r, g, b) for r, g, b in colours),
        codes=tuple(codes),
        lookup=np.array(lookup, np.int32),
        background=background,
    )


def _is_colour(value: Any) -> bool:
    whole = isinstance(value, list) and len(value) == 3 and all(map(fields.is_integer, value))
    return whole and all(0 <= part <= 255 for part in value)


def _statistics(
    content: Any, spec: ModelSpec, described: Dataset
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    if not isinstance(content, dict) or {*content} != {*spec.modalities}:
        raise ValueError("its statistics are not of its modalities")
    statistics = {}
    for name, moments in content.items():
        number = len(described[name].channels)
        for values in (mean := moments["mean"], std := moments["std"]):
            numbers = isinstance(values, list) and all(map(fields.is_number, values))
            if not numbers or len(values) != number:
                raise ValueError(f"its statistics of {name} are not one number per channel")
        with np.errstate(over="ignore"):
            statistics[name] = np.array(mean, np.float32), np.array(std, np.float32)
        if not all(np.isfinite(moment).all() for moment in statistics[name]):
            raise ValueError(f"its statistics of {name} are no numbers of 32 bits")
        if (statistics[name][1] <= 0).any():
            raise ValueError(f"its standard deviations of {name} are not positive")
    return statistics
