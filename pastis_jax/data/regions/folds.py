"""Folds of a Region as blocks in space, so that none is tested next to where it learned.

Blocks are nearly square and of whole chunks, or, in a region of few chunks, a divisor of one.
Each belongs to a fold. Along borders between blocks of different folds lies a zone that belongs to
none, as wide on each side as half the gap.

The rule: a pixel has its block's fold, unless its centre is nearer than half the gap to a block of
another fold. A parcel has the fold of its blocks if it reaches into none of another fold, and more
than half of its pixels have that fold. Then all its pixels count for it, those in the zone too. So
no fold's parcels reach into another's blocks, and most of each is half the gap away from them.
Where all pixels had to be, a gap would cost the width of a parcel more on each side.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.fields import refuse
from pastis_jax.data.regions.findings import finding
from pastis_jax.data.regions.table import NO_FOLD
from pastis_jax.text import named, word

MOST_FOLDS = 100


@dataclasses.dataclass(frozen=True)
class FoldBlocks:
    """Which fold lies where.

    Attributes:
      row_edges: First row of each row of blocks, then the grid's height; rising from 0.
      column_edges: First column of each column of blocks, then the grid's width.
      positions: Position of the fold of each block among the dataset's, rows of blocks.
      gap: Width of the zone between blocks of different folds, metres.
      pixel_size: Of the grid, metres.

    Raises:
      ValueError: Naming the field.
    """

    row_edges: tuple[int, ...]
    column_edges: tuple[int, ...]
    positions: tuple[tuple[int, ...], ...]
    gap: float
    pixel_size: float

    def __post_init__(self) -> None:
        sides = []
        for name in ("row_edges", "column_edges"):
            edges = getattr(self, name)
            steps = [after - before for before, after in itertools.pairwise(edges)]
            wrong = len(edges) < 2 or edges[0] != 0 or min(steps) < 1
            refuse(name, wrong, "do not rise from 0")
            sides += steps if len(steps) > 1 else []
        shape = (len(self.row_edges) - 1, len(self.column_edges) - 1)
        ragged = {len(row) for row in self.positions} != {shape[1]}
        refuse("positions", len(self.positions) != shape[0] or ragged, f"are not {shape} blocks")
        within = all(0 <= fold < MOST_FOLDS for row in self.positions for fold in row)
        refuse("positions", not within, f"must be 0 to {MOST_FOLDS - 1}")
        refuse("pixel_size", not 0 < self.pixel_size < math.inf, "must be metres above 0")
        refuse("gap", not 0 <= self.gap < math.inf, "must be metres, 0 or more")
        # Then whatever is nearer to a pixel than half the gap is its block or one beside it.
        refuse("gap", self._reach > min(sides, default=math.inf), "is wider than two blocks")

    @property
    def _reach(self) -> float:
        """Half of the gap, pixels."""
        return self.gap / 2 / self.pixel_size

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of pixels."""
        return self.row_edges[-1], self.column_edges[-1]

    def to_json(self) -> dict[str, Any]:
        """Returns the blocks as plain JSON."""
        return {
            "row_edges": [*self.row_edges],
            "column_edges": [*self.column_edges],
            "positions": [[*row] for row in self.positions],
            "gap": self.gap,
            "pixel_size": self.pixel_size,
        }

    @classmethod
    def from_json(cls, content: Any) -> FoldBlocks:
        """Returns what `to_json` gave.

        Raises:
          ValueError: Naming the field.
        """
        refuse("folds", not isinstance(content, Mapping), "are missing or of another type")
        numbers = {}
        for name in ("gap", "pixel_size"):
            value = content.get(name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            refuse(name, not number, "is missing or no number")
            numbers[name] = float(value)
        rows = content.get("positions")
        refuse("positions", not isinstance(rows, list), "are missing or no list")
        return cls(
            row_edges=_integers("row_edges", content.get("row_edges")),
            column_edges=_integers("column_edges", content.get("column_edges")),
            positions=tuple(_integers("positions", row) for row in rows),
            **numbers,
        )

    def block_of(self, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of the block in which pixels lie, (n,) each.

        Args:
          rows: Of pixels, (n,).
          columns: The same.
        """
        row = np.searchsorted(self.row_edges, rows, side="right") - 1
        return row, np.searchsorted(self.column_edges, columns, side="right") - 1

    def fold_of_blocks(self, rows: slice, columns: slice) -> np.ndarray:
        """Positions of the folds of the blocks that a window's pixels lie in, (h, w) int8.

        Args:
          rows: Within the grid.
          columns: The same.
        """
        places = np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
        return np.array(self.positions, np.int8)[np.ix_(*self.block_of(*places))]

    def fold_of_pixels(self, rows: slice, columns: slice) -> np.ndarray:
        """Positions of the folds of a window's pixels, -1 for none, (h, w) int8.

        Args:
          rows: Within the grid.
          columns: The same.
        """
        return self._at(np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop))

    def fold_grid(self, most: int = 1000) -> np.ndarray:
        """Positions of the folds as a picture of the whole grid, -1 for none, (h, w) int8.

        Args:
          most: Rows or columns of the picture; of larger grids evenly spread pixels are shown.
        """
        axes = [
            np.arange(n) if n <= most else np.arange(most) * n // most + n // most // 2
            for n in self.shape
        ]
        return self._at(*axes)

    def _at(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Folds where rows (h,) and columns (w,) cross, (h, w) int8."""
        block_row, block_column = self.block_of(rows, columns)
        blocks = np.pad(np.array(self.positions, np.int8), 1, constant_values=NO_FOLD)
        own = blocks[np.ix_(block_row + 1, block_column + 1)]
        vertical = _squares(rows, block_row, self.row_edges)
        horizontal = _squares(columns, block_column, self.column_edges)
        reach, folds = self._reach**2, own.copy()
        for down, right in itertools.product((-1, 0, 1), repeat=2):
            near_row = np.flatnonzero(vertical[down] < reach)
            near_column = np.flatnonzero(horizontal[right] < reach)
            if (down, right) == (0, 0) or not len(near_row) or not len(near_column):
                continue
            near = np.ix_(near_row, near_column)
            place = (block_row[near_row] + 1 + down, block_column[near_column] + 1 + right)
            other = blocks[np.ix_(*place)]
            distance = vertical[down][near_row, None] + horizontal[right][near_column]
            away = (other == NO_FOLD) | (other == own[near]) | (distance >= reach)
            folds[near] = np.where(away, folds[near], NO_FOLD)
        return folds


def _squares(places: np.ndarray, blocks: np.ndarray, edges: Sequence[int]) -> dict[int, np.ndarray]:
    """Squares of the distances to the blocks before (-1), around (0) and after (1), (n,) each."""
    edges = np.array(edges)
    before, after = places + 0.5 - edges[blocks], edges[blocks + 1] - places - 0.5
    return {-1: before**2, 0: np.zeros(len(places)), 1: after**2}


def _integers(name: str, values: Any) -> tuple[int, ...]:
    whole = isinstance(values, list) and all(type(value) is int for value in values)
    refuse(name, not whole, "are missing or no integers")
    return tuple(values)


class ParcelFolds:
    """Finds the folds of parcels from blocks of their numbers, in any order.

    Args:
      folds: Which fold lies where.
      parcels: How many parcels there are.
    """

    def __init__(self, folds: FoldBlocks, parcels: int):
        self._folds = folds
        self._least = np.full(parcels, MOST_FOLDS, np.int8)
        self._most = np.full(parcels, NO_FOLD, np.int8)
        self._pixels, self._away = np.zeros((2, parcels), np.int64)

    def add(self, rows: slice, columns: slice, numbers: np.ndarray) -> None:
        """Looks at a block.

        Args:
          rows: Of the grid.
          columns: The same.
          numbers: Of its pixels, (h, w) int32.
        """
        inside = numbers > 0
        own = numbers[inside] - 1
        fold = self._folds.fold_of_blocks(rows, columns)[inside]
        np.minimum.at(self._least, own, fold)
        np.maximum.at(self._most, own, fold)
        away = self._folds.fold_of_pixels(rows, columns)[inside] != NO_FOLD
        self._pixels += np.bincount(own, minlength=len(self._pixels))
        self._away += np.bincount(own[away], minlength=len(self._pixels))

    @property
    def positions(self) -> np.ndarray:
        """Position of the fold of each parcel, -1 for none, (n,) int32."""
        one = (self._least == self._most) & (2 * self._away > self._pixels)
        return np.where(one, self._least, NO_FOLD).astype(np.int32)

    def findings(self, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Tells of parcels that have pixels but no fold.

        Args:
          ids: Identifiers of the parcels, (n,).
        """
        lost = np.flatnonzero((self.positions == NO_FOLD) & (self._pixels > 0))
        if len(lost):
            some = [str(ids[number]) for number in lost]
            share = self._pixels[lost].sum() / self._pixels.sum()
            text = f"{len(lost):,} of {len(ids):,} parcels ({share:.1%} of all pixels of parcels)"
            text += f" {word(len(lost), 'lies', 'lie')} across a border between folds, or mostly "
            text += f"within {self._folds.gap / 2:g} m "
            text += f"of one, and {word(len(lost), 'is', 'are')} in none: {named(some)}"
            yield finding("parcels between folds", text, some)


def fold_of_parcels(
    folds: FoldBlocks, blocks: Iterator[tuple[slice, slice, np.ndarray]], parcels: int
) -> np.ndarray:
    """Positions of the folds of parcels, -1 for none, (n,) int32.

    Args:
      folds: Which fold lies where.
      blocks: Rows, columns and numbers (h, w) of all blocks of the grid.
      parcels: How many parcels there are.
    """
    found = ParcelFolds(folds, parcels)
    for rows, columns, numbers in blocks:
        found.add(rows, columns, numbers)
    return found.positions
