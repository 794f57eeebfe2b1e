"""Which column of a table of samples holds which channel, in which unit; for people to correct."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import os
import pathlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from pastis_jax.data.reading import number, read_csv, shown
from pastis_jax.data.regions import sensors
from pastis_jax.data.regions.ingestion.units import POWERS, in_unit
from pastis_jax.data.regions.manifest import VALUE_UNITS, check_header
from pastis_jax.errors import DataError
from pastis_jax.files import write_whole
from pastis_jax.text import fault_of_name

FILE = "columns.csv"
REFLECTANCE = ("reflectance x 10000", "reflectance")

_REMEDY = "correct the line, or make the file anew with `ingest --dry-run`"
_WORLDCEREAL = float(sensors.WORLDCEREAL_NODATA)
_PREFIX = re.compile(r"(S2-L2A|S2|L2A|OPTICAL|S1-(SIGMA|GAMMA)0|S1|SAR|(SIGMA|GAMMA)0)[-_]", re.I)
"""What stands before the names of bands in tables."""
WIDE = re.compile(r".+[-_]ts[0-9]{1,3}([-_].*)?", re.I)
"""Names of columns that hold one date each."""


@dataclasses.dataclass(frozen=True)
class Column:
    """What a column of a table holds.

    Attributes:
      column: Its name.
      modality: What it is part of.
      channel: Its channel.
      unit: What its numbers mean, with `offset` added; nothing where that is not known.
      offset: What is added to its numbers to have them in the unit; None where that is not known.
      nodata: Numbers that mark what is missing. Empty fields and NaN always do.
    """

    column: str
    modality: str
    channel: str
    unit: str = ""
    offset: float | None = None
    nodata: tuple[float, ...] = ()

    @property
    def unknown(self) -> str | None:
        """Which of its fields must be given before it can be read; None for none."""
        if not self.unit:
            return "unit"
        return "offset" if self.unit in REFLECTANCE and self.offset is None else None


COLUMNS = tuple(field.name for field in dataclasses.fields(Column))


def guess_columns(types: Mapping[str, str]) -> list[Column]:
    """Tells from names of columns what they hold, as far as names tell it.

    Args:
      types: Names of columns, and the types of their numbers; "" where a file does not say.

    Returns:
      Those that are known, in the order in which they are stored; units and offsets only where
      they belong to the spelling, that of WorldCereal's integers.
    """
    found = [entry for name, dtype in types.items() if (entry := _guess(name, dtype))]
    order = (sensors.OPTICAL, sensors.RADAR, sensors.WEATHER)
    places = []
    for modality in order:
        channels = {entry.channel for entry in found if entry.modality == modality}
        places += [(modality, channel) for channel in sensors.ordered(modality, channels)]
    return sorted(found, key=lambda entry: places.index((entry.modality, entry.channel)))


def _guess(name: str, dtype: str) -> Column | None:
    known = sensors.meaning(_PREFIX.sub("", name, count=1))
    if known is None or known.unit:
        return None
    modality, channel = known.modality, known.channel
    own = sensors.worldcereal(name, "uint16") and dtype in ("uint16", "int32", "int64", "")
    marks = (_WORLDCEREAL,) * own
    if modality == sensors.OPTICAL and channel in sensors.CHANNELS:
        unit, offset = (sensors.SCALED, 0.0) if own else ("", None)  # WorldCereal took it away
        return Column(name, modality, channel, unit, offset, marks)
    if modality == sensors.RADAR:
        return Column(name, modality, channel, sensors.WORLDCEREAL * own, 0.0, marks)
    if modality == sensors.WEATHER:
        if own and "TMEAN" in channel:
            marks += (0.0,)  # hundredths of a kelvin: 0 was filled
        return Column(name, modality, channel, "none", 0.0, marks)
    return None


def write_columns(columns: Iterable[Column], file: str | os.PathLike[str]) -> None:
    """Writes columns as CSV, whole or not at all.

    Raises:
      OSError: If it cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for entry in columns:
        marks, offset = " ".join(map(_text, entry.nodata)), _text(entry.offset)
        table.writerow([entry.column, entry.modality, entry.channel, entry.unit, offset, marks])
    write_whole(file, text.getvalue())


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def units_of(modality: str) -> tuple[str, ...]:
    """The units that numbers of a modality can be in."""
    if modality == sensors.OPTICAL:
        return REFLECTANCE
    return ("dB", *POWERS) if modality in sensors.RADARS else VALUE_UNITS


def read_columns(
    file: str | os.PathLike[str],
    *,
    complete: bool = False,
    modalities: Collection[str] | None = None,
) -> list[Column]:
    """Reads what `write_columns` wrote, or a person.

    Args:
      file: The file.
      complete: Whether to refuse a column without a unit, or without an offset that it needs.
      modalities: Those of which columns must be complete; None for all.

    Raises:
      DataError: Naming the line, and what is wrong with it.
    """
    file = pathlib.Path(file)
    remedy = "give the file that --dry-run wrote"
    header, rows = read_csv(file, kind="a list of columns in CSV", remedy=remedy, column=COLUMNS[0])
    header = [name.strip() for name in header]
    check_header(file, header, COLUMNS, remedy=remedy)
    columns: list[Column] = []
    for line, row in rows:
        try:
            if len(row) != len(header):
                raise ValueError(f"has {len(row)} fields where there are {len(header)} columns")
            columns.append(_column(dict(zip(header, row, strict=True))))
            check_twice(columns)
            if complete and (modalities is None or columns[-1].modality in modalities):
                _check_complete(columns[-1])
        except ValueError as error:
            raise DataError(f"line {line}: {error}", where=file, remedy=_REMEDY) from error
    if not columns:
        raise DataError("lists no column", where=file, remedy=_REMEDY)
    return columns


def _check_complete(column: Column) -> None:
    if column.unknown == "unit":
        units = ", ".join(units_of(column.modality))
        raise ValueError(f"the unit of {shown(column.column)} is empty; it is one of {units}")
    if column.unknown == "offset":
        fault = f"the offset of {shown(column.column)} is empty; it is 0 where reflectances start"
        raise ValueError(f"{fault} at 0, -1000 in products of Sentinel-2 from 25 January 2022 on")


def check_twice(columns: Sequence[Column]) -> None:
    """Refuses a last column, or channel, that stood before.

    Raises:
      ValueError: Naming it.
    """
    *before, last = columns
    if any(entry.column == last.column for entry in before):
        raise ValueError(f"column {shown(last.column)} occurs twice")
    for entry in before:
        if (entry.modality, entry.channel) == (last.modality, last.channel):
            fault = f"both {entry.column} and {last.column} are {last.modality} {last.channel}"
            raise ValueError(fault)


def _column(row: dict[str, str]) -> Column:
    column = row["column"]
    row = {name: text.strip() for name, text in row.items()}
    for name in ("column", "modality", "channel"):
        if not row[name]:
            raise ValueError(f"{name} is empty")
    for name in ("modality", "channel"):
        if fault := fault_of_name(row[name]):
            raise ValueError(f"{name} {fault}")
    if fault := sensors.fault_of_channel(row["modality"], row["channel"]):
        raise ValueError(f"channel {shown(row['channel'])} {fault}")
    if row["unit"] and row["unit"] not in VALUE_UNITS:
        raise ValueError(f"unit {shown(row['unit'])} is none of {', '.join(VALUE_UNITS)}")
    offset = number(row["offset"]) if row["offset"] else None
    if offset is not None and not math.isfinite(offset):
        raise ValueError(f"offset {row['offset']} is not finite")
    marks = tuple(number(text) for text in row["nodata"].split())
    return Column(column, row["modality"], row["channel"], row["unit"], offset, marks)


def measured(numbers: np.ndarray, column: Column) -> np.ndarray:
    """Numbers of a column, NaN where nothing was measured.

    Args:
      numbers: Of the table, (n,) float64, NaN where a field is empty.
      column: What they are.
    """
    marks = {*column.nodata, *((_WORLDCEREAL,) if column.unit == sensors.WORLDCEREAL else ())}
    missing = np.isnan(numbers)
    for mark in marks:
        missing |= (numbers == mark) | (numbers == np.float64(np.float32(mark)))
    return np.where(missing, np.nan, numbers)


def negative(values: np.ndarray, column: Column) -> int:
    """How many values are below 0 where no power is."""
    return int((values < 0).sum()) if column.unit in POWERS else 0


def converted(values: np.ndarray, column: Column, unit: str) -> np.ndarray:
    """Values of a column in the unit that is stored.

    Args:
      values: What `measured` gave, (n,).
      column: What they are; its unit and offset are known.
      unit: What they become.

    Returns:
      (n,) float64, NaN where missing; powers that are not above 0 have no dB, and are missing too.

    Raises:
      ValueError: If one does not become the other.
    """
    values = values + (column.offset or 0.0)
    if column.unit in POWERS and column.unit != unit:
        values = np.where(values > 0, values, np.nan)
    if (made := in_unit(values, column.unit, unit)) is None:
        raise ValueError(f"{column.column} in {column.unit} cannot become {unit}")
    return made
