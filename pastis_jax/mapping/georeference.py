"""Where patches lie: the polygons of `metadata.geojson` as transforms of their pixels."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from pastis_jax.data.metadata import Identifier, parse_identifier
from pastis_jax.data.reading import read_json, restore

MOST = 0.25
"""Pixels by which a corner may lie away from where a transform has it."""
_DEGREES = "OGC:CRS84"
"""Coordinates of GeoJSON that names no system."""


@dataclasses.dataclass(frozen=True)
class Outlines:
    """Polygons of patches.

    Attributes:
      crs: Their coordinate system, as the file names it.
      rings: Corners of each, (n, 2); patches without a polygon are not among them.
    """

    crs: str
    rings: Mapping[Identifier, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Placed:
    """Where the pixels of a patch lie.

    Attributes:
      transform: (a, b, c, d, e, f): column and row of a pixel's corner are at a * column +
        b * row + c, d * column + e * row + f.
      residual: How far the farthest corner lies from where this has it, pixels.
    """

    transform: tuple[float, float, float, float, float, float]
    residual: float


def read_outlines(file: pathlib.Path) -> Outlines:
    """Reads the polygons of `metadata.geojson`.

    Raises:
      DataError: If it cannot be read.
    """
    content = read_json(file, kind="a GeoJSON feature collection", remedy=restore(file))
    rings = {}
    for feature in content["features"]:
        ring = _ring(feature.get("geometry"))
        if ring is not None:
            rings[parse_identifier(feature["properties"]["ID_PATCH"])] = ring
    try:
        crs = str(content["crs"]["properties"]["name"])
    except (KeyError, TypeError):
        crs = _DEGREES
    return Outlines(crs, rings)


def _ring(geometry: Any) -> np.ndarray | None:
    """Distinct corners of a polygon of one ring; None where it is no such."""
    try:
        rings = geometry["coordinates"]
        if geometry["type"] == "MultiPolygon":
            (rings,) = rings
        (ring,) = rings
        corners = np.array([point[:2] for point in ring], np.float64)
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    finite = corners.ndim == 2 and np.isfinite(corners).all()
    return np.unique(corners, axis=0) if finite else None


def place(corners: np.ndarray, shape: tuple[int, int]) -> Placed | None:
    """Fits a transform to the corners of a patch: exact where its sides follow the axes.

    A patch that was cut in another coordinate system, as PASTIS-R's in UTM, is turned in this one.
    Its first row is up to 45 degrees from the upper side.

    Args:
      corners: Of the polygon, in any order, (n, 2).
      shape: Rows and columns of its pixels.

    Returns:
      None where it has other than four corners, or they are no parallelogram to `MOST` pixels.
    """
    if len(corners) != 4:
        return None
    x, y = (corners - corners.mean(0)).T
    order = [int(np.argmax(v)) for v in (y - x, x + y, x - y, -x - y)]
    if len({*order}) < 4:
        return None
    (h, w), wanted = shape, corners[order]
    (left, bottom), (right, top) = corners.min(0), corners.max(0)
    if {*map(tuple, corners.tolist())} == {(a, b) for a in (left, right) for b in (bottom, top)}:
        a, e = float(right - left) / w, float(top - bottom) / h
        return Placed((a, 0.0, float(left), 0.0, -e, float(top)), 0.0)
    given = np.array([(0, 0, 1), (w, 0, 1), (w, h, 1), (0, h, 1)], np.float64)
    centre = wanted.mean(0)  # large coordinates would cost digits
    fitted = np.linalg.lstsq(given, wanted - centre, rcond=None)[0]
    away = np.linalg.norm(given @ fitted - (wanted - centre), axis=1).max()
    fitted[2] += centre
    (a, d), (b, e), (c, f) = fitted.tolist()
    residual = float(away / np.sqrt(abs(a * e - b * d)))
    return Placed((a, b, c, d, e, f), residual) if residual <= MOST else None
