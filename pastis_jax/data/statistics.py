"""Channel statistics for normalisation, fold by fold, and their average over the train folds.

The published rule: a fold's mean is the mean over its parcels of each parcel's mean, its standard
deviation the mean over its parcels of each parcel's standard deviation; a split normalises with
the plain average over its train folds, so that no validation or test parcel ever enters.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from pastis_jax.data.nomenclature import FOLDS, MODALITIES
from pastis_jax.errors import DataError

FoldStatistics = Mapping[int, tuple[np.ndarray, np.ndarray]]
"""Mean and standard deviation, each (c,) float64, of each fold."""

_COMPUTE = "restore it, or add --compute-statistics to compute them from the data"


class StatisticsAccumulator:
    """Computes a modality's fold statistics from the parcels, one after the other.

    Differs from the reference: nodata (-10000 in S2) is left out, the reference counts it as a
    reflectance. Parcels without any measured value in a channel do not count for it.

    Args:
      modality: `S2`, `S1A` or `S1D`.
    """

    def __init__(self, modality: str):
        self._nodata = MODALITIES[modality].nodata
        channels = len(MODALITIES[modality].channels)
        self._sums = {fold: np.zeros((3, channels)) for fold in FOLDS}  # of means, of stds, of ones

    def add(self, fold: int, values: np.ndarray) -> None:
        """Counts one parcel of `fold` with `values` (t, c, s) in the stored unit."""
        if not values.size:
            return
        wide = values.astype(np.float32)
        measured = True if self._nodata is None else wide != self._nodata
        if np.all(measured):
            mean, std = wide.mean((0, 2)), wide.std((0, 2))
            self._sums[fold] += (mean, std, np.ones_like(mean))
            return
        count = np.sum(measured, (0, 2))
        divisor = np.maximum(count, 1)
        mean = np.sum(wide, (0, 2), where=measured) / divisor
        square = np.sum((wide - mean[:, None]) ** 2, (0, 2), where=measured) / divisor
        self._sums[fold] += np.where(count > 0, (mean, np.sqrt(square), np.ones_like(mean)), 0.0)

    def compute(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Returns mean and std, (c,) float64 each, of every fold; 0 where nothing was measured."""
        return {
            fold: (mean / np.maximum(count, 1), std / np.maximum(count, 1))
            for fold, (mean, std, count) in self._sums.items()
        }


def fold_statistics_from_norm(file: pathlib.Path, modality: str) -> FoldStatistics:
    """Reads a published `NORM_PARCEL_<sat>_set.json`.

    Args:
      file: The file, `{"Fold_1": {"mean": [...], "std": [...]}, ...}`.
      modality: Whose channels it must describe.

    Returns:
      The statistics of the five folds.

    Raises:
      DataError: If the file is missing, lacks a fold or is not of this form, or a fold's numbers
        are not one finite mean and one positive standard deviation per channel.
    """
    channels = len(MODALITIES[modality].channels)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        statistics = {
            fold: tuple(
                np.array(content[f"Fold_{fold}"][key], np.float64) for key in ("mean", "std")
            )
            for fold in FOLDS
        }
    except FileNotFoundError:
        what = f"no normalisation statistics of {modality}"
        raise DataError(what, where=file, remedy=_COMPUTE) from None
    except KeyError as error:
        raise DataError(f"lacks {error}", where=file, remedy=_COMPUTE) from error
    except (OSError, ValueError, TypeError) as error:
        what = f"not normalisation statistics ({error})"
        raise DataError(what, where=file, remedy=_COMPUTE) from error
    for fold, (mean, std) in statistics.items():
        if mean.shape != (channels,) or std.shape != (channels,):
            what = f"Fold_{fold} does not hold {channels} means and stds, one per channel"
            raise DataError(what, where=file, remedy=_COMPUTE)
        if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
            what = f"Fold_{fold} holds a std that is not positive or a number that is not finite"
            raise DataError(what, where=file, remedy=_COMPUTE)
    return statistics


def average_over_folds(
    statistics: FoldStatistics, folds: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Averages the statistics of a split's train folds, each fold counting once.

    Args:
      statistics: Mean and std of at least `folds`.
      folds: The train folds.

    Returns:
      Mean and standard deviation, (c,) float32 each, in the stored unit.
    """
    mean, std = (np.mean([statistics[fold][i] for fold in folds], axis=0) for i in (0, 1))
    return mean.astype(np.float32), std.astype(np.float32)
