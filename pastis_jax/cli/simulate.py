"""Command line of the simulator."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

from pastis_jax.cli import console, flags
from pastis_jax.data.simulate import REGION_DIFFICULTY, Difficulty, simulate, simulate_region
from pastis_jax.errors import refuse


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Simulate a PASTIS-R folder, or scenes and parcels: 18 crops seen by Sentinel-2 and both
    orbits of Sentinel-1. The same seed always gives the same files.

    --out writes pixel sets in the layout of PASTIS-R (DATA_S2, DATA_S1A, DATA_S1D,
    metadata_parcel.csv, metadata.geojson, NORM_PARCEL_*) and, on request, patches of the same
    scenes in OUT/patches. By default this takes under a minute and half a gigabyte.

    --region writes files like those that a user has: dated GeoTIFFs, and parcels in a GeoPackage.
    Its folder truth holds what a Region ingested from them must contain. By default this takes a
    minute and a half and 1.5 gigabytes. It needs the extra geo.
    """

    out: Path | None = None
    """Folder to make. Refused if it exists and is not empty."""
    region: Path | None = None
    """Folder to make with scenes and parcels, instead of --out. Refused if it exists and is not
    empty."""
    parcels: int | None = None
    """With --out: least number of labelled parcels, 5000 by default. With 1000 or more, every crop
    occurs in every fold."""
    patches: int | None = None
    """With --out: number of scenes that are also written as patches, 0 by default."""
    size: int | None = None
    """Side in pixels of 10 m. With --out it is the side of a scene, 16 to 256, by default 64 (128
    in the real dataset). With --region it is a multiple of 64 from 128 to 4096, by default 1024."""
    dates: int | None = None
    """With --region: number of dates of each modality, 6 to 60, 24 by default."""
    seed: int = 0
    """Seed of everything random."""
    clustering: float | None = None
    """Share of the parcels that grow the same crop as a neighbour, beyond chance. 0.3 is as in
    PASTIS-R. Default: 0.3 with --region, otherwise 0."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    given = flags.command_flags(Arguments, arguments, prog="pastis-jax simulate")
    console.command(lambda: run(given))


def run(given: Arguments) -> None:
    """Simulates as the arguments say.

    Raises:
      UserError: For a mistake in them.
    """
    values = {name: value for name, value in vars(given).items() if value is not None}
    both = given.out is not None and given.region is not None
    refuse("region", both, "not beside `out`", "give one of them")
    neither = given.out is None and given.region is None
    refuse("out", neither, "no folder is given", "give one, or `region` for scenes and parcels")
    folder, others = "region", ("parcels", "patches")
    if given.region is None:
        folder, others = "out", ("dates",)
    for name in others:
        refuse(name, name in values, f"not beside `{folder}`", "leave it out")
    base = Difficulty() if given.region is None else REGION_DIFFICULTY
    share = values.pop("clustering", base.clustering)
    values["difficulty"] = dataclasses.replace(base, clustering=share)
    if given.region is None:
        console.say(f"Wrote {simulate(**values)}")
        return
    out = simulate_region(values.pop("region"), **values)
    console.say(f"Wrote {out}; {_next(out)}")


def _next(out: Path) -> str:
    """What to do with a region that was simulated."""
    scenes, parcels = (shlex.quote(str(out / name)) for name in ("scenes", "parcels.gpkg"))
    return (
        f"next: pastis-jax ingest {scenes} --out REGION --parcels {parcels} --label CODE_CULTU "
        "--parcel-id ID_PARCEL --classes rpg --season-start 2023-09-01"
    )
