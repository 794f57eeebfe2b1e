"""Reads a table of samples, Parquet or CSV, in parts, into what is kept of each of its lines."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tqdm

from pastis_jax.data.metadata import parse_identifier
from pastis_jax.data.reading import shown
from pastis_jax.data.regions import _geo
from pastis_jax.data.regions.columns import WIDE, Column, converted, measured, negative
from pastis_jax.errors import ArgumentError, DataError
from pastis_jax.text import named

BATCH = 1 << 16
"""Lines that are read at a time."""
_LONGITUDES, _LATITUDES = ("lon", "longitude"), ("lat", "latitude")
_GEOMETRIES = ("geometry", "geom", "wkb")
_IDS = ("sample_id", "id", "field_id", "parcel_id", "id_parcel")
_DATES = ("timestamp", "date", "index", "datetime", "time", "acquisition_date", "doa")
_NULLS = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]
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


class Table:
    """A table that can be read: its columns, and its lines in parts.

    Args:
      file: Parquet, or CSV with commas, semicolons or tabs, compressed or not.

    Attributes:
      file: The file.
      columns: Names of its columns, and their types; "" in a CSV file, which does not say.

    Raises:
      UserError: Without the extra `geo`.
      DataError: If it is missing, or is neither.
    """

    def __init__(self, file: str | os.PathLike[str]):
        self.file = pathlib.Path(file).expanduser()
        self._arrow = _geo.need("pyarrow")
        if not self.file.is_file():
            fault = "a folder, not a table" if self.file.is_dir() else "file not found"
            raise DataError(fault, where=self.file, remedy="give a table, Parquet or CSV")
        self._separator: str | None = None
        with self.failing("is no table in Parquet or CSV"):
            with self.file.open("rb") as stream:
                parquet = stream.read(4) == b"PAR1"
            self.columns = self._parquet_columns() if parquet else self._csv_columns()

    def _parquet_columns(self) -> dict[str, str]:
        content = _geo.need("pyarrow.parquet").ParquetFile(self.file)
        self._lines = content.metadata.num_rows
        fields = list(content.schema_arrow)
        self._once([field.name for field in fields])
        return {field.name: str(field.type) for field in fields}

    def _csv_columns(self) -> dict[str, str]:
        with self._arrow.input_stream(str(self.file)) as stream:
            head = stream.read(1 << 20)
        text = head.partition(b"\n")[0].decode("utf-8-sig")
        self._separator = max(",;\t", key=text.count)
        names = next(csv.reader([text.rstrip("\r")], delimiter=self._separator, strict=True), [])
        self._lines = None
        self._once(names)
        return dict.fromkeys(names, "")

    def _once(self, names: Sequence[str]) -> None:
        if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            raise ValueError(f"column {shown(twice[0])} stands twice")

    def failing(self, fault: str) -> _Failing:
        """Turns what pyarrow raises into a DataError of one line."""
        return _Failing(self.file, fault, self._arrow.ArrowException)

    def require(self, argument: str, given: str | None, known: Sequence[str]) -> str:
        """The column for an argument: the one that is given, else the first of known spellings.

        Raises:
          ArgumentError: If there is none.
        """
        lower = {name.lower(): name for name in reversed(self.columns)}
        found = [lower[name] for name in known if name in lower]
        if given in self.columns or (given is None and found):
            return found[0] if given is None else given
        fault = f"{self.file} has no column {given}"
        if given is None:
            spelt = f" is called {', '.join(known)}" if known else " is named for it"
            fault = f"no column of {self.file}{spelt}"
        if wide := [name for name in self.columns if WIDE.fullmatch(name)]:
            remedy = f"{wide[0]} holds one date: write a line for each sample and date"
        else:
            names = [name for name in self.columns if name]
            remedy = f"its columns are {named(names, most=40)}"
        raise ArgumentError(fault, argument=argument, remedy=remedy)

    def roles(
        self, *, id: str | None, date: str | None, label: str | None, fold: str | None
    ) -> Roles:
        """Finds the columns that tell of samples: those given, or those with known names."""
        lower = {name.lower(): name for name in reversed(self.columns)}
        place = [next((lower[n] for n in x if n in lower), "") for x in (_LONGITUDES, _LATITUDES)]
        if not all(place):
            place = [lower[name] for name in _GEOMETRIES if name in lower][:1]
        return Roles(
            id=self.require("id", id, _IDS),
            date=self.require("date", date, _DATES),
            label=self.require("label", label, ()),
            fold=None if fold is None else self.require("fold", fold, ()),
            place=tuple(place),
        )

    def read(
        self,
        roles: Roles,
        columns: Sequence[Column],
        units: Mapping[str, str],
        *,
        progress: bool = False,
    ) -> Samples:
        """Reads what is needed of all lines.

        Args:
          roles: Which columns tell of samples.
          columns: What the others hold.
          units: What the numbers of each modality become.
          progress: Whether to draw a bar.

        Raises:
          DataError: If it cannot be read, a line has no sample or date, or lines of a sample have
            other labels, folds or places.
        """
        names = [*roles.names, *(column.column for column in columns)]
        if absent := [name for name in names if name not in self.columns]:
            remedy = "correct the list of columns"
            raise DataError(f"there is no column {named(absent)}", where=self.file, remedy=remedy)
        gathered = _Gathered(self.file, roles, columns, units)
        bar = tqdm.tqdm(
            total=self._lines, desc="Reading samples", unit=" lines", disable=not progress
        )
        with bar, self.failing("cannot be read"):
            for batch in self._batches(dict.fromkeys(names), roles):
                gathered.add({name: batch.column(name) for name in batch.schema.names})
                bar.update(batch.num_rows)
        return gathered.samples()

    def _batches(self, names: Mapping[str, Any], roles: Roles) -> Iterator[Any]:
        """The lines in parts, the columns that are needed alone."""
        arrow = self._arrow
        if self._separator is None:
            content = _geo.need("pyarrow.parquet").ParquetFile(self.file)
            yield from content.iter_batches(BATCH, columns=list(names))
            return
        texts = {roles.id, roles.date, roles.label, roles.fold}
        if len(roles.place) == 1:
            texts |= {*roles.place}
        # Types are given, since what the first lines look like may not hold of the others.
        types = {n: arrow.string() if n in texts else arrow.float64() for n in names}
        reader = _geo.need("pyarrow.csv")
        yield from reader.open_csv(
            self.file,
            read_options=reader.ReadOptions(block_size=4 << 20),
            parse_options=reader.ParseOptions(delimiter=self._separator),
            convert_options=reader.ConvertOptions(
                column_types=types,
                include_columns=list(names),
                null_values=_NULLS,
                strings_can_be_null=True,
            ),
        )


class _Failing:
    """Context in which errors of pyarrow become DataErrors."""

    def __init__(self, file: pathlib.Path, fault: str, kind: type[Exception]):
        self._file, self._fault, self._kind = file, fault, kind

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, (self._kind, OSError, ValueError, csv.Error)):
            fault = f"{self._fault} ({error})"
            raise DataError(fault, where=self._file, remedy="write the table anew") from error


class _Gathered:
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
