"""Where the parcels of a Region lie: found once, chunk by chunk."""

from __future__ import annotations

import dataclasses

import numpy as np

from pastis_jax.data.metadata import Identifier, parse_identifier
from pastis_jax.data.regions import table
from pastis_jax.data.regions.cube import REMEDY
from pastis_jax.data.regions.grid import CHUNK, SHARD
from pastis_jax.data.regions.store import Region
from pastis_jax.errors import DataError

_STEP = 16
"""Side of the squares by which origins of windows are counted, pixels."""


@dataclasses.dataclass(frozen=True, eq=False)
class ParcelIndex:
    """Where parcels lie, in the order of their numbers; of one without a pixel, nothing is known.

    Attributes:
      pixels: Pixels of each, (n,) int64.
      first: Its first pixel, row by row: the row times the width, plus the column, (n,) int64.
      box: Its first row, first column, last row and last column, (n, 4) int64.
      perimeter: Its perimeter in pixel sides, (n,) int64.
      chunks: Chunks that hold a pixel of it, row by row, (k,) int64, parcel after parcel.
      starts: Where those of each parcel begin, and the end, (n + 1,) int64.
    """

    pixels: np.ndarray
    first: np.ndarray
    box: np.ndarray
    perimeter: np.ndarray
    chunks: np.ndarray
    starts: np.ndarray

    def chunks_of(self, row: int) -> np.ndarray:
        """Numbers of the chunks, row by row, that hold a pixel of the parcel in this row."""
        return self.chunks[self.starts[row] : self.starts[row + 1]]


def find_parcels(region: Region) -> ParcelIndex:
    """Looks where the parcels of a Region lie.

    Raises:
      DataError: If its pixels and its table do not go together.
    """
    n, (h, w) = len(region.parcels), (region.grid.height, region.grid.width)
    pixels, first = np.zeros(n, np.int64), np.full(n, h * w, np.int64)
    box = np.tile(np.array([h, w, -1, -1], np.int64), (n, 1))
    perimeter = np.zeros(n, np.int64)
    parcels, places = [], []
    for rows, columns in region.grid.blocks(SHARD):
        numbers, around = _read(region, rows, columns)
        if numbers.max(initial=0) > n:
            fault = f"parcel {numbers.max()} where {table.FILE} lists {n:,}"
            raise DataError(fault, where=region.root, remedy=REMEDY)
        perimeter += _sides(around, n)
        for top in range(0, numbers.shape[0], CHUNK):
            for left in range(0, numbers.shape[1], CHUNK):
                chunk = numbers[top : top + CHUNK, left : left + CHUNK]
                row, column = rows.start + top, columns.start + left
                here, count, y, x = _measure(chunk)
                np.add.at(pixels, here, count)
                low, high = (y[0] + row, x[0] + column), (y[1] + row, x[1] + column)
                start = low[0] * w + (y[2] + column)
                first[here] = np.minimum(first[here], start)
                box[here, :2] = np.minimum(box[here, :2], np.stack(low, 1))
                box[here, 2:] = np.maximum(box[here, 2:], np.stack(high, 1))
                parcels.append(here)
                place = row // CHUNK * region.grid.chunks[1] + column // CHUNK
                places.append(np.full(len(here), place, np.int64))
    if (wrong := np.flatnonzero(pixels != region.parcels.pixels)).size:
        one = wrong[0]
        fault = f"parcel {region.parcels.id[one]} has {pixels[one]:,} pixels where {table.FILE} "
        fault += f"gives {region.parcels.pixels[one]:,}"
        raise DataError(fault, where=region.root, remedy=REMEDY)
    every = np.concatenate(parcels) if parcels else np.zeros(0, np.int64)
    chunks = np.concatenate(places) if places else np.zeros(0, np.int64)
    order = np.lexsort((chunks, every))
    starts = np.searchsorted(every[order], np.arange(n + 1))
    return ParcelIndex(pixels, first, box, perimeter, chunks[order], starts)


def _read(region: Region, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of a block (h, w), and the same with what is above it and left of it; 0 outside.

    Below and right of the last blocks there is one more row and column of 0.
    """
    grid = region.grid
    top, left = max(rows.start - 1, 0), max(columns.start - 1, 0)
    read = region.numbers(slice(top, rows.stop), slice(left, columns.stop))
    ends = (rows.stop == grid.height, columns.stop == grid.width)
    starts = (rows.start == 0, columns.start == 0)
    around = np.pad(read, [(int(a), int(b)) for a, b in zip(starts, ends, strict=True)])
    return read[rows.start - top :, columns.start - left :], around


def _sides(numbers: np.ndarray, n: int) -> np.ndarray:
    """Sides between pixels (h, w) of different parcels, counted for each of these, (n,)."""
    counts = np.zeros(n, np.int64)
    # Sides within the first row and column are those of the blocks before.
    for one, other in (
        (numbers[1:, 1:], numbers[:-1, 1:]),
        (numbers[1:, 1:], numbers[1:, :-1]),
    ):
        differ = one != other
        for side in (one[differ], other[differ]):
            counts += np.bincount(side[side > 0] - 1, minlength=n)
    return counts


def _measure(chunk: np.ndarray):
    """Rows of the table of the parcels in a chunk (h, w), their pixels, and where these lie.

    Returns:
      (k,) and (k,); first and last row of each; and first and last column, and the column of the
      first pixel.
    """
    flat = chunk.ravel()
    inside = np.flatnonzero(flat > 0)
    order = inside[np.argsort(flat[inside], kind="stable")]
    here, starts, count = np.unique(flat[order], return_index=True, return_counts=True)
    y, x = np.divmod(order, chunk.shape[1])
    if not len(here):
        none = np.zeros(0, np.int64)
        return none, none, (none, none, none), (none, none)
    rows = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts), x[starts]
    columns = np.minimum.reduceat(x, starts), np.maximum.reduceat(x, starts)
    return here.astype(np.int64) - 1, count, rows, columns


def identifiers(region: Region) -> list[Identifier]:
    """Identifiers of the parcels as records have them, (n,).

    Those of the table where all can be part of a file's name and no two are alike; else numbers
    from 1.
    """
    try:
        names: list[Identifier] = [parse_identifier(str(name)) for name in region.parcels.id]
    except ValueError:
        names = []
    if len({*names}) < len(region.parcels):
        return [*range(1, len(region.parcels) + 1)]
    return names


def boxed_bound(
    index: ParcelIndex,
    size: tuple[int, int],
    shape: tuple[int, int],
    among: np.ndarray | None = None,
) -> int:
    """Returns how many parcels a window can touch at most, wherever it lies.

    Parcels count by their boxes, and origins by squares of `_STEP` pixels: the result may be a few
    too many, and never one too few.

    Args:
      index: Where the parcels are.
      size: Rows and columns of the window.
      shape: Of the Region.
      among: Which parcels count, (n,) bool; None for all.
    """
    counted = index.pixels > 0
    there = index.box[counted if among is None else counted & among]
    if not len(there):
        return 0
    limits = [-(-side // _STEP) + 1 for side in shape]
    counts = np.zeros((limits[0] + 1, limits[1] + 1), np.int64)
    low = np.maximum(there[:, :2] - np.array(size) + 1, 0) // _STEP
    high = there[:, 2:] // _STEP + 1
    for rows, columns, sign in (
        (low[:, 0], low[:, 1], 1),
        (high[:, 0], low[:, 1], -1),
        (low[:, 0], high[:, 1], -1),
        (high[:, 0], high[:, 1], 1),
    ):
        np.add.at(counts, (rows, columns), sign)
    return int(counts.cumsum(0).cumsum(1).max())
