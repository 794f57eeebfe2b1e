"""The two metadata files of PASTIS-R: `metadata.geojson` (patches) and `metadata_parcel.csv`.

Both are read once, checked entirely and turned into plain records, so that nothing else in the
package knows how they are written.
"""

from __future__ import annotations

import ast
import collections
import csv
import dataclasses
import datetime
import functools
import json
import math
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pastis_jax.data.nomenclature import FOLDS, GEOMETRIC_FEATURES, REFERENCE_DATE, VOID
from pastis_jax.errors import DataError

PATCH_METADATA = "metadata.geojson"
PARCEL_METADATA = "metadata_parcel.csv"
PARCEL_COLUMNS = ("ID_PARCEL", "ID_PATCH", "Label", "Fold", *GEOMETRIC_FEATURES)

_RESTORE = "restore the official file from the PASTIS-R archive"


@dataclasses.dataclass(frozen=True)
class Patch:
    """One 128 x 128 patch of PASTIS-R.

    Attributes:
      id: Official identifier, `ID_PATCH`.
      fold: Official fold, 1 to 5.
      tile: Name of its Sentinel-2 tile, or "" where the file gives none.
      days: Acquisition days (t,) int32 since 2018-09-01 of each modality, in file order.
    """

    id: int
    fold: int
    tile: str
    days: Mapping[str, np.ndarray] = dataclasses.field(compare=False, repr=False)


@dataclasses.dataclass(frozen=True)
class Parcel:
    """One agricultural parcel, as `metadata_parcel.csv` lists it.

    Attributes:
      id: Official identifier, `ID_PARCEL`.
      patch: Identifier of the patch it lies in.
      label: Official class, 1 to 18 for crops and 19 for void.
      fold: Official fold, 1 to 5.
      geometric_features: Perimeter and area in pixels, cover and perimeter-to-area ratio,
        (4,) float32.
    """

    id: int
    patch: int
    label: int
    fold: int
    geometric_features: np.ndarray = dataclasses.field(compare=False, repr=False)


def read_patches(file: pathlib.Path, modalities: Iterable[str]) -> dict[int, Patch]:
    """Reads `metadata.geojson`.

    Args:
      file: The metadata file.
      modalities: Modalities whose dates are wanted (`S2`, `S1A`, `S1D`).

    Returns:
      The patches by identifier, in file order.

    Raises:
      DataError: If the file cannot be parsed, repeats a patch, lacks a wanted property, has a fold
        outside 1 to 5 or a date that is not a calendar day.
    """
    modalities = tuple(modalities)
    try:
        features = json.loads(file.read_text(encoding="utf-8"))["features"]
        properties = [feature["properties"] for feature in features]
    except FileNotFoundError:
        raise DataError("file not found", where=file, remedy=_RESTORE) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"not a GeoJSON feature collection ({type(error).__name__}: {error})"
        raise DataError(what, where=file, remedy=_RESTORE) from error

    patches = {}
    for entry in properties:
        try:
            patch = Patch(
                id=_integer(entry["ID_PATCH"]),
                fold=_integer(entry["Fold"]),
                tile=str(entry.get("TILE") or ""),
                days={m: parse_days(entry[f"dates-{m}"]) for m in modalities},
            )
        except KeyError as error:
            what = f"patch {_name(entry)} has no property {error}"
            raise DataError(what, where=file, remedy=_RESTORE) from error
        except (ValueError, TypeError, AttributeError, SyntaxError) as error:
            what = f"patch {_name(entry)} cannot be parsed ({error})"
            remedy = 'write dates as {"0": 20180924, ...}, identifiers and folds as integers'
            raise DataError(what, where=file, remedy=remedy) from error
        if patch.fold not in FOLDS:
            what = f"patch {patch.id} has fold {patch.fold}"
            raise DataError(what, where=file, remedy="folds are 1 to 5; correct it") from None
        if not 0 <= patch.id < 2**31:
            what = f"patch {patch.id}: identifier out of range"
            raise DataError(what, where=file, remedy="number patches from 0 to 2147483647")
        if patch.id in patches:
            what = f"patch {patch.id} is listed twice"
            raise DataError(what, where=file, remedy="remove one of the two features")
        patches[patch.id] = patch
    return patches


def parse_days(dates: Mapping[str, int] | str) -> np.ndarray:
    """Converts dates to day numbers.

    Args:
      dates: `{"0": 20180924, ...}`, date number to YYYYMMDD, or a string that holds such a dict.

    Returns:
      Days since 2018-09-01 by rising date number, (t,) int32.

    Raises:
      ValueError: If there is no date or one is not a calendar day.
    """
    if isinstance(dates, str):
        dates = ast.literal_eval(dates)  # also reads JSON: keys and values are plain literals
    if not isinstance(dates, Mapping) or not dates:
        raise ValueError("dates must be a non-empty dict")
    return np.array([_day(dates[key]) for key in sorted(dates, key=int)], np.int32)


@functools.lru_cache(maxsize=4096)
def _day(date: int | str) -> int:
    text = str(_integer(date))
    if len(text) != 8:
        raise ValueError(f"date {date} is not YYYYMMDD")
    day = datetime.date(int(text[:4]), int(text[4:6]), int(text[6:]))
    return (day - REFERENCE_DATE).days


def read_parcels(file: pathlib.Path, patches: Mapping[int, Patch]) -> tuple[Parcel, ...]:
    """Reads `metadata_parcel.csv`.

    Args:
      file: The metadata file.
      patches: The patches a parcel may lie in.

    Returns:
      The parcels, in file order.

    Raises:
      DataError: If the file cannot be parsed, lacks a column, lists no parcel or one twice, or
        holds a label outside 1 to 19, a fold outside 1 to 5, a feature that is not finite or a
        patch that is not among `patches`.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or ()
            rows = list(reader)
    except FileNotFoundError:
        raise DataError("file not found", where=file, remedy=_RESTORE) from None
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"not a CSV file ({error})", where=file, remedy=_RESTORE) from error
    if absent := [name for name in PARCEL_COLUMNS if name not in columns]:
        raise DataError(f"no column {', '.join(absent)}", where=file, remedy=_RESTORE)
    if not rows:
        raise DataError("lists no parcel", where=file, remedy=_RESTORE)

    parcels = tuple(_parcel(row, number, file, patches) for number, row in enumerate(rows, start=2))
    twice, count = collections.Counter(parcel.id for parcel in parcels).most_common(1)[0]
    if count > 1:
        what = f"parcel {twice} is listed {count} times"
        raise DataError(what, where=file, remedy="keep one line per parcel")
    return parcels


def _parcel(
    row: Mapping[str, str], number: int, file: pathlib.Path, patches: Mapping[int, Patch]
) -> Parcel:
    """Checks one line of the parcel table."""

    def error(what: str, remedy: str) -> DataError:
        return DataError(
            f"line {number}, parcel {row['ID_PARCEL']}: {what}", where=file, remedy=remedy
        )

    try:
        features = np.array([float(row[name]) for name in GEOMETRIC_FEATURES], np.float32)
        parcel = Parcel(
            _integer(row["ID_PARCEL"]),
            _integer(row["ID_PATCH"]),
            _integer(row["Label"]),
            _integer(row["Fold"]),
            features,
        )
    except (ValueError, TypeError) as cause:
        raise error(f"not numbers ({cause})", "correct the line") from cause
    if not 0 <= parcel.id < 2**31:
        raise error("identifier out of range", "number parcels from 0 to 2147483647")
    if not 1 <= parcel.label <= VOID:
        raise error(f"unknown label {parcel.label}", "labels are 1 to 18 for crops and 19 for void")
    if parcel.fold not in FOLDS:
        raise error(f"fold {parcel.fold}", "folds are 1 to 5; correct it")
    if parcel.patch not in patches:
        raise error(f"patch {parcel.patch} is not in {PATCH_METADATA}", "use files of one release")
    if patches[parcel.patch].fold != parcel.fold:
        what = f"fold {parcel.fold}, but its patch has fold {patches[parcel.patch].fold}"
        raise error(what, "correct one: a patch split over folds leaks into the test")
    if not (np.isfinite(features).all() and (features >= 0).all()):
        raise error("geometric features are not finite or negative", "correct the GF_ columns")
    return parcel


def _integer(value: Any) -> int:
    """Reads 3, "3" and "3.0" alike (tables that went through floats keep the ".0")."""
    if isinstance(value, bool):
        raise ValueError(f"{value} is not an integer")
    try:
        return int(value) if not isinstance(value, float) else _whole(value)
    except ValueError:
        return _whole(float(value))


def _whole(value: float) -> int:
    if not math.isfinite(value) or not value.is_integer():
        raise ValueError(f"{value} is not an integer")
    return int(value)


def _name(entry: Any) -> Any:
    return entry.get("ID_PATCH", "?") if isinstance(entry, Mapping) else "?"
