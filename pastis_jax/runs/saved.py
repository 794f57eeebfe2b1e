"""The form of a run: what it carries beside its log, so that it needs nothing else.

    run.json       format, task, model, statistics, classes, context, days, fingerprint of the data
    dataset.json   what the data are
    weights.npz    weights and running statistics, float32

`checkpoints/`, config.json and metrics.jsonl are for continuing it, result.json and the pictures
for readers: none of these is needed to predict.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import types
import typing
from collections.abc import Mapping, Set
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from jaxtyping import Array, PyTree

from pastis_jax import machine
from pastis_jax.data import dataset_file
from pastis_jax.data.calendar import Span
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.dataset import Dataset
from pastis_jax.errors import UserError
from pastis_jax.tasks import SPECS, TASKS, Learned, ModelSpec, Task
from pastis_jax.training import write_arrays, write_json
from pastis_jax.training.recipe import LARGEST_BATCH

FORMAT = 1
"""Version of this form. A later version of the code reads all that came before."""
RUN, WEIGHTS = "run.json", "weights.npz"

_REMEDY = "copy the run again, or train it anew"


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
      code: Version of the code that trained it.
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
    code: str = dataclasses.field(default_factory=machine.code_version)


def write(folder: pathlib.Path, saved: Saved, variables: PyTree[Array]) -> None:
    """Writes what a run carries into its folder, each file as a whole; run.json comes last."""
    learned = saved.learned
    flat = traverse_util.flatten_dict(jax.device_get(variables), sep="/")
    write_arrays(folder / WEIGHTS, flat)
    write_json(folder / "dataset.json", dataset_file.to_json(learned.dataset))
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
            "fingerprint": saved.fingerprint,
            "records": saved.records,
            "batch_size": saved.batch_size,
            "plugins": saved.plugins,
            "days": {name: dataclasses.asdict(span) for name, span in saved.days.items()},
        },
    )


def read(folder: pathlib.Path) -> Saved:
    """Reads what a run carries, but for its weights.

    Raises:
      UserError: If there is no finished run, or a file of it cannot be read.
    """
    file = folder / RUN
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        version = content["format"]
    except FileNotFoundError:
        remedy = "give the folder of a run that is finished"
        raise UserError("no finished run here", where=folder, remedy=remedy) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"cannot be read ({error})", where=file, remedy=_REMEDY) from error
    if version != FORMAT:
        fault = f"a run of format {version}, this version reads {FORMAT}"
        raise UserError(fault, where=file, remedy="use a later version")
    described = dataset_file.read(folder / "dataset.json")
    try:
        if content["task"] not in TASKS:
            raise ValueError(f"there is no task {content['task']!r}")
        return Saved(
            task=content["task"],
            spec=restore(SPECS[content["task"]], content["model"]),
            options=_options(TASKS[content["task"]], content["options"]),
            learned=Learned(
                described, _classes(content["classes"], described), _statistics(content, described)
            ),
            context={name: float(value) for name, value in content["context"].items()},
            fingerprint=dict(content["fingerprint"]),
            records=dict(content["records"]),
            batch_size=_batch_size(content["batch_size"]),
            plugins=tuple(content["plugins"]),
            days=_days(content.get("days", {}), described),
            code=str(content["code"]),
        )
    except UserError as error:
        fault, plugins = error.fault, content.get("plugins")
        if plugins:
            fault = f"{fault} (it was trained with these modules: {', '.join(map(str, plugins))})"
        raise UserError(fault, where=file, remedy=error.remedy) from error
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        fault = f"cannot be read ({type(error).__name__}: {error})"
        raise UserError(fault, where=file, remedy=_REMEDY) from error


def read_weights(folder: pathlib.Path, shapes: PyTree[jax.ShapeDtypeStruct]) -> PyTree[np.ndarray]:
    """Reads the weights of a run.

    Args:
      folder: Of the run.
      shapes: What the model takes.

    Raises:
      UserError: If the file is damaged, or not of this model.
    """
    file = folder / WEIGHTS
    wanted = traverse_util.flatten_dict(shapes, sep="/")
    try:
        # NumPy leaves a damaged file open that it has opened itself.
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as content:
            if differing := sorted({*content.files} ^ wanted.keys()):
                raise ValueError(f"{differing[0]} is of the file or of the model alone")
            weights = {}
            for name, like in wanted.items():
                weights[name] = content[name]
                if (weights[name].shape, weights[name].dtype) != (like.shape, like.dtype):
                    raise ValueError(f"{name} has shape {weights[name].shape}, not {like.shape}")
    except FileNotFoundError:
        raise UserError("file not found", where=file, remedy=_REMEDY) from None
    except Exception as error:  # Of damage, NumPy and zipfile tell by almost any class.
        fault = f"cannot be read ({type(error).__name__}: {error})"
        raise UserError(fault, where=file, remedy=_REMEDY) from error
    return traverse_util.unflatten_dict(weights, sep="/")


def restore(kind: type, content: Mapping[str, Any]) -> Any:
    """Makes a frozen value of the fields that JSON holds; those that came later have defaults.

    Raises:
      ValueError: If a field is unknown or of another type.
    """
    return kind(**_values(kind, {field.name for field in dataclasses.fields(kind)}, content))


def _options(task: type[Task], content: Mapping[str, Any]) -> dict[str, Any]:
    """What this task is made with beside what every task is."""
    own, every = ({field.name for field in dataclasses.fields(kind)} for kind in (task, Task))
    return _values(task, own - every, content)


def _values(kind: type, names: Set[str], content: Mapping[str, Any]) -> dict[str, Any]:
    """Values of some fields of a class, as JSON holds them."""
    hints, values = typing.get_type_hints(kind), {}
    if unknown := sorted(content.keys() - names):
        raise ValueError(f"{unknown[0]} is unknown to this version")
    for name, value in content.items():
        value = tuple(value) if isinstance(value, list) else value
        if not _fits(value, hints[name]):
            raise ValueError(f"{name} is {value!r}")
        is_path = pathlib.Path in typing.get_args(hints[name])
        values[name] = pathlib.Path(value) if is_path and value is not None else value
    return values


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of JSON is of an annotated type, as far as runs have them."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, alternative) for alternative in inner)
    if origin is typing.Literal:
        return value in inner
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        hints = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return len(hints) == len(value) and all(map(_fits, value, hints))
    if hint is pathlib.Path:
        return isinstance(value, str)
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _batch_size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_BATCH:
        raise ValueError(f"its batch size is {value!r}")
    return value


def _days(content: Mapping[str, Mapping[str, float]], described: Dataset) -> dict[str, Span]:
    days = {}
    for name, span in content.items():
        days[name] = Span(int(span["first"]), int(span["last"]), float(span["median"]))
        if name not in described.names or not span["first"] <= span["median"] <= span["last"]:
            raise ValueError(f"its days of {name} are {span}")
    return days


def _classes(content: Mapping[str, Any], described: Dataset) -> ClassMapping:
    lookup = np.array(content["lookup"], np.int32)
    number, classes = len(content["names"]), described.nomenclature.classes
    sound = lookup.shape == (len(classes),) and 0 <= lookup.min() <= lookup.max() <= number
    if not sound or not len(content["colours"]) == len(content["codes"]) == number:
        raise ValueError("its classes are not those of its dataset")
    if content["background"] not in (None, 0) or len({*content["names"]}) < number:
        raise ValueError("its classes are not told apart")
    return ClassMapping(
        names=tuple(map(str, content["names"])),
        colours=tuple((int(r), int(g), int(b)) for r, g, b in content["colours"]),
        codes=tuple(content["codes"]),
        lookup=lookup,
        background=content["background"],
    )


def _statistics(
    content: Mapping[str, Any], described: Dataset
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    statistics = {
        name: (np.array(moments["mean"], np.float32), np.array(moments["std"], np.float32))
        for name, moments in content["statistics"].items()
    }
    if {*statistics} != {*content["model"]["modalities"]}:
        raise ValueError("its statistics are not of its modalities")
    for name, moments in statistics.items():
        shape = (len(described[name].channels),)
        if any(values.shape != shape or not np.isfinite(values).all() for values in moments):
            raise ValueError(f"its statistics of {name} are not one number per channel")
        if (moments[1] <= 0).any():
            raise ValueError(f"its standard deviations of {name} are not positive")
    return statistics
