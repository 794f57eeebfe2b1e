"""The parcels of a region as a farmer's declaration has them: polygons with codes, some odd.

Polygons follow the edges of pixels, so that the pixels with their centre inside are the parcel's.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import ndimage

from pastis_jax.data.regions import _geo
from pastis_jax.data.simulate.fields import neighbours
from pastis_jax.data.simulate.landscape import places
from pastis_jax.data.simulate.landscape.ground import BOW
from pastis_jax.data.simulate.landscape.plan import Plan
from pastis_jax.data.simulate.scene import VOID

CODES = {
    1: ("PPH", "PTR"),
    2: ("BTH",),
    3: ("MIS", "MIE"),
    4: ("ORH",),
    5: ("CZH",),
    6: ("ORP",),
    7: ("TRN",),
    8: ("VRC",),
    9: ("BTN",),
    10: ("TTH",),
    11: ("BDH",),
    12: ("CAR", "TOM", "FLP"),
    13: ("PTC",),
    14: ("LUZ", "TRE"),
    15: ("SOJ",),
    16: ("VRG",),
    17: ("MCR",),
    18: ("SOG",),
    VOID: ("SNE", "LIF", "SBO"),
}
"""Codes of the French register of parcels (RPG) for each label; the last are of no class."""
ID, CODE, AREA = "ID_PARCEL", "CODE_CULTU", "SURF_PARC"
"""Columns: identifier, code, hectares."""

BEYOND = 400.0
"""How far a parcel reaches beyond the scenes, metres."""
AWAY = 3000.0
"""How far from the scenes another lies."""
CONTESTED = -1
"""Number of a pixel that two parcels claim."""
_REACH = 2  # pixels by which a parcel overlaps another
_WRITTEN = "2024-09-01T00:00:00.000Z"  # else a GeoPackage has the time at which it was written


@dataclasses.dataclass(frozen=True)
class Parcel:
    """A polygon of the file.

    Attributes:
      id: Its identifier.
      code: Its code.
      label: What the code means, 1 to 19.
      kind: What is odd about it; nothing if nothing is.
      polygon: In the region's coordinates.
    """

    id: str
    code: str
    label: int
    kind: str
    polygon: Any


def parcels(plan: Plan) -> tuple[list[Parcel], np.ndarray]:
    """Draws the polygons of a region.

    Returns:
      The parcels in the order of their numbers, which start at 1, and the number of each pixel,
      0 for none and -1 where two overlap, `(h, w)` int32.
    """
    shapely = _geo.need("shapely")
    numbers, shapes = plan.numbers, dict(_outlines(plan.numbers))
    plots = plan.plots
    kinds = {}

    row, column = plots.bow
    (top, left), (bottom, right) = (row, column), (row + BOW[0], column + BOW[1])
    corners = ((left, top), (right, bottom), (right, top), (left, bottom))
    ring = [(places.LEFT + x * places.PIXEL, places.TOP - y * places.PIXEL) for x, y in corners]
    shapes[plots.bow_parcel + 1] = shapely.Polygon(ring)
    shapes[plots.one_parcel + 1] = _speck(plots.one, 3.0)
    kinds |= {plots.bow_parcel + 1: "bow-tie", plots.one_parcel + 1: "smaller than a pixel"}

    over, under, both = _overlap(plan)
    window = numbers == over
    shapes[over] = dict(_outlines(np.where(window | both, over, 0).astype(np.int32)))[over]
    kinds |= {over: "overlaps", under: "overlapped"}
    edge = np.where(np.isin(numbers[:, 0], list(kinds)), 0, numbers[:, 0])
    wide = int(np.argmax(np.bincount(edge)[1:])) + 1
    rows = np.flatnonzero(edge == wide)
    rows = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)[0]
    top, bottom = (places.TOP - y * places.PIXEL for y in (rows[0], rows[-1] + 1))
    strip = shapely.box(places.LEFT - BEYOND, bottom, places.LEFT, top)
    shapes[wide] = shapely.union(shapes[wide], strip)
    kinds[wide] = "reaches beyond"

    out = []
    for number, label in enumerate(plan.labels.tolist(), start=1):
        out.append(_parcel(number, label, kinds.get(number, ""), shapes[number]))
    out.append(_parcel(len(out) + 1, 2, "holds no centre", _speck(plots.none, 0.5)))
    side = places.LEFT - AWAY
    away = shapely.box(side - 100, places.TOP - 200, side, places.TOP - 100)
    out.append(_parcel(len(out) + 1, 3, "outside", away))
    numbers[both] = CONTESTED
    return out, numbers


def _parcel(number, label, kind, polygon):
    codes = CODES[label]
    return Parcel(str(10_000_000 + 7 * number), codes[number % len(codes)], label, kind, polygon)


def _outlines(numbers: np.ndarray) -> Iterator[tuple[int, Any]]:
    """Number and polygon of each parcel of a raster."""
    features, shapely = _geo.need("rasterio.features"), _geo.need("shapely")
    affine = _geo.need("rasterio").Affine
    place = affine(places.PIXEL, 0, places.LEFT, 0, -places.PIXEL, places.TOP)
    drawn = features.shapes(numbers, mask=numbers > 0, connectivity=4, transform=place)
    for geometry, number in drawn:
        exterior, *holes = geometry["coordinates"]
        polygon = shapely.Polygon(exterior, holes)
        yield int(number), polygon if polygon.is_valid else shapely.make_valid(polygon)


def _speck(pixel, start):
    """A square of 4 m in a pixel, `start` metres from its upper left corner."""
    x = places.LEFT + pixel[1] * places.PIXEL + start
    y = places.TOP - pixel[0] * places.PIXEL - start
    return _geo.need("shapely").box(x, y - 4, x + 4, y)


def _overlap(plan):
    """Numbers of a parcel that is drawn too large and of that beside it, and what both claim."""
    numbers = plan.numbers
    sizes = np.bincount(numbers.ravel())
    plots = {plan.plots.bow_parcel, plan.plots.one_parcel}
    for pair in neighbours(plan.ground):
        over, under = (pair + 1).tolist()
        if plots & set(pair.tolist()) or sizes[[over, under]].min() < 40:
            continue
        own = numbers == over
        claimed = ndimage.binary_dilation(own, iterations=_REACH) & (numbers == under)
        pieces, _ = ndimage.label(own | claimed)  # what a hedge cuts off is not claimed
        both = claimed & (pieces == pieces[own][0])
        if 4 <= both.sum() <= sizes[under] / 2:
            return over, under, both
    raise AssertionError("no two parcels touch")


def write(file: pathlib.Path, drawn: list[Parcel]) -> None:
    """Writes the parcels as a GeoPackage in EPSG:2154."""
    geopandas, pyogrio = _geo.need("geopandas"), _geo.need("pyogrio")
    shapes = geopandas.GeoSeries([parcel.polygon for parcel in drawn], crs=places.CRS)
    columns = {
        ID: [parcel.id for parcel in drawn],
        CODE: [parcel.code for parcel in drawn],
        AREA: [round(parcel.polygon.area / 1e4, 4) for parcel in drawn],
    }
    frame = geopandas.GeoDataFrame(columns, geometry=shapes.to_crs(places.PARCELS_CRS))
    option = "OGR_CURRENT_DATE"
    before = pyogrio.get_gdal_config_option(option)
    pyogrio.set_gdal_config_options({option: _WRITTEN})
    try:
        pyogrio.write_dataframe(frame, file, layer="parcels", driver="GPKG", promote_to_multi=True)
    finally:
        pyogrio.set_gdal_config_options({option: before})
