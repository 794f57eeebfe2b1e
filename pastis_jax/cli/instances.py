"""Command line that writes the panoptic targets of a patch folder."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import tqdm
import tyro

from pastis_jax.cli import console, flags
from pastis_jax.data.patches.annotations import INSTANCES
from pastis_jax.data.patches.folder import PatchFolder
from pastis_jax.errors import DataError

_NAMES = ("INSTANCES", "ZONES", "HEATMAP")  # in the order of `PatchFolder.make_instances`


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Write the panoptic targets of a patch folder: INSTANCES, ZONES and HEATMAP of each patch.

    They are made from ANNOTATIONS by the rule of the published ones, and written to
    INSTANCE_ANNOTATIONS. Nothing is changed before all of them are made.
    """

    folder: Annotated[pathlib.Path, tyro.conf.Positional]
    """The patch folder."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace existing targets."""


def write_instances(root: str | os.PathLike[str], *, overwrite: bool, progress: bool = True) -> int:
    """Writes the panoptic targets of a patch folder, as int64 and float64, as published.

    All are made first, in a hidden folder inside `root`, and then moved to their places; no file
    is ever incomplete under its name.

    Args:
      root: The patch folder.
      overwrite: Whether to replace files.
      progress: Whether to draw a progress bar.

    Returns:
      Number of patches.

    Raises:
      DataError: If the folder is not a sound patch folder or cannot be written, holds targets that
        are not to be replaced, or its annotations contradict each other or number no parcels.
    """
    folder = PatchFolder(root, complete=False)
    folder.check_annotations()
    patches = folder.patches.values()
    places = [folder.file(patch, name) for patch in patches for name in _NAMES]
    if not overwrite and (existing := [place for place in places if place.exists()]):
        fault = (
            f"exists already, with {len(existing) - 1} others" if existing[1:] else "exists already"
        )
        raise DataError(fault, where=existing[0], remedy="add `overwrite` to replace it")
    try:
        with tempfile.TemporaryDirectory(prefix=".instances-", dir=folder.root) as staging:
            bar = tqdm.tqdm(patches, "Making targets", unit=" patches", disable=not progress)
            for patch in bar:
                annotations = folder.annotations(patch)
                if wrong := folder.contradictions(patch, annotations, stored=False):
                    raise folder.refusal(patch, wrong[0])
                arrays = folder.make_instances(annotations)
                for name, array in zip(_NAMES, arrays, strict=True):
                    np.save(pathlib.Path(staging, folder.file(patch, name).name), array)
            (folder.root / INSTANCES).mkdir(exist_ok=True)
            for place in places:
                os.replace(pathlib.Path(staging, place.name), place)
    except OSError as error:
        fault = f"cannot be written ({error.strerror or error})"
        remedy = "make room and the folder writable"
        raise DataError(fault, where=folder.root / INSTANCES, remedy=remedy) from error
    return len(patches)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    given = flags.command_flags(Arguments, arguments, prog="pastis-jax instances")
    console.command(lambda: run(given))


def run(given: Arguments) -> None:
    """Writes the targets as the arguments say.

    Raises:
      DataError: For a mistake in the folder.
    """
    patches = write_instances(given.folder, overwrite=given.overwrite)
    console.say(f"Wrote the targets of {patches} patches to {given.folder / INSTANCES}")
