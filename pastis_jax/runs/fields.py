"""Fields of frozen values as JSON holds them: each of its type, and a number that there can be."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import reprlib
import types
import typing
from collections.abc import Mapping, Set
from typing import Any


def restore(kind: type, content: Mapping[str, Any]) -> Any:
    """Makes a frozen value of the fields that JSON holds; those that came later have defaults.

    Raises:
      ValueError: If a field is unknown or of another type.
    """
    return kind(**values(kind, {field.name for field in dataclasses.fields(kind)}, content))


def values(kind: type, names: Set[str], content: Any) -> dict[str, Any]:
    """Values of some fields of a class, as JSON holds them.

    Raises:
      ValueError: If a field is unknown or of another type.
    """
    hints, values = typing.get_type_hints(kind), {}
    if not isinstance(content, dict):
        raise ValueError(f"{shown(content)} is no object of fields")
    if unknown := sorted(content.keys() - names):
        raise ValueError(f"{unknown[0]} is unknown to this version")
    for name, value in content.items():
        value = tuple(value) if isinstance(value, list) else value
        if not fits(value, hints[name]):
            raise ValueError(f"{name} is {shown(value)}")
        is_path = pathlib.Path in typing.get_args(hints[name])
        values[name] = pathlib.Path(value) if is_path and value is not None else value
    return values


def fits(value: Any, hint: Any) -> bool:
    """Whether a value of JSON is of an annotated type, as far as runs have them."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, alternative) for alternative in inner)
    if origin is typing.Literal:
        return isinstance(value, str) and value in inner
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        hints = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return len(hints) == len(value) and all(map(fits, value, hints))
    if hint is pathlib.Path:
        return isinstance(value, str)
    if isinstance(value, bool):
        return hint is bool
    return is_number(value) if hint is float else isinstance(value, hint)


def is_number(value: Any) -> bool:
    """Whether it is a finite number of JSON."""
    return is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def is_integer(value: Any) -> bool:
    """Whether it is an integer of JSON, of at most 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= 64


def texts(value: Any, name: str) -> tuple[str, ...]:
    """A list of texts, none of them empty.

    Raises:
      ValueError: If it is something else, calling it `name`.
    """
    if not isinstance(value, list) or not all(isinstance(x, str) and x for x in value):
        raise ValueError(f"{name} are {shown(value)}, not a list of texts")
    return tuple(value)


def shown(value: Any) -> str:
    """A value for a message, in a few words."""
    return reprlib.repr(value)
