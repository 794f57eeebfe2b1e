"""What `pastis-jax inspect` tells of a Region, and the pictures that it draws of one."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from pastis_jax.cli import console
from pastis_jax.data.dataset import Fold
from pastis_jax.data.regions.inspection.inspect import RegionInspection, RegionSensed
from pastis_jax.data.regions.inspection.integrity import chunk_pixels
from pastis_jax.data.regions.inspection.oddities import months_between
from pastis_jax.data.regions.inspection.quicklook import footprint, median
from pastis_jax.data.regions.sensors import NEAR_INFRARED
from pastis_jax.data.regions.table import NO_FOLD
from pastis_jax.errors import DataError
from pastis_jax.text import named, plain
from pastis_jax.viz import inspection as pictures
from pastis_jax.viz import regions as maps

_LONGEST, _MADE = 75, 1000
"""Characters of the name of a coordinate system, and of an entry of how a Region was made."""


def show(inspection: RegionInspection, screen: Console) -> None:
    """Prints the tables, without the findings."""
    screen.print(_overview(inspection))
    screen.print(_sensors(inspection))
    screen.print(_months(inspection))
    if inspection.table is not None and len(inspection.table):
        screen.print(_classes(inspection, inspection.parcels, "Parcels by class and fold"))
        screen.print(_classes(inspection, inspection.hectares, "Hectares by class and fold"))
    grid = inspection.region.grid
    screen.print(
        f"All files were opened; values were read of {inspection.read:,} of {inspection.chunks:,} "
        f"chunks, {min(128, grid.height)} pixels a side, at all dates"
        + ("." if inspection.read == inspection.chunks else "; --every reads all."),
    )


def _overview(inspection: RegionInspection) -> Table:
    region, table = inspection.region, console.table(str(inspection.region.root), header=False)
    grid, dataset = region.grid, region.dataset
    high, wide = (side * grid.pixel_size / 1000 for side in (grid.height, grid.width))
    _, bottom, right, _ = grid.bounds
    parcels = inspection.table
    number = "cannot be read" if parcels is None else f"{len(parcels):,}"
    if parcels is not None and len(parcels):
        number += f", {sum(inspection.parcels[None].values()):,} of them in no fold"
        if empty := int(((parcels.pixels == 0) & (parcels.fold == NO_FOLD)).sum()):
            number += f": {empty:,} without pixels, the others between folds"
    every = [day for sensed in inspection.sensed.values() for day in sensed.days.tolist()]
    folds = dataset.folds if parcels is None or len(parcels) else ()
    dates = "none"
    if every:
        dates = f"{dataset.date(min(every))} to {dataset.date(max(every))}"
    for name, text in (
        ("dataset", dataset.name),
        ("kind", "Region"),
        ("coordinate system", grid.crs.split("\n")[0][:_LONGEST]),
        (
            "size",
            f"{grid.width:,} x {grid.height:,} pixels of {grid.pixel_size:g} m, "
            f"{wide:,.4g} x {high:,.4g} km",
        ),
        ("edges", f"{grid.left:,.0f} to {right:,.0f} east, {bottom:,.0f} to {grid.top:,.0f} north"),
        ("start of the season", dataset.season_start.isoformat()),
        ("dates", dates),
        ("parcels", number),
        *((f"fold {fold}", _fold(inspection, fold)) for fold in folds),
        *(("made with" if not i else "", line) for i, line in enumerate(_made(region.info))),
    ):
        table.add_row(name, console.cell(text))
    for column in table.columns:
        column.justify = "left"
    return table


def _fold(inspection: RegionInspection, fold: Fold) -> str:
    text = f"{sum(inspection.parcels[fold].values()):,} parcels"
    hectares = sum(inspection.hectares[fold].values())
    text += f", {hectares:,.0f} ha"
    if fold in inspection.areas:
        text += f", in {inspection.areas[fold]:,.4g} km2"
    return text


def _made(info: Mapping[str, Any]) -> list[str]:
    """How a Region was made, a line an entry."""
    lines = []
    for name, value in info.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if isinstance(value, dict):
            own = {key: of for key, of in value.items() if of not in (None, "", [], {})}
            text = ", ".join(f"{key} {of}" for key, of in own.items())
        if text:
            lines.append(plain(f"{name}: {text}", _MADE))
    return lines


def _sensors(inspection: RegionInspection) -> Table:
    region = inspection.region
    names = ("channels", "unit", "images", "orbits", "dates of a chunk", "missing", "clouds")
    table = console.table("Modalities", "modality", *names)
    for name, sensed in inspection.sensed.items():
        modality, level = region.dataset[name], region.level(name)
        table.add_row(
            console.cell(name),
            console.cell(" ".join(modality.channels)),
            console.cell(modality.unit + (f", {level}" if level else "")),
            _acquisitions(inspection, sensed),
            console.cell(_orbits(sensed)),
            f"{sensed.dates.min()}, {np.median(sensed.dates):g}, {sensed.dates.max()}",
            f"{sensed.missing:.1%}",
            _clouds(sensed),
        )
    table.caption = "Dates of a chunk: least, median, most."
    table.caption_justify = "left"
    return table


def _acquisitions(inspection: RegionInspection, sensed: RegionSensed) -> str:
    if not len(sensed.days):
        return "0"
    first, last = (inspection.region.dataset.date(of) for of in (sensed.days[0], sensed.days[-1]))
    return f"{len(sensed.days):,}\n{first}\n{last}"


def _orbits(sensed: RegionSensed) -> str:
    orbits = [orbit or "not known" for orbit in sensed.orbits]
    return named(orbits, most=4)


def _clouds(sensed: RegionSensed) -> str:
    if sensed.cloud is not None:
        return f"{sensed.cloud:.0%}"
    if sensed.bright is not None:
        return f"no masks\n{sensed.bright:.0%} bright\n{sensed.partly:.0%} partly"
    return "-"


def _months(inspection: RegionInspection) -> Table:
    """Acquisitions of each month, and the clouded share of what they observed."""
    sensed = inspection.sensed
    table = console.table("Images by month (clouded share)", "month", *sensed)
    for month in _all_months(inspection):
        cells = []
        for of in sensed.values():
            text = f"{of.months[month]:,}" if of.months.get(month) else "-"
            cells.append(f"{text} ({of.clouds[month]:.0%})" if month in of.clouds else text)
        table.add_row(month, *cells)
    return table


def _all_months(inspection: RegionInspection) -> list[str]:
    """From the first to the last acquisition, those without any among them."""
    dataset = inspection.region.dataset
    every = [day for of in inspection.sensed.values() for day in of.days.tolist()]
    return months_between(dataset.date(min(every)), dataset.date(max(every))) if every else []


def _classes(inspection: RegionInspection, of: Mapping[Any, Mapping[int, float]], title: str):
    """What of counts for each class, by fold."""
    dataset = inspection.region.dataset
    folds = (*dataset.folds, None)
    table = console.table(title, "class", *map(str, dataset.folds), "no fold", "all")
    every = {number for own in of.values() for number in own}
    for number, entry in enumerate(dataset.nomenclature.classes):
        if number in every:
            counts = [of.get(fold, {}).get(number, 0) for fold in folds]
            cells = (f"{count:,.0f}" for count in (*counts, sum(counts)))
            table.add_row(console.cell(entry.title), *cells)
    return table


def draw(inspection: RegionInspection, folder: pathlib.Path) -> None:
    """Draws the pictures of an inspection into a folder that is there.

    Raises:
      OSError: If they cannot be written.
    """
    region, table, numbers = inspection.region, inspection.table, inspection.map.numbers
    dataset, grid = region.dataset, region.grid
    seen, of_chunks = footprint(region, [*inspection.sensed], inspection.map.step)
    if table is None or len(table):  # Without parcels, nothing was dealt to folds.
        maps.fold_map(grid, numbers, table, inspection.map.folds, dataset, folder / "folds.png")
    if table is not None and len(table):
        maps.classes_map(grid, numbers, table, seen, dataset, folder / "class-map.png")
        counts = {fold: inspection.parcels[fold] for fold in dataset.folds}
        pictures.classes(counts, dataset, "parcels", folder / "classes.png")
    sensed = inspection.sensed
    if sensed:
        every = dict.fromkeys(_all_months(inspection), 0.0)
        months = {name: {**every, **of.seen} for name, of in sensed.items()}
        clouds = {name: of.clouds for name, of in sensed.items() if of.clouds}
        pictures.months(months, 1, folder / "dates.png", sample="pixel", clouds=clouds)
        # Chunks at the edges lie in part where no scene does, which is no lack of observations.
        within = np.full(grid.chunks, np.nan)
        np.divide(chunk_pixels(region), of_chunks, out=within, where=of_chunks > 0)
        counts = {
            name: (of.observed * within, None if of.cloud is None else of.clear * within)
            for name, of in sensed.items()
        }
        maps.coverage(grid, counts, folder / "coverage.png")
    for name in sensed:
        if inspection.examples:
            clear = {"infrared": NEAR_INFRARED, "clear": region.masked(name)}
            file = folder / f"series-{name}.png"
            pictures.series(inspection.examples, dataset, name, file, **clear)
        if dataset[name].optical:
            try:
                look = median(region, name, inspection.map.step)
            except DataError as error:
                console.say(f"not drawn: {error}")
            else:
                maps.quick_look(grid, look, dataset, name, folder / f"quicklook-{name}.png")
    console.say(f"Pictures are in {folder}.")
