"""Command line of the simulator."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import tyro

from pastis_jax.data.simulate import Difficulty, simulate
from pastis_jax.errors import UserError


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


def main() -> int:
    """Runs the command. Returns its exit code: 0, or 2 after a mistake in the arguments."""
    given = tyro.cli(Arguments, prog="python -m pastis_jax.data.simulate")
    arguments = dataclasses.asdict(given)
    difficulty = Difficulty(clustering=arguments.pop("clustering"))
    try:
        out = simulate(**arguments, difficulty=difficulty)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(f"Wrote {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
