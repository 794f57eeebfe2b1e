"""The lines of a table of samples: as few bytes of each as are needed, gathered part by part."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.metadata import parse_identifier
from pastis_jax.data.reading import shown
from pastis_jax.data.regions import _geo
from pastis_jax.data.regions.ingestion.units import BLANK
from pastis_jax.data.regions.samples.columns import (
    REFLECTANCE,
    Column,
    converted,
    measured,
    negative,
)
from pastis_jax.errors import DataError

_DIGITS = re.compile(r"[0-9]{8}")
_NEGATIVE = 0.05
"""Share of negative powers up to which they are what the removal of noise left."""
_MOVED = 1e-3
"""Degrees by which the places of a sample's lines may differ: 100 m."""


@dataclasses.dataclass(frozen=True)
class Roles:
    """Which columns tell of samples rather than of what was measured.

    Attributes:
      id: The sample.
      date: The day.
      label: The crop.
      fold: The fold, or None.
      place: Longitude and latitude, or a geometry alone; () for none.
    """

    id: str
    date: str
    label: str
    fold: str | None = None
    place: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [self.id, self.date, self.label, *[self.fold] * bool(self.fold), *self.place]


@dataclasses.dataclass(frozen=True, eq=False)
class Samples:
    """The lines of a table: n samples, r lines.

    Attributes:
      ids: Their identifiers, in the order in which they first come.
      labels: Labels of the samples, as text; None for none.
      folds: Their folds as text; None without such a column.
      places: Longitude and latitude of each, (n, 2) float64 degrees; None for none.
      sample: Number of the sample of each line, (r,) int32.
      day: Day of each line, (r,) int32, as `datetime.date.toordinal` gives it.
      values: By modality, (r, c) in the unit that is stored, NaN where missing, float32.
      negative: Of columns with powers below 0, which count as missing, how many.
    """

    ids: list[str]
    labels: list[str | None]
    folds: list[str] | None
    places: np.ndarray | None
    sample: np.ndarray
    day: np.ndarray
    values: dict[str, np.ndarray]
    negative: dict[str, int]


class Gathered:
    """Lines that were read, as few bytes of each as are needed."""

    def __init__(
        self,
        file: pathlib.Path,
        roles: Roles,
        columns: Sequence[Column],
        units: Mapping[str, str],
    ):
        self._file, self._roles, self._columns, self._units = file, roles, columns, units
        self._negative = {column.column: 0 for column in columns}
        self._measured = dict(self._negative)
        self._blank: collections.Counter[str] = collections.Counter()
        self._numbers: dict[str, int] = {}
        self._known: dict[str, list[Any]] = {roles.label: []} | (
            {roles.fold: []} if roles.fold else {}
        )
        self._places = np.zeros((0, 2))
        self._samples: list[np.ndarray] = []
        self._days: list[np.ndarray] = []
        self._values: dict[str, list[np.ndarray]] = {c.modality: [] for c in columns}
        self._lines = 0

    def add(self, part: Mapping[str, Any]) -> None:
        """Adds some lines: Arrow arrays by name."""
        roles = self._roles
        ids, which = _texts(part[roles.id])
        self._refuse_null(roles.id, ids, which)
        before = len(self._numbers)
        numbers = np.array(
            [self._numbers.setdefault(self._id(i), len(self._numbers)) for i in ids], np.int32
        )
        sample = numbers[which]
        texts, which = _texts(_days(part[roles.date]))
        self._refuse_null(roles.date, texts, which)
        days = np.array([self._day(text) for text in texts], np.int32)[which]
        new, first = np.unique(sample, return_index=True)
        first = first[new >= before]
        for name, known in self._known.items():
            texts, which = _texts(part[name])
            known += [texts[which[i]] for i in first]
            own = {text: number for number, text in enumerate(texts)}
            expected = np.array([own.get(known[s], -2) for s in new], np.int64)
            wrong = expected[np.searchsorted(new, sample)] != which
            if wrong.any():
                i = int(wrong.argmax())
                both = f"{known[sample[i]]} and {texts[which[i]]}"
                raise self._error(i, f"sample {self._name(sample[i])} has {name} {both}")
        if roles.place:
            self._place(part, sample, first)
        for modality in self._values:
            channels = [c for c in self._columns if c.modality == modality]
            values = [self._numbers_of(part[c.column], c) for c in channels]
            self._blank[modality] += self._blanks(values, channels)
            self._values[modality].append(np.stack(values, 1).astype(np.float32))
        self._samples.append(sample)
        self._days.append(days)
        self._lines += len(sample)

    def samples(self) -> Samples:
        """Returns all that was added."""
        if not self._lines:
            remedy = "give a table with samples"
            raise DataError("it has no lines", where=self._file, remedy=remedy)
        for column in self._columns:
            number, of = self._negative[column.column], self._measured[column.column]
            if number > _NEGATIVE * of:
                fault = f"{number:,} of {of:,} values of {column.column} are negative"
                remedy = f"they are no {column.unit}, but dB perhaps: correct the list of columns"
                raise DataError(fault, where=self._file, remedy=remedy)
        for modality, number in self._blank.items():
            if number > BLANK * self._lines:
                fault = f"{number:,} of {self._lines:,} lines are 0 in all channels of {modality}, "
                fault += "which has no mark of what is missing"
                remedy = "write 0 as nodata in the list of columns, or nan if 0 was measured"
                raise DataError(fault, where=self._file, remedy=remedy)
        roles = self._roles
        return Samples(
            ids=list(self._numbers),
            labels=self._known[roles.label],
            folds=self._known[roles.fold] if roles.fold else None,
            places=self._places if roles.place else None,
            sample=np.concatenate(self._samples),
            day=np.concatenate(self._days),
            values={name: np.concatenate(parts) for name, parts in self._values.items()},
            negative={name: number for name, number in self._negative.items() if number},
        )

    def _id(self, text: str) -> str:
        return re.sub(r"^(-?[0-9]+)\.0+$", r"\1", text.strip())

    def _day(self, text: str) -> int:
        """The day of a date, in UTC where it has a time and a zone."""
        text = re.sub(r"\.0+$", "", text.strip())
        try:
            if _DIGITS.fullmatch(text):
                return datetime.datetime.strptime(text, "%Y%m%d").toordinal()
            moment = datetime.datetime.fromisoformat(text)
        except ValueError:
            fault = f"{self._roles.date}: {shown(text)} is not a date"
            remedy = "write dates as YYYY-MM-DD"
            raise DataError(fault, where=self._file, remedy=remedy) from None
        if moment.tzinfo is not None:
            moment = moment.astimezone(datetime.UTC)
        return moment.toordinal()

    def _numbers_of(self, array: Any, column: Column) -> np.ndarray:
        arrow = _geo.need("pyarrow")
        types = arrow.types
        if not (types.is_integer(array.type) or types.is_floating(array.type)):
            if array.null_count < len(array):
                fault = f"column {column.column} holds {array.type}, no numbers"
                remedy = "leave it out of the list of columns, or write numbers"
                raise DataError(fault, where=self._file, remedy=remedy)
            return np.full(len(array), np.nan)
        given = array.cast(arrow.float64(), safe=False).to_numpy(zero_copy_only=False)
        values = measured(given, column)
        if (wrong := np.isinf(values)).any():
            i = int(wrong.argmax())
            raise self._error(i, f"{column.column} is {given[i]:g}")
        self._negative[column.column] += negative(values, column)
        self._measured[column.column] += int(np.isfinite(values).sum())
        return converted(values, column, self._units[column.modality])

    def _blanks(self, values: Sequence[np.ndarray], channels: Sequence[Column]) -> int:
        """How many lines are 0 in all channels of reflectance, if these have no mark."""
        if any(c.unit not in REFLECTANCE or c.nodata for c in channels):
            return 0
        zeros = [converted(np.zeros(1), c, self._units[c.modality]) for c in channels]
        return int(np.all([v == zero for v, zero in zip(values, zeros, strict=True)], 0).sum())

    def _place(self, part: Mapping[str, Any], sample: np.ndarray, first: np.ndarray) -> None:
        """Notes where new samples are, and looks whether the lines of each agree."""
        names = self._roles.place
        if len(names) == 2:
            places = np.stack([_floats(part[name]) for name in names], 1)
        else:
            places = self._points(part[names[0]], sample, first)
        lost = ~(np.abs(places[first]) <= (180, 90)).all(1)
        if lost.any():
            i = int(first[lost.argmax()])
            fault = f"sample {self._name(sample[i])} lies at {places[i, 0]:g}, {places[i, 1]:g}"
            raise self._error(i, f"{fault}, which are no degrees of longitude and latitude")
        self._places = np.concatenate((self._places, places[first]))
        # Of geometries only those of new samples were looked at.
        wrong = (np.abs(places - self._places[sample]) > _MOVED).any(1)
        if wrong.any():
            i = int(wrong.argmax())
            raise self._error(i, f"sample {self._name(sample[i])} lies in two places")

    def _points(self, array: Any, sample, first) -> np.ndarray:
        """Centres of the geometries of new samples, (n, 2), NaN at other lines."""
        shapely = _geo.need("shapely")
        places = np.full((len(sample), 2), np.nan)
        given = array.take(_geo.need("pyarrow").array(first)).to_pylist()
        try:
            text = any(isinstance(value, str) for value in given)
            shapes = shapely.from_wkt(given) if text else shapely.from_wkb(given)
            centres = shapely.centroid(shapes)
        except (TypeError, ValueError, shapely.errors.ShapelyError) as error:
            fault = f"{self._roles.place[0]} holds no geometries in WKB or WKT ({error})"
            raise DataError(fault, where=self._file, remedy="rename or correct it") from error
        places[first] = np.stack([shapely.get_x(centres), shapely.get_y(centres)], 1)
        return places

    def _refuse_null(self, name: str, texts: Sequence[str | None], which: np.ndarray) -> None:
        if None in texts:
            i = int((which == list(texts).index(None)).argmax())
            raise self._error(i, f"{name} is empty")

    def _name(self, number: int) -> str:
        return list(self._numbers)[number]

    def _error(self, line: int, fault: str) -> DataError:
        fault = f"line {self._lines + line + 1} of the data: {fault}"
        return DataError(fault, where=self._file, remedy="correct the table")


def _texts(array: Any) -> tuple[list[str | None], np.ndarray]:
    """Different values of an Arrow array as texts, None among them, and which each one is."""
    arrow = _geo.need("pyarrow")
    if arrow.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    encoded = array.dictionary_encode(null_encoding="encode")
    values = [None if value is None else _text(value) for value in encoded.dictionary.to_pylist()]
    return values, encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _text(value: Any) -> str:
    """A value as text: 3.0 as 3, where integers went through floats."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


def _days(array: Any) -> Any:
    """Moments as days, in UTC where they have a zone; any other array as it is."""
    arrow = _geo.need("pyarrow")
    if arrow.types.is_timestamp(array.type):
        return array.cast(arrow.timestamp("s"), safe=False).cast(arrow.date32(), safe=False)
    return array


def _floats(array: Any) -> np.ndarray:
    return array.cast(_geo.need("pyarrow").float64()).to_numpy(zero_copy_only=False)


def file_names(ids: Sequence[str]) -> tuple[list[str], bool]:
    """Identifiers that can be parts of files' names: these, or numbers from 1 in their place.

    Returns:
      The identifiers in the order of `ids`, and whether they are numbers.
    """
    try:
        names = [str(parse_identifier(text)) for text in ids]
    except ValueError:
        names = []
    if len({name.casefold() for name in names}) < len(ids):
        return [str(number) for number in range(1, len(ids) + 1)], True
    return names, False
