"""Flags of `pastis-jax ingest --samples`: a table of samples becomes a folder of pixel sets."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Annotated

import tyro

from pastis_jax.cli import console
from pastis_jax.data.pixel_sets.folder import PixelSetFolder
from pastis_jax.data.regions.samples.columns import Column, units_of
from pastis_jax.data.regions.samples.ingest import ingest_samples, propose_columns
from pastis_jax.errors import refuse
from pastis_jax.text import named


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Make a folder of pixel sets from a table with a line for each sample and date.

    The folder has one pixel for each sample, in the layout of PASTIS-R, and pastis-jax train parcel
    --data OUT trains on it. What is left out or odd is printed and written to OUT/findings.json.
    docs/sample_tables.md has examples.
    """

    samples: Path
    """The table, Parquet or CSV, with a column for each channel."""
    out: Path
    """Folder to make. Refused if it holds anything but the columns.csv of --dry-run."""
    label: str | None = None
    """Column with the crop of each sample."""
    season_start: str | None = None
    """Day 0 of the season, YYYY-MM-DD. All days count from it."""
    classes: str = "labels"
    """List that says to which class a label belongs: rpg, hcat, a file like classes.csv, or labels
    to make each label a class."""
    unknown: str = "refuse"
    """What to do with labels that are not in the list: refuse them, or make them void."""
    min_samples: int = 0
    """Classes with fewer samples become void, which is neither trained nor scored."""
    id: str | None = None
    """Column with the identifier of the sample. Default: the first one called sample_id, id,
    field_id, ..."""
    date: str | None = None
    """Column with the day. Default: the first one called timestamp, date, index, ..."""
    fold: str | None = None
    """Column with the folds, three or more. Default: blocks of ground are dealt to five folds if
    the table has lon and lat or a geometry; otherwise the identifiers decide."""
    columns: Path | None = None
    """List of the columns that hold channels, as --dry-run writes it. Default: what their names
    tell."""
    modalities: tuple[str, ...] = ()
    """Modalities to use. Default: all in the list."""
    block: float = 5000.0
    """Side of the blocks of ground, in metres. It is smaller if there would be too few."""
    gap: float = 1000.0
    """Distance in metres. Samples nearer than this to one in another fold are counted."""
    skip_implausible: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Leave out samples with values that no sensor measures, instead of refusing the table."""
    complete: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Leave out samples that lack a modality. Single and early fusion need all that they use."""
    pixel_size: float = 10.0
    """Side of the pixels that were sampled, in metres."""
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Only write to OUT/columns.csv what the names of the columns tell. Correct that file, and give
    it with --columns."""


def run(given: Arguments) -> None:
    """Ingests as the arguments say.

    Raises:
      UserError: For a mistake in them or in the table.
    """
    roles = {"id": given.id, "date": given.date, "label": given.label, "fold": given.fold}
    if given.dry_run:
        file, columns = propose_columns(given.samples, given.out, **roles)
        console.say(f"Wrote {file}{_to_do(columns)}")
        return
    refuse("label", given.label is None, "it is not given", "name the column of the crops")
    remedy = "give day 0 of the season as YYYY-MM-DD"
    refuse("season_start", given.season_start is None, "it is not given", remedy)
    values = dataclasses.asdict(given)
    for name in ("samples", "dry_run"):
        del values[name]
    values["modalities"] = given.modalities or None
    out = ingest_samples(given.samples, **values)
    console.say(f"Wrote {out}: {_counts(out)}")
    console.say_next(out)


def _counts(out: Path) -> str:
    """How many samples a folder has, of how many classes and dates."""
    folder = PixelSetFolder(out, complete=False)
    crops = {parcel.label for parcel in folder.parcels if not folder.is_void(parcel)}
    days = [len({*itertools.chain(*p.days.values())}) for p in folder.patches.values()]
    dates = f"{min(days)} to {max(days)} dates" if min(days) < max(days) else f"{days[0]} dates"
    samples = f"{len(folder.parcels):,} samples of {len(crops)} classes"
    return f"{samples}, with {dates} of {', '.join(folder.modalities)} each"


def _to_do(columns: list[Column]) -> str:
    """What a person has to fill in."""
    unknown = [column.column for column in columns if column.unknown]
    if not unknown:
        return f" of {len(columns)} columns: look at it, and give it by --columns"
    fill = f"{len(unknown)} of {len(columns)} columns "
    fill += f"{'needs' if len(unknown) == 1 else 'need'} a unit or an offset ({named(unknown)})"
    modalities = dict.fromkeys(column.modality for column in columns if column.unknown)
    units = "; ".join(f"{name} is in {', '.join(units_of(name))}" for name in modalities)
    return f": {fill}; fill them in ({units}), and give it by --columns"
