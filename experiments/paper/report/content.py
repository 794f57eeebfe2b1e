"""What the page says: title, warnings, facts, tables, pictures, failures."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from experiments.paper.full_size import PARAMETERS
from experiments.paper.report import statements, tables
from experiments.paper.report.runs import Runs
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.text import plain

TASKS = {
    "parcel": "parcels",
    "semantic": "semantic segmentation",
    "panoptic": "panoptic segmentation",
}
TITLE = "The paper's tables and figures"
PAPER_EPOCHS, FOLDS = 100, 5
"""Paper, sections 4.1 to 4.3."""
LONGEST = 1000
"""Characters of a line of what runs and their data say."""
SMOKE_EPOCHS = 2
"""Up to so many, nothing has been learnt."""

FIGURES = {
    "figure1": (
        "Figure 1: the dataset",
        "Patches: an acquisition of each modality, the classes, the parcels.",
    ),
    "figure4": (
        "Figure 4: a series",
        "Acquisitions of each modality of one patch over the season, and its annotations.",
    ),
    "figure5": (
        "Figure 5: IoU by class, parcels",
        "Late fusion with auxiliary supervision and temporal dropout against S2 alone.",
    ),
    "figure6": (
        "Figure 6: gradient flow",
        "Share of each module of late fusion in what all of them move the objective by, without "
        "and with auxiliary losses; below zero what raises it.",
    ),
    "figure7": (
        "Figure 7: cloud cover",
        "Test score against the share of optical dates that are removed.",
    ),
    "figure8": (
        "Figure 8: semantic segmentation",
        "Test patches: an optical and a radar observation, the predictions of S2 alone and of late "
        "fusion, the truth.",
    ),
    "figure9": (
        "Figure 9: panoptic segmentation",
        "Test patches: an optical and a radar observation, the predictions of S2 alone and of late "
        "fusion, the truth.",
    ),
    "figure10": (
        "Figure 10: PQ by class, panoptic",
        "Late fusion with temporal dropout against S2 alone.",
    ),
    "figure11": (
        "Figure 11: single modalities, panoptic",
        "Test patches: the predictions of S1A, S1D and S2 alone and of late fusion, the truth.",
    ),
    "attention": (
        "Attention over dates",
        "Which acquisitions the heads attend to, by modality and class, over the calendar.",
    ),
}
"""Heading and caption by the beginning of a picture's name."""


@dataclasses.dataclass(frozen=True)
class PictureSection:
    """A section of pictures.

    Attributes:
      name: Its heading.
      caption: What they show.
      pictures: Files, PNG; none if they have not been drawn.
      expected: Name of the file that would be one.
    """

    name: str
    caption: str
    pictures: Sequence[pathlib.Path]
    expected: str


@dataclasses.dataclass(frozen=True)
class Page:
    """Content of the page.

    Attributes:
      title: Says on which data.
      warnings: What keeps the numbers from being the paper's.
      facts: Terms and their descriptions.
      tables: In their order.
      sections: Of pictures, in their order.
      failures: Name and error of each cell that failed.
    """

    title: str
    warnings: Sequence[str]
    facts: Mapping[str, str]
    tables: Sequence[tables.Table]
    sections: Sequence[PictureSection]
    failures: Mapping[str, str]


def make(runs: Runs, curves: Mapping[str, pathlib.Path]) -> Page:
    """Returns the content of the page.

    Args:
      runs: What there is.
      curves: Picture of the validation scores by task.
    """
    others = tables.other_runs(runs)
    return Page(
        title=f"{TITLE} on {_data(runs)}",
        warnings=[plain(warning, LONGEST) for warning in _warnings(runs)],
        facts={term: plain(text, LONGEST) for term, text in _facts(runs).items()},
        tables=[
            *tables.paper_tables(runs),
            statements.statements(runs),
            *([others] if others else []),
        ],
        sections=[*_figures(runs), *_curves(curves)],
        failures={name: plain(error, LONGEST) for name, error in runs.failures.items()},
    )


def _data(runs):
    if runs.simulated:
        return "simulated data"
    return " and ".join(sorted({run.dataset or PASTIS_R.name for run in runs.all}))


def _by_task(runs, value) -> dict[str, list]:
    """The sorted values of `value` of the results of each task."""
    by_task = {}
    for task in TASKS:
        if values := {value(run.result) for run in runs.all if run.result["task"] == task}:
            by_task[task] = sorted(values)
    return by_task


def _warnings(runs: Runs) -> Iterator[str]:
    epochs = _by_task(runs, lambda result: result["epochs"])
    if short := {task: v for task, v in epochs.items() if 0 < v[-1] <= SMOKE_EPOCHS}:
        most = max(values[-1] for values in short.values())
        of = "" if len(short) == len(epochs) else f" of {' and '.join(map(TASKS.get, short))}"
        yield f"Smoke run{of}: {_counted(most, 'epoch')} at most. The numbers mean nothing."
    if runs.simulated:
        yield "Simulated data. The numbers say nothing about real crops."
    elif any(values[0] < PAPER_EPOCHS for values in epochs.values()):
        yield f"The paper trains for {PAPER_EPOCHS} epochs, these runs for {_listed(epochs)}."
    for task, folders in _by_task(runs, _folder).items():
        if len(folders) > 1:
            yield f"The runs of {TASKS[task]} are of several folders: {', '.join(folders)}."
    if narrow := _narrow(runs):
        names = " and ".join(TASKS[task] for task in narrow)
        yield f"Models for {names} are smaller than at full size: see their numbers of parameters."
    folds = _by_task(runs, lambda result: result["fold"])
    if any(len(values) < FOLDS for values in folds.values()):
        yield f"The paper's scores are over {FOLDS} folds, these over {_listed(folds, 'fold')}."


def _folder(result):
    """The end of the path of the data, which may be at different places on several machines."""
    return "/".join(pathlib.Path(result["folder"]).parts[-2:])


def _narrow(runs):
    """Tasks with a model that has fewer parameters than the same one of ours at full size.

    The paper's counts do not tell: several cannot be met by what its text describes.
    """
    narrow = {
        task
        for (task, model, _), same in runs.finished.items()
        if same[0].result["parameters"] < PARAMETERS[task].get(model, 0)
    }
    return [task for task in TASKS if task in narrow]


def _facts(runs: Runs) -> dict[str, str]:
    results = [run.result for run in runs.all]
    count = _counted(len(results), "run") + " finished"
    count += f", {len(runs.unfinished)} not finished" * bool(runs.unfinished)
    count += f"; {_counted(len(runs.failures), 'cell')} failed" * bool(runs.failures)
    newest = max((run.folder / "result.json").stat().st_mtime for run in runs.all)
    folders = sorted({_folder(result) for result in results})
    hours = sum(result["seconds"]["total"] for result in results) / 3600
    memories = [m for result in results if (m := result["peak_memory_gb"]) is not None]
    facts = {
        "Data": _data(runs) + f", in {', '.join(folders)}" * (not runs.simulated),
        "Runs": count,
        "Folds": _listed(_by_task(runs, lambda result: result["fold"])),
        "Seeds": _listed(_by_task(runs, lambda result: result["seed"])),
        "Epochs": _listed(_by_task(runs, lambda result: result["epochs"])),
        "Tested on": _tested(runs),
        "Hardware": ", ".join(sorted({result["device"] for result in results})),
        "Time": f"{hours:,.{1 if hours >= 1 else 2}f} hours, all runs together",
        "Most memory": f"{max(memories):.1f} GB of a process" if memories else "",
        "Code": "; ".join(sorted({result["code"] for result in results})),
        "Newest result": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(newest)),
    }
    return {term: text for term, text in facts.items() if text}


def _tested(runs):
    """What one seed's folds of each task have together been tested on, at most."""
    units = {"parcel": "parcels", "semantic": "pixels", "panoptic": "parcels in patches"}
    most: dict[str, int] = {}
    for (task, *_), same in runs.finished.items():
        seeds: dict[int, int] = {}
        for run in same:
            seed = run.result["seed"]
            seeds[seed] = seeds.get(seed, 0) + _size(run.result)
        most[task] = max(most.get(task, 0), *seeds.values())
    return ", ".join(f"{most[task]:,} {units[task]}" for task in TASKS if task in most)


def _size(result):
    if result["task"] == "panoptic":
        counts = result["counts"]
        return int(np.sum(counts["true_positive"]) + np.sum(counts["false_negative"]))
    return int(np.sum(result["confusion"], dtype=np.int64))


def _counted(number, noun):
    return f"{number} {noun}" + "s" * (number != 1)


def _listed(values: Mapping[str, Sequence], unit: str = "") -> str:
    """Values by task, together where all tasks have the same."""
    names: dict[str, list[str]] = {}
    for task, given in values.items():
        text = _counted(len(given), unit) if unit else ", ".join(map(str, given))
        names.setdefault(text, []).append(TASKS[task])
    if len(names) == 1:
        return next(iter(names))
    return "; ".join(f"{text} ({', '.join(tasks)})" for text, tasks in names.items())


def _figures(runs: Runs) -> Iterator[PictureSection]:
    left = dict(runs.pictures)
    for name, (heading, caption) in FIGURES.items():
        mine = [file for file in left if re.fullmatch(rf"{name}(\D.*)?\.png", file)]
        drawn = [left.pop(file) for file in mine]
        yield PictureSection(heading, caption, drawn, f"figures/{name}.png")
    if left:
        yield PictureSection("Other pictures", ", ".join(left), list(left.values()), "")


def _curves(curves: Mapping[str, pathlib.Path]) -> Iterator[PictureSection]:
    for task, path in curves.items():
        caption = "Validation score by epoch, one line for each fold and seed."
        yield PictureSection(f"Learning curves: {TASKS[task]}", caption, [path], "")
