"""Errors a user can cause: one line that says what is wrong, where, and what to do about it."""

from __future__ import annotations

import os


class UserError(Exception):
    """A mistake in what the user gave. Its text is one line; commands print it and exit with 2.

    Args:
      what: What is wrong, without a final stop.
      where: The file, folder or flag that is wrong.
      remedy: What the user can do about it.
    """

    def __init__(self, what: str, *, where: str | os.PathLike[str], remedy: str):
        self.what, self.where, self.remedy = what, os.fspath(where), remedy
        super().__init__(" ".join(f"{self.where}: {what}; {remedy}".split()))


class DataError(UserError):
    """A dataset folder or file that cannot be used as it is."""


class ArgumentError(UserError):
    """An argument of the library that cannot be, or not beside others.

    Names of arguments stand in backquotes; commands write them as their flags.

    Args:
      what: What is wrong, without a final stop.
      argument: Name of the argument.
      remedy: What the user can do about it.
    """

    def __init__(self, what: str, *, argument: str, remedy: str):
        super().__init__(what, where=f"`{argument}`", remedy=remedy)


def refuse(argument: str, wrong: object, what: str, remedy: str) -> None:
    """Raises an ArgumentError if something is wrong with an argument."""
    if wrong:
        raise ArgumentError(what, argument=argument, remedy=remedy)
