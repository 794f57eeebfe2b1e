"""What all blocks of a map hold of instances, of which few are in memory at once."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Callable, Sequence

import numpy as np

from pastis_jax.mapping.blocks import Block, Content
from pastis_jax.mapping.pieces import NAMES, Pieces
from pastis_jax.mapping.windows import Axis, WindowGrid

_KEPT = 16
"""Blocks in memory: one, its neighbours, and some for the next."""


class Found:
    """The pieces of a map, block by block.

    Args:
      blocks: Of the map, row by row.
      grid: The windows.
      read: Reads arrays of a block.

    Attributes:
      blocks, grid: As given.
      start: Number of the first piece of each block among all, and the end, (blocks + 1,).
      confidence: Of all pieces, (n,).
      central: Of all pieces, (n,).
      window: Of all pieces, (n, 2).
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        grid: WindowGrid,
        read: Callable[..., Content],
    ):
        self.blocks, self.grid, self._read = tuple(blocks), grid, read
        names = ("instance_window", "instance_confidence", "instance_central")
        all_of = [[read(block, *names)[name] for name in names] for block in self.blocks]
        self.window, self.confidence, self.central = map(np.concatenate, zip(*all_of, strict=True))
        self.start = np.cumsum([0, *(len(of[0]) for of in all_of)], dtype=np.int64)
        self._tops = sorted({block.rows.start for block in self.blocks})
        self._lefts = sorted({block.columns.start for block in self.blocks})
        corners = [(block.rows.start, block.columns.start) for block in self.blocks]
        self._number = {corner: number for number, corner in enumerate(corners)}
        self._pieces = functools.lru_cache(maxsize=_KEPT)(self._open)
        self.known = functools.lru_cache(maxsize=1)(self._known)

    def __len__(self) -> int:
        return int(self.start[-1])

    def _open(self, number: int) -> Pieces:
        return Pieces(self._read(self.blocks[number], *NAMES))

    def pieces(self, number: int) -> Pieces:
        """The pieces of a block."""
        return self._pieces(number)

    def _known(self, number: int) -> np.ndarray:
        return self._read(self.blocks[number], "known")["known"]

    def near(self, rows: slice, columns: slice) -> list[int]:
        """Numbers of the blocks that hold the pieces of any window that touches a rectangle."""
        down = _owners(self.grid.rows, rows, self._tops)
        right = _owners(self.grid.columns, columns, self._lefts)
        return [self._number[top, left] for top in down for left in right]

    def reach(self, number: int) -> tuple[slice, slice] | None:
        """The rectangle that the windows of a block cover; None for a block without a window."""
        block = self.blocks[number]
        own = [*self.grid.owned(block.rows, block.columns)]
        if not own:
            return None
        first, last = self.grid.window(own[0]), self.grid.window(own[-1])
        rows, columns = zip(first, last, strict=True)
        return slice(rows[0].start, rows[1].stop), slice(columns[0].start, columns[1].stop)


def _owners(axis: Axis, pixels: slice, starts: list[int]) -> list[int]:
    """First pixels of the blocks in which the cells of touching windows begin, along one axis."""
    touching = axis.touching(pixels)
    first, last = (bisect.bisect(starts, axis.cells[i]) for i in (touching[0], touching[-1]))
    return starts[first - 1 : last]
