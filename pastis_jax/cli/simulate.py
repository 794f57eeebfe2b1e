"""Command line of the simulator."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from pastis_jax.cli import console, flags
from pastis_jax.data.simulate import Difficulty, simulate


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Simulate a PASTIS-R folder: 18 crops seen by Sentinel-2 and both orbits of Sentinel-1.

    Writes pixel sets in the official layout (DATA_S2, DATA_S1A, DATA_S1D, metadata_parcel.csv,
    metadata.geojson, NORM_PARCEL_*), and on request patches of the same scenes in OUT/patches. The
    default takes under a minute and half a gigabyte. Deterministic: one seed, one folder.
    """

    out: Path
    """Folder to make. Refused if it exists and is not empty."""
    parcels: int = 5000
    """Least number of labelled parcels. With 1000 or more, every crop is in every fold."""
    patches: int = 0
    """Number of scenes to write as patches too."""
    size: int = 64
    """Side of a scene, in pixels of 10 m, 16 to 256 (128 in the real dataset)."""
    seed: int = 0
    """Source of all randomness."""
    clustering: float = 0.0
    """Share of the parcels that grow what a parcel beside them grows, on top of chance: 0.3 is as
    in PASTIS-R."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    given = flags.command_flags(Arguments, arguments, prog="pastis-jax simulate")
    console.command(lambda: run(given))


def run(given: Arguments) -> None:
    """Simulates as the arguments say.

    Raises:
      UserError: For a mistake in them.
    """
    values = dataclasses.asdict(given)
    difficulty = Difficulty(clustering=values.pop("clustering"))
    console.say(f"Wrote {simulate(**values, difficulty=difficulty)}")
