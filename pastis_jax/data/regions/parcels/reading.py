"""Parcels of a vector file on a Region's grid: read, repaired, reprojected.

Polygons that are invalid are repaired in the coordinate system they were drawn in: rings that
cross themselves are made valid, parts that overlap are merged, holes are cut out. A polygon of
several parts is one parcel. Nothing is dropped, or changed, without a finding that says so.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
import os
import pathlib
from typing import Any

import numpy as np

from pastis_jax.data.regions import _geo
from pastis_jax.data.regions.findings import finding
from pastis_jax.data.regions.grid import Grid
from pastis_jax.data.regions.parcels.vectors import Bounds, Features, read_features
from pastis_jax.errors import ArgumentError, DataError
from pastis_jax.text import fault_of_name, named, plain, word

_POLYGON, _MULTI_POLYGON, _COLLECTION = 3, 6, 7
"""Shapely's numbers of types."""
_BEND = 1e-6
"""Most that a straight line bends when it is reprojected, per metre; at 45 degrees north a
parallel bends by 1.6e-7 in UTM, at 80 by 9e-7."""
_TOLERANCE = 0.01
"""How far a reprojected line may lie from where it should, pixels."""
_RADIUS = 6_371_000.0
"""Of the Earth, metres."""


@dataclasses.dataclass(frozen=True, eq=False)
class ReadParcels:
    """Parcels that lie in a grid, wholly or in part, in the order of their file.

    Attributes:
      ids: Identifiers, text, each once, (n,).
      codes: Codes of their crops as text, nothing where the file has none, (n,).
      geometries: Valid polygons in the grid's coordinate system, metres, (n,).
      points: A point of each, in it and in the grid where they meet in an area, metres, (n, 2).
      findings: What was noticed, as `findings.json` has it.
    """

    ids: np.ndarray
    codes: np.ndarray
    geometries: np.ndarray
    points: np.ndarray
    findings: tuple[dict[str, Any], ...]

    def __len__(self) -> int:
        return len(self.ids)

    @functools.cached_property
    def areas(self) -> np.ndarray:
        """Of the polygons, also of what lies beyond the grid, square metres, (n,) float64."""
        return _geo.need("shapely").area(self.geometries)


def read_parcels(
    file: str | os.PathLike[str],
    *,
    label: str | None,
    grid: Grid,
    id: str | None = None,
    layer: str | None = None,
    crs: str | None = None,
) -> ReadParcels:
    """Reads the parcels that lie in a grid.

    Args:
      file: GeoPackage, Shapefile, GeoJSON, GeoParquet, or another that GDAL reads.
      label: Column of the codes of crops; None for parcels without.
      grid: Where they are wanted.
      id: Column of their identifiers; None for the numbers that the file gives them.
      layer: Which of several, the argument `parcels_layer` of commands.
      crs: Coordinate system in place of what the file says, `parcels_crs` of commands.

    Raises:
      UserError: In one line: a file that cannot be read, has several layers or no coordinate
        system, lacks a column, holds no polygons or none in the grid, or an identifier twice.
    """
    file = pathlib.Path(file)
    features = read_features(
        file,
        label=label,
        id=id,
        layer=layer,
        crs=crs,
        bounds=lambda system: _bounds(grid, system),
    )
    if not features.total:
        raise DataError("holds no features", where=file, remedy="give a file of polygons")
    ids = np.array(features.ids, dtype=object)
    geometries, lost, invalid = _usable(features, grid)
    shapely = _geo.need("shapely")
    region = shapely.box(*grid.bounds)
    kept = shapely.intersects(geometries, region) & ~shapely.touches(geometries, region)
    if not kept.any():
        raise _none(file, features, lost, grid)
    ids, geometries = ids[kept], geometries[kept]
    codes = np.array(features.codes, dtype=object)[kept]
    _check_ids(file, ids, id)
    beyond = ~shapely.covered_by(geometries, region)
    findings = [
        *_of_file(features, crs),
        *_of_lost(features, lost),
        *_of_outside(features.total - len(lost) + int(((lost == "") & ~kept).sum()), features),
        *_of_kept(ids, invalid[kept], beyond, codes == "" if label is not None else None, label),
        *_of_twins(ids, geometries),
    ]
    return ReadParcels(
        ids=ids.astype(np.str_),
        codes=codes.astype(np.str_),
        geometries=geometries,
        points=_points(geometries, beyond, region),
        findings=tuple(findings),
    )


def _bounds(grid: Grid, crs: Any) -> Bounds | None:
    """The rectangle in `crs` that holds a grid, slightly larger; None if there is none."""
    transformer = _transformer(grid.crs, crs)
    left, bottom, right, top = transformer.transform_bounds(*grid.bounds, densify_pts=21)
    if not all(map(math.isfinite, (left, bottom, right, top))) or left >= right or bottom >= top:
        return None  # across the date line, say: all is read
    margin = 0.01 * max(right - left, top - bottom)
    return left - margin, bottom - margin, right + margin, top + margin


def _transformer(source: Any, target: Any) -> Any:
    return _geo.need("pyproj").Transformer.from_crs(source, target, always_xy=True)


def _usable(features: Features, grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Makes valid polygons in the grid's coordinate system.

    Returns:
      The polygons (n,), empty ones for what is lost; why each is lost, (n,) text, nothing for
      those that are not; whether each was invalid, (n,) bool.
    """
    shapely = _geo.need("shapely")
    geometries, empty = features.geometries.copy(), shapely.MultiPolygon()
    lost = np.full(len(geometries), "", object)

    def lose(which: np.ndarray, why: str) -> None:
        lost[which & (lost == "")] = why
        geometries[lost != ""] = empty

    missing = shapely.is_missing(geometries) | shapely.is_empty(geometries)
    lose(missing | ~_finite(geometries), "no geometry that can be read")
    for number in np.flatnonzero(shapely.get_type_id(geometries) == _COLLECTION):
        geometries[number] = shapely.MultiPolygon(_polygons(geometries[number]))
    polygonal = np.isin(shapely.get_type_id(geometries), (_POLYGON, _MULTI_POLYGON))
    lose(~polygonal | (shapely.is_empty(geometries) & (lost == "")), "no polygon")

    geometries, invalid = repaired(geometries)
    lose(~(shapely.area(geometries) > 0), "no area")
    pyproj = _geo.need("pyproj")
    target = pyproj.CRS.from_user_input(grid.crs)
    if not features.crs.equals(target, ignore_axis_order=True):
        transformer = _transformer(features.crs, target)
        geometries = shapely.segmentize(geometries, _longest(features.crs, grid.pixel_size))
        geometries = shapely.transform(geometries, transformer.transform, interleaved=False)
        lose(~_finite(geometries), "no place in the region's coordinate system")
        geometries, again = repaired(geometries)
        invalid |= again
        lose(~(shapely.area(geometries) > 0), "no area")
    return geometries, lost, invalid


def repaired(geometries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Makes polygons valid.

    Args:
      geometries: Polygons, of one part or several, (n,).

    Returns:
      Valid polygons (n,), and which were not, (n,) bool.
    """
    shapely = _geo.need("shapely")
    geometries, invalid = geometries.copy(), ~shapely.is_valid(geometries)
    for number in np.flatnonzero(invalid):
        polygon = geometries[number]
        made = shapely.make_valid(polygon, method="structure", keep_collapsed=False)
        # Of rings that run back along themselves it may lose what they also go around.
        rings = [_ring(part) for part in shapely.get_parts(polygon)]
        made = _polygons(shapely.union_all([*_polygons(made), *rings]))
        geometries[number] = made[0] if len(made) == 1 else shapely.MultiPolygon(made)
    return geometries, invalid


def _ring(polygon: Any) -> Any:
    """What the outer ring of a polygon goes around an odd number of times, less its holes."""
    shapely = _geo.need("shapely")
    filled = shapely.polygons(shapely.get_rings(polygon))
    made = shapely.make_valid(filled, method="linework")
    outer, *holes = (shapely.MultiPolygon(_polygons(of)) for of in made)
    return shapely.difference(outer, shapely.union_all(holes))


def _polygons(geometry: Any) -> list[Any]:
    """The polygons of a collection, at any depth."""
    if geometry.geom_type == "Polygon":
        return [] if geometry.is_empty else [geometry]
    return [part for inner in getattr(geometry, "geoms", ()) for part in _polygons(inner)]


def _finite(geometries: np.ndarray) -> np.ndarray:
    """Whether all coordinates of each are finite, (n,) bool."""
    places, owners = _geo.need("shapely").get_coordinates(geometries, return_index=True)
    wrong = ~np.isfinite(places).all(1)
    return np.bincount(owners[wrong], minlength=len(geometries)) == 0


def _longest(crs: Any, pixel_size: float) -> float:
    """Longest line that stays straight enough when it is reprojected, in units of `crs`."""
    metres = math.sqrt(8 * _TOLERANCE * pixel_size / _BEND)
    unit = crs.axis_info[0].unit_conversion_factor  # radians or metres
    return metres / (unit * _RADIUS if crs.is_geographic else unit)


def _points(geometries: np.ndarray, beyond: np.ndarray, region: Any) -> np.ndarray:
    shapely = _geo.need("shapely")
    inside = geometries.copy()
    inside[beyond] = shapely.intersection(geometries[beyond], region)
    return shapely.get_coordinates(shapely.point_on_surface(inside))


def _none(file: pathlib.Path, features: Features, lost: np.ndarray, grid: Grid) -> DataError:
    """What to say where no parcel is left."""
    if len(lost) and (lost != "").all():
        reasons = collections.Counter(lost.tolist())
        told = ", ".join(f"{count} have {why}" for why, count in reasons.most_common())
        fault = f"has no usable polygon in the region: of {len(lost)} features {told}"
        return DataError(fault, where=file, remedy="give a file of polygons")
    left, bottom, right, top = (f"{edge:.0f}" for edge in grid.bounds)
    system = plain(features.crs.to_string(), 60)
    fault = f"none of its {features.total} features, read in {system}, lies in the region"
    fault += f" ({left} to {right} east, {bottom} to {top} north in {plain(grid.crs, 60)})"
    remedy = "give the parcels of this region, or their `parcels_crs` if that is another"
    return DataError(fault, where=file, remedy=remedy)


def _check_ids(file: pathlib.Path, ids: np.ndarray, column: str | None) -> None:
    """Refuses identifiers that do not identify."""
    remedy = "give a column in which each parcel has its own, or leave this out to number them"
    fault = None
    counts = collections.Counter(ids.tolist())
    blank = counts.pop("", 0)
    twice = [i for i, count in counts.items() if count > 1]
    faults = (text for i in counts if (text := fault_of_name(i)))
    if blank:
        fault = f"{blank} of the parcels have none in column {plain(column, 60)} of {file.name}"
    elif twice:
        first = f"{plain(twice[0], 60)} {counts[twice[0]]} times"
        fault = f"column {plain(column, 60)} of {file.name} holds {first}"
        fault += f", and {len(twice) - 1} others more than once" * (len(twice) > 1)
    elif unshown := next(faults, None):
        fault = f"an identifier in column {plain(column, 60)} of {file.name}: {unshown}"
    if fault:
        raise ArgumentError(fault, argument="parcel_id", remedy=remedy)


def _of_file(features: Features, given: str | None):
    if given is not None and features.declared and features.declared != features.crs.name:
        text = f"the file says {features.declared}; read as {features.crs.name}, as given"
        yield finding("parcels crs", text)
    if features.warnings:
        first = features.warnings[0]
        count = len(features.warnings)
        yield finding(
            "parcels file",
            f"the reader warned {count} {word(count, 'time', 'times')}, first: {plain(first, 300)}",
        )


def _of_lost(features: Features, lost: np.ndarray):
    for why in dict.fromkeys(lost[lost != ""].tolist()):
        ids = [features.ids[number] for number in np.flatnonzero(lost == why)]
        yield finding("parcels lost", f"{_many(ids, 'feature')} with {why}: {named(ids)}", ids)


def _of_outside(count: int, features: Features):
    if count:
        several = "lie outside the region, or have no geometry, and are left out"
        text = f"{count:,} of {features.total:,} features "
        text += word(count, "lies outside the region, or has no geometry, and is left out", several)
        yield finding("parcels outside", text)


def _of_kept(
    ids: np.ndarray,
    invalid: np.ndarray,
    beyond: np.ndarray,
    unlabelled: np.ndarray | None,
    label: str | None,
):
    if invalid.any():
        some = ids[invalid].tolist()
        text = f"{_many(some, 'parcel')} had an invalid outline, now repaired: {named(some)}"
        yield finding("parcels repaired", text, some)
    if beyond.any():
        some = ids[beyond].tolist()
        text = f"{_many(some, 'parcel')} {word(len(some), 'reaches', 'reach')} beyond the region; "
        text += "only what lies in it counts"
        yield finding("parcels beyond", f"{text}: {named(some)}", some)
    if unlabelled is not None and unlabelled.any():
        some = ids[unlabelled].tolist()
        text = f"{_many(some, 'parcel')} {word(len(some), 'has', 'have')} nothing in column "
        text += f"{plain(label, 60)} and {word(len(some), 'is', 'are')} void"
        yield finding("parcels unlabelled", f"{text}: {named(some)}", some)


def _of_twins(ids: np.ndarray, geometries: np.ndarray):
    """Parcels with the same outline."""
    shapely = _geo.need("shapely")
    outlines = collections.defaultdict(list)
    for number, outline in enumerate(shapely.to_wkb(shapely.normalize(geometries))):
        outlines[outline].append(number)
    twins = [ids[numbers].tolist() for numbers in outlines.values() if len(numbers) > 1]
    if twins:
        some = [i for group in twins for i in group]
        text = f"{_many(some, 'parcel')} have the outline of another, so none has their pixels"
        yield finding("parcels doubled", f"{text}: {named([' = '.join(t) for t in twins])}", some)


def _many(things: list[Any], one: str) -> str:
    return f"{len(things):,} {one}{'s' * (len(things) != 1)}"
