"""From a user's scenes and parcels to a Region."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pastis_jax.data import layout
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.modality import Modality
from pastis_jax.data.regions import sensors
from pastis_jax.data.regions.findings import finding
from pastis_jax.data.regions.ingestion import extent, making, noticed, outlines, plan
from pastis_jax.data.regions.ingestion.shards import footprint
from pastis_jax.data.regions.manifest import Layer, write_manifest
from pastis_jax.data.regions.sources.checks import check_layers
from pastis_jax.data.regions.sources.find import Found, find_layers
from pastis_jax.data.regions.sources.given import Given
from pastis_jax.data.regions.sources.opened import OpenedLayer, open_layer
from pastis_jax.errors import ArgumentError, DataError, refuse
from pastis_jax.files import check_new

_MOST_WORKERS = 4


def ingest(
    sources: Iterable[Any] | Any,
    out: str | os.PathLike[str],
    *,
    season_start: datetime.date | str,
    parcels: str | os.PathLike[str] | None = None,
    label: str | None = None,
    classes: str | os.PathLike[str] = outlines.PUBLISHED,
    parcel_id: str | None = None,
    parcels_layer: str | None = None,
    parcels_crs: str | None = None,
    unknown: Literal["refuse", "void"] = "refuse",
    unlabelled: Literal["background", "void"] = "background",
    inner_buffer: float = 0.0,
    folds: int = 5,
    block: float = 5000.0,
    gap: float = 1000.0,
    crs: str | None = None,
    pixel_size: float | None = None,
    bounds: Sequence[float] | None = None,
    area: str | os.PathLike[str] | None = None,
    given: Given | None = None,
    level: Mapping[str, str] | None = None,
    name: str | None = None,
    skip_damaged: bool = False,
    overwrite: bool = False,
    shards: bool = True,
    compress: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> pathlib.Path:
    """Makes a Region of scenes, and of the parcels in it.

    It is made in `.NAME.ingesting` beside `out`, shard by shard. Stopped at any moment, the same
    call goes on where it was left, and the Region is the same to the byte.

    Args:
      sources: Folders, patterns, rasters, NetCDF files, folders of Zarr or of products, manifests;
        Datasets and DataArrays of xarray.
      out: Folder to make; it is not there, or empty.
      season_start: Day 0 of the season, a date or YYYY-MM-DD.
      parcels: A vector file of polygons; None for none, where only maps are to be made.
      label: Its column of the codes of crops.
      classes: The list of crops: a `classes.csv`, `rpg`, `hcat`, or `labels` to take every label
        for a class.
      parcel_id: Column of identifiers; None for the numbers that the file gives the parcels.
      parcels_layer: Layer of the file, where there are several.
      parcels_crs: Coordinate system in place of what the file says.
      unknown: Whether parcels of codes that the list does not have are refused, or void.
      unlabelled: Whether pixels of no parcel are the background, a class, or void.
      inner_buffer: Width of the rim of each parcel that is left out, metres.
      folds: How many.
      block: Side of the blocks that are dealt to folds, metres; smaller in small regions.
      gap: Width of the zone between blocks of different folds, metres: no parcel is in a fold that
        has more than half of its pixels in it, or reaches into a block of another fold.
      crs: Coordinate system of the Region, projected, in metres; None takes that of most scenes of
        the first optical modality.
      pixel_size: Metres; None takes the finest of these scenes, 10 where they are in degrees.
      bounds: Left, bottom, right and top in this system, metres; None for all that they cover.
      area: A vector file whose extent is taken in place of `bounds`.
      given: Units, offsets and the like that the sources do not say.
      level: What was done to a modality before, ``{"S1A": "gamma0"}`` say, where names do not tell.
      name: Of the dataset; None for the folder's.
      skip_damaged: Whether scenes that cannot be read are left out, and listed.
      overwrite: Whether what another command left in `.NAME.ingesting` is removed.
      shards: Whether 64 chunks of 128 x 128 pixels are one file, which GDAL reads from 3.13 on.
      compress: Whether values are compressed, by a quarter or more; they are read more slowly then.
      workers: Shards that are made at once; None for one by processor, 4 at most.
      progress: Whether bars with the time left are shown.

    Returns:
      The folder.

    Raises:
      UserError: In one line: what is wrong with which file or argument, and what to do.
      OSError: If the Region cannot be written, when a disk is full say.
    """
    out = layout.resolve(out)
    check_new(out)
    start = _day(season_start)
    workers = min(os.cpu_count() or 1, _MOST_WORKERS) if workers is None else workers
    refuse("workers", workers < 1, f"got {workers}", "give one or more")
    wanted = outlines.Wanted(
        file=parcels,
        label=label,
        classes=classes,
        id=parcel_id,
        layer=parcels_layer,
        crs=parcels_crs,
        unknown=unknown,
        unlabelled=unlabelled,
        inner_buffer=inner_buffer,
        folds=folds,
        block=block,
        gap=gap,
    )
    given = dataclasses.replace(given or Given(), skip_damaged=skip_damaged)
    found = find_layers(listed(sources), given=given, progress=progress)
    found, broken = _whole(found, given) if skip_damaged else (found, [])
    notes = check_layers(found.layers, crs=given.source_crs, target=crs or "")
    opened = {layer: open_layer(layer, crs=given.source_crs) for layer in found.layers}
    modalities = kinds(found.layers)
    grid = extent.choose(
        [footprint(one) for layer, one in opened.items() if layer.modality == _first(modalities)],
        crs=crs,
        pixel_size=pixel_size,
        bounds=bounds,
        area=area,
    )
    places = {layer: footprint(one) for layer, one in opened.items()}
    planned = plan.make(found.layers, places, modalities, grid)
    own = outlines.read(wanted, grid)
    try:
        dataset = Dataset(
            name=name or out.name,
            modalities=planned.modalities,
            nomenclature=own.nomenclature,
            season_start=start,
            folds=own.folds,
            pixel_size=grid.pixel_size,
        )
    except ValueError as error:
        raise ArgumentError(str(error), argument="name", remedy="give another") from error
    levels, told = _levels(found.levels, level or {}, dataset)
    findings = [
        *noticed.of_sources(found.left_out, [*found.notes, *notes]),
        *told,
        *noticed.of_broken(broken),
        *noticed.of_plan(planned, [(layer.modality, place) for layer, place in places.items()]),
    ]
    for modality in planned.modalities:
        findings += noticed.of_dates(modality, planned.acquisitions[modality.name], start)
    job = making.Job(
        plan=planned,
        dataset=dataset,
        opened=opened,
        outlines=own,
        wanted=wanted,
        levels=levels,
        findings=tuple(findings),
        form={"shards": shards, "compress": compress},
    )
    return making.make(
        job,
        out,
        skip_damaged=skip_damaged,
        overwrite=overwrite,
        workers=workers,
        progress=progress,
    )


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What a dry run found.

    Attributes:
      manifest: The file that it wrote.
      found: The layers, and what is none.
      notes: What else a reader should know.
      opened: The layers, opened; none where something is wrong with them.
      fault: What `ingest` would refuse; None if nothing is.
    """

    manifest: pathlib.Path
    found: Found
    notes: tuple[str, ...]
    opened: Mapping[Layer, OpenedLayer]
    fault: str | None


def propose(
    sources: Iterable[Any] | Any,
    manifest: str | os.PathLike[str],
    *,
    crs: str | None = None,
    given: Given | None = None,
    skip_damaged: bool = False,
    progress: bool = True,
) -> Proposal:
    """Writes what names and headers tell of scenes, for a person to correct, and nothing else.

    Args:
      sources: As `ingest` takes them.
      manifest: The file, CSV; it is not there yet.
      crs: Coordinate system that the Region will have.
      given: Units, offsets and the like that the sources do not say.
      skip_damaged: Whether files that cannot be read are left out, and listed.
      progress: Whether a bar is shown.

    Raises:
      UserError: If the file is there, or the sources hold no scenes.
      OSError: If it cannot be written.
    """
    file = layout.resolve(manifest)
    refuse("manifest", file.exists(), f"{file} exists already", "give another name, or move it")
    given = dataclasses.replace(given or Given(), skip_damaged=skip_damaged)
    found = find_layers(listed(sources), given=given, partial=True, progress=progress)
    write_manifest([*found.undated, *found.layers], file)
    if found.unknown:
        return Proposal(file, found, (), {}, found.unknown)
    try:
        notes = check_layers(found.layers, crs=given.source_crs, target=crs or "")
        opened = {layer: open_layer(layer, crs=given.source_crs) for layer in found.layers}
        kinds(found.layers)
    except (ArgumentError, DataError) as error:
        return Proposal(file, found, (), {}, str(error))
    return Proposal(file, found, tuple(notes), opened, None)


def _whole(found: Found, given: Given) -> tuple[Found, list[str]]:
    """Without the scenes that lack a channel, whose names come along."""
    places = {layer: footprint(open_layer(layer, crs=given.source_crs)) for layer in found.layers}
    layers, names = plan.whole(found.layers, places, kinds(found.layers))
    return dataclasses.replace(found, layers=layers), names


def listed(sources: Iterable[Any] | Any) -> list[Any]:
    """Several sources, or one, as a list.

    Raises:
      ArgumentError: If there is none.
    """
    single = isinstance(sources, str | os.PathLike) or hasattr(sources, "dims")
    several = [sources] if single else list(sources)
    refuse("sources", not several, "there is none", "give folders or files of scenes")
    return several


def kinds(layers: Sequence[Layer]) -> tuple[Modality, ...]:
    """How the modalities of layers are stored: Sentinel-2 first, then Sentinel-1, then others.

    Raises:
      DataError: If the layers of one are in units that do not become one, or it cannot be.
    """
    units, first = collections.defaultdict(set), {}
    for layer in layers:
        if not layer.is_mask:
            units[layer.modality].add(layer.unit)
            first.setdefault(layer.modality, layer)
    made = []
    for name in sorted(units, key=rank):
        channels = {x.channel for x in layers if x.modality == name and not x.is_mask}
        path, remedy = first[name].path, "correct the manifest"
        try:
            modality = sensors.stored(name, channels, sorted(units[name])[0])
        except ValueError as error:
            raise DataError(f"{name}: {error}", where=path, remedy=remedy) from error
        known = name == sensors.OPTICAL or name in sensors.RADARS
        if len(units[name]) > 1 and not known:
            fault = f"{name} is in {' and in '.join(sorted(units[name]))}"
            raise DataError(fault, where=path, remedy=remedy)
        made.append(modality)
    return tuple(made)


def rank(name: str) -> tuple[int, str]:
    """By what modalities are sorted: Sentinel-2 first, then Sentinel-1, then others by name."""
    order = (sensors.OPTICAL, sensors.ASCENDING, sensors.DESCENDING, sensors.RADAR)
    return (order.index(name) if name in order else len(order)), name


def _first(modalities: Sequence[Modality]) -> str:
    """The first optical modality, or the first one: its scenes tell the grid."""
    return next((one.name for one in modalities if one.optical), modalities[0].name)


def _day(date: datetime.date | str) -> datetime.date:
    if isinstance(date, datetime.date):
        return date
    try:
        return datetime.date.fromisoformat(date)
    except ValueError:
        remedy = "give the first day of the season, 2023-09-01 say"
        fault = f"{date!r} is not a day YYYY-MM-DD"
        raise ArgumentError(fault, argument="season_start", remedy=remedy) from None


def _levels(
    named: Mapping[str, Sequence[str]], given: Mapping[str, str], dataset: Dataset
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The level of each modality, and findings of those that names give in several ways.

    Raises:
      ArgumentError: If a level is given for a modality that is not there.
    """
    strange = [name for name in given if name not in dataset.names]
    remedy = f"choose among {', '.join(dataset.names)}"
    refuse("level", strange, f"there is no {', '.join(strange)}", remedy)
    levels, told = {}, []
    for name in dataset.names:
        said = list(named.get(name, ()))
        levels[name] = given.get(name, said[0] if len(said) == 1 else "")
        if len(said) > 1 and name not in given:
            text = f"scenes of {name} are of several levels, {' and '.join(said)}: they should "
            told.append(finding("levels differ", f"{text}be of one; give it by `level`", said))
    return levels, told
