"""Parts of a model by name, so that a command can ask for one, and anyone can add one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from pastis_jax.errors import ArgumentError

Part = TypeVar("Part")


class Registry(Mapping[str, Part]):
    """Parts by name.

    Args:
      argument: The argument that such a name is given as.
    """

    def __init__(self, argument: str):
        self._argument = argument
        self._parts: dict[str, Part] = {}

    def add(self, name: str, part: Part) -> Part:
        """Adds a part.

        Raises:
          ValueError: If there is another of this name.
        """
        if self._parts.get(name, part) is not part:
            raise ValueError(f"there is another {self._argument} called {name!r}")
        self._parts[name] = part
        return part

    def __getitem__(self, name: str) -> Part:
        """Returns the part of this name.

        Raises:
          ArgumentError: If there is none.
        """
        if name not in self._parts:
            remedy = f"choose among {', '.join(self._parts)}, or import the module that adds it"
            raise ArgumentError(f"there is no {name!r}", argument=self._argument, remedy=remedy)
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)
