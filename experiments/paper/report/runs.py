"""What stands in a folder of runs: results by model, failures, times, pictures."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.paper import cloud_cover, finished
from pastis_jax.cli.config import MAY_DIFFER as OF_THE_PLACE
from pastis_jax.cli.console import flag
from pastis_jax.errors import UserError
from pastis_jax.tasks import TASKS

SCORES = {name: task.scores[0] for name, task in TASKS.items()}
"""Main score by task."""

Key = tuple[str, str, str]
"""Task, model and enhancement."""

RESULT = {
    *("task", "fusion", "modalities", "temporal_dropout", "auxiliary", "fold", "seed", "data"),
    *("epochs", "parameters", "seconds", "peak_memory_gb", "device", "code", "test", "folder"),
}
COUNTS = {"parcel": "confusion", "semantic": "confusion", "panoptic": "counts"}
TIME = {"seconds", "count", "samples", "device"}
CLOUDS = {"task", "model", "enhancement", "fold", "seed", "score", "curves"}
"""What is read of result.json, and of the files below inference/ and cloud_cover/."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
      folder: Its folder.
      result: Content of its result.json.
      config: Content of its config.json.
      dataset: What it was trained on, where that is not PASTIS-R as published.
    """

    folder: pathlib.Path
    result: Mapping[str, Any]
    config: Mapping[str, Any]
    dataset: str | None = None

    @property
    def key(self) -> Key:
        """Task, model and enhancement, named as experiments.paper does.

        What is tested unlike the paper's models, or on other data, has that in its model's name.
        """
        other = [text for text, differs in OTHER_TESTS.items() if differs(self)]
        other += [self.dataset] * (self.dataset is not None)
        model = ", ".join([finished.model_name(self.result), *other])
        return self.result["task"], model, finished.enhancement(self.result)

    @property
    def place(self) -> tuple[int, int]:
        """Fold and seed."""
        return self.result["fold"], self.result["seed"]


OTHER_TESTS = {
    "grouped classes": lambda run: run.config.get("class_mapping") is not None,
    "one date": lambda run: run.config.get("date") is not None,
    "bounded resampling": lambda run: run.config.get("outside", "extrapolate") != "extrapolate",
    "corrected void": lambda run: (
        run.result["task"] == "panoptic" and not run.config.get("legacy_void")
    ),
}
"""What makes a score another than the paper's."""
MAY_DIFFER = {
    *("fold", "seed", "data", "init_from", "min_confidence", "remat", "removed_optical"),
    *OF_THE_PLACE,
}
"""Settings in which the runs of one model may differ: published weights are of a fold."""


@dataclasses.dataclass(frozen=True)
class Runs:
    """What stands in a folder of runs.

    Attributes:
      root: The folder.
      finished: Runs by task, model and enhancement, each in the order of fold and seed.
      failures: Last line of the error, by the name of the cell that failed.
      unfinished: Names of runs that were begun and have neither ended nor failed.
      times: Contents of inference/TASK-MODEL/fold*-seed*.json, by task and model.
      clouds: Contents of cloud_cover/**.json, by the key of the run that was measured.
      pictures: figures/*.png, by their names.
    """

    root: pathlib.Path
    finished: Mapping[Key, Sequence[Run]]
    failures: Mapping[str, str]
    unfinished: Sequence[str]
    times: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]
    clouds: Mapping[Key, Sequence[Mapping[str, Any]]]
    pictures: Mapping[str, pathlib.Path]

    @property
    def all(self) -> list[Run]:
        """Every finished run."""
        return [run for runs in self.finished.values() for run in runs]

    @property
    def simulated(self) -> bool:
        """Whether the data are simulated."""
        return self.all[0].result["data"] == "simulated"


def read(root: pathlib.Path) -> Runs:
    """Reads the folder that experiments.paper fills, or any other that holds runs.

    Raises:
      UserError: If it holds no finished run, simulated and given data together, one run twice, or
        runs of one model with other settings; or if a file cannot be read.
    """
    if not root.is_dir():
        raise UserError("no such folder", where=root, remedy="give the --out of experiments.paper")
    runs = [_run(folder) for folder in finished.find_runs(root)]
    _refuse_mix(root, runs)
    by_key: dict[Key, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.place):
        by_key.setdefault(run.key, []).append(run)
    for same in by_key.values():
        for first, second in itertools.pairwise(same):
            if first.place == second.place:
                fault = f"holds the same run as {first.folder}"
                raise UserError(fault, where=second.folder, remedy="move one of them elsewhere")
            _refuse_other_settings(first, second)
    failures = _failures(root)
    begun = (_name(root, path.parent) for path in root.glob("**/config.json"))
    done = {_name(root, run.folder) for run in runs}
    return Runs(
        root=root,
        finished=by_key,
        failures=failures,
        unfinished=sorted({*begun} - done - {*failures}),
        times=_times(root),
        clouds=_clouds(root),
        pictures={path.name: path for path in sorted(root.glob("figures/*.png"))},
    )


def _run(folder):
    result, config = finished.read_run(folder)
    _refuse_lack(folder / "result.json", result, RESULT)
    _refuse_lack(folder / "result.json", result, {COUNTS[result["task"]]})
    return Run(folder, result, config, finished.other_dataset(folder, result))


def _refuse_lack(path, content, names):
    if lacking := sorted(names - content.keys()):
        fault = f"lacks {', '.join(lacking)}"
        raise UserError(fault, where=path, remedy="make it anew with this version")


def _refuse_mix(root, runs):
    kinds = {run.result["data"]: run.folder for run in runs}
    if len(kinds) > 1:
        fault = f"{kinds['simulated']} is of simulated data, {kinds['given']} of given data"
        raise UserError(fault, where=root, remedy="report them apart")


def _refuse_other_settings(first, second):
    """The scores of both would become one."""
    names = (first.config.keys() | second.config.keys()) - MAY_DIFFER
    differing = sorted(n for n in names if first.config.get(n) != second.config.get(n))
    if differing:
        flags = ", ".join(flag(name) for name in differing)
        fault = f"differs in {flags} from {first.folder}, of the same model"
        raise UserError(fault, where=second.folder, remedy="report them apart")


def _failures(root):
    """Errors of the cells that failed and have not been made since."""
    errors = {}
    for path in sorted(root.glob("cells/**/*.json")):
        name = _name(root / "cells", path.with_suffix(""))
        record = _json(path)
        made = (root / name / "result.json").exists() or (root / f"{name}.json").exists()
        if record.get("status") == "failed" and not made:
            errors[name] = record.get("error") or "no error was written down"
    return errors


def _times(root):
    times: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for path in sorted(root.glob("inference/*/fold*-seed*.json")):
        task, _, model = path.parent.name.partition("-")
        _refuse_lack(path, content := _json(path), TIME)
        times.setdefault((task, model), []).append(content)
    return times


def _clouds(root):
    clouds: dict[Key, list[Mapping[str, Any]]] = {}
    for path in sorted(root.glob("cloud_cover/**/*.json")):
        content = _json(path)
        if isinstance(content, dict) and content.get("kind") == cloud_cover.KIND:
            _refuse_lack(path, content, CLOUDS)
            key = content["task"], content["model"], content["enhancement"]
            clouds.setdefault(key, []).append(content)
    return clouds


def _json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be read ({error})", where=path, remedy="make it anew") from error


def _name(root, path):
    return path.relative_to(root).as_posix()
