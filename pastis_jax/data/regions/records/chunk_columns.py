"""Columns of chunks, all acquisitions of one place: read about once where places come in order."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from pastis_jax.data.regions.grid import CHUNK
from pastis_jax.data.regions.records.clouds import hide_clouded
from pastis_jax.data.regions.store import Region
from pastis_jax.data.regions.writer import missing_value

_MEMORY = 300_000_000
"""Most bytes of columns that are kept; the last one is, whatever its size."""


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """One modality in one chunk.

    Attributes:
      dates: Numbers of the acquisitions that observed a pixel of it, (k,).
      values: As they are stored, (k, c, h, w).
      mask: Its masks, (k, h, w) uint8; None where none are stored or wanted.
    """

    dates: np.ndarray
    values: np.ndarray
    mask: np.ndarray | None

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + (0 if self.mask is None else self.mask.nbytes)


class Columns:
    """Reads columns of chunks, and keeps those that were asked for last. Not for several threads.

    Args:
      region: Where they are read.
      masks: Whether masks are wanted.
      among: Numbers of the acquisitions that count, by modality; None for all.
    """

    def __init__(
        self, region: Region, *, masks: bool, among: Mapping[str, np.ndarray] | None = None
    ):
        self._region, self._masks, self._among = region, masks, among
        self._kept: collections.OrderedDict[tuple[str, int], Column] = collections.OrderedDict()
        self._numbers: collections.OrderedDict[int, np.ndarray] = collections.OrderedDict()
        self.read = 0
        """How many columns were read."""

    def place(self, chunk: int) -> tuple[slice, slice]:
        """Rows and columns of a chunk, by its number row by row."""
        grid = self._region.grid
        row, column = divmod(chunk, grid.chunks[1])
        rows = slice(row * CHUNK, min((row + 1) * CHUNK, grid.height))
        return rows, slice(column * CHUNK, min((column + 1) * CHUNK, grid.width))

    def numbers(self, chunk: int) -> np.ndarray:
        """Numbers of the parcels in a chunk, (h, w) int32."""
        if chunk in self._numbers:
            self._numbers.move_to_end(chunk)
        else:
            self._numbers[chunk] = self._region.numbers(*self.place(chunk))
            if len(self._numbers) > 64:
                self._numbers.popitem(last=False)
        return self._numbers[chunk]

    def column(self, modality: str, chunk: int) -> Column:
        """One modality in a chunk."""
        key = (modality, chunk)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        region, (rows, columns) = self._region, self.place(chunk)
        observed = region.observed(modality)[:, rows.start // CHUNK, columns.start // CHUNK]
        dates = np.flatnonzero(observed)
        if self._among is not None:
            dates = dates[np.isin(dates, self._among[modality])]
        mask = region.mask(modality, rows, columns, dates) if self._masks else None
        kept = Column(dates, region.read(modality, rows, columns, dates), mask)
        self._kept[key], self.read = kept, self.read + 1
        while len(self._kept) > 1 and sum(x.nbytes for x in self._kept.values()) > _MEMORY:
            self._kept.popitem(last=False)
        return kept

    def gather(
        self,
        modality: str,
        dates: np.ndarray,
        chunks: Sequence[int],
        inside: Sequence[tuple[np.ndarray, np.ndarray]],
        max_cloud: float | None,
    ) -> np.ndarray:
        """Values of some pixels of some chunks, chunk after chunk, (t, c, s).

        Args:
          modality: Its name.
          dates: Numbers of the acquisitions, (t,): all that observed a pixel of these chunks.
          chunks: Their numbers.
          inside: Rows and columns of the pixels in each chunk.
          max_cloud: Largest clouded share of the observed pixels: an acquisition with more counts
            as missing. None takes all.
        """
        sensor, total = self._region.dataset[modality], sum(len(y) for y, _ in inside)
        shape = (len(dates), len(sensor.channels), total)
        values = np.full(shape, missing_value(sensor), sensor.dtype)
        mask = np.zeros((len(dates), total), np.uint8)
        start = 0
        for chunk, (y, x) in zip(chunks, inside, strict=True):
            column = self.column(modality, chunk)
            places, end = np.searchsorted(dates, column.dates), start + len(y)
            values[places, :, start:end] = column.values[:, :, y, x]
            if column.mask is not None:
                mask[places, start:end] = column.mask[:, y, x]
            start = end
        return hide_clouded(values, mask, sensor, max_cloud)
