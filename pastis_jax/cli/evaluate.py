"""Scores a finished run: `pastis-jax evaluate RUN`."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from rich.table import Table

from pastis_jax import compiled, viz
from pastis_jax.cli import console, flags
from pastis_jax.cli.config import import_plugins
from pastis_jax.data import simulate
from pastis_jax.errors import UserError, refuse
from pastis_jax.files import write_whole
from pastis_jax.runs import OpenedData, Run, Until, open_run
from pastis_jax.runs.scoring import of_subsets
from pastis_jax.runs.until import as_date
from pastis_jax.tasks import Task
from pastis_jax.training import Outcome, jsonable, write_json

SCORES, BY_DATE = "evaluation.json", "by_date.json"
NONE = "none"
"""What stands where nothing had been observed."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Score a finished run on the test samples of its own data, or on other data.

    Prints the scores, those of each class, and how reliable the confidence is. With --out they are
    also written, with pictures.
    """

    run: Annotated[pathlib.Path, tyro.conf.Positional]
    """Folder of the run."""
    data: pathlib.Path | None = None
    """Folder or Region with the run's modalities and classes. Default: the data that it was trained
    on, which must not have changed."""
    split: Literal["train", "val", "test"] = "test"
    """Samples to score."""
    fold: int | None = None
    """Run of cross-validation that decides the split. Default: that of the run, if the data have
    the same folds."""
    until: str | None = None
    """Last day whose acquisitions are used, YYYY-MM-DD: what the season had shown by then."""
    by_modality: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also score each subset of the modalities: what is left if sensors fail."""
    by_date: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Score what had been observed by the end of each month of the season."""
    out: pathlib.Path | None = None
    """Folder for scores as JSON, scores by date as CSV, and pictures. Default: nothing is
    written."""
    batch_size: int | None = None
    """Number of samples in a batch. Default: as in the run's own test."""
    nodata: tuple[str, ...] | None = None
    """Values that mark missing data in --data, instead of those it declares: S2=-9999 S1A=nan."""
    offset: tuple[str, ...] | None = None
    """Number that is added to the values of --data, instead of what it declares: S2=-1000."""
    skip_implausible: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Leave out samples of --data with values that no sensor measures."""
    cache_dir: pathlib.Path | None = None
    """Where prepared data are kept. Default: $PASTIS_JAX_CACHE or ~/.cache."""
    plugin: tuple[str, ...] = ()
    """Modules to import first, which add encoders or schemes that the run was trained with."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    given = flags.command_flags(Arguments, arguments, prog="pastis-jax evaluate")
    console.command(lambda: run(given))


def run(given: Arguments) -> None:
    """Scores, shows, and writes what is asked for.

    Raises:
      UserError: For every mistake in the arguments, the run or the data.
    """
    refuse("until", given.by_date and given.until, "`by_date` has all days", "give one of them")
    whole = not (given.by_date or given.until)
    fault = "it is of whole seasons"
    refuse("by_modality", given.by_modality and not whole, fault, "give one of them")
    until = None if given.until is None else as_date(given.until)
    import_plugins(given.plugin)
    compiled.keep(given.cache_dir)
    opened_run = open_run(given.run)
    if given.out is not None:
        console.check_folder(given.out)
        taken = (given.out.expanduser() / "run.json").exists()
        refuse("out", taken, f"{given.out} is a run, whose files stay", "give another folder")
    opened = opened_run.open_data(
        given.data,
        fold=given.fold,
        batch_size=given.batch_size,
        nodata=given.nodata,
        offset=given.offset,
        cache_dir=given.cache_dir,
        needed=(given.split,),
        skip_implausible=given.skip_implausible or None,
    )
    known: list[Until] = []
    if given.by_date:
        known = opened.evaluate_by_date(split=given.split)
        outcome = known[-1].outcome
        if outcome is None:
            fault = f"none of the samples of {given.split} counts: without a valid date, or void"
            remedy = "correct the data, which pastis-jax inspect looks at"
            raise UserError(fault, where=opened.splits.root, remedy=remedy)
    elif given.by_modality:
        every = opened.evaluate_by_modality(split=given.split)
        outcome, *_ = every.values()
    else:
        outcome = opened.evaluate(split=given.split, until=until)
    content = scores(opened_run, opened, outcome, given)
    if given.by_modality:
        content["subsets"] = of_subsets(opened_run.task, every)
    content = jsonable(content)
    rows = jsonable([*by_date(opened_run.task, known)])
    show(content, rows, opened_run.task)
    if given.out is not None:
        write(content, rows, opened_run, outcome, given.out.expanduser())


def scores(run: Run, opened: OpenedData, outcome: Outcome, given: Arguments) -> dict[str, Any]:
    """What is written of an evaluation.

    Args:
      run: The run.
      opened: The data.
      outcome: Their scores.
      given: What was asked for.
    """
    task, splits = run.task, opened.splits
    simulated = simulate.is_simulated(splits.root)
    what = f"{given.split} of {'simulated data' if simulated else splits.root.name}"
    what += f" up to {given.until}" if given.until else ""
    return {
        "title": f"{task.title}, {task.spec.fusion} fusion of {' + '.join(task.spec.modalities)}, "
        f"{what}",
        "task": task.name,
        "run": os.fspath(run.folder),
        "data": os.fspath(splits.root),
        "split": given.split,
        "folds": list(splits.folds[given.split]),
        "until": given.until,
        "samples": outcome.samples,
        "unobserved": outcome.unobserved,
        "scores": task.summary(outcome),
        "calibration": {
            "temperature": run.saved.temperature,
            "of": task.told,
            **outcome.metrics.task.reliability(),
        },
        **task.counts(outcome),
    }


def by_date(task: Task, known: Sequence[Until]) -> Iterator[dict[str, Any]]:
    """What is written of each date; None where nothing had been observed."""
    for one in known:
        row = {"until": one.date.isoformat(), "dates": one.dates}
        outcome = one.outcome
        if outcome is None:
            names = ("samples", "unobserved", *task.scores_in(), "ECE", "NLL", "per_class")
            yield row | dict.fromkeys(names)
            continue
        summary = task.summary(outcome)
        yield {
            **row,
            "samples": outcome.samples,
            "unobserved": outcome.unobserved,
            **{name: summary[name] for name in task.scores_in()},
            **{name: outcome.scores.get(name) for name in ("ECE", "NLL")},
            "per_class": per_class(task, summary),
        }


def per_class(task: Task, summary: Mapping[str, Any]) -> dict[str, float | None]:
    """The score of each class of a summary."""
    every = summary.get("iou")
    return every or {name: row[task.per_class] for name, row in summary["per_class"].items()}


def show(content: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], task: Task) -> None:
    """Prints scores, those of the classes and those by date."""
    screen, calibration = console.screen(), content["calibration"]
    table = console.table(content["title"], header=False)
    for name in (*task.scores_in(), "loss"):
        table.add_row(name, console.score(content["scores"][name]))
    table.add_row("ECE", console.calibrated(calibration))
    for name in ("NLL", "Brier"):
        table.add_row(name, console.score(calibration["after"][name]))
    table.add_row(console.cell(task.samples), f"{content['samples']:,}")
    if content["unobserved"]:
        text = f"{content['unobserved']:,} without a valid date"
        table.add_row(console.cell(f"{task.samples} not scored"), text)
    screen.print(table)
    if "subsets" in content:
        screen.print(console.subsets_table(content["subsets"], task.scores_in()))
    values = per_class(task, content["scores"])
    screen.print(console.classes_table(values, f"{task.per_class} per class", task.per_class))
    if rows:
        screen.print(_by_date_table(rows, task))


def _by_date_table(rows: Sequence[Mapping[str, Any]], task: Task) -> Table:
    names = (*task.scores_in(), "ECE")
    dates = [f"dates of {name}" for name in rows[0]["dates"]]
    unobserved = any(row["unobserved"] for row in rows)
    last = ("not observed",) if unobserved else ()
    table = console.table("By what had been observed", "up to", *dates, *names, *last)
    for row in rows:
        known = row["samples"] is not None
        table.add_row(
            row["until"],
            *(f"{number:.1f}" for number in row["dates"].values()),
            *(console.score(row[x]) if known else NONE for x in names),
            *((f"{row['unobserved']:,}" if known else "all",) if last else ()),
        )
    return table


def write(
    content: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    run: Run,
    outcome: Outcome,
    folder: pathlib.Path,
) -> None:
    """Writes scores and pictures into a folder; files of these names are replaced.

    Raises:
      OSError: If they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    task = run.task
    write_json(folder / SCORES, content)
    task.draw(outcome, folder)
    viz.reliability(content["calibration"], folder / "reliability.png")
    if rows:
        write_json(folder / BY_DATE, rows)
        write_whole(folder / "by_date.csv", _csv(rows, task))
        _draw(rows, content["title"], task, folder)
    console.say(f"Scores and pictures are in {folder}.")


def _csv(rows: Sequence[Mapping[str, Any]], task: Task) -> str:
    """A row a date; empty where nothing had been observed, or a class is absent."""
    names = ("samples", "unobserved", *task.scores_in(), "ECE", "NLL")
    modalities = rows[0]["dates"]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    classes = task.classes.names
    of_classes = [f"{task.per_class} {name}" for name in classes]
    writer.writerow(["until", *(f"dates of {name}" for name in modalities), *names, *of_classes])
    for row in rows:
        own = row["per_class"] or {}
        writer.writerow(
            [row["until"], *row["dates"].values(), *(row[name] for name in names)]
            + [own.get(name) for name in classes]
        )
    return text.getvalue()


def _draw(rows: Sequence[Mapping[str, Any]], title: str, task: Task, folder: pathlib.Path) -> None:
    classes, mean_name = task.classes, task.scores[0]
    values = [[(row["per_class"] or {}).get(name) for name in classes.names] for row in rows]
    viz.by_date(
        [as_date(row["until"]) for row in rows],
        np.array(values, float),
        [row[mean_name] for row in rows],
        classes.names,
        classes.colours,
        folder / "by_date.png",
        score=task.per_class,
        mean_name=mean_name,
        title=title,
    )
