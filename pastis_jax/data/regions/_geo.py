"""Packages of the extra `geo`, imported when they are first needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from pastis_jax.errors import UserError


def need(name: str) -> ModuleType:
    """Imports a package of the extra `geo`.

    Args:
      name: As it is imported, ``rasterio.warp`` say.

    Raises:
      UserError: If it is not installed, with the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        absent = isinstance(error, ModuleNotFoundError) and error.name in (package, name)
        fault = "is not installed" if absent else f"cannot be imported ({error})"
        remedy = 'it comes with the extra geo: pip install "pastis-jax[geo]"'
        raise UserError(fault, where=package, remedy=remedy) from error
