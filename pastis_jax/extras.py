"""Packages that come with an extra of ours, imported when they are first needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from pastis_jax.errors import UserError


def need(name: str, extra: str) -> ModuleType:
    """Imports a package.

    Args:
      name: As it is imported, ``rasterio.warp`` say.
      extra: What brings it.

    Raises:
      UserError: If it is not installed, with the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        absent = isinstance(error, ModuleNotFoundError) and error.name in (package, name)
        fault = "is not installed" if absent else f"cannot be imported ({error})"
        remedy = f'it comes with the extra {extra}: pip install "pastis-jax[{extra}]"'
        raise UserError(fault, where=package, remedy=remedy) from error
