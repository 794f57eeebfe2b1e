"""Looks at a folder of data or a run: `pastis-jax inspect FOLDER`."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from pastis_jax.cli import console, flags
from pastis_jax.cli import inspect_region as of_region
from pastis_jax.cli.config import import_plugins
from pastis_jax.data import layout
from pastis_jax.data.inspection import Finding, Inspection, inspect_data
from pastis_jax.data.regions import is_region
from pastis_jax.data.regions.cube import FOLDER as CUBE
from pastis_jax.data.regions.inspection.inspect import inspect_region
from pastis_jax.data.regions.sensors import NEAR_INFRARED
from pastis_jax.errors import ArgumentError, UserError, refuse
from pastis_jax.runs import Run, open_run
from pastis_jax.text import named
from pastis_jax.viz import inspection as pictures

MOST_FINDINGS = 20


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Show what a folder of pixel sets or patches, a Region or a run holds, and what is wrong.

    All data of a folder are read. Of a Region, all parcels are read, a part of every file, and all
    values of up to 32 blocks of 128 x 128 pixels spread over it. The exit code is 0 if nothing is
    damaged, 1 if a sample, the Region or the run is damaged, and 2 if the folder is none of these
    or its metadata cannot be read.
    """

    folder: Annotated[pathlib.Path, tyro.conf.Positional]
    """The folder."""
    out: pathlib.Path | None = None
    """Folder for pictures of the data. Default: none are drawn."""
    nodata: tuple[str, ...] = ()
    """Values that mark missing data, by modality, instead of those that the dataset declares:
    S2=-9999 S1A=nan."""
    offset: tuple[str, ...] = ()
    """Number that is added to the values of a modality to have them in its unit, instead of what
    the dataset declares: S2=-1000."""
    all: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """List all findings, not only the first 20."""
    every: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Read all values of a Region, which may take as long as ingesting it."""
    plugin: tuple[str, ...] = ()
    """Modules to import first, which add encoders or schemes that a run was trained with."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    given = flags.command_flags(Arguments, arguments, prog="pastis-jax inspect")
    damaged: list[bool] = []
    console.command(lambda: damaged.append(run(given)))
    if damaged[0]:
        raise SystemExit(1)


def run(given: Arguments) -> bool:
    """Looks, and tells; returns whether something is damaged.

    Raises:
      UserError: If the folder is no data and no run.
    """
    import_plugins(given.plugin)
    folder = layout.resolve(given.folder)
    if (folder / "run.json").exists() or (folder / "config.json").exists():
        drawn = "the pictures of a run are in its folder"
        refuse("out", given.out is not None, drawn, "leave it out")
        for name in ("nodata", "offset"):
            refuse(name, getattr(given, name), "a run declares its own", "leave it out")
        refuse("every", given.every, "it is of Regions", "leave it out")
        return _inspect_run(folder, given.all)
    region = is_region(folder)
    if region:
        for name in ("nodata", "offset"):
            remedy = "leave it out, or ingest the Region again"
            refuse(name, getattr(given, name), "a Region holds what its own was made of", remedy)
    elif (folder / CUBE).is_dir():
        text = f"{folder}: this Region is not finished; its `ingest`, given again, continues it"
        _tell(console.screen(), [Finding(False, text)], given.all)
        return False
    else:
        refuse("every", given.every, "it is of Regions, of other data all is read", "leave it out")
    if given.out is not None:
        try:
            given.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fault, remedy = f"cannot write in {given.out} ({error.strerror})", "give another folder"
            raise ArgumentError(fault, argument="out", remedy=remedy) from error
    screen = console.screen()
    if region:
        looked = inspect_region(folder, every=given.every)
        of_region.show(looked, screen)
        _tell(screen, looked.findings, given.all)
        if given.out is not None:
            of_region.draw(looked, given.out)
        return looked.damaged
    inspection = inspect_data(folder, nodata=given.nodata, offset=given.offset)
    screen.print(_overview(inspection))
    screen.print(_sensors(inspection))
    screen.print(_images(inspection))
    screen.print(_classes(inspection))
    _tell(screen, inspection.findings, given.all)
    if given.out is not None:
        draw(inspection, given.out)
    return inspection.damaged


def _overview(inspection: Inspection) -> Table:
    dataset = inspection.dataset
    table = console.table(str(inspection.root), header=False)
    folds = ", ".join(f"{fold}: {inspection.samples.get(fold, 0):,}" for fold in dataset.folds)
    for name, text in (
        ("dataset", dataset.name),
        ("kind", inspection.kind),
        ("start of the season", dataset.season_start.isoformat()),
        ("pixel", f"{dataset.pixel_size:g} m"),
        ("samples by fold", folds),
    ):
        table.add_row(name, console.cell(text))
    return table


def _sensors(inspection: Inspection) -> Table:
    """Images are counted as the paper counts them: one for each date of a patch."""
    names = ("channels", "unit", "images", "dates (least, median, most)", "bright, partly")
    table = console.table("Modalities", "modality", *names, "missing")
    table.columns[2].no_wrap = True
    for name, sensed in inspection.sensed.items():
        modality, dates = inspection.dataset[name], sensed.dates or [0]
        table.add_row(
            console.cell(name),
            console.cell(" ".join(modality.channels)),
            modality.unit,
            f"{sensed.images:,}",
            f"{min(dates)}, {np.median(dates):g}, {max(dates)}",
            "-" if sensed.bright is None else f"{sensed.bright:.0%}, {sensed.partly:.0%}",
            f"{sensed.missing:.1%}",
        )
    return table


def _images(inspection: Inspection) -> str:
    """The images of all modalities together, those that clouds hide first."""
    optical = other = 0
    for name, sensed in inspection.sensed.items():
        if inspection.dataset[name].optical:
            optical += sensed.images
        else:
            other += sensed.images
    return f"{optical:,} optical images, {other:,} others."


def _classes(inspection: Inspection) -> Table:
    folds = inspection.dataset.folds
    table = console.table(f"{inspection.unit} by class and fold", "class", *map(str, folds), "all")
    for number, entry in enumerate(inspection.dataset.nomenclature.classes):
        counts = [inspection.counts[fold].get(number, 0) for fold in folds]
        name = console.cell(entry.title)
        table.add_row(name, *(f"{n:,}" for n in counts), f"{sum(counts):,}")
    return table


def _tell(screen: Console, findings: Sequence[Finding], every: bool) -> None:
    if not findings:
        screen.print("Nothing is wrong with it.")
        return
    kinds = ["damaged" if of.damage else "noted" if of.noted else "odd" for of in findings]
    counted = collections.Counter(kinds)
    title = f"{counted['damaged']} damaged, {counted['odd']} odd"
    if counted["noted"]:
        title += f", {counted['noted']} noted when it was made"
    table = console.table(title, "", "finding")
    shown = findings if every else findings[:MOST_FINDINGS]
    for kind, finding in zip(kinds, shown, strict=False):
        table.add_row(kind, console.cell(console.as_flags(finding.text)))
    table.columns[1].justify = "left"
    screen.print(table)
    if len(shown) < len(findings):
        screen.print(f"{len(findings) - len(shown)} more; --all lists them.")


def draw(inspection: Inspection, folder: pathlib.Path) -> None:
    """Draws the pictures of an inspection into a folder that is there.

    Raises:
      OSError: If they cannot be written.
    """
    counts = {name: sensed.months for name, sensed in inspection.sensed.items()}
    pictures.months(counts, sum(inspection.samples.values()), folder / "dates.png")
    pictures.classes(inspection.counts, inspection.dataset, inspection.unit, folder / "classes.png")
    if inspection.patches:
        pictures.patches(inspection.patches, inspection.dataset, folder / "patches.png")
    if inspection.parcels:
        for name in inspection.sensed:
            file = folder / f"series-{name}.png"
            pictures.series(
                inspection.parcels, inspection.dataset, name, file, infrared=NEAR_INFRARED
            )
    console.say(f"Pictures are in {folder}.")


def _inspect_run(folder: pathlib.Path, every: bool) -> bool:
    """Tells what a run is, and what keeps it from predicting or from being scored again."""
    findings, screen = [], console.screen()
    if not (folder / "run.json").exists() and not (folder / "result.json").exists():
        text = f"{folder}: this run is not finished; its command, given again, continues it"
        _tell(screen, [Finding(False, text)], every)
        return False
    try:
        run = open_run(folder)
    except UserError as error:
        _tell(screen, [Finding(True, str(error))], every)
        return True
    findings += [Finding(False, note) for note in run.notes]
    try:
        screen.print(_run(run))
    except UserError as error:
        findings.append(Finding(True, str(error)))
    if wrong := [name for name, x in _leaves(run.variables) if not np.isfinite(x).all()]:
        findings.append(Finding(True, f"weights are not finite: {named(wrong, most=5)}"))
    try:
        findings += [Finding(False, note) for note in run.open_data().splits.notes]
    except UserError as error:
        findings.append(Finding(False, str(error)))
    _tell(screen, findings, every)
    return any(finding.damage for finding in findings)


def _run(run: Run) -> Table:
    table, result, spec = console.table(str(run.folder), header=False), run.result, run.task.spec
    test = {name: result["test"][name] for name in run.task.scores_in(result["test"])}
    scores = ", ".join(f"{k} {'undefined' if x is None else f'{x:.3f}'}" for k, x in test.items())
    number = sum(x.size for _, x in _leaves(run.variables["params"]))
    calibration = result.get("calibration")
    rows = [("test ECE", console.calibrated(calibration))] if calibration else []
    for name, text in (
        ("task", run.task.title),
        ("model", f"{spec.fusion} fusion of {', '.join(spec.modalities)}, {spec.encoder}"),
        ("parameters", f"{number:,}"),
        ("dataset", run.dataset.name),
        ("classes", ", ".join(run.classes.names)),
        ("test", f"{scores} (fold {result['fold']}, seed {result['seed']})"),
        *rows,
        ("trained by", run.saved.code),
    ):
        table.add_row(name, console.cell(text))
    return table


def _leaves(tree, path=""):
    """Arrays of a nested mapping by their paths."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name}/")
        else:
            yield f"{path}{name}", value
