"""Where the parcels of a map lie among the pixels of its Region."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pastis_jax.data.regions import _geo
from pastis_jax.data.regions.grid import Grid
from pastis_jax.mapping.parcel_results import ParcelResults

WIDEST = 128
"""Pixels on a side of what is read of a parcel, around its middle."""


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
    """The pixels of a parcel.

    Attributes:
      rows: Of the pixels around it, within the Region.
      columns: The same.
      covered: Which of these are its own, (h, w) bool; at least one.
      whole: Whether all of it lies there.
    """

    rows: slice
    columns: slice
    covered: np.ndarray
    whole: bool

    @property
    def middle(self) -> tuple[int, int]:
        """Row and column of one of its pixels, near its middle."""
        row, column = (np.median(x) for x in np.nonzero(self.covered))
        own = np.argwhere(self.covered)
        nearest = own[np.abs(own - (row, column)).sum(1).argmin()]
        return self.rows.start + int(nearest[0]), self.columns.start + int(nearest[1])


def place_of(grid: Grid, geometry: Any) -> Place | None:
    """Finds the pixels whose centres lie in a polygon, or that it touches where there is none.

    Args:
      grid: Of the Region.
      geometry: A polygon in its coordinate system.

    Returns:
      The place; None outside of the Region.
    """
    features, shapely = _geo.need("rasterio.features"), _geo.need("shapely")
    if geometry is None or geometry.is_empty:
        return None
    left, bottom, right, top = geometry.bounds
    size = grid.pixel_size
    rows = _within((grid.top - top) / size, (grid.top - bottom) / size, grid.height)
    columns = _within((left - grid.left) / size, (right - grid.left) / size, grid.width)
    whole = all(x.stop - x.start <= WIDEST for x in (rows, columns))
    if not whole:
        point = shapely.point_on_surface(geometry)
        rows = _around((grid.top - point.y) / size, rows)
        columns = _around((point.x - grid.left) / size, columns)
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return None
    transform = _geo.need("rasterio").Affine(*grid.part(rows, columns).transform)
    shape = rows.stop - rows.start, columns.stop - columns.start
    for touched in (False, True):
        drawn = features.rasterize(
            [(geometry, 1)], shape, transform=transform, all_touched=touched, dtype="uint8"
        )
        if drawn.any():
            return Place(rows, columns, drawn.astype(bool), whole)
    return None


def _within(first: float, last: float, length: int) -> slice:
    return slice(max(int(np.floor(first)), 0), min(int(np.ceil(last)), length))


def _around(middle: float, pixels: slice) -> slice:
    start = max(int(middle) - WIDEST // 2, pixels.start)
    stop = min(start + WIDEST, pixels.stop)
    return slice(max(stop - WIDEST, pixels.start), stop)


def least_certain(results: ParcelResults, most: int) -> list[int]:
    """Rows of the parcels with the lowest confidences, lowest first; of like ones, in order."""
    known = np.flatnonzero(np.isfinite(results.probability).all(1))
    confidence = results.probability[known].max(1, initial=0)
    return known[np.argsort(confidence, kind="stable")[:most]].tolist()
