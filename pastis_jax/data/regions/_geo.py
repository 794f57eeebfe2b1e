"""Packages of the extra `geo`, imported when they are first needed."""

from __future__ import annotations

from types import ModuleType

from pastis_jax import extras


def need(name: str) -> ModuleType:
    """Imports a package of the extra `geo`; see `extras.need`.

    Raises:
      UserError: If it is not installed, with the command that installs it.
    """
    return extras.need(name, "geo")
