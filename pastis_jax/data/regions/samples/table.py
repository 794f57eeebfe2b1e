"""Reads a table of samples, Parquet or CSV, in parts, into what is kept of each of its lines."""

from __future__ import annotations

import csv
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tqdm

from pastis_jax.data.reading import shown
from pastis_jax.data.regions import _geo
from pastis_jax.data.regions.samples.columns import WIDE, Column
from pastis_jax.data.regions.samples.lines import Gathered, Roles, Samples
from pastis_jax.errors import ArgumentError, DataError
from pastis_jax.text import named

BATCH = 1 << 16
"""Lines that are read at a time."""
_LONGITUDES, _LATITUDES = ("lon", "longitude"), ("lat", "latitude")
_GEOMETRIES = ("geometry", "geom", "wkb")
_IDS = ("sample_id", "id", "field_id", "parcel_id", "id_parcel")
_DATES = ("timestamp", "date", "index", "datetime", "time", "acquisition_date", "doa")
_NULLS = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]


class Table:
    """A table that can be read: its columns, and its lines in parts.

    Args:
      file: Parquet, or CSV with commas, semicolons or tabs, compressed or not.

    Attributes:
      file: The file.
      columns: Names of its columns, and their types; "" in a CSV file, which does not say.
      guesses: Columns that were taken where several have usual names, a line each.

    Raises:
      UserError: Without the extra `geo`.
      DataError: If it is missing, or is neither.
    """

    def __init__(self, file: str | os.PathLike[str]):
        self.file = pathlib.Path(file).expanduser()
        self._arrow = _geo.need("pyarrow")
        if not self.file.is_file():
            fault = "not a regular file" if self.file.exists() else "file not found"
            raise DataError(fault, where=self.file, remedy="give a table, Parquet or CSV")
        self.guesses: list[str] = []
        self._separator: str | None = None
        with self.failing("is no table in Parquet or CSV"):
            with self.file.open("rb") as stream:
                parquet = stream.read(4) == b"PAR1"
            self.columns = self._parquet_columns() if parquet else self._csv_columns()

    def _parquet_columns(self) -> dict[str, str]:
        content = _geo.need("pyarrow.parquet").ParquetFile(self.file)
        fields = list(content.schema_arrow)
        self._once([field.name for field in fields])
        return {field.name: str(field.type) for field in fields}

    def _csv_columns(self) -> dict[str, str]:
        with self._arrow.input_stream(str(self.file)) as stream:
            head = stream.read(1 << 20)
        text = head.partition(b"\n")[0].decode("utf-8-sig")
        self._separator = max(",;\t", key=text.count)
        names = next(csv.reader([text.rstrip("\r")], delimiter=self._separator, strict=True), [])
        self._once(names)
        return dict.fromkeys(names, "")

    def _once(self, names: Sequence[str]) -> None:
        if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            raise ValueError(f"column {shown(twice[0])} occurs twice")

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
        if given in self.columns:
            return given
        if given is None and found:
            if len(found) > 1:
                others = ", ".join(found[1:])
                self.guesses.append(f"{found[0]} is taken for `{argument}`, and not {others}")
            return found[0]
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
        gathered = Gathered(self.file, roles, columns, units)
        read = self._parquet if self._separator is None else self._csv
        with self.failing("cannot be read"):
            for batch in read([*dict.fromkeys(names)], roles, progress):
                gathered.add({name: batch.column(name) for name in batch.schema.names})
        return gathered.samples()

    def _parquet(self, names: list[str], roles: Roles, progress: bool) -> Iterator[Any]:
        """The lines in parts, the columns that are needed alone."""
        del roles
        content = _geo.need("pyarrow.parquet").ParquetFile(self.file)
        total = content.metadata.num_rows
        with _bar(progress, total, unit=" lines") as bar:
            for batch in content.iter_batches(BATCH, columns=names):
                yield batch
                bar.update(batch.num_rows)

    def _csv(self, names: list[str], roles: Roles, progress: bool) -> Iterator[Any]:
        """The same; how far it is, the bytes tell that were read."""
        arrow, reader = self._arrow, _geo.need("pyarrow.csv")
        texts = {roles.id, roles.date, roles.label, roles.fold}
        if len(roles.place) == 1:
            texts |= {*roles.place}
        # Types are given, since what the first lines look like may not hold of the others.
        types = {n: arrow.string() if n in texts else arrow.float64() for n in names}
        options = {
            "read_options": reader.ReadOptions(block_size=4 << 20),
            "parse_options": reader.ParseOptions(delimiter=self._separator),
            "convert_options": reader.ConvertOptions(
                column_types=types,
                include_columns=names,
                null_values=_NULLS,
                strings_can_be_null=True,
            ),
        }
        try:
            packed = arrow.Codec.detect(str(self.file)).name
        except (TypeError, ValueError):  # it is not
            packed = None
        size = self.file.stat().st_size
        with self.file.open("rb") as raw, _bar(progress, size, unit="B", unit_scale=True) as bar:
            stream = arrow.PythonFile(raw, "r")
            stream = arrow.CompressedInputStream(stream, packed) if packed else stream
            for batch in reader.open_csv(stream, **options):
                yield batch
                bar.update(raw.tell() - bar.n)


def _bar(progress: bool, total: int, **options: Any) -> tqdm.tqdm:
    return tqdm.tqdm(total=total, desc="Reading samples", disable=not progress, **options)


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
