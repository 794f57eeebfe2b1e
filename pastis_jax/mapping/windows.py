"""Windows over a Region: anchored to its upper left corner, overlapping, weighted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np


@dataclasses.dataclass(frozen=True)
class Axis:
    """Windows along one axis.

    Attributes:
      length: Pixels of the Region.
      size: Of a window, at most as many.
      stride: From one window to the next.
    """

    length: int
    size: int
    stride: int

    @property
    def starts(self) -> np.ndarray:
        """First pixel of each window, (n,); the last window is shifted inwards."""
        last = self.length - self.size
        return np.append(np.arange(0, last, self.stride), last)

    def touching(self, pixels: slice) -> np.ndarray:
        """Numbers of the windows that hold any of `pixels`, (k,)."""
        starts = self.starts
        return np.flatnonzero((starts < pixels.stop) & (starts + self.size > pixels.start))

    @property
    def cells(self) -> np.ndarray:
        """Where the central cell of each window begins, and the end, (n + 1,).

        Cells lie side by side and end midway between the centres of neighbouring windows; those of
        the outermost windows reach to the edges of the Region.
        """
        starts = self.starts
        middle = (starts[1:] + starts[:-1] + self.size) // 2
        return np.concatenate([[0], middle, [self.length]])


@dataclasses.dataclass(frozen=True)
class WindowGrid:
    """Windows over a Region.

    Attributes:
      rows: Along its rows.
      columns: Along its columns.
    """

    rows: Axis
    columns: Axis

    @classmethod
    def over(
        cls, shape: tuple[int, int], size: tuple[int, int], stride: int | None = None
    ) -> WindowGrid:
        """Lays windows over a Region.

        Args:
          shape: Rows and columns of the Region.
          size: Of a window; a smaller Region makes smaller ones.
          stride: Pixels from one to the next, at most a window; None for half a window.
        """
        fitting = [min(side, whole) for side, whole in zip(size, shape, strict=True)]
        strides = [min(stride or max(side // 2, 1), side) for side in fitting]
        return cls(*(Axis(*each) for each in zip(shape, fitting, strides, strict=True)))

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of a window."""
        return self.rows.size, self.columns.size

    def touching(self, rows: slice, columns: slice) -> Iterator[tuple[int, int]]:
        """Row and column, among windows, of those that hold a pixel of a block, row by row."""
        for i in self.rows.touching(rows).tolist():
            for j in self.columns.touching(columns).tolist():
                yield i, j

    def owned(self, rows: slice, columns: slice) -> Iterator[tuple[int, int]]:
        """Row and column of the windows whose central cell begins in a block, row by row."""
        down, right = self.rows.cells[:-1], self.columns.cells[:-1]
        for i in np.flatnonzero((down >= rows.start) & (down < rows.stop)).tolist():
            for j in np.flatnonzero((right >= columns.start) & (right < columns.stop)).tolist():
                yield i, j

    def window(self, place: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of the pixels of a window."""
        top, left = self.rows.starts[place[0]], self.columns.starts[place[1]]
        (h, w) = self.size
        return slice(int(top), int(top) + h), slice(int(left), int(left) + w)

    def cell(self, place: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of the pixels of a window's central cell."""
        down, right = self.rows.cells, self.columns.cells
        (i, j) = place
        return slice(int(down[i]), int(down[i + 1])), slice(int(right[j]), int(right[j + 1]))

    @property
    def weights(self) -> np.ndarray:
        """Weight of each pixel of a window, sin^2 along both axes, above 0, (h, w) float32."""
        down, right = (np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in self.size)
        return (down[:, None] * right).astype(np.float32)
