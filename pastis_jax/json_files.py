"""JSON files that may come from anyone: read with bounds, as mere data."""

from __future__ import annotations

import json
import math
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from pastis_jax.errors import UserError
from pastis_jax.files import read_regular
from pastis_jax.text import is_plain, plain

MOST_BYTES = 32 << 20
DEEPEST = 16
"""Objects and lists in each other; what a run writes has six at most."""


def read_object(
    file: str | os.PathLike[str], *, remedy: str, any_text: bool = False
) -> dict[str, Any]:
    """Reads a JSON object: plain, finite, of bounded size and depth, of text that can be shown.

    Args:
      file: The file.
      remedy: What to do where it is none.
      any_text: Whether texts may hold what cannot be shown, for who shows them by `text.plain`.

    Raises:
      FileNotFoundError: If there is no such file.
      UserError: If it is no such object, in one line.
    """
    file = pathlib.Path(file)
    try:
        content = parse_object(read_text(file), any_text=any_text)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise UserError(f"cannot be read ({reason})", where=file, remedy=remedy) from error
    return content


def read_text(file: pathlib.Path) -> str:
    """Reads a text file in UTF-8, with or without a mark of byte order.

    Raises:
      OSError: If it cannot be read, or is no regular file.
      ValueError: If it is not UTF-8, or larger than `MOST_BYTES`.
    """
    return read_regular(file, MOST_BYTES).decode("utf-8-sig")


def parse(text: str, *, unique: bool = False) -> Any:
    """Returns the content of a JSON text.

    Args:
      text: The text.
      unique: Whether every key of an object must be; else the last of equal ones counts.

    Raises:
      ValueError: If it is none.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique if unique else None)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_object(text: str, *, any_text: bool = False) -> dict[str, Any]:
    """Returns the object that a JSON text is, as `read_object` does.

    Raises:
      ValueError: If it is none, naming the field that is wrong.
    """
    content = parse(text)
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    for place, value in _walk(content):
        fault = None
        if isinstance(value, int) and value.bit_length() > 64:
            fault = "has more than 64 bits"
        elif isinstance(value, float) and not math.isfinite(value):
            fault = "is not a finite number"
        elif isinstance(value, str) and not any_text and not is_plain(value):
            fault = "holds what cannot be shown"
        if fault:
            raise ValueError(f"{place} {fault}")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{json.dumps(twice)} occurs twice")
    return content


def _walk(content: Any) -> Iterator[tuple[str, Any]]:
    """Names and values of all depths, each with the place where it stands.

    Raises:
      ValueError: If it is nested more than `DEEPEST` deep.
    """
    left = [("", content, 0)]
    while left:
        place, value, depth = left.pop()
        if depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} deep")
        if isinstance(value, dict):
            for name, inner in value.items():
                shown = plain(name, 60)
                yield f"a name below {place}" if place else "a name", name
                left.append((f"{place}.{shown}" if place else shown, inner, depth + 1))
        elif isinstance(value, list):
            left += [(f"{place}[{i}]", inner, depth + 1) for i, inner in enumerate(value)]
        else:
            yield place, value
