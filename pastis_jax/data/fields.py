"""Refusing the fields of a description of data: a ValueError names the field."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pastis_jax.text import fault_of_name


def refuse(field: str, wrong: Any, fault: str) -> None:
    """Raises a ValueError that names the field, if it is wrong."""
    if wrong:
        raise ValueError(f"{field}: {fault}")


def refuse_unreadable(field: str, *names: str) -> None:
    """Raises a ValueError if a name cannot be shown to readers, or is longer than one reads."""
    for name in names:
        fault = fault_of_name(name)
        refuse(field, fault, fault or "")


def refuse_twice(field: str, noun: str, values: Iterable[Any]) -> None:
    """Raises a ValueError if a value occurs twice."""
    values = list(values)
    for i, value in enumerate(values):
        refuse(field, value in values[:i], f"the {noun} {value!r} occurs twice")
