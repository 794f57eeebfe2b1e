"""The folders that checkpoints stand in: their names tell which are complete."""

from __future__ import annotations

import pathlib
import re
import shutil

from pastis_jax.errors import UserError


def newest(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Returns the newest complete checkpoint `name`.

    Raises:
      UserError: If there is none.
    """
    checkpoints = complete(folder, name)
    if not checkpoints:
        raise UserError(f"no checkpoint {name!r} here", where=folder, remedy="train this run first")
    return checkpoints[-1]


_NAME = re.compile(r"([a-z]+)-(\d{4,})(?:\.(\d{6,}))?")
"""What is not finished, or is being deleted, has a longer name."""
UNCHECKED = "unchecked"
"""Ends the name of what has no checksums yet."""
DEBRIS = re.compile(_NAME.pattern + rf"\.(deleted|{UNCHECKED}.*|orbax-checkpoint-tmp.*)")


def complete(folder: pathlib.Path, name: str) -> list[pathlib.Path]:
    """The complete checkpoints `name`, the newest last."""
    return sorted((p for p in folder.glob(f"{name}-*") if _NAME.fullmatch(p.name)), key=place)


def place(path: pathlib.Path) -> tuple[int, int]:
    """Finished epochs, and steps after them."""
    _, epoch, done = _NAME.fullmatch(path.name).groups()
    return int(epoch), int(done or 0)


def delete(path: pathlib.Path) -> None:
    """Deletes a checkpoint, which never looks complete while half of it is gone."""
    doomed = path.with_name(f"{path.name}.deleted")
    shutil.rmtree(doomed, ignore_errors=True)
    # What a file system keeps for now goes when the run is continued.
    shutil.rmtree(path.rename(doomed), ignore_errors=True)
