"""Writes samples as a folder of pixel sets of one pixel, whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import datetime
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import tqdm

from pastis_jax.data import dataset_file, layout
from pastis_jax.data.dataset import Dataset, Fold
from pastis_jax.data.metadata import PARCEL_COLUMNS, PARCEL_METADATA, PATCH_METADATA
from pastis_jax.data.regions.samples.columns import FILE, Column, write_columns
from pastis_jax.data.regions.samples.lines import Samples, file_names
from pastis_jax.data.regions.samples.series import Series
from pastis_jax.data.statistics import StatisticsAccumulator
from pastis_jax.errors import DataError, UserError
from pastis_jax.text import named

FINDINGS = "findings.json"
NORM = "NORM_PARCEL_{}_set.json"


@dataclasses.dataclass(frozen=True, eq=False)
class Origin:
    """Where samples are from, and what is known of each.

    Attributes:
      file: The table.
      read: Its samples.
      numbers: Number of the class of each, (n,).
      folds: Position of the fold of each, (n,).
      columns: What was read.
    """

    file: pathlib.Path
    read: Samples
    numbers: np.ndarray
    folds: np.ndarray
    columns: Sequence[Column]


@dataclasses.dataclass
class _Patch:
    """Samples of one fold with the same dates and modalities.

    Attributes:
      number: Its identifier.
      fold: The fold.
      days: When they were observed, (d,).
      seen: By modality, on which of these any of them was, (d,) bool.
    """

    number: int
    fold: Fold
    days: np.ndarray
    seen: dict[str, np.ndarray]


def write_folder(
    out: pathlib.Path,
    dataset: Dataset,
    series: Series,
    origin: Origin,
    told: list[dict[str, str]],
    *,
    skip: bool,
    complete: bool,
    progress: bool,
) -> None:
    """Writes the folder.

    Args:
      out: The folder, which `check_new` accepted.
      dataset: What it holds.
      series: What was observed.
      origin: Of what.
      told: What is written to `findings.json`; what is found here is added.
      skip: Whether samples with implausible values are left out rather than refused.
      complete: Whether samples without one of the modalities are left out.
      progress: Whether to draw a bar.

    Raises:
      DataError: For values that cannot have been measured, or a channel that never varies.
      UserError: If the folder cannot be written. Nothing is left of it then.
    """
    ids, numbered = file_names(origin.read.ids)
    if numbered:
        text = "identifiers cannot be parts of files' names: samples are numbered from 1, and "
        told.append({"kind": "names", "text": f"{text}{PARCEL_METADATA} tells which is which"})
    patches, members = _patches(dataset, series, origin, told, complete=complete)
    void, moments = dataset.nomenclature.void_number, {}
    for modality in dataset.modalities:
        moments[modality.name] = StatisticsAccumulator(modality, dataset.folds)
    measured: dict[str, set[Fold]] = {name: set() for name in dataset.names}
    rows, skipped = [], []
    with _whole(out) as folder:
        for name in dataset.names:
            (folder / f"DATA_{name}").mkdir()
        for number in tqdm.tqdm(
            members, desc="Writing samples", unit=" samples", disable=not progress
        ):
            patch, fold = patches[members[number]], dataset.folds[origin.folds[number]]
            try:
                stored = _checked(series, number, patch, dataset)
            except DataError as error:
                name = origin.read.ids[number]
                if not skip:
                    remedy = "correct unit, offset or nodata in the list of columns, or leave such "
                    raise DataError(
                        f"sample {name}: {error.where}: {error.fault}",
                        where=origin.file,
                        remedy=f"{remedy}samples out by `skip_implausible`",
                    ) from error
                skipped.append(f"{name} ({error.where}: {error.fault})")
                continue
            for name, values in stored.items():
                np.save(folder / f"DATA_{name}" / f"{name}_{ids[number]}.npy", values)
                if origin.numbers[number] != void:
                    moments[name].add(fold, values)
                    measured[name].add(fold)
            rows.append((number, patch.number))
        if skipped:
            text = f"{len(skipped):,} samples have values that no sensor measures"
            told.append({"kind": "left out", "text": f"{text}: {named(skipped)}"})
        if not rows:
            raise DataError("no sample is left", where=origin.file, remedy="look at its values")
        _write_norms(folder, dataset, moments, measured, origin.file)
        _write_metadata(folder, dataset, patches.values())
        _write_samples(folder, dataset, rows, ids, origin)
        dataset_file.write(dataset, folder)
        write_columns(origin.columns, folder / FILE)
        (folder / FINDINGS).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def _patches(
    dataset: Dataset,
    series: Series,
    origin: Origin,
    told: list[dict[str, str]],
    *,
    complete: bool,
) -> tuple[dict[tuple, _Patch], dict[int, tuple]]:
    """Samples that share fold, dates and modalities: patches by key, and the key of each sample."""
    patches: dict[tuple, _Patch] = {}
    members: dict[int, tuple] = {}
    incomplete: dict[str, list[str]] = {}
    lacking: dict[str, list[str]] = {name: [] for name in dataset.names}
    empty = []
    for number, name in enumerate(origin.read.ids):
        days, lines = series.of_sample(number)
        for sensor in [sensor for sensor, x in lines.items() if series.incomplete(sensor, x)]:
            incomplete.setdefault(sensor, []).append(name)
            del lines[sensor]
        if not lines:
            empty.append(name)
            continue
        for sensor in dataset.names:
            if sensor not in lines:
                lacking[sensor].append(name)
        if complete and len(lines) < len(dataset.names):
            continue
        key = (origin.folds[number], tuple(lines), days.tobytes())
        if key not in patches:
            seen = {sensor: np.zeros(len(days), bool) for sensor in lines}
            patches[key] = _Patch(len(patches) + 1, dataset.folds[key[0]], days, seen)
        for sensor, taken in lines.items():
            patches[key].seen[sensor] |= taken >= 0
        members[number] = key
    total = len(origin.read.ids)
    for sensor, names in incomplete.items():
        text = f"{len(names):,} of {total:,} samples ({named(names)}) have a channel of {sensor} "
        told.append({"kind": "missing", "text": f"{text}missing at all dates: it is left out"})
    for sensor, names in lacking.items():
        if names:
            text = f"{len(names):,} of {total:,} samples ({named(names)}) have no {sensor}"
            text += ": they are left out" if complete else ""
            told.append({"kind": "left out" if complete else "missing", "text": text})
    if empty:
        text = f"{len(empty):,} of {total:,} samples ({named(empty)}) have no value at all"
        told.append({"kind": "left out", "text": f"{text}: they are left out"})
    if not members:
        fault = "no sample has every modality" if complete else "no sample has a value"
        raise DataError(fault, where=origin.file, remedy="look at its columns")
    return patches, members


def _checked(series: Series, number: int, patch: _Patch, dataset: Dataset) -> dict[str, np.ndarray]:
    """The series of a sample by modality, checked as they are when they are trained on."""
    stored = {}
    _, lines = series.of_sample(number)
    for name, seen in patch.seen.items():
        values = series.stored(dataset[name], lines[name][seen])
        layout.check_values(values, dataset[name], pathlib.Path(name))
        stored[name] = values
    return stored


def _write_norms(
    folder: pathlib.Path,
    dataset: Dataset,
    moments: Mapping[str, StatisticsAccumulator],
    measured: Mapping[str, set[Fold]],
    file: pathlib.Path,
) -> None:
    for modality in dataset.modalities:
        norms = {}
        for fold, (mean, std) in moments[modality.name].compute().items():
            if fold not in measured[modality.name]:
                continue
            if not (std > 0).all():
                channel = modality.channels[int((std > 0).argmin())]
                fault = f"{channel} of {modality.name} never varies within samples of fold {fold}"
                remedy = "leave its column out of the list of columns, or give other folds"
                raise DataError(fault, where=file, remedy=remedy)
            norms[f"Fold_{fold}"] = {"mean": mean.tolist(), "std": std.tolist()}
        (folder / NORM.format(modality.name)).write_text(json.dumps(norms, indent=1) + "\n")


def _write_metadata(folder: pathlib.Path, dataset: Dataset, patches: Iterable[_Patch]) -> None:
    features = []
    for patch in patches:
        dates = {
            f"dates-{name}": {
                str(k): int(_date(day).strftime("%Y%m%d")) for k, day in enumerate(patch.days[seen])
            }
            for name, seen in patch.seen.items()
        }
        properties = {"ID_PATCH": patch.number, "Fold": patch.fold, **dates}
        features.append({"type": "Feature", "properties": properties, "geometry": None})
    content = {"type": "FeatureCollection", "name": dataset.name, "features": features}
    (folder / PATCH_METADATA).write_text(json.dumps(content, ensure_ascii=False))


def _write_samples(
    folder: pathlib.Path,
    dataset: Dataset,
    rows: Iterable[tuple[int, int]],
    ids: Sequence[str],
    origin: Origin,
) -> None:
    """Writes the table of samples, with what the given one says of each beside it."""
    read, classes = origin.read, dataset.nomenclature.classes
    with open(folder / PARCEL_METADATA, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        places = () if read.places is None else ("Longitude", "Latitude")
        table.writerow((*PARCEL_COLUMNS, "Sample", "Given", *places))
        for number, patch in rows:
            code, fold = classes[origin.numbers[number]].code, dataset.folds[origin.folds[number]]
            place = () if read.places is None else map(float, read.places[number])
            given = "" if read.labels[number] is None else read.labels[number]
            table.writerow((ids[number], patch, code, fold, read.ids[number], given, *place))


def _date(day: int) -> datetime.date:
    return datetime.date.fromordinal(int(day))


def check_new(
    out: str | os.PathLike[str], columns: str | os.PathLike[str] | None = None
) -> pathlib.Path:
    """The folder, absolute; refused if it is there and holds anything.

    Args:
      out: The folder.
      columns: A list of columns that may lie in it under its usual name.

    Raises:
      UserError: If it is refused.
    """
    out = layout.resolve(out)
    if not out.exists():
        return out
    names = {file.name for file in out.iterdir()} if out.is_dir() else {""}
    if names == {FILE} and columns is None:
        remedy = "give it by `columns`, or remove it"
        raise UserError("a list of columns that is not given", where=out / FILE, remedy=remedy)
    if names and (names != {FILE} or layout.resolve(columns) != out / FILE):
        remedy = "give a new or empty folder, or remove this one first"
        raise UserError("not an empty folder", where=out, remedy=remedy)
    return out


@contextlib.contextmanager
def _whole(out: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a folder beside `out` to write in, and makes it `out` once everything is there."""
    remedy = "give a folder that can be written, with room enough"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    except OSError as error:
        raise UserError(error.strerror or str(error), where=out, remedy=remedy) from None
    try:
        yield folder
        folder.chmod(0o755)
        (out / FILE).unlink(missing_ok=True)  # what it says is written anew
        folder.rename(out)  # takes the place of an empty folder
    except OSError as error:  # a full disk, say
        shutil.rmtree(folder, ignore_errors=True)
        raise UserError(error.strerror or str(error), where=out, remedy=remedy) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
