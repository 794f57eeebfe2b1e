"""`manifest.csv`: which layer of which file shows what, and when; for people to correct."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import io
import math
import os
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from pastis_jax.data.reading import number, read_csv, shown
from pastis_jax.data.regions import sensors
from pastis_jax.errors import DataError
from pastis_jax.files import write_whole
from pastis_jax.text import fault_of_name

FILE = "manifest.csv"
MASK = sensors.MASK

UNDATED = datetime.date.max
"""In place of a date that is not known: it is left empty in the file, for a person to fill in."""
MASK_UNITS = ("scl", "cloud probability", "cloud", "valid")
"""What the numbers of a mask mean: classes of Sen2Cor, per cent, 1 where clouded, 1 where valid."""
VALUE_UNITS = (
    *("reflectance x 10000", "reflectance", "dB", "linear power", "worldcereal"),
    *("index", "none"),
)
"""What numbers of a file mean. `worldcereal` are integers DN with dB = 20 log10(DN) - 83."""

_BAND = re.compile(r"[1-9][0-9]{0,5}|(?![0-9]+$)[^\[\]]{1,200}(\[[0-9]{1,6}\])?")
_AGAIN = "give the manifest that --dry-run wrote"
_REMEDY = "correct the line, or make the file anew with `ingest --dry-run`"


@dataclasses.dataclass(frozen=True)
class Layer:
    """One image of one channel, in a file.

    Attributes:
      path: The file, or folder in the case of Zarr.
      band: Number of the band from 1; of a cube, its variable, and with ``[k]`` the place along
        time.
      modality: What it is part of.
      channel: Its channel, or `MASK`.
      date: When it was acquired.
      orbit: Its relative orbit, or nothing. Layers of one modality, day and orbit are one
        acquisition; others of that day are another.
      unit: What its numbers mean, with `offset` added; nothing where that is not known.
      offset: What is added to its numbers to have them in the unit; None where that is not known.
      nodata: The number that marks missing data, which may be NaN; None for none.

    Examples:
      >>> day = datetime.date(2024, 5, 12)
      >>> Layer("S2_20240512.tif", "4", "S2", "B8", day, unit="reflectance", offset=0).channel
      'B8'
    """

    path: str
    band: str
    modality: str
    channel: str
    date: datetime.date
    orbit: str = ""
    unit: str = ""
    offset: float | None = None
    nodata: float | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layer) and self._known == other._known

    def __hash__(self) -> int:
        return hash(self._known)

    @property
    def _known(self) -> tuple[Any, ...]:
        """All fields; a mark of NaN is like another one, which NaN itself is not."""
        *others, nodata = (getattr(self, name) for name in COLUMNS)
        return *others, "nan" if nodata != nodata else nodata

    @property
    def acquisition(self) -> tuple[str, datetime.date, str]:
        """Modality, date and orbit: layers of the same ones are merged."""
        return self.modality, self.date, self.orbit

    @property
    def is_mask(self) -> bool:
        """Whether it says which pixels are clear."""
        return self.channel == MASK


COLUMNS = tuple(field.name for field in dataclasses.fields(Layer))


def write_manifest(layers: Iterable[Layer], file: str | os.PathLike[str]) -> None:
    """Writes layers as CSV: the whole file, or nothing.

    Args:
      layers: What the files hold.
      file: The manifest.

    Raises:
      OSError: If it cannot be written.

    Examples:
      >>> import tempfile
      >>> file = pathlib.Path(tempfile.mkdtemp()) / "manifest.csv"
      >>> layer = Layer("B8.tif", "1", "S2", "B8", datetime.date(2024, 5, 12))
      >>> write_manifest([layer], file)
      >>> file.read_text().splitlines()[0]
      'path,band,modality,channel,date,orbit,unit,offset,nodata'
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for layer in layers:
        table.writerow([_text(getattr(layer, name)) for name in COLUMNS])
    write_whole(file, text.getvalue())


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return "" if value in (None, UNDATED) else str(value)


def read_manifest(file: str | os.PathLike[str]) -> list[Layer]:
    """Reads what `write_manifest` wrote, or a person. Relative paths start at the file's folder.

    Raises:
      DataError: Naming the line, and what is wrong with it.
    """
    file = pathlib.Path(file)
    header, rows = read_csv(file, kind="a manifest in CSV", remedy=_AGAIN, column=COLUMNS[0])
    header = [name.strip() for name in header]
    check_header(file, header, COLUMNS, remedy=_AGAIN)
    layers: list[Layer] = []
    seen: dict[tuple[str, str, datetime.date], int] = {}
    for line, row in rows:
        try:
            if len(row) != len(header):
                raise ValueError(f"has {len(row)} fields where there are {len(header)} columns")
            layer = _layer(dict(zip(header, row, strict=True)), file.parent)
            first = seen.setdefault((layer.path, layer.band, layer.date), line)
            if first != line:
                raise ValueError(f"is the same layer as line {first}")
        except ValueError as error:
            raise DataError(f"line {line}: {error}", where=file, remedy=_REMEDY) from error
        layers.append(layer)
    if not layers:
        raise DataError("lists no layer", where=file, remedy=_REMEDY)
    return layers


def check_header(
    file: pathlib.Path, header: Sequence[str], columns: Sequence[str], *, remedy: str
) -> None:
    """Refuses a file that lacks a column, or has another or one twice.

    Args:
      file: The file.
      header: The columns that it has.
      columns: Those that it must have, in any order.
      remedy: What to do where one is missing.

    Raises:
      DataError: Naming the columns.
    """
    if lacking := [name for name in columns if name not in header]:
        fault = f"it lacks the column{'s' * (len(lacking) > 1)} {', '.join(lacking)}"
        raise DataError(fault, where=file, remedy=remedy)
    if extra := [name for name in header if name not in columns]:
        fault = f"it has the column{'s' * (len(extra) > 1)} {shown(', '.join(extra))}"
        fault += f" beside {', '.join(columns)}"
        raise DataError(fault, where=file, remedy="rename or remove what is not of these")
    if twice := [name for name in columns if list(header).count(name) > 1]:
        fault = f"column {twice[0]} occurs twice"
        raise DataError(fault, where=file, remedy="remove one of them")


def _layer(row: dict[str, str], folder: pathlib.Path) -> Layer:
    row = {name: text.strip() for name, text in row.items()}
    for name in ("path", "band", "modality", "channel", "date"):
        if not row[name]:
            raise ValueError(f"{name} is empty")
    for name in ("modality", "channel", "orbit"):
        if row[name] and (fault := fault_of_name(row[name])):
            raise ValueError(f"{name} {fault}")
    if fault := sensors.fault_of_channel(row["modality"], row["channel"]):
        raise ValueError(f"channel {shown(row['channel'])} {fault}")
    if not _BAND.fullmatch(row["band"]):
        raise ValueError(f"band {shown(row['band'])} is no number from 1 and no variable")
    units = MASK_UNITS if row["channel"] == MASK else VALUE_UNITS
    if row["unit"] and row["unit"] not in units:
        raise ValueError(f"unit {shown(row['unit'])} is none of {', '.join(units)}")
    try:
        date = datetime.date.fromisoformat(row["date"])
    except ValueError:
        raise ValueError(f"date {shown(row['date'])} is not a day YYYY-MM-DD") from None
    offset = number(row["offset"]) if row["offset"] else None
    if offset is not None and not math.isfinite(offset):
        raise ValueError(f"offset {row['offset']} is not finite")
    return Layer(
        path=os.fspath(folder / row["path"]),
        band=row["band"],
        modality=row["modality"],
        channel=row["channel"],
        date=date,
        orbit=row["orbit"],
        unit=row["unit"],
        offset=offset,
        nodata=number(row["nodata"]) if row["nodata"] else None,
    )
