"""The series of one window, read when it is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from pastis_jax.data.npy import Watched, stamp_of
from pastis_jax.data.regions.records.clouds import hide_clouded
from pastis_jax.data.regions.store import Region
from pastis_jax.data.regions.writer import FILE


class WindowSeries:
    """Acquisitions of one modality in a window, as `StoredArray` has those of a file.

    A number as index reads that acquisition; all else that arrays can reads the whole.

    Args:
      region: Where they are read.
      modality: Its name.
      rows: Of the window.
      columns: The same.
      dates: Numbers of the acquisitions.
      max_cloud: Largest clouded share of the observed pixels: more makes an acquisition missing.

    Attributes:
      shape: (t, c, h, w).
      dtype: Of the values.
    """

    ndim = 4

    def __init__(
        self,
        region: Region,
        modality: str,
        rows: slice,
        columns: slice,
        dates: np.ndarray,
        max_cloud: float | None = None,
    ):
        self._region, self._modality = region, region.dataset[modality]
        self._rows, self._columns, self._dates = rows, columns, dates
        self._max_cloud = max_cloud
        size = (rows.stop - rows.start, columns.stop - columns.start)
        self.shape = (len(dates), len(self._modality.channels), *size)
        self.dtype = np.dtype(self._modality.dtype)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("the window has to be read")
        values = self._read(self._dates)
        return values if dtype is None else values.astype(dtype, copy=False)

    def __getitem__(self, key: Any) -> np.ndarray:
        if isinstance(key, int | np.integer) and not isinstance(key, bool):
            return self._read(self._dates[[key]])[0]
        return np.asarray(self)[key]

    def parts(self, numbers: Iterable[int]) -> Iterator[np.ndarray]:
        """Reads the acquisitions of these numbers here, one after the other, (c, h, w) each."""
        dates = self._dates[np.fromiter(numbers, np.int64)].tolist()
        where = (self._modality.name, self._rows, self._columns, dates)
        each = self._region.each(*where)
        masks = None if self._max_cloud is None else self._region.mask(*where)
        if masks is None:
            yield from each
            return
        for values, mask in zip(each, masks[:, None], strict=True):
            yield hide_clouded(values[None], mask, self._modality, self._max_cloud)[0]

    def _read(self, dates: np.ndarray) -> np.ndarray:
        where = (self._modality.name, self._rows, self._columns, dates.tolist())
        values = self._region.read(*where)
        mask = None if self._max_cloud is None else self._region.mask(*where)
        return hide_clouded(values, mask, self._modality, self._max_cloud)

    def watch(self, files: Watched) -> None:
        """Remembers what is read from, or compares it.

        Raises:
          DataError: If it was changed since it was seen first.
        """
        file = self._region.root / FILE
        files.see(file, stamp_of(file.stat()))
