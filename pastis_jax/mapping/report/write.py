"""Writes the page of a map: one file, which asks nothing of a network."""

from __future__ import annotations

import importlib.resources
import pathlib
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from pastis_jax.data.regions import _geo
from pastis_jax.data.regions.grid import Grid
from pastis_jax.files import write_whole
from pastis_jax.mapping import accuracy
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.parcel_results import ParcelResults
from pastis_jax.mapping.report import sections
from pastis_jax.mapping.report.doubtful import doubtful
from pastis_jax.mapping.report.html import Html, escape
from pastis_jax.mapping.report.outlines import packed_parcels
from pastis_jax.mapping.report.packed import script_json
from pastis_jax.mapping.report.picture import Picture, picture_of, small_enough

FILE = "report.html"
_SCRIPTS = ("unpack.js", "layers.js", "map.js", "page.js")
_MOST_TEXT = 7_400_000
"""Characters of all that is packed."""
_NODES = 33
"""Most points on a side at which longitudes and latitudes are known; the page interpolates."""


def write_report(
    made: Made, results: ParcelResults | None, out: pathlib.Path, notes: Sequence[str] = ()
) -> None:
    """Writes the page of a map; the same blocks give the same bytes.

    Args:
      made: The map.
      results: Its parcels; None where it has none.
      out: Folder of the map.
      notes: What a reader should know, a line each.

    Raises:
      OSError: If it cannot be written.
    """
    whole, totals = picture_of(made)
    picture, layers = small_enough(whole)
    packed, why = None, ""
    if results is not None and picture.step == 1:
        taken = sum(len(layer["data"]) for layer in layers.values())
        packed, why = packed_parcels(made.region.grid, results, _MOST_TEXT - taken)
    elif results is not None:
        why = "not every pixel is shown"
    adjusted = (
        None
        if results is None
        else accuracy.of_parcels(results, made.region.grid.pixel_size**2 / 10_000)
    )
    parcels, thumbnails = doubtful(made, results)
    data = _data(made, picture) | {"layers": layers, "parcels": packed, "places": thumbnails}
    season, by = f"season from {made.season.start}", f"by the run '{made.run.folder.name}'"
    title = f"Crop map of {made.region.root.name}, {season}, {by}"
    page = string.Template(_read("page.html")).substitute(
        title=escape(title),
        nodes=_NODES,
        style=_read("page.css"),
        header=sections.header(made, notes),
        shown=_shown(picture, results, why),
        areas=sections.areas(made, totals, adjusted),
        accuracy=sections.accuracies(made, results, adjusted),
        reliability=sections.reliability(results),
        doubtful=parcels,
        making=sections.making(made),
        data=script_json(data),
        script="\n".join(map(_read, _SCRIPTS)),
    )
    write_whole(out / FILE, page)


def _read(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _shown(picture: Picture, results: ParcelResults | None, why: str) -> Html:
    """What of the map the page does not show."""
    told = []
    if picture.step > 1:
        told.append(
            f"Shown is one pixel in {picture.step} x {picture.step}, as it is in the map; "
            "the tables count all of them."
        )
    if picture.percent > 1:
        told.append(f"Confidence and margin are rounded to {picture.percent} % here.")
    if why and results is not None:
        told.append(f"The page does not name parcels under the pointer: {why}.")
    return Html("".join(f"<p>{escape(line)}</p>" for line in told))


def _data(made: Made, picture: Picture) -> dict[str, Any]:
    grid, classes = made.region.grid, made.classes
    return {
        "grid": {
            "crs": grid.crs if len(grid.crs) < 40 else "",
            "left": grid.left,
            "top": grid.top,
            "pixel": grid.pixel_size,
            "height": grid.height,
            "width": grid.width,
        },
        "step": picture.step,
        "first": [int(picture.rows[0]), int(picture.columns[0])],
        "degrees": _degrees(grid),
        "classes": [
            {"name": name, "colour": [int(x) for x in colour]}
            for name, colour in zip(classes.names, classes.colours, strict=True)
        ],
        "modalities": list(made.run.modalities),
    }


def _degrees(grid: Grid) -> dict[str, Any]:
    """Longitudes and latitudes at points evenly spread over a Region, row by row."""
    warp = _geo.need("rasterio.warp")
    left, bottom, right, top = grid.bounds
    x, y = np.meshgrid(np.linspace(left, right, _NODES), np.linspace(top, bottom, _NODES))
    longitude, latitude = warp.transform(grid.crs, "EPSG:4326", x.ravel(), y.ravel())
    return {
        "nodes": _NODES,
        "longitude": [round(value, 7) for value in longitude],
        "latitude": [round(value, 7) for value in latitude],
    }
