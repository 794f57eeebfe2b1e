"""What the paper's tools read of finished runs: where they are, their names, their data."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from pastis_jax import compiled
from pastis_jax.cli import console
from pastis_jax.data.pastis_r import PASTIS_R, describe
from pastis_jax.errors import UserError
from pastis_jax.json_files import read_object
from pastis_jax.runs import OpenedData, open_run, results
from pastis_jax.runs.fields import shown
from pastis_jax.tasks import TASKS


def open_data(
    folder: pathlib.Path,
    *,
    data: pathlib.Path | None = None,
    cache_dir: pathlib.Path | None = None,
) -> OpenedData:
    """Opens the finished run in `folder` with its data, as it was tested.

    Args:
      folder: What was its --out.
      data: Where its data are, if no longer where they were; a line says in what they differ from
        those that it was trained on.
      cache_dir: Where prepared and simulated data are kept, if not in the default place.

    Raises:
      UserError: If there is no finished run, or its data are not there any more.
    """
    _, config = read_run(folder)
    compiled.keep(cache_dir)
    try:
        run = open_run(folder)
        records = run.saved.record_options()
        # They are the run's own data: what it declared of them still holds.
        moved = {} if data is None else {"nodata": records.nodata, "offset": records.offset}
        opened = run.open_data(
            data, cache_dir=cache_dir, parallel=config.get("parallel", "jit"), **moved
        )
    except UserError as error:
        if data is None and error.remedy == "name a folder":
            raise UserError(
                error.fault, where=error.where, remedy="name a folder by `data`"
            ) from error
        raise
    seen, trained = opened.splits.fingerprint, opened.run.saved.fingerprint
    # Statistics come from the run, whose NORM files may have stayed behind.
    if differing := [n for n in seen.differing(trained) if n in seen.parts and n in trained]:
        console.say(f"{data} is not what {folder} was trained on: {', '.join(differing)} differ.")
    return opened


def read_run(folder: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads the content of result.json and config.json of a finished run.

    Raises:
      UserError: If there is none in `folder`.
    """
    result, config = (_read(folder / f"{name}.json") for name in ("result", "config"))
    task, file = result.get("task"), folder / "result.json"
    if not isinstance(task, str) or task not in TASKS:
        fault = f"its task is {shown(task)}, none of {', '.join(TASKS)}"
        raise UserError(fault, where=file, remedy="train it anew")
    try:
        results.check(result, needed=())
    except ValueError as error:
        fault = f"cannot be read ({error})"
        raise UserError(fault, where=file, remedy="train it anew") from error
    return result, config


def _read(file: pathlib.Path) -> dict[str, Any]:
    try:
        return read_object(file, remedy="train it anew", any_text=True)
    except FileNotFoundError:
        fault, remedy = "no finished run here", "give the --out of a run that is finished"
        raise UserError(fault, where=file.parent, remedy=remedy) from None


def find_runs(*folders: pathlib.Path) -> list[pathlib.Path]:
    """Returns the finished runs that `folders` are or hold, in the order of their names.

    Raises:
      UserError: If one of `folders` holds none.
    """
    runs = []
    for folder in folders:
        inside = [path.parent for path in folder.glob("**/result.json")]
        finished = sorted(path for path in inside if (path / "config.json").exists())
        if not finished:
            remedy = "give the --out of finished runs, or a folder that holds them"
            raise UserError("no finished run here", where=folder, remedy=remedy)
        runs += finished
    return list(dict.fromkeys(runs))


def model_name(result: Mapping[str, Any]) -> str:
    """The name of a run's model: of its only modality, or of its fusion scheme.

    A scheme of other than all modalities of PASTIS-R has them in its name, and so has early fusion
    onto the dates of another modality than S2.
    """
    modalities, fusion = result["modalities"], result["fusion"]
    if fusion == "single":
        return modalities[0]
    first, *_ = names = PASTIS_R.names
    usual = {*modalities} == {*names} and (fusion != "early" or modalities[0] == first)
    return fusion if usual else f"{fusion} of {' + '.join(modalities)}"


def enhancement(result: Mapping[str, Any]) -> str:
    """What a run's model was trained with: `base`, `temporal_dropout`, `auxiliary` or `both`."""
    names = [name for name in ("temporal_dropout", "auxiliary") if result[name]]
    return "both" if len(names) == 2 else "".join(names) or "base"


def dataset_name(result: Mapping[str, Any]) -> str:
    """The name of what a run was trained on; runs of earlier versions knew PASTIS-R alone."""
    return result.get("dataset", PASTIS_R.name)


def other_dataset(folder: pathlib.Path, result: Mapping[str, Any]) -> str | None:
    """What a run was trained on, where that is not PASTIS-R as published; else None.

    Args:
      folder: Of the run.
      result: Content of its result.json.

    Raises:
      UserError: If the dataset that it carries cannot be read.
    """
    if (name := dataset_name(result)) != PASTIS_R.name:
        return name
    carried = describe(folder, remedy="copy the run again")
    return None if carried == PASTIS_R else f"changed {name}"


def origin(folder: pathlib.Path, opened: OpenedData) -> dict[str, Any]:
    """What a measurement writes down about its run: where it is, what was trained, on what data.

    Args:
      folder: Of the run.
      opened: The run with its data.
    """
    result = opened.run.result
    return {
        "run": folder.absolute(),
        "folder": opened.splits.root,
        "model": model_name(result),
        "enhancement": enhancement(result),
        "dataset": dataset_name(result),
        **{name: result[name] for name in ("task", "modalities", "fold", "seed", "data")},
    }


def runs_name(folds: Sequence[int], seeds: Sequence[int]) -> str:
    """Folds and seeds, for a title."""
    return ", ".join(
        f"{word}{'s' * (len(values) > 1)} {' '.join(map(str, values))}"
        for word, values in (("fold", folds), ("seed", seeds))
    )
