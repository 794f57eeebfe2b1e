"""The grid of a new Region: as its scenes have it, or as a user wants it."""

from __future__ import annotations

import collections
import math
import os
from collections.abc import Sequence
from typing import Any

from pastis_jax.data.regions import _geo
from pastis_jax.data.regions.grid import Grid
from pastis_jax.data.regions.ingestion.resample import Footprint, coordinates
from pastis_jax.errors import ArgumentError, DataError, refuse

_COMMON = 10.0
"""Side of a pixel where the scenes do not tell one in metres."""
_FIGURES = 6
"""Decimals of metres that are told apart."""
Bounds = tuple[float, float, float, float]


def choose(
    footprints: Sequence[Footprint],
    *,
    crs: str | None = None,
    pixel_size: float | None = None,
    bounds: Sequence[float] | None = None,
    area: str | os.PathLike[str] | None = None,
) -> Grid:
    """Chooses the grid of a Region.

    Its edges lie at whole multiples of the pixel size from those of the scenes' finest pixels, so
    that what lies on it already stays as it is.

    Args:
      footprints: Of the layers of the first optical modality, or of the first one.
      crs: Coordinate system; None takes the one that most of the layers have.
      pixel_size: Metres; None takes the finest of the layers in this system, else 10.
      bounds: Left, bottom, right and top in it; None for all of the scenes.
      area: A vector file whose extent is taken in place of `bounds`.

    Raises:
      ArgumentError: If the system is in degrees or not in metres, or the bounds are none.
      DataError: If the file cannot be read.
    """
    refuse(
        "area", area is not None and bounds is not None, "is beside `bounds`", "give one of them"
    )
    crs = _system(footprints, crs)
    own = [
        one
        for one in footprints
        if _same(one.crs, crs) and not (one.transform[1] or one.transform[3])
    ]
    fault = pixel_size is not None and not 0 < pixel_size < math.inf
    refuse("pixel_size", fault, f"is {pixel_size}", "give metres above 0")
    sizes = [round(min(abs(one.transform[0]), abs(one.transform[4])), _FIGURES) for one in own]
    size = float(pixel_size or min(sizes, default=_COMMON))
    anchors = collections.Counter(
        (_phase(one.transform[2], size), _phase(one.transform[5], size))
        for one, own_size in zip(own, sizes, strict=True)
        if own_size == size
    )
    # Where two are equally frequent the lower one, whatever the order of the files.
    easting, northing = min(anchors, key=lambda a: (-anchors[a], a), default=(0.0, 0.0))
    if area is not None:
        bounds = _extent(area, crs)
    # Of scenes, pixels whose centres they cover: others would be observed at no date.
    down, up = math.floor, math.ceil
    if bounds is None:
        bounds, down, up = union([projected(one, crs) for one in footprints]), round, round
    left, bottom, right, top = _checked(bounds)
    first, last = _whole(left - easting, size, down), _whole(right - easting, size, up)
    low, high = _whole(bottom - northing, size, down), _whole(top - northing, size, up)
    try:
        return Grid(
            crs=crs,
            left=easting + first * size,
            top=northing + high * size,
            pixel_size=size,
            height=high - low,
            width=last - first,
        )
    except ValueError as error:
        fault = f"of {last - first:,} x {high - low:,} pixels make no region ({error})"
        remedy = "give those of a smaller region, or scenes of one"
        raise ArgumentError(fault, argument="bounds", remedy=remedy) from error


def projected(footprint: Footprint, crs: str) -> Bounds:
    """Left, bottom, right and top of a file in another coordinate system.

    Raises:
      ArgumentError: If it has no place there.
    """
    if _same(footprint.crs, crs):
        return footprint.bounds
    warp = _geo.need("rasterio.warp")
    try:
        moved = warp.transform_bounds(
            coordinates(footprint.crs), coordinates(crs), *footprint.bounds, densify_pts=21
        )
    except Exception as error:  # rasterio has errors of PROJ of several kinds
        moved, reason = (math.nan,), error
    else:
        reason = "beyond where it is defined"
    if not all(map(math.isfinite, moved)):
        fault = f"scenes have no place in {crs} ({reason})"
        raise ArgumentError(fault, argument="crs", remedy="give the UTM zone that they lie in")
    return moved


def union(bounds: Sequence[Bounds]) -> Bounds:
    """Left, bottom, right and top of all of them together."""
    lefts, bottoms, rights, tops = zip(*bounds, strict=True)
    return min(lefts), min(bottoms), max(rights), max(tops)


def zone(footprint: Footprint) -> str:
    """The UTM zone of a file's middle, as ``EPSG:32631``."""
    left, bottom, right, top = projected(footprint, "EPSG:4326")
    longitude, latitude = (left + right) / 2, (bottom + top) / 2
    number = int((longitude + 180) // 6) % 60 + 1
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + number}"


def _system(footprints: Sequence[Footprint], crs: str | None) -> str:
    """The text of the system of a Region."""
    given = crs is not None
    if not given:
        counted = collections.Counter(one.crs for one in footprints if one.crs)
        remedy = "give them one, or another manifest"
        refuse("sources", not counted, "have no coordinate system", remedy)
        crs = min(counted, key=lambda name: (-counted[name], name))
    try:
        system = coordinates(crs)
        metres = system.is_projected and math.isclose(system.linear_units_factor[1], 1.0)
    except Exception as error:
        remedy = "give one as EPSG:32631"
        raise ArgumentError(f"{crs} is no such system", argument="crs", remedy=remedy) from error
    if not metres:
        unit = "degrees" if system.is_geographic else "another unit than metres"
        whose = crs if given else f"not given, and the scenes are in {crs}"
        zones = sorted({zone(one) for one in footprints if one.crs})
        remedy = f"give `crs` {zones[0] if zones else 'EPSG:32631'}, to which they are resampled"
        raise ArgumentError(f"{whose}, in {unit}", argument="crs", remedy=remedy)
    return crs if given and ":" in crs else system.to_string()


def _same(one: str, other: str) -> bool:
    return bool(one) and (one == other or coordinates(one) == coordinates(other))


def _phase(edge: float, size: float) -> float:
    """How far an edge lies from a multiple of the pixel size, 0 to below `size`."""
    phase = round(edge - math.floor(edge / size) * size, _FIGURES)
    return 0.0 if phase >= size else phase


def _whole(length: float, size: float, towards: Any) -> int:
    """A length in pixels, whole ones: rounding errors make no further pixel."""
    pixels = length / size
    return round(pixels) if abs(pixels - round(pixels)) < 1e-3 else towards(pixels)


def _checked(bounds: Sequence[float]) -> Bounds:
    fault = len(bounds) != 4 or not all(map(math.isfinite, bounds))
    fault = fault or not (bounds[0] < bounds[2] and bounds[1] < bounds[3])
    remedy = "give left, bottom, right and top in metres of the coordinate system"
    refuse("bounds", fault, f"{' '.join(f'{x:g}' for x in bounds)} enclose nothing", remedy)
    return tuple(map(float, bounds))


def _extent(area: str | os.PathLike[str], crs: str) -> Bounds:
    """The extent of a vector file in a coordinate system."""
    geopandas = _geo.need("geopandas")
    remedy = "give a vector file with a coordinate system, a GeoPackage say"
    try:
        shapes = geopandas.read_file(area)
    except Exception as error:  # pyogrio and fiona have their own
        raise DataError(f"cannot be read ({error})", where=area, remedy=remedy) from error
    if shapes.crs is None or shapes.geometry.is_empty.all():
        fault = "has no coordinate system" if shapes.crs is None else "holds no geometry"
        raise DataError(fault, where=area, remedy=remedy)
    left, bottom, right, top = shapes.geometry.to_crs(crs).total_bounds
    return float(left), float(bottom), float(right), float(top)
