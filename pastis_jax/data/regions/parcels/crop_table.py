"""Rows of a list of crops, `classes.csv`: a code, its class, perhaps the colour of the class."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from pastis_jax.data.reading import read_csv, shown
from pastis_jax.errors import DataError
from pastis_jax.text import fault_of_name

BACKGROUND, VOID = "Background", "Void"
"""Names of what every list has: what is no parcel, and parcels of none of its classes."""
COLUMNS = ("code", "class", "colour", "note")
"""Of a list; `colour` and `note` may be absent, and nothing reads notes."""

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_FORM = "write columns code, class and perhaps colour in UTF-8, as docs/crop_lists.md says"

Colour = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class CropRow:
    """One code of a list.

    Attributes:
      line: Of the file.
      code: As `text_of` writes it.
      name: Of its class.
      colour: Of its class, RGB, 0 to 255; None where the row gives none.
    """

    line: int
    code: str
    name: str
    colour: Colour | None

    @property
    def is_void(self) -> bool:
        """Whether parcels of this code are neither trained nor counted."""
        return is_named(self.name, VOID)


def is_named(text: str, name: str) -> bool:
    """Whether a text is this name, in capitals or not."""
    return text.casefold() == name.casefold()


def text_of(code: Any) -> str:
    """A code as text: 3, "3" and "3.0" are alike, None and NaN are empty.

    Args:
      code: Text, a number, or what tables hold in place of a missing one.
    """
    text = str(code).strip()
    if not isinstance(code, str) and text in ("None", "nan", "<NA>", "NaT"):
        return ""
    return text.partition(".")[0] if re.fullmatch(r"-?[0-9]+\.0+", text) else text


def rgb(colour: str) -> Colour:
    """The parts of a colour written as #rrggbb."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def read_rows(file: pathlib.Path) -> list[CropRow]:
    """Reads the rows of a list, each checked against those before it.

    Raises:
      DataError: If the file is missing or no CSV, lacks a column or has one twice or one that is
        unknown, has an empty code or class or a code twice, or gives a class two colours or two
        spellings; names the line.
    """
    columns, lines = read_csv(file, kind="a CSV file", remedy=_FORM, column=COLUMNS[0])
    columns = [name.strip() for name in columns]
    _check_columns(file, columns)
    rows: dict[str, CropRow] = {}
    classes: dict[str, CropRow] = {}
    for line, fields in lines:
        try:
            if len(fields) != len(columns):
                raise ValueError(f"{len(fields)} fields where there are {len(columns)} columns")
            row = _row(line, dict(zip(columns, map(str.strip, fields), strict=True)))
            if first := rows.get(row.code):
                raise ValueError(f"code {row.code} stands in line {first.line} already")
            _agree(classes.get(row.name.casefold()), row)
        except ValueError as error:
            raise DataError(f"line {line}: {error}", where=file, remedy=_FORM) from error
        rows[row.code] = row
        if row.colour or row.name.casefold() not in classes:
            classes[row.name.casefold()] = row
    return [*rows.values()]


def _check_columns(file: pathlib.Path, columns: list[str]) -> None:
    for name in COLUMNS[:2]:
        if name not in columns:
            raise DataError(f"no column {name}", where=file, remedy=_FORM)
    for place, name in enumerate(columns):
        if name in columns[:place]:
            fault = f"column {shown(name)} occurs twice"
            raise DataError(fault, where=file, remedy="remove one of them")
        if name not in COLUMNS:
            fault = f"column {shown(name)} is none of {', '.join(COLUMNS)}"
            raise DataError(fault, where=file, remedy="rename or remove it")


def _row(line: int, fields: Mapping[str, str]) -> CropRow:
    code, name, colour = text_of(fields["code"]), fields["class"], fields.get("colour", "")
    for column, text in (("code", code), ("class", name)):
        if not text:
            raise ValueError(f"the {column} is empty")
        if fault := fault_of_name(text):
            raise ValueError(f"{column} {fault}")
    if is_named(name, BACKGROUND):
        raise ValueError(f"{name} is what lies outside of parcels; name it {VOID}, or otherwise")
    if colour and not _COLOUR.fullmatch(colour):
        raise ValueError(f"colour {shown(colour)} is not written as #rrggbb")
    return CropRow(line, code, name, rgb(colour) if colour else None)


def _agree(first: CropRow | None, row: CropRow) -> None:
    """Checks a row against an earlier one of the same class."""
    if first is None:
        return
    if row.name != first.name and not row.is_void:
        raise ValueError(f"class {row.name} is written {first.name} in line {first.line}")
    if None not in (row.colour, first.colour) and row.colour != first.colour:
        raise ValueError(f"class {row.name} has another colour in line {first.line}")
