"""Command line that writes a Region in the official layouts."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated

import tyro

from pastis_jax.cli import console, flags
from pastis_jax.data.regions.records.export import export


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Write a Region in the official layouts: pixel sets in OUT, patches in OUT/patches.

    Parcels keep all their pixels. Patches are windows side by side, each with the labels of one
    fold. Programs that read PASTIS-R read them. By default both are written. If only one kind is
    asked for, it is written to OUT itself.
    """

    region: Annotated[pathlib.Path, tyro.conf.Positional]
    """The Region."""
    out: Annotated[pathlib.Path, tyro.conf.Positional]
    """Folder to make. Refused if it exists and is not empty."""
    pixel_sets: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write pixel sets."""
    patches: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write patches."""
    window: int = 0
    """Side of the patches, pixels. Default: 128, or less in a smaller Region."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    given = flags.command_flags(Arguments, arguments, prog="pastis-jax export")
    console.command(lambda: run(given))


def run(given: Arguments) -> None:
    """Writes what the arguments say.

    Raises:
      UserError: For a mistake in them, or in the Region.
    """
    both = given.pixel_sets == given.patches
    notes = export(
        given.region,
        given.out,
        pixel_sets=both or given.pixel_sets,
        patches=both or given.patches,
        window=given.window,
    )
    for note in notes:
        console.say(f"Note: {note}")
    console.say(f"Wrote {given.out}")
    if both or given.pixel_sets:
        console.say_next(given.out)
    if both or given.patches:
        console.say_next(given.out / "patches" if both else given.out, "semantic")
