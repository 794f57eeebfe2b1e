"""Errors a user can cause: one line that says what is wrong, where, and what to do about it."""

from __future__ import annotations

import os
from typing import Any

from pastis_jax.text import plain

_LONGEST = 1000
"""Characters of what is wrong, and of what to do."""


class UserError(Exception):
    """A mistake in what the user gave. Its text is one line; commands print it and exit with 2.

    Args:
      fault: What is wrong, without a final stop.
      where: The file, folder or flag that is wrong.
      remedy: What the user can do about it.

    Attributes:
      fault: What is wrong, without a final stop.
      where: The file, folder or flag that is wrong.
      remedy: What the user can do about it.

    Examples:
      >>> print(UserError("there is no fold 6", where="--fold", remedy="give 1 to 5"))
      --fold: there is no fold 6; give 1 to 5
    """

    def __init__(self, fault: str, *, where: str | os.PathLike[str], remedy: str):
        self.fault, self.where, self.remedy = fault, os.fspath(where), remedy
        where, fault, remedy = (" ".join(part.split()) for part in (self.where, fault, remedy))
        super().__init__(f"{plain(where)}: {plain(fault, _LONGEST)}; {plain(remedy, _LONGEST)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.fault, self.where, self.remedy), vars(self)


class DataError(UserError):
    """A dataset folder or file that cannot be used as it is."""


class ArgumentError(UserError):
    """An argument of the library that cannot be, or not beside others.

    Names of arguments stand in backquotes; commands write them as their flags.

    Args:
      fault: What is wrong, without a final stop.
      argument: Name of the argument.
      remedy: What the user can do about it.
    """

    def __init__(self, fault: str, *, argument: str, remedy: str):
        super().__init__(fault, where=f"`{argument}`", remedy=remedy)


class DataWarning(UserWarning):
    """What is odd about data given to a run. Its text is one line; commands print it and go on."""


class DaysWarning(DataWarning):
    """Days that a run was not made for."""


def _again(kind: type[UserError], fault: str, where: str, remedy: str) -> UserError:
    """An error that another process raised."""
    error = kind.__new__(kind)
    UserError.__init__(error, fault, where=where, remedy=remedy)
    return error


def refuse(argument: str, wrong: object, fault: str, remedy: str) -> None:
    """Raises an ArgumentError if something is wrong with an argument."""
    if wrong:
        raise ArgumentError(fault, argument=argument, remedy=remedy)
