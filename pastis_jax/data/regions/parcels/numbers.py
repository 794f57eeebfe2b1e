"""Which pixel is whose: parcels on a grid, block by block.

A pixel is a parcel's if its centre lies in it. Corners are first moved to a lattice of 1/1024 of a
pixel on which no corner has the row of a centre. Distances on it are exact, so that a block's
pixels are the same however the grid is cut into blocks, and a border between two parcels gives each
pixel to one of them. At 10 m that is 5 mm.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.regions import _geo
from pastis_jax.data.regions.findings import finding
from pastis_jax.data.regions.grid import SHARD, Grid
from pastis_jax.errors import refuse
from pastis_jax.text import named, word

NONE, CONTESTED = 0, -1
"""Numbers of pixels that are no parcel's, and that several claim."""
_LATTICE = 1024
"""Places of corners along a pixel's side."""
_CLAIM = 2.0**32
"""Burnt by each parcel beside its number, so that one pass gives claims and numbers; more than any
number, and so little that sums are exact."""


class Tally:
    """Counts what blocks of numbers hold; the same in whichever order they come.

    Args:
      parcels: How many there are.

    Attributes:
      pixels: Of each parcel, (n,) int64.
      contested: Pixels that several parcels claim.
      pairs: Of two parcels, by position, the pixels that both claim.
    """

    def __init__(self, parcels: int):
        self.pixels = np.zeros(parcels, np.int64)
        self.contested = 0
        self.pairs: collections.Counter[tuple[int, int]] = collections.Counter()

    def add(self, numbers: np.ndarray, pairs: dict[tuple[int, int], int] | None = None) -> None:
        """Counts a block.

        Args:
          numbers: Of its pixels, (h, w) int32.
          pairs: Parcels that claim the same pixels of it.
        """
        own = numbers[numbers > 0] - 1
        self.pixels += np.bincount(own, minlength=len(self.pixels))
        self.contested += int((numbers == CONTESTED).sum())
        self.pairs.update(pairs or {})

    def findings(self, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Tells of parcels without pixels, and of those that claim the same ones.

        Args:
          ids: Identifiers of the parcels, (n,).
        """
        empty = [str(ids[number]) for number in np.flatnonzero(self.pixels == 0)]
        if empty:
            text = f"{len(empty):,} of {len(ids):,} parcels {word(len(empty), 'has', 'have')} no "
            text += "pixel: narrower than one, lost to `inner_buffer`, or all claimed by others as "
            text += f"well: {named(empty)}"
            yield finding("parcels without pixels", text, empty)
        if self.contested:
            pairs = sorted(self.pairs, key=lambda pair: (-self.pairs[pair], pair))
            told = [f"{ids[a]} and {ids[b]}" for a, b in pairs]
            are = word(self.contested, "pixel is", "pixels are")
            overlap = word(len(pairs), "pair of parcels overlaps", "pairs of parcels overlap")
            text = f"{self.contested:,} {are} claimed by several parcels and given to none; "
            text += f"{len(pairs):,} {overlap} so: {named(told)}"
            yield finding("parcels overlap", text, told)


def number_blocks(
    geometries: np.ndarray,
    grid: Grid,
    *,
    inner_buffer: float = 0.0,
    size: int = SHARD,
    tally: Tally | None = None,
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Numbers the pixels of a grid, holding one block of them at a time.

    Args:
      geometries: Valid polygons of the parcels in the grid's coordinate system, (n,).
      grid: The grid.
      inner_buffer: Width of the rim of each parcel that is left out, metres.
      size: Side of a block, pixels; changes nothing in the numbers.
      tally: Where blocks are counted.

    Yields:
      Rows and columns of a block, row by row, and its numbers (h, w) int32: positions of parcels
      from 1, 0 for none, -1 for pixels that two or more parcels claim.

    Raises:
      ArgumentError: If `inner_buffer` is no width.
    """
    numberer = Numberer(geometries, grid, inner_buffer=inner_buffer)
    for rows, columns in grid.blocks(size):
        numbers, pairs = numberer.block(rows, columns)
        if tally is not None:
            tally.add(numbers, pairs)
        yield rows, columns, numbers


def rasterise(geometries: np.ndarray, grid: Grid, *, inner_buffer: float = 0.0) -> np.ndarray:
    """Numbers all pixels of a grid, (h, w) int32, as `number_blocks` does."""
    numbers = np.zeros((grid.height, grid.width), np.int32)
    for rows, columns, block in number_blocks(geometries, grid, inner_buffer=inner_buffer):
        numbers[rows, columns] = block
    return numbers


class Numberer:
    """Numbers blocks of a grid in any order.

    Args:
      geometries: Valid polygons of the parcels in the grid's coordinate system, (n,).
      grid: The grid.
      inner_buffer: Width of the rim of each parcel that is left out, metres.

    Raises:
      ArgumentError: If `inner_buffer` is no width.
    """

    def __init__(self, geometries: np.ndarray, grid: Grid, *, inner_buffer: float = 0.0):
        wrong = not 0 <= inner_buffer < math.inf
        fault = f"{inner_buffer:g} is no width"
        refuse("inner_buffer", wrong, fault, "give metres, 0 to leave nothing out")
        self._grid, self._inner_buffer = grid, inner_buffer
        self._tree = _geo.need("shapely").STRtree(geometries)

    def block(self, rows: slice, columns: slice) -> tuple[np.ndarray, dict[tuple[int, int], int]]:
        """Numbers a block.

        Args:
          rows: Of the grid.
          columns: The same.

        Returns:
          The numbers (h, w) int32, and the pixels that each two parcels both claim, by position.
        """
        shapely, features = _geo.need("shapely"), _geo.need("rasterio.features")
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        # A pixel more on each side: corners move.
        around = (slice(rows.start - 1, rows.stop + 1), slice(columns.start - 1, columns.stop + 1))
        found = np.sort(self._tree.query(shapely.box(*self._grid.part(*around).bounds)))
        polygons = self._tree.geometries[found]
        if self._inner_buffer:
            polygons = shapely.buffer(polygons, -self._inner_buffer)
        some = ~shapely.is_empty(polygons)
        found, polygons = found[some], shapely.transform(polygons[some], self._to_pixels)
        if not len(found):
            return np.zeros(shape, np.int32), {}
        burnt = features.rasterize(
            zip(polygons, _CLAIM + found + 1, strict=True),
            out_shape=shape,
            transform=_geo.need("affine").Affine.translation(columns.start, rows.start),
            merge_alg=features.MergeAlg.add,
            dtype="float64",
        )
        claims = burnt // _CLAIM
        numbers = np.where(claims == 1, burnt - _CLAIM, NONE).astype(np.int32)
        numbers[claims > 1] = CONTESTED
        return numbers, self._pairs(found, polygons, claims > 1, rows, columns)

    def _to_pixels(self, places: np.ndarray) -> np.ndarray:
        """From metres to columns and rows on the lattice, (n, 2)."""
        grid = self._grid
        pixels = (places - (grid.left, grid.top)) / (grid.pixel_size, -grid.pixel_size)
        return (np.floor(pixels * _LATTICE) + 0.5) / _LATTICE

    @staticmethod
    def _pairs(found, polygons, contested, rows, columns) -> dict[tuple[int, int], int]:
        if not contested.any():
            return {}
        shapely, sparse = _geo.need("shapely"), _geo.need("scipy.sparse")
        row, column = np.nonzero(contested)
        centres = shapely.points(column + columns.start + 0.5, row + rows.start + 0.5)
        # Corners that moved may have made outlines touch themselves.
        whole = shapely.make_valid(polygons, method="structure", keep_collapsed=False)
        centre, owner = shapely.STRtree(whole).query(centres, predicate="intersects")
        shape = (len(centres), len(found))
        claims = sparse.csr_array((np.ones(len(centre), np.int64), (centre, owner)), shape=shape)
        both = sparse.triu(claims.T @ claims, k=1).tocoo()
        triples = zip(found[both.row], found[both.col], both.data, strict=True)
        return {(int(a), int(b)): int(pixels) for a, b, pixels in triples}
