"""Public names of a package that are imported when they are first used."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazily(
    package: str, names: Mapping[str, str], parts: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns `__getattr__` and `__dir__` of a package.

    Args:
      package: Its name.
      names: Public names and the modules that define them, as `module:name` where they differ.
      parts: Modules and packages in it that can be used without an import of their own.
    """

    def get(name: str) -> Any:
        if name in names:
            module, _, defined = names[name].partition(":")
            return getattr(importlib.import_module(module), defined or name)
        if name in parts:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names_of() -> list[str]:
        return sorted([*vars(importlib.import_module(package)), *names, *parts])

    return get, names_of
