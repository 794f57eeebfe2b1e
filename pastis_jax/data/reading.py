"""How texts of data are read: of regular files alone, JSON and numbers strictly."""

from __future__ import annotations

import csv
import io
import os
import pathlib
import re
from typing import Any

from pastis_jax.errors import DataError
from pastis_jax.files import read_regular
from pastis_jax.json_files import parse

DATASET_FILE = "dataset.json"
"""Says what a folder holds; a folder without it is PASTIS-R."""

PLAIN = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
"""Text that can be part of a file's name: an identifier."""

LARGEST_TEXT = 1 << 30
"""Most bytes of a file of text; the published ones have up to 10 MB."""

_INTEGER = re.compile(r"(-?[0-9]{1,30})(\.0{1,30})?")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf)", re.I)


def restore(file: pathlib.Path) -> str:
    """Says what to do about a file that is missing or damaged, of official or of other data.

    Args:
      file: In the folder of data, or in a folder of it.
    """
    if is_own(file.parent) or is_own(file.parent.parent):
        return f"write it anew, as docs/data.md says, or correct {DATASET_FILE}"
    return "copy the file again from the archive"


def is_own(root: pathlib.Path) -> bool:
    """Whether a folder says itself what it holds, rather than being official."""
    return os.path.lexists(root / DATASET_FILE)


def read_text(file: pathlib.Path, *, kind: str, remedy: str) -> str:
    """Returns the text of a file in UTF-8, with or without a mark of byte order.

    Args:
      file: The file.
      kind: What it should be, for the message.
      remedy: What to do if it is not.

    Raises:
      DataError: If it is missing, cannot be read, is larger than `LARGEST_TEXT` or another text.
    """
    try:
        content = read_regular(file, LARGEST_TEXT)
        if content.startswith(b"SQLite format 3\0"):
            raise ValueError("a database, of a GeoPackage perhaps")
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError("file not found", where=file, remedy=remedy) from None
    except (OSError, ValueError, MemoryError) as error:
        raise DataError(f"not {kind} ({_said(error)})", where=file, remedy=remedy) from error


def read_json(file: pathlib.Path, *, kind: str, remedy: str) -> Any:
    """Returns the content of a JSON file, in which every key of an object is unique.

    Args:
      file: The file.
      kind: What it should be, for the message.
      remedy: What to do if it is not.

    Raises:
      DataError: If it is missing, cannot be read, or is no such text.
    """
    text = read_text(file, kind=kind, remedy=remedy)
    try:
        return parse(text, unique=True)
    except (ValueError, MemoryError) as error:
        raise DataError(f"not {kind} ({_said(error)})", where=file, remedy=remedy) from error


def read_csv(
    file: pathlib.Path, *, kind: str, remedy: str, column: str
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Returns the columns of a CSV file, and its rows with the numbers of their lines.

    Empty lines are no rows. A row may have more or fewer fields than there are columns.

    Args:
      file: The file.
      kind: What it should be, for the message.
      remedy: What to do if it is not.
      column: One of several that it must have: tells how they are separated.

    Raises:
      DataError: If it is missing, cannot be read, is no CSV, or has no commas between columns.
    """
    text = read_text(file, kind=kind, remedy=remedy)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        columns = next(reader, [])
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise DataError(f"not {kind} ({error})", where=file, remedy=remedy) from error
    for other, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(columns) == 1 and column in columns[0].split(other)[:-1]:
            fault = f"its columns are separated by {name}, not by commas"
            remedy = "write it with commas between columns, and points in numbers"
            raise DataError(fault, where=file, remedy=remedy)
    return columns, rows


def integer(value: Any) -> int:
    """Reads 3, "3" and "3.0" alike (tables that went through floats), and nothing else.

    Raises:
      ValueError: If it is no integer in plain digits.
    """
    plain = isinstance(value, int | float | str) and not isinstance(value, bool)
    if not plain or not (digits := _INTEGER.fullmatch(str(value))):
        raise ValueError(f"{shown(value)} is not an integer")
    return int(digits[1])


def number(text: str) -> float:
    """Reads a number in plain digits.

    Raises:
      ValueError: If it is none.
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{shown(text)} is not a number")
    return float(text)


def shown(value: Any) -> str:
    """A value for a message, its beginning if it is long."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _said(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "too large for the memory"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
