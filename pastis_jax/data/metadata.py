"""The two metadata files of a folder: `metadata.geojson` (patches) and `metadata_parcel.csv`.

Both are read once, checked entirely and turned into plain records, so that nothing else in the
package knows how they are written.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import functools
import math
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.dataset import Code, Dataset, Fold
from pastis_jax.data.reading import PLAIN, integer, read_csv, read_json, restore, shown
from pastis_jax.data.reading import number as read_number
from pastis_jax.errors import DataError

PATCH_METADATA = "metadata.geojson"
PARCEL_METADATA = "metadata_parcel.csv"
PARCEL_COLUMNS = ("ID_PARCEL", "ID_PATCH", "Label", "Fold")
GEOMETRIC_FEATURES = ("GF_perimeter", "GF_pixels", "GF_cover", "GF_ratio")
"""Columns that describe a parcel's outline; all of them or none."""

Identifier = int | str
"""Of a parcel or patch: a 64-bit integer, or text that can be part of a file's name."""


@dataclasses.dataclass(frozen=True)
class Patch:
    """One patch.

    Attributes:
      id: Identifier, `ID_PATCH`.
      fold: One of the dataset's folds.
      tile: Name of the tile it was cut from, or "" where the file gives none.
      days: Acquisition days (t,) int32 since the start of the season of each modality, in file
        order; none, (0,), of a modality that it lacks.
    """

    id: Identifier
    fold: Fold
    tile: str
    days: Mapping[str, np.ndarray] = dataclasses.field(compare=False, repr=False)


@dataclasses.dataclass(frozen=True)
class Parcel:
    """One agricultural parcel, as `metadata_parcel.csv` lists it.

    Attributes:
      id: Identifier, `ID_PARCEL`.
      patch: Identifier of the patch it lies in.
      label: Number of its class in the nomenclature, never the background.
      fold: One of the dataset's folds.
      geometric_features: Perimeter and area in pixels, cover and perimeter-to-area ratio, (4,)
        float32; (0,) where the table has no such columns.
    """

    id: Identifier
    patch: Identifier
    label: int
    fold: Fold
    geometric_features: np.ndarray = dataclasses.field(compare=False, repr=False)


def read_patches(
    file: pathlib.Path, dataset: Dataset, modalities: Iterable[str]
) -> dict[Identifier, Patch]:
    """Reads `metadata.geojson`.

    A patch without dates of a modality (no such property, null or an empty mapping) lacks it.

    Args:
      file: The metadata file.
      dataset: What its folds and its calendar are.
      modalities: Modalities whose dates are wanted; those of others are not looked at.

    Returns:
      The patches by identifier, in file order.

    Raises:
      DataError: If the file cannot be parsed, repeats a patch, lacks its identifier or fold, has a
        fold that is not the dataset's or a date that is not a calendar day.
    """
    modalities = tuple(modalities)
    kind, remedy = "a GeoJSON feature collection", restore(file)
    content = read_json(file, kind=kind, remedy=remedy)
    try:
        properties = [feature["properties"] for feature in content["features"]]
    except (KeyError, TypeError) as error:
        fault = f"not {kind} ({type(error).__name__}: {error})"
        raise DataError(fault, where=file, remedy=remedy) from error

    start, patches = dataset.season_start.toordinal(), {}
    for entry in properties:
        try:
            identifier = parse_identifier(entry["ID_PATCH"])
            patch = Patch(
                id=identifier,
                fold=_fold(entry["Fold"], dataset, f"patch {identifier}", file),
                tile=_text(entry.get("TILE")),
                days={m: parse_days(entry.get(f"dates-{m}"), start) for m in modalities},
            )
        except KeyError as error:
            fault = f"patch {_name(entry)} has no property {error}"
            raise DataError(fault, where=file, remedy=remedy) from error
        except (ValueError, TypeError, AttributeError) as error:
            fault = f"patch {_name(entry)} cannot be parsed ({error})"
            remedy = 'write dates as {"0": 20180924, ...}, identifiers as integers or plain text'
            raise DataError(fault, where=file, remedy=remedy) from error
        if patch.id in patches:
            fault = f"patch {patch.id} is listed twice"
            raise DataError(fault, where=file, remedy="remove one of the two features")
        patches[patch.id] = patch
    return patches


def _fold(value: Any, dataset: Dataset, whose: str, file: pathlib.Path) -> Fold:
    try:
        return dataset.fold(value)
    except KeyError:
        known = ", ".join(map(str, dataset.folds))
        remedy = f"folds are {known}; correct it"
        raise DataError(f"{whose} has fold {_said(value)}", where=file, remedy=remedy) from None


def parse_identifier(value: Any) -> Identifier:
    """Reads an identifier; 3, "3" and "3.0" are alike (tables that went through floats).

    Raises:
      ValueError: If it is no 64-bit integer and no text that can be part of a file's name, or a
        float too large to be one integer alone.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{shown(value)} is no identifier")
    if isinstance(value, float) and abs(value) >= 2**53:
        raise ValueError(f"{value} is beyond the integers that floats tell apart")
    text = str(value).strip()
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,99})(\.0+)?", text):
        number = int(text.partition(".")[0])
        if not -(2**63) <= number < 2**63:
            raise ValueError(f"{text} is beyond 64 bits")
        return number
    if isinstance(value, float) or not _PLAIN.fullmatch(text):
        raise ValueError(f"{shown(text)} is no identifier: letters, digits, dot, dash, underscore")
    return text


_PLAIN = re.compile(PLAIN)


def parse_days(dates: Mapping[str, int] | str | None, start: int) -> np.ndarray:
    """Converts dates to day numbers.

    Args:
      dates: `{"0": 20180924, ...}`, date number to YYYYMMDD, or a string that holds such a dict;
        None, NaN (a null of tables that went through floats) or empty for none.
      start: Ordinal of day 0.

    Returns:
      Days by rising date number, (t,) int32.

    Raises:
      ValueError: If these are no dates, or one is not a calendar day.
    """
    if isinstance(dates, str):
        dates = _listed(dates) if dates.strip() not in ("", "null") else None
    if dates is None or (isinstance(dates, float) and math.isnan(dates)):
        dates = {}
    if not isinstance(dates, Mapping):
        raise ValueError("dates must be a dict")
    numbers = {integer(key): key for key in dates}
    if len(numbers) < len(dates):
        raise ValueError("a number of a date occurs twice")
    return np.array([_ordinal(dates[numbers[n]]) - start for n in sorted(numbers)], np.int32)


# Possessive, since what follows never begins with what was taken: time is linear in the length.
_WORD = r"""\s*+("[^"]*+"|'[^']*+'|[^\s,:{}"']++)\s*+"""
_DATE = f"{_WORD}:{_WORD}"
_DATES = re.compile(rf"\s*+\{{({_DATE}(,{_DATE})*,?\s*+|\s*+)\}}\s*+")


def _listed(text: str) -> dict[str, str]:
    """Reads the text of a dict of dates, as Python or JSON writes it."""
    if not _DATES.fullmatch(text):
        raise ValueError(f"{shown(text)} is not a dict of dates")
    pairs = [[word.strip("\"'") for word in pair] for pair in re.findall(_DATE, text)]
    dates = dict(pairs)
    if len(dates) < len(pairs):
        raise ValueError("a number of a date occurs twice")
    return dates


@functools.lru_cache(maxsize=4096)
def _ordinal(date: int | str) -> int:
    text = str(integer(date))
    if len(text) != 8:
        raise ValueError(f"date {shown(date)} is not YYYYMMDD")
    return datetime.date(int(text[:4]), int(text[4:6]), int(text[6:])).toordinal()


def read_parcels(
    file: pathlib.Path, dataset: Dataset, patches: Mapping[Identifier, Patch]
) -> tuple[Parcel, ...]:
    """Reads `metadata_parcel.csv`.

    Args:
      file: The metadata file.
      dataset: What its labels and folds are.
      patches: The patches a parcel may lie in.

    Returns:
      The parcels, in file order.

    Raises:
      DataError: If the file cannot be parsed, lacks a column, lists no parcel or one twice, or
        holds a label or fold that is not the dataset's, the background, a feature that is not
        finite or a patch that is not among `patches`.
    """
    columns, rows = _read_table(file)
    features = GEOMETRIC_FEATURES if {*columns} & {*GEOMETRIC_FEATURES} else ()
    wanted, remedy = (*PARCEL_COLUMNS, *features), restore(file)
    if absent := [name for name in wanted if name not in columns]:
        raise DataError(f"no column {', '.join(absent)}", where=file, remedy=remedy)
    if twice := [name for name in wanted if columns.count(name) > 1]:
        raise DataError(f"column {twice[0]} occurs twice", where=file, remedy="remove one of them")
    if not rows:
        raise DataError("lists no parcel", where=file, remedy=remedy)

    shared = {"features": features, "file": file, "dataset": dataset, "patches": patches}
    parcels = tuple(_parcel(row, number, **shared) for number, row in rows)
    twice, count = collections.Counter(parcel.id for parcel in parcels).most_common(1)[0]
    if count > 1:
        fault = f"parcel {twice} is listed {count} times"
        raise DataError(fault, where=file, remedy="keep one line per parcel")
    return parcels


def _read_table(file: pathlib.Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Reads the columns of a CSV file, and its rows with the numbers of their lines."""
    remedy, key = restore(file), PARCEL_COLUMNS[0]
    columns, rows = read_csv(file, kind="a CSV file", remedy=remedy, column=key)
    for line, row in rows:
        # With a field too many, values would stand under other columns.
        if len(row) != len(columns):
            whose = dict(zip(columns, row, strict=False)).get(key, "?")
            fault = f"{len(row)} fields where there are {len(columns)} columns"
            fault = f"line {line}, parcel {_said(whose)}: cannot be parsed ({fault})"
            raise DataError(fault, where=file, remedy="correct the line")
    return columns, [(line, dict(zip(columns, row, strict=True))) for line, row in rows]


def _parcel(
    row: Mapping[str, str],
    number: int,
    *,
    features: Sequence[str],
    file: pathlib.Path,
    dataset: Dataset,
    patches: Mapping[Identifier, Patch],
) -> Parcel:
    """Checks one line of the parcel table."""
    whose = f"line {number}, parcel {_said(row['ID_PARCEL'])}"

    def error(fault: str, remedy: str) -> DataError:
        return DataError(f"{whose}: {fault}", where=file, remedy=remedy)

    try:
        identifier, patch = (parse_identifier(row[name]) for name in ("ID_PARCEL", "ID_PATCH"))
        outline = np.array([read_number(row[name].strip()) for name in features])
    except ValueError as cause:
        raise error(f"cannot be parsed ({cause})", "correct the line") from cause
    fold = _fold(row["Fold"], dataset, f"{whose}:", file)
    label = _label(row["Label"], dataset, error)
    if patch not in patches:
        raise error(f"patch {patch} is not in {PATCH_METADATA}", "use files of one release")
    if patches[patch].fold != fold:
        fault = f"fold {fold}, but its patch has fold {patches[patch].fold}"
        raise error(fault, "correct one: a patch split over folds leaks into the test")
    if not ((outline >= 0) & (outline <= np.finfo(np.float32).max)).all():
        raise error("geometric features are not finite or negative", "correct the GF_ columns")
    return Parcel(identifier, patch, label, fold, outline.astype(np.float32))


def _label(code: Code, dataset: Dataset, error: Callable[[str, str], DataError]) -> int:
    """The number of a parcel's class."""
    nomenclature = dataset.nomenclature
    try:
        label = nomenclature.number_of(code)
    except KeyError:
        codes = [
            entry.code for entry in nomenclature.classes if entry.code != nomenclature.background
        ]
        remedy = f"labels are {', '.join(map(str, codes))}"
        raise error(f"unknown label {_said(code)}", remedy) from None
    if label == nomenclature.background_number:
        name = nomenclature.classes[label].name
        raise error(f"label {code} is {name}, which no parcel is", "correct the line")
    return label


def _text(value: Any) -> str:
    """The name of a tile: text, a number or nothing."""
    if not isinstance(value, str | int | float | None):
        raise ValueError("TILE is no text")
    return str(value or "")


def _said(value: Any) -> str:
    """A value for a message, without quotes."""
    return shown(value).strip("'")


def _name(entry: Any) -> Any:
    return _said(entry.get("ID_PATCH", "?")) if isinstance(entry, Mapping) else "?"
