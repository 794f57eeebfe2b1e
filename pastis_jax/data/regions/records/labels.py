"""What grows where in a window of a Region, for the folds that may see it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection

import numpy as np

from pastis_jax.data import dataset_file
from pastis_jax.data.patches.annotations import Annotations
from pastis_jax.data.regions.cube import REMEDY
from pastis_jax.data.regions.folds import FoldBlocks
from pastis_jax.data.regions.store import Region
from pastis_jax.data.regions.table import NO_FOLD
from pastis_jax.data.regions.writer import FILE
from pastis_jax.errors import DataError


def check_folds(region: Region) -> None:
    """Refuses a Region without folds: there is nothing to learn from.

    Raises:
      DataError: Saying so.
    """
    if not region.folds:
        fault, remedy = "it has no folds: it was made without parcels", "ingest it with parcels"
        raise DataError(fault, where=region.root, remedy=remedy)


@dataclasses.dataclass(frozen=True)
class Window:
    """A window of a Region.

    Attributes:
      rows: Of its pixels.
      columns: The same.
      covered: How many of its first rows and columns an earlier window covers.
    """

    rows: slice
    columns: slice
    covered: tuple[int, int] = (0, 0)

    @property
    def own(self) -> tuple[slice, slice]:
        """Rows and columns that no earlier window covers."""
        down, right = self.covered
        rows = slice(self.rows.start + down, self.rows.stop)
        return rows, slice(self.columns.start + right, self.columns.stop)


class Labels:
    """Reads labels. Pixels of other folds and of none are void, and so are contested ones.

    Args:
      region: Where they are read.

    Raises:
      DataError: If its classes have no background or no void, or its folds are damaged.
    """

    def __init__(self, region: Region):
        self._region, self._nomenclature = region, region.dataset.nomenclature
        for word in ("background", "void"):
            if getattr(self._nomenclature, word) is None:
                fault = f"its classes have no {word}, which windows need"
                remedy = f"add a class and name it as `{word}` of the nomenclature"
                raise DataError(fault, where=region.root / dataset_file.FILE, remedy=remedy)
        check_folds(region)
        try:
            self._blocks = FoldBlocks.from_json(region.folds)
        except (KeyError, TypeError, ValueError) as error:
            fault = f"its folds are damaged ({error})"
            raise DataError(fault, where=region.root / FILE, remedy=REMEDY) from error

    def __reduce__(self):
        return Labels, (self._region,)

    def folds(self, rows: slice, columns: slice) -> np.ndarray:
        """Positions of the folds of pixels, -1 for none, (h, w): of parcels, that of the parcel."""
        return self._folds_of(self._region.numbers(rows, columns), rows, columns)

    def _folds_of(self, numbers: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        place = self._blocks.fold_of_pixels(rows, columns)
        return np.where(numbers > 0, self._of_numbers[1][np.maximum(numbers, 0)], place)

    @functools.cached_property
    def _of_numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """Label and fold of each number; that of no parcel comes first, background or void."""
        parcels, outside = self._region.parcels, self._nomenclature.background_number
        if self._region.info.get("parcels", {}).get("unlabelled") == "void":
            outside = self._nomenclature.void_number
        return np.append(outside, parcels.label), np.append(NO_FOLD, parcels.fold)

    def read(self, window: Window, folds: Collection[int]) -> Annotations:
        """Reads the annotations of a window.

        Args:
          window: The window. What an earlier one covers is void.
          folds: Positions of the folds whose labels are wanted.

        Returns:
          Annotations, in which parcels have the numbers of the Region as `parcel_ids`.
        """
        numbers = self._region.numbers(window.rows, window.columns)
        parcel = np.maximum(numbers, 0)
        labels, _ = self._of_numbers
        wanted = np.isin(self._folds_of(numbers, window.rows, window.columns), [*folds])
        known = wanted & (numbers >= 0)
        down, right = window.covered
        known[:down] = known[:, :right] = False
        semantic = np.where(known, labels[parcel], self._nomenclature.void_number)
        ids = np.where(known, parcel, 0).astype(np.int64)
        own = np.unique(ids[ids > 0])
        within = np.where(ids > 0, np.searchsorted(own, ids) + 1, 0)
        return Annotations(
            semantic=semantic.astype(np.int32),
            parcels=within.astype(np.int64),
            fine=np.zeros(ids.shape, np.int64),
            parcel_ids=ids,
        )
