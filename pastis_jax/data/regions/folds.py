"""Folds of a Region as blocks in space."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class FoldBlocks:
    """Which fold lies where.

    Attributes:
      row_edges: First row of each row of blocks, then the grid's height; rising from 0.
      column_edges: First column of each column of blocks, then the grid's width.
      positions: Position of the fold of each block among the dataset's, rows of blocks.
      gap: Distance between pixels of parcels of different folds, metres.
      pixel_size: Of the grid, metres.
    """

    row_edges: tuple[int, ...]
    column_edges: tuple[int, ...]
    positions: tuple[tuple[int, ...], ...]
    gap: float
    pixel_size: float

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
        """Returns what `to_json` gave."""
        return cls(
            tuple(content["row_edges"]),
            tuple(content["column_edges"]),
            tuple(map(tuple, content["positions"])),
            content["gap"],
            content["pixel_size"],
        )

    def fold_of_pixels(self, rows: slice, columns: slice) -> np.ndarray:
        """Positions of the folds of a window's pixels, -1 for none, (h, w) int8."""
        y, x = np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
        row = np.searchsorted(self.row_edges, y, side="right") - 1
        column = np.searchsorted(self.column_edges, x, side="right") - 1
        return np.array(self.positions, np.int8)[np.ix_(row, column)]
