"""A table of samples, a line for each sample and date, as a folder of pixel sets."""

from __future__ import annotations

import datetime
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from pastis_jax.data import calendar
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.modality import Modality
from pastis_jax.data.regions import sensors
from pastis_jax.data.regions.parcels.crops import LABELS
from pastis_jax.data.regions.samples.classes import Findings, classes_of, folds_of
from pastis_jax.data.regions.samples.columns import (
    FILE,
    Column,
    check_twice,
    converted,
    guess_columns,
    read_columns,
    write_columns,
)
from pastis_jax.data.regions.samples.sets import Origin, Series, check_new, write_folder
from pastis_jax.data.regions.samples.table import Roles, Samples, Table
from pastis_jax.errors import ArgumentError, refuse
from pastis_jax.text import named, plain

_FIRST, _LAST = -60, 730
"""Days of a season that training does not tell of."""


def propose_columns(
    table: str | os.PathLike[str], out: str | os.PathLike[str], **roles: str | None
) -> tuple[pathlib.Path, list[Column]]:
    """Writes what names of columns tell, for a person to correct: `columns.csv`.

    Args:
      table: The table, Parquet or CSV.
      out: The folder that `ingest_samples` will make; it holds nothing else yet.
      **roles: `id`, `date`, `label` and `fold` as `ingest_samples` takes them; they hold no
        channel.

    Returns:
      The file, and what is in it.

    Raises:
      UserError: As `ingest_samples`.
    """
    out, opened = check_new(out), Table(table)
    taken = [opened.require(name, given, ()) for name, given in roles.items() if given]
    columns = _guessed(opened, taken)
    write_columns(columns, out / FILE)
    return out / FILE, columns


def ingest_samples(
    table: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    season_start: datetime.date | str,
    label: str,
    id: str | None = None,
    date: str | None = None,
    fold: str | None = None,
    columns: Sequence[Column] | str | os.PathLike[str] | None = None,
    modalities: Sequence[str] | None = None,
    classes: str | os.PathLike[str] = LABELS,
    unknown: str = "refuse",
    min_samples: int = 0,
    block: float = 5000.0,
    gap: float = 1000.0,
    skip_implausible: bool = False,
    complete: bool = False,
    pixel_size: float = 10.0,
    progress: bool = True,
) -> pathlib.Path:
    """Makes a folder of pixel sets of one pixel from a table of samples.

    What was left out, and what is odd, is told by a DataWarning each, and written to
    `findings.json`.

    Args:
      table: Parquet or CSV, a line for each sample and date, a column for each channel.
      out: Folder to make: new, empty, or with the list that `propose_columns` wrote.
      season_start: Day 0.
      label: Column of the crop.
      id: Column of the sample; by default one with a usual name. So is `date`, the day, which is
        that in UTC where a time and a zone are given.
      date: Column of the day.
      fold: Column of the folds, three or more. Without it blocks of ground are dealt to five, if
        the table says where samples are; else their identifiers say it.
      columns: Which columns hold which channels, or a file that says so; by default what names
        tell, which is refused where these do not tell unit or offset.
      modalities: Those of them to take; by default all.
      classes: `rpg`, `hcat`, a file like `classes.csv`, or `labels` to make each label a class.
      unknown: `void` makes samples void whose labels are not in the list; by default they are
        refused.
      min_samples: Classes with fewer samples become void.
      block: Side of the blocks, metres; halved where they would be too few.
      gap: Metres within which samples in different folds are told of.
      skip_implausible: Whether to leave out samples with values that no sensor measures, in place
        of refusing the table.
      complete: Whether to leave out samples that lack one of the modalities, which single and early
        fusion need.
      pixel_size: Of what was sampled, metres.
      progress: Whether to draw progress bars.

    Returns:
      The folder.

    Raises:
      ArgumentError: For an argument that cannot be.
      DataError: If the table, or a list beside it, cannot be used as it is. Nothing is left behind.
    """
    start = _start(season_start)
    for name, value, least in (("min_samples", min_samples, 0), ("gap", gap, 0)):
        refuse(name, not value >= least, f"got {value}", f"give {least} or more")
    refuse("unknown", unknown not in ("refuse", "void"), f"got {unknown!r}", "give refuse or void")
    size = not 0 < pixel_size < 1e5
    refuse("pixel_size", size, f"got {pixel_size}", "give its side in metres, above 0")
    refuse("block", not 100 <= block <= 1e6, f"got {block}", "give 100 to 1,000,000 metres")
    listed = columns if isinstance(columns, str | os.PathLike) else None
    out, opened, told = check_new(out, listed), Table(table), Findings()
    roles = opened.roles(id=id, date=date, label=label, fold=fold)
    for text in opened.guesses:
        told.add("columns", text)
    chosen = _chosen(opened, roles, columns, modalities, told)
    stored = _modalities(chosen)
    units = {modality.name: modality.unit for modality in stored}
    read = opened.read(roles, chosen, units, progress=progress)
    for name, number in read.negative.items():
        told.add("missing", f"{number:,} values of {name} are below 0: they count as missing")
    stored, chosen = _observed(stored, chosen, read, told)
    shared = {"file": opened.file, "told": told}
    numbers, nomenclature = classes_of(read, classes, unknown=unknown, least=min_samples, **shared)
    crops = np.where(numbers == nomenclature.void_number, -1, numbers)
    positions, folds = folds_of(read, crops, block=block, gap=gap, **shared)
    try:
        dataset = Dataset(
            name=plain(opened.file.stem, 100).strip() or "samples",
            modalities=tuple(stored),
            nomenclature=nomenclature,
            season_start=start,
            folds=folds,
            pixel_size=pixel_size,
        )
    except ValueError as error:  # the rest is sound
        remedy = "name folds by letters, digits and underscores"
        raise ArgumentError(str(error), argument="fold", remedy=remedy) from error
    _tell_dates(read, start, told)
    series = Series.of(read, chosen, stored, opened.file)
    if series.repeated:
        text = f"{series.repeated:,} lines are of a sample and day that other lines are of too"
        told.add("columns", f"{text}: they are joined")
    origin = Origin(opened.file, read, numbers, positions, chosen)
    write_folder(
        out,
        dataset,
        series,
        origin,
        told,
        skip=skip_implausible,
        complete=complete,
        progress=progress,
    )
    told.warn()
    return out


def _start(given: datetime.date | str) -> datetime.date:
    if isinstance(given, datetime.datetime):
        return given.date()
    if isinstance(given, datetime.date):
        return given
    try:
        return datetime.date.fromisoformat(given)
    except (TypeError, ValueError):
        fault, remedy = f"{given!r} is no day", "write YYYY-MM-DD"
        raise ArgumentError(fault, argument="season_start", remedy=remedy) from None


def _guessed(table: Table, roles: Sequence[str]) -> list[Column]:
    columns = guess_columns({n: t for n, t in table.columns.items() if n not in roles})
    if not columns:
        table.require("columns", None, ())
    return columns


def _chosen(
    table: Table, roles: Roles, given: Any, modalities: Sequence[str] | None, told: Findings
) -> list[Column]:
    """The columns to read, each with a unit and, of reflectance, an offset."""
    if given is None:
        columns = _guessed(table, roles.names)
    elif isinstance(given, str | os.PathLike):
        columns = read_columns(given, complete=True, modalities=modalities)
    else:
        columns = list(given)
        for number in range(1, len(columns) + 1):
            try:
                check_twice(columns[:number])
            except ValueError as error:
                remedy = "name each column once"
                raise ArgumentError(str(error), argument="columns", remedy=remedy) from error
    if modalities is not None:
        names = [*dict.fromkeys(column.modality for column in columns)]
        unknown = [name for name in modalities if name not in names]
        fault = f"there is no {', '.join(unknown)}" if modalities else "there is none"
        refuse("modalities", unknown or not modalities, fault, f"choose among {', '.join(names)}")
        columns = [column for column in columns if column.modality in modalities]
    for field in ("unit", "offset"):
        if unknown := [column.column for column in columns if column.unknown == field]:
            remedy = "write the list of columns by `dry_run`, fill it in, and give it by `columns`"
            fault = f"the {field} of {named(unknown)} is not known"
            raise ArgumentError(fault, argument="columns", remedy=remedy)
    used = {*roles.names, *(column.column for column in columns)}
    if given is None and (left := [name for name in table.columns if name not in used]):
        told.add("left out", f"columns that are not taken: {named(left, most=30)}")
    return columns


def _modalities(columns: Sequence[Column]) -> list[Modality]:
    stored = []
    for name in dict.fromkeys(column.modality for column in columns):
        own = [column for column in columns if column.modality == name]
        try:
            stored.append(sensors.stored(name, [column.channel for column in own], own[0].unit))
            for column in own:
                converted(np.zeros(0), column, stored[-1].unit)
        except ValueError as error:
            fault, remedy = f"{name}: {error}", "correct the list of columns"
            raise ArgumentError(fault, argument="columns", remedy=remedy) from error
    return stored


def _observed(
    modalities: Sequence[Modality], columns: Sequence[Column], read: Samples, told: Findings
) -> tuple[list[Modality], list[Column]]:
    """The modalities and columns that have any value; the others are told of."""
    kept = []
    for modality in modalities:
        own = [column for column in columns if column.modality == modality.name]
        seen = np.isfinite(read.values[modality.name]).any(0)
        read.values[modality.name] = read.values[modality.name][:, seen]
        if empty := [column.column for column, any_ in zip(own, seen, strict=True) if not any_]:
            told.add("left out", f"{modality.name}: {named(empty, most=20)} have no value at all")
        kept += [column for column, any_ in zip(own, seen, strict=True) if any_]
    refuse("columns", not kept, "no column has any value", "give others, or correct nodata")
    return _modalities(kept), kept


def _tell_dates(read: Samples, start: datetime.date, told: Findings) -> None:
    """Tells of samples whose dates lie far from the season."""
    days = read.day - start.toordinal()
    first, last = np.full(len(read.ids), np.iinfo(np.int32).max), np.full(len(read.ids), -(2**31))
    np.minimum.at(first, read.sample, days)
    np.maximum.at(last, read.sample, days)
    far = (first < _FIRST) | (first > calendar.LATE) | (last > _LAST)
    if far.any():
        names = named([read.ids[number] for number in np.flatnonzero(far)[:4]], int(far.sum()))
        span = f"days {first[far].min()} to {last[far].max()} after its start on {start}"
        remedy = "give `season_start` of their own, or ingest each season by itself"
        told.add(
            "dates",
            f"{int(far.sum()):,} of {len(far):,} samples ({names}) have dates far from the season, "
            f"{span}: {remedy}",
        )
