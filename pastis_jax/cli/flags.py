"""Flags of a command: what is wrong with them ends in one line, like every other mistake."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import re
import sys
import typing
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import tyro

from pastis_jax.errors import UserError

Kind = TypeVar("Kind")
_HELP = "{prog} --help tells what it takes"
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_RULE = re.compile(r"[╰╯─-]{3,}")


def read(kind: type[Kind], arguments: Sequence[str] | None, *, prog: str, **options: Any) -> Any:
    """Reads the flags of a command, those of the command line by default.

    Args:
      kind: A dataclass with a field for each flag.
      arguments: The words after the command.
      prog: Name of the command.
      **options: Of `tyro.cli`.

    Returns:
      What `tyro.cli` does: a value of `kind`, with what is unknown where that is asked for.

    Raises:
      UserError: If a flag is unknown, has no value or another than it takes, in one line.
      SystemExit: After --help.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    _refuse_bare(kind, given)
    page = io.StringIO()
    try:
        with contextlib.redirect_stderr(page):
            return tyro.cli(kind, prog=prog, args=given, **options)
    except SystemExit as stopped:
        if stopped.code != 2:
            raise
    raise UserError(_line(page.getvalue()), where=prog, remedy=_HELP.format(prog=prog))


def command_flags(kind: type[Kind], arguments: Sequence[str] | None, *, prog: str) -> Kind:
    """The same, of a command that reads them before it runs: a mistake ends the process."""
    from pastis_jax.cli import console

    given: list[Kind] = []
    console.command(lambda: given.append(read(kind, arguments, prog=prog)))
    return given[0]


def _refuse_bare(kind: type, given: Sequence[str]) -> None:
    """Refuses flags of lists that are given without any value, which would mean the default."""
    lists = {f"--{name.replace('_', '-')}" for name in _lists(kind)}
    for word, following in itertools.pairwise([*given, "--"]):
        flag = word.replace("_", "-")
        if flag in lists and following.startswith("--"):
            remedy = "give one or more, or leave it out"
            raise UserError("there is no value", where=flag, remedy=remedy)


def _lists(kind: type) -> Iterator[str]:
    """Names of the fields that take any number of values, those of inner dataclasses too."""
    for name, hint in typing.get_type_hints(kind).items():
        if dataclasses.is_dataclass(hint):
            yield from _lists(hint)
        for part in (hint, *typing.get_args(hint)):
            if typing.get_origin(part) is list or typing.get_args(part)[-1:] == (Ellipsis,):
                yield name


def _line(page: str) -> str:
    """What stands below the title of the box that tyro draws, up to a rule or a paragraph."""
    words: list[str] = []
    for line in _STYLE.sub("", page).splitlines()[1:]:
        text = line.strip("│ ")
        if _RULE.fullmatch(text) or not text:
            if words:
                break
            continue
        words += text.split()
    return " ".join(words).rstrip(".") or "its flags are wrong"
