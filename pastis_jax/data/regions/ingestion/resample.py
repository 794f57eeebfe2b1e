"""Images of files on the grid of a Region: copied where they lie on it, else resampled."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pastis_jax.data.regions import _geo
from pastis_jax.data.regions.grid import Grid

_MARGIN = 3
"""Pixels of a file around those that a window needs: what the kernel reaches, and one more."""
_ALIKE = 1e-3
"""Pixels by which corners may differ of grids that are taken for the same."""
_SHARP = 0.7
"""Pixels of the grid for each of a file from which on these are interpolated, not averaged."""
_STRAIGHT = 256
"""Side of the squares that are reprojected at once, pixels. Along a row, coordinates of another
system are interpolated by up to an eighth of a pixel; here they are within a thousandth."""
_EDGE = 21
"""Points along each edge of a window that are looked for in the file."""


@dataclasses.dataclass(frozen=True)
class Footprint:
    """Where the pixels of a file lie.

    Attributes:
      crs: Coordinate system, as ``EPSG:32631`` or WKT.
      transform: From columns and rows to coordinates, in the order of an affine transform.
      height: Rows.
      width: Columns.
    """

    crs: str
    transform: tuple[float, float, float, float, float, float]
    height: int
    width: int

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top, in its own coordinates, of a file that is turned too."""
        a, b, c, d, e, f = self.transform
        corners = [(0, 0), (self.width, 0), (0, self.height), (self.width, self.height)]
        x = [a * column + b * row + c for column, row in corners]
        y = [d * column + e * row + f for column, row in corners]
        return min(x), min(y), max(x), max(y)


@functools.lru_cache(maxsize=256)
def coordinates(crs: str) -> Any:
    """The coordinate system of a text, as rasterio has it."""
    return _geo.need("rasterio.crs").CRS.from_user_input(crs)


def origin(footprint: Footprint, grid: Grid) -> tuple[int, int] | None:
    """Row and column of a file's first pixel on a grid; None if it does not lie on it.

    Args:
      footprint: Of the file.
      grid: Of the Region, or of a part of it.
    """
    a, b, c, d, e, f = footprint.transform
    size = grid.pixel_size
    # What a pixel is off adds up to the far edge.
    across = max(abs(a - size) * footprint.width, abs(e + size) * footprint.height)
    turned = max(abs(b) * footprint.height, abs(d) * footprint.width)
    if max(across, turned) > _ALIKE * size:
        return None
    row, column = (grid.top - f) / size, (c - grid.left) / size
    off = max(abs(row - round(row)), abs(column - round(column)))
    if off > _ALIKE or coordinates(footprint.crs) != coordinates(grid.crs):
        return None
    return round(row), round(column)


@dataclasses.dataclass(frozen=True)
class Needed:
    """What of a file a part of the grid needs.

    Attributes:
      rows: Rows of the file.
      columns: Its columns.
      at: Row and column of the part at which these go, where they are copied; None where they are
        resampled.
      scale: Pixels of the grid for each of the file, along rows and columns.
    """

    rows: slice
    columns: slice
    at: tuple[int, int] | None
    scale: tuple[float, float]


def needed(footprint: Footprint, grid: Grid, part: Grid) -> Needed | None:
    """The window of a file that a part of a grid needs; None if it does not reach it.

    Args:
      footprint: Of the file.
      grid: The whole grid: how far the kernel reaches is the same in all of its parts.
      part: The part.
    """
    if (place := origin(footprint, part)) is not None:
        (row, column), ends = place, (footprint.height, footprint.width)
        rows = slice(max(0, -row), min(ends[0], part.height - row))
        columns = slice(max(0, -column), min(ends[1], part.width - column))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return None
        return Needed(rows, columns, (rows.start + row, columns.start + column), (1.0, 1.0))
    scale = _scale(footprint, grid)
    edges = _edges(footprint, part)
    if edges is None:
        return None
    windows, sizes = [], (footprint.height, footprint.width)
    for low, high, ratio, size in zip(*edges, scale, sizes, strict=True):
        margin = math.ceil(_MARGIN * max(1.0, 1 / ratio))
        windows.append(slice(max(0, math.floor(low) - margin), min(size, math.ceil(high) + margin)))
        # Only the margin reaches the part, or nothing does.
        if high <= 0 or low >= size:
            return None
    return Needed(*windows, None, scale)


def onto(
    values: np.ndarray, footprint: Footprint, window: Needed, part: Grid, *, nearest: bool = False
) -> np.ndarray:
    """Values of a window of a file on a part of the grid.

    Args:
      values: The window's, (h, w): float32 with NaN where missing, or uint8 if `nearest`.
      footprint: Of the whole file.
      window: Which part of the file they are.
      part: Where they go.
      nearest: Whether the nearest pixel is taken, else it is bilinear among what is not missing.

    Returns:
      (height, width) of `part`, of the same type; NaN, or 255, where there is nothing.
    """
    nothing = 255 if nearest else np.nan
    made = np.full((part.height, part.width), nothing, values.dtype)
    if window.at is not None:
        row, column = window.at
        made[row : row + values.shape[0], column : column + values.shape[1]] = values
        return made
    affine = _geo.need("rasterio").Affine
    warp = _geo.need("rasterio.warp")
    a, b, c, d, e, f = footprint.transform
    row, column = window.rows.start, window.columns.start
    source = affine(a, b, c + a * column + b * row, d, e, f + d * column + e * row)
    turned = coordinates(footprint.crs) != coordinates(part.crs)
    for rows, columns in part.blocks(_STRAIGHT if turned else max(made.shape)):
        block = part.part(rows, columns)
        own = np.full((block.height, block.width), nothing, values.dtype)
        warp.reproject(
            values,
            own,
            src_transform=source,
            src_crs=coordinates(footprint.crs),
            src_nodata=nothing,
            dst_transform=affine(*block.transform),
            dst_crs=coordinates(part.crs),
            dst_nodata=nothing,
            resampling=warp.Resampling.nearest if nearest else warp.Resampling.bilinear,
            # Else each window has its own, and neighbouring ones do not agree at their edges.
            XSCALE=f"{window.scale[1]!r}",
            YSCALE=f"{window.scale[0]!r}",
        )
        made[rows, columns] = own
    return made


def read_onto(
    read: Callable[[slice, slice], np.ndarray],
    footprint: Footprint,
    grid: Grid,
    part: Grid,
    prepare: Callable[[np.ndarray], np.ndarray],
    *,
    nearest: bool = False,
) -> np.ndarray | None:
    """Reads what a part of the grid needs of a file, and brings it there.

    Args:
      read: Reads rows and columns of the file, (h, w).
      footprint: Of the file.
      grid: The whole grid.
      part: The part.
      prepare: Makes of what was read what `onto` takes.
      nearest: As `onto` takes it.

    Returns:
      What `onto` gives; None if the file does not reach the part.
    """
    window = needed(footprint, grid, part)
    if window is None:
        return None
    values = prepare(read(window.rows, window.columns))
    return onto(values, footprint, window, part, nearest=nearest)


@functools.lru_cache(maxsize=4096)
def _scale(footprint: Footprint, grid: Grid) -> tuple[float, float]:
    """Pixels of the grid for each of a file, along its rows and columns, at the grid's middle.

    At most 1, which is plain bilinear interpolation; less averages over what a pixel covers.
    """
    x, y = (
        grid.left + grid.width * grid.pixel_size / 2,
        grid.top - grid.height * grid.pixel_size / 2,
    )
    step = grid.pixel_size
    places = _places(footprint, grid.crs, np.array([x, x + step, x]), np.array([y, y, y - step]))
    if not np.isfinite(places).all():
        return 1.0, 1.0
    spans = np.hypot(places[:, 1] - places[:, 0], places[:, 2] - places[:, 0])
    ratios = [1 / max(float(span), 1e-9) for span in spans]
    return tuple(1.0 if ratio > _SHARP else float(f"{ratio:.4g}") for ratio in ratios)


def _places(footprint: Footprint, crs: str, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Rows and columns of a file, not whole ones, at coordinates; (2, n), not finite where none."""
    if coordinates(crs) != coordinates(footprint.crs):
        warp = _geo.need("rasterio.warp")
        moved = warp.transform(coordinates(crs), coordinates(footprint.crs), xs, ys)
        xs, ys = map(np.array, moved)
    a, b, c, d, e, f = footprint.transform
    columns, rows = np.linalg.solve([[a, b], [d, e]], np.stack([xs - c, ys - f]))
    return np.stack([rows, columns])


def _edges(
    footprint: Footprint, part: Grid
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """First and last row and column of a file, not whole ones, that a part of the grid spans.

    Returns:
      (first row, first column), (last row, last column); None where they cannot be told.
    """
    left, bottom, right, top = part.bounds
    along = np.linspace(0, 1, _EDGE)
    x, y = left + along * (right - left), bottom + along * (top - bottom)
    one = np.ones(_EDGE)
    xs = np.concatenate([x, x, one * left, one * right])
    ys = np.concatenate([one * bottom, one * top, y, y])
    places = _places(footprint, part.crs, xs, ys)
    places = places[:, np.isfinite(places).all(0)]
    if not places.size:
        return None
    (top, left), (bottom, right) = places.min(1), places.max(1)
    return (top, left), (bottom, right)
