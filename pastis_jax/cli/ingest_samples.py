"""Flags of `pastis-jax ingest --samples`: a table of samples becomes a folder of pixel sets."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from pastis_jax.cli import console
from pastis_jax.data.regions.samples.columns import Column
from pastis_jax.data.regions.samples.ingest import ingest_samples, propose_columns
from pastis_jax.errors import refuse
from pastis_jax.text import named


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Make a folder of pixel sets from a table of samples: a line for each sample and date.

    The folder has one pixel for each sample, in the layout of PASTIS-R: pastis-jax train parcel
    --data OUT trains on it. What is left out or odd is told, and written to OUT/findings.json.
    docs/sample_tables.md has examples.
    """

    samples: Path
    """The table, Parquet or CSV, with a column for each channel."""
    out: Path
    """Folder to make. Refused if it holds anything but the columns.csv of --dry-run."""
    label: str | None = None
    """Column of the crop."""
    season_start: str | None = None
    """Day 0 of the season, YYYY-MM-DD: days count from it."""
    classes: str = "labels"
    """Which class a label is of: rpg or hcat, a file like classes.csv, or labels to make each label
    a class."""
    unknown: str = "refuse"
    """What becomes of labels that are not in the list: refuse or void."""
    min_samples: int = 0
    """Classes with fewer samples become void: neither trained nor counted."""
    id: str | None = None
    """Column of the sample. Default: the first that is called sample_id, id, field_id, ..."""
    date: str | None = None
    """Column of the day. Default: the first that is called timestamp, date, index, ..."""
    fold: str | None = None
    """Column of the folds, three or more. Default: blocks of ground dealt to five folds where the
    table has lon and lat or a geometry, else by the identifiers."""
    columns: Path | None = None
    """List of the columns that hold channels, as --dry-run writes it. Default: what names tell."""
    modalities: tuple[str, ...] = ()
    """Modalities to take. Default: all of the list."""
    block: float = 5000.0
    """Side of the blocks of ground, metres; smaller where they would be too few."""
    gap: float = 1000.0
    """Metres: samples that are nearer to one in another fold are told of."""
    skip_implausible: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Leave out samples with values that no sensor measures, in place of refusing the table."""
    complete: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Leave out samples that lack a modality: single and early fusion need all that they use."""
    pixel_size: float = 10.0
    """Of what was sampled, metres."""
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Only write OUT/columns.csv, what the names of the columns tell: correct it, and give it by
    --columns."""


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
    console.say(f"Wrote {ingest_samples(given.samples, **values)}")


def _to_do(columns: list[Column]) -> str:
    """What a person has to fill in."""
    unknown = [column.column for column in columns if column.unknown]
    if not unknown:
        return f" of {len(columns)} columns: look at it, and give it by --columns"
    fill = f"{len(unknown)} of {len(columns)} columns need a unit or an offset ({named(unknown)})"
    return f": {fill}; fill them in, and give it by --columns"
