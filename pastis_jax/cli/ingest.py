"""Scenes and parcels become a Region: `pastis-jax ingest SOURCES... --out REGION`."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import os
import pathlib
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

import tyro
from rich.table import Table

from pastis_jax.cli import console, flags
from pastis_jax.data.declared import parse
from pastis_jax.data.reading import read_json
from pastis_jax.data.regions import sensors
from pastis_jax.data.regions.ingestion import making, outlines
from pastis_jax.data.regions.ingestion.ingest import Proposal, ingest, propose, rank
from pastis_jax.data.regions.manifest import Layer
from pastis_jax.data.regions.sources.given import Given
from pastis_jax.data.regions.store import Region
from pastis_jax.errors import ArgumentError, UserError, refuse

PROG = "pastis-jax ingest"
_SAMPLES = "--samples"
_PAIR = "give MODALITY=VALUE, S1A=sigma0 say"
_LEFT_OUT = 10
"""Files that are none of scenes, of which a dry run names so many."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Make a Region from your scenes and parcels: the folder that models are trained on and map.

    Scenes of Sentinel-2, Sentinel-1 and other sensors are brought to one grid, with their masks.
    Parcels are numbered on that grid and dealt to folds. Oddities are printed and written to
    OUT/findings.json. A command that was stopped continues where it was when it is given again. To
    ingest a table of samples, give --samples TABLE instead of sources; --samples TABLE --help
    explains its flags. docs/own_data.md has examples.
    """

    sources: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Folders, files and patterns of scenes (GeoTIFF, JPEG 2000, products of Sen2Cor and THEIA,
    NetCDF, Zarr), or a manifest.csv."""
    out: pathlib.Path | None = None
    """Region to make. Refused if it exists and is not empty."""
    season_start: str | None = None
    """Day 0 of the season, YYYY-MM-DD. All days count from it."""
    season_end: str | None = None
    """Last day of the season, YYYY-MM-DD. Scenes of other days are left out. Default: none are."""
    parcels: pathlib.Path | None = None
    """Vector file of polygons. Without it the Region can be mapped, but not trained on."""
    label: str | None = None
    """Column with the crop of each parcel."""
    classes: str = outlines.PUBLISHED
    """List that says to which class a crop belongs: rpg, hcat, a file like classes.csv, or labels
    to make each label a class."""
    parcel_id: str | None = None
    """Column with the identifier of each parcel. Default: the numbers that the file gives them."""
    parcels_layer: str | None = None
    """Layer of the vector file, if it has several."""
    parcels_crs: str | None = None
    """Coordinate system of the parcels, instead of what their file says."""
    unknown: str = "refuse"
    """What to do with parcels whose crop is not in the list: refuse them, or make them void."""
    unlabelled: str = "background"
    """What pixels outside all parcels are: background, which is a class, or void."""
    inner_buffer: float = 0.0
    """Width of the rim of each parcel that is left out, in metres."""
    folds: int = 5
    """Number of parts of the Region for training, validation and test, three or more."""
    block: float = 5000.0
    """Side of the blocks of ground that are dealt to folds, in metres. It is smaller in small
    Regions."""
    gap: float = 1000.0
    """Width of the zone between blocks of different folds, in metres. Parcels that lie across a
    border, or mostly in the zone, belong to no fold."""
    crs: str | None = None
    """Coordinate system of the Region, such as EPSG:32631. Default: that of most optical scenes."""
    pixel_size: float | None = None
    """Side of a pixel in metres. Default: that of the finest optical scenes."""
    bounds: tuple[float, float, float, float] | None = None
    """Left, bottom, right and top of the Region, in metres. Default: all that optical scenes
    cover."""
    area: pathlib.Path | None = None
    """Vector file whose extent replaces the bounds."""
    unit: tuple[str, ...] = ()
    """Units, for files that do not declare them: S1A=dB "S1D=linear power" S2=reflectance."""
    offset: tuple[str, ...] = ()
    """Number that is added to the numbers of files to have them in the unit: S2=-1000."""
    nodata: tuple[str, ...] = ()
    """Values that mark missing data, for files that do not declare them: S2=0 S1A=nan."""
    level: tuple[str, ...] = ()
    """Processing level of the scenes, if their names do not tell it: S1A=sigma0 S2=L2A."""
    direction: str = ""
    """Pass of Sentinel-1, if the files do not tell it: ascending or descending."""
    dates: tuple[str, ...] = ()
    """Dates of a series in one file, or of one scene, if the files do not tell them, YYYY-MM-DD."""
    channels: tuple[str, ...] = ()
    """What bands with other names show: 1=B2 NIR=B8 rain=weather.rain."""
    source_crs: str = ""
    """Coordinate system of scenes that do not declare theirs."""
    name: str | None = None
    """Name of the dataset. Default: that of the folder."""
    skip_damaged: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Leave out scenes that cannot be read, and list them."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Start again, although another command was stopped on the way to the same folder."""
    shards: bool = True
    """Put 64 chunks into one file, which GDAL reads from version 3.13 on."""
    compress: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Compress values by a quarter or more. Training then reads them more slowly."""
    workers: int | None = None
    """Number of shards that are made at once. Default: one for each processor, at most four."""
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Only write to --manifest what files and their names tell. Correct that file, and give it
    instead of the sources."""
    manifest: pathlib.Path = pathlib.Path("manifest.csv")
    """File that --dry-run writes. Refused if it exists."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if any(word.split("=")[0] == _SAMPLES for word in words):
        from pastis_jax.cli import ingest_samples

        samples = flags.command_flags(ingest_samples.Arguments, words, prog=PROG)
        console.command(lambda: ingest_samples.run(samples))
        return
    given = flags.command_flags(Arguments, words, prog=PROG)
    console.command(lambda: run(given), less_memory="lower `workers`")


def run(given: Arguments) -> None:
    """Ingests as the arguments say.

    Raises:
      UserError: For a mistake in them or in the files.
    """
    if not given.sources:
        raise UserError("no scenes are given", where=PROG, remedy="name folders or files first")
    said = _given(given)
    screen = console.screen()
    if given.dry_run:
        proposal = propose(
            given.sources,
            given.manifest,
            crs=given.crs,
            given=said,
            skip_damaged=given.skip_damaged,
        )
        _tell_proposal(proposal, screen.print)
        return
    refuse("out", given.out is None, "it is not given", "name the folder to make")
    remedy = "give day 0 of the season as YYYY-MM-DD"
    refuse("season_start", given.season_start is None, "it is not given", remedy)
    same = ("season_start", "parcels", "label", "classes", "parcel_id", "parcels_layer")
    same += ("parcels_crs", "unknown", "unlabelled", "inner_buffer", "folds", "block", "gap", "crs")
    same += ("pixel_size", "bounds", "area", "name", "skip_damaged", "overwrite", "shards")
    same += ("compress", "workers")
    root = ingest(
        given.sources,
        given.out,
        given=said,
        level=_pairs("level", given.level),
        **{name: getattr(given, name) for name in same},
    )
    _tell_region(root, screen.print)


def _given(given: Arguments) -> Given:
    """What the flags say of sources.

    Raises:
      ArgumentError: If one is not of the form.
    """
    season = None
    if given.season_end is not None:
        remedy = "give `season_start` as well"
        refuse("season_end", given.season_start is None, "it stands alone", remedy)
        season = (_day("season_start", given.season_start), _day("season_end", given.season_end))
    return Given(
        unit=_pairs("unit", given.unit),
        offset=parse("offset", given.offset),
        nodata=parse("nodata", given.nodata),
        direction=given.direction,
        dates=tuple(_day("dates", text) for text in given.dates),
        channels=_pairs("channels", given.channels),
        source_crs=given.source_crs,
        season=season,
    )


def _pairs(argument: str, texts: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        wrong = not equals or not name.strip() or not value.strip()
        refuse(argument, wrong, f"got {text!r}", _PAIR)
        refuse(argument, name in pairs, f"{name} occurs twice", "leave one out")
        pairs[name] = value
    return pairs


def _day(argument: str, text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        fault, remedy = f"{text!r} is not a day YYYY-MM-DD", "give it so, 2023-09-01 say"
        raise ArgumentError(fault, argument=argument, remedy=remedy) from None


def _tell_proposal(proposal: Proposal, show: Callable[..., None]) -> None:
    """Prints what a dry run found."""
    layers = proposal.found.layers
    names = sorted({layer.modality for layer in layers}, key=rank)
    shows = console.table("Found", "modality", "channels", "dates", "first", "last", "files")
    meant = console.table("As", "modality", "unit", "offset", "no data", "coordinates")
    for name in names:
        own = [layer for layer in layers if layer.modality == name]
        dates = sorted(_dates(own))
        files = f"{len({layer.path for layer in own}):,}"
        first, last = dates[0].isoformat(), dates[-1].isoformat()
        _row(shows, name, " ".join(_channels(own)), f"{len(dates):,}", first, last, files)
        values = [layer for layer in own if not layer.is_mask]
        units = sorted({layer.unit or "not known" for layer in values})
        offsets = sorted({_number(layer.offset, "not known") for layer in values})
        marks = sorted({_number(layer.nodata, "none") for layer in values})
        systems = {proposal.opened[layer].crs for layer in own if layer in proposal.opened}
        systems = sorted(system if len(system) < 20 else "other" for system in systems)
        _row(meant, name, *map(", ".join, (units, offsets, marks, systems)))
    show(shows)
    show(meant)
    show(_by_month({name: _dates(x for x in layers if x.modality == name) for name in names}))
    left_out = proposal.found.left_out
    for path, reason in left_out[:_LEFT_OUT]:
        console.say(f"left out: {path}: {reason}")
    if len(left_out) > _LEFT_OUT:
        console.say(f"left out: {len(left_out) - _LEFT_OUT:,} more")
    for note in (*proposal.found.notes, *proposal.notes):
        console.say(console.as_flags(f"note: {note}"))
    if proposal.fault:
        console.say(console.as_flags(f"to be corrected: {proposal.fault}"))
    console.say(f"Wrote {proposal.manifest}")
    given = f"{shlex.quote(os.fspath(proposal.manifest))} --out REGION --season-start YYYY-MM-DD"
    console.say(f"next: look at it and correct it, then pastis-jax ingest {given}")


def _row(table: Table, *cells: str) -> None:
    table.add_row(*map(console.cell, cells))


def _number(number: float | None, without: str) -> str:
    return without if number is None else f"{number:g}"


def _channels(layers: Sequence[Layer]) -> list[str]:
    masks = sorted({f"mask ({layer.unit})" for layer in layers if layer.is_mask})
    values = {layer.channel for layer in layers if not layer.is_mask}
    return [*(c for c in sensors.ordered(layers[0].modality, values) if c in values), *masks]


def _dates(layers: Iterable[Layer]) -> list[datetime.date]:
    """The date of each acquisition."""
    return [date for _, date, _ in {layer.acquisition for layer in layers}]


def _by_month(dates: dict[str, list[datetime.date]]) -> Table:
    """A table of the number of acquisitions in each month."""
    counted = {
        name: collections.Counter(date.strftime("%Y-%m") for date in own)
        for name, own in dates.items()
    }
    table = console.table("Acquisitions by month", "month", *counted)
    for month in sorted({month for own in counted.values() for month in own}):
        table.add_row(month, *(f"{own[month] or '-'}" for own in counted.values()))
    return table


def _tell_region(root: pathlib.Path, show: Callable[..., None]) -> None:
    """Prints what a Region holds, and what was noticed."""
    region = Region(root)
    dataset, grid = region.dataset, region.grid
    title = f"{root}: {grid.width:,} x {grid.height:,} pixels of {grid.pixel_size:g} m"
    levels = [region.level(name) for name in dataset.names]
    level = ["level"] if any(levels) else []
    table = console.table(title, "modality", "channels", "dates", "first", "last", *level)
    for name, done in zip(dataset.names, levels, strict=True):
        days = region.days(name)
        first, last = (dataset.date(day).isoformat() for day in (days[0], days[-1]))
        cells = (" ".join(dataset[name].channels), str(len(days)), first, last, done)
        _row(table, name, *cells[: len(cells) if level else -1])
    show(table)
    findings = read_json(root / making.FINDINGS, kind="findings", remedy="ingest anew")
    for found in findings:
        console.say(console.as_flags(f"{found['kind']}: {found['text']}"))
    for name in dataset.names:
        if len({*region.days(name).tolist()}) == 1:
            text = f"CAREFUL: {name} has one date alone, {dataset.date(region.days(name)[0])}"
            console.say(f"{text}: crops are told apart by their course over a season")
    parcels = f", {len(region.parcels):,} parcels" if region.folds else ""
    console.say(f"Wrote {root}: {dataset.name}{parcels}")
    if region.folds:
        console.say_next(root)
        return
    look = f"pastis-jax inspect {shlex.quote(os.fspath(root))} --out PICTURES"
    console.say(
        f"next: {look}; it has no parcels: it cannot be trained on; give --parcels to train"
    )
