"""Channel statistics for normalisation, fold by fold, and their average over the train folds.

The published rule: a fold's mean is the mean over its items (parcels or patches) of each item's
mean, its standard deviation the mean over its items of each item's standard deviation; a split
normalises with the plain average over its train folds, so that no validation or test item ever
enters.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.dataset import Dataset, Fold
from pastis_jax.data.modality import Modality
from pastis_jax.data.reading import read_json
from pastis_jax.errors import DataError

Statistics = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Mean and standard deviation per channel, (c,) float32 each in the unit (what is stored, with the
offset added), by modality."""

FoldStatistics = Mapping[Fold, tuple[np.ndarray, np.ndarray]]
"""Mean and standard deviation of what is stored, each (c,) float64, of each fold."""

COMPUTE = "restore it, or add `compute_statistics` to compute them from the data"


class StatisticsAccumulator:
    """Computes a modality's fold statistics from the parcels or patches, one after the other.

    Differs from the reference: nodata (-10000 in S2) is left out, the reference counts it as a
    reflectance. Items without any measured value in a channel do not count for it.

    Args:
      modality: The modality.
      folds: All folds.
    """

    def __init__(self, modality: Modality, folds: Sequence[Fold]):
        self._modality = modality
        # Sums of means, of deviations, of ones.
        self._sums = {fold: np.zeros((3, len(modality.channels))) for fold in folds}

    def add(self, fold: Fold, values: np.ndarray) -> None:
        """Counts one parcel or patch of `fold` with `values` (t, c, ...) in the stored unit."""
        self.add_moments(fold, self.moments(values))

    def add_moments(self, fold: Fold, moments: np.ndarray) -> None:
        """Counts one parcel or patch of `fold` by its `moments`."""
        self._sums[fold] += moments

    def moments(self, values: np.ndarray) -> np.ndarray:
        """Returns mean, std and count (1, or 0 where nothing was measured) per channel, (3, c)."""
        t, c = values.shape[:2]
        if not values.size:
            return np.zeros((3, c))
        wide = values.reshape(t, c, -1).astype(np.float32)
        missing = self._modality.missing(wide, (1, 2))
        measured = True if missing is None else ~missing
        if np.all(measured):
            mean, std = wide.mean((0, 2)), wide.std((0, 2))
            return np.stack((mean, std, np.ones_like(mean)))
        count = np.sum(measured, (0, 2))
        divisor = np.maximum(count, 1)
        mean = np.sum(wide, (0, 2), where=measured) / divisor
        square = np.sum((wide - mean[:, None]) ** 2, (0, 2), where=measured) / divisor
        return np.where(count > 0, (mean, np.sqrt(square), np.ones_like(mean)), 0.0)

    def compute(self) -> dict[Fold, tuple[np.ndarray, np.ndarray]]:
        """Returns mean and std, (c,) float64 each, of every fold; 0 where nothing was measured."""
        return {
            fold: (mean / np.maximum(count, 1), std / np.maximum(count, 1))
            for fold, (mean, std, count) in self._sums.items()
        }


def fold_statistics_from_norm(
    file: pathlib.Path,
    modality: Modality,
    folds: Sequence[Fold],
    *,
    without: Collection[Fold] = (),
) -> FoldStatistics:
    """Reads a `NORM_PARCEL_<modality>_set.json` or `NORM_<modality>_patch.json`.

    Args:
      file: The file, `{"Fold_1": {"mean": [...], "std": [...]}, ...}`.
      modality: Whose channels it must describe.
      folds: The folds it must hold.
      without: Those of them that no sample with this modality is in, which it may lack.

    Returns:
      The statistics of the folds that it holds.

    Raises:
      DataError: If the file is missing, lacks a fold or is not of this form, or a fold's numbers
        are not one finite mean and one positive standard deviation per channel.
    """
    channels = len(modality.channels)
    if not os.path.lexists(file):
        fault = f"no normalisation statistics of {modality.name}"
        raise DataError(fault, where=file, remedy=COMPUTE)
    content = read_json(file, kind="normalisation statistics", remedy=COMPUTE)
    try:
        statistics = {
            fold: tuple(_numbers(content[f"Fold_{fold}"][key], key) for key in ("mean", "std"))
            for fold in folds
            if fold not in without or f"Fold_{fold}" in content
        }
    except KeyError as error:
        raise DataError(f"lacks {error}", where=file, remedy=COMPUTE) from error
    except (ValueError, TypeError, OverflowError) as error:
        fault = f"not normalisation statistics ({error})"
        raise DataError(fault, where=file, remedy=COMPUTE) from error
    for fold, (mean, std) in statistics.items():
        if mean.shape != (channels,) or std.shape != (channels,):
            fault = f"Fold_{fold} does not hold {channels} means and stds, one per channel"
            raise DataError(fault, where=file, remedy=COMPUTE)
        if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
            fault = f"Fold_{fold} holds a std that is not positive or a number that is not finite"
            raise DataError(fault, where=file, remedy=COMPUTE)
    return statistics


def _numbers(values: Any, name: str) -> np.ndarray:
    plain = isinstance(values, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )
    if not plain:
        raise ValueError(f"{name} is not a list of numbers")
    return np.array(values, np.float64)


def average_over_folds(
    statistics: FoldStatistics, folds: Sequence[Fold]
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


def folds_with(
    statistics: FoldStatistics, folds: Sequence[Fold], measured: Collection[Fold]
) -> tuple[Fold, ...]:
    """Returns those of `folds` that have statistics of a modality.

    Args:
      statistics: Its mean and std by fold; computed ones are 0 where nothing was measured.
      folds: The folds.
      measured: Folds of which a sample has the modality, whatever their statistics.
    """
    return tuple(
        fold
        for fold in folds
        if fold in statistics and (fold in measured or np.any(statistics[fold]))
    )


def split_statistics(
    statistics: Mapping[str, FoldStatistics],
    modalities: Sequence[Modality],
    folds: Sequence[Fold],
    root: pathlib.Path,
    measured: Mapping[str, Collection[Fold]],
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns what a split that trains on `folds` normalises with.

    Args:
      statistics: Mean and std of each modality and fold.
      modalities: Modalities of the split.
      folds: Its train folds.
      root: The dataset's folder, for the message.
      measured: Folds of which a sample has the modality, by modality; others count only where
        statistics of them were published.

    Returns:
      Mean and standard deviation, (c,) float32 each, of each modality in its unit: the offset is
      added to the mean.

    Raises:
      DataError: If a channel never varies in a fold, or no fold has a modality.
    """
    counted = {
        m.name: folds_with(statistics[m.name], folds, measured.get(m.name, ())) for m in modalities
    }
    for modality in modalities:
        if not counted[modality.name]:
            fault = f"{modality.name} has no measured value in fold {', '.join(map(str, folds))}"
            remedy = f"train on folds that have it, or leave {modality.name} out of `modalities`"
            raise DataError(fault, where=_series_of(root, modality.name), remedy=remedy)
        for fold in counted[modality.name]:
            dead = ~(statistics[modality.name][fold][1] > 0)
            if dead.any():
                channel = modality.channels[dead.argmax()]
                raise DataError(
                    f"{channel} never varies in fold {fold}",
                    where=_series_of(root, modality.name),
                    remedy=f"give its measured values, or leave {modality.name} out",
                )
    averages = {m.name: average_over_folds(statistics[m.name], counted[m.name]) for m in modalities}
    return {
        m.name: (mean + np.float32(m.offset), std)
        for m, (mean, std) in zip(modalities, averages.values(), strict=True)
    }


def _series_of(root: pathlib.Path, name: str) -> pathlib.Path:
    """Where the series of a modality lie."""
    folder = root / f"DATA_{name}"
    return folder if folder.is_dir() else root


def statistics_to_json(
    statistics: Mapping[str, FoldStatistics],
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Returns statistics by modality and fold as plain JSON."""
    return {
        modality: {
            str(fold): {"mean": mean.tolist(), "std": std.tolist()}
            for fold, (mean, std) in folds.items()
        }
        for modality, folds in statistics.items()
    }


def check_moments(
    statistics: Mapping[str, FoldStatistics],
    modalities: Sequence[Modality],
    folds: Sequence[Fold],
) -> None:
    """Compares computed statistics with what they should be of.

    Raises:
      ValueError: If a modality, fold or channel has none, or one that is not finite.
    """
    for modality in modalities:
        for fold in folds:
            moments = np.stack(statistics[modality.name][fold]).astype(np.float64)
            if moments.shape != (2, len(modality.channels)) or not np.isfinite(moments).all():
                raise ValueError(f"no statistics of {modality.name} in fold {fold}")


def statistics_from_json(
    content: Mapping[str, Mapping], dataset: Dataset
) -> dict[str, FoldStatistics]:
    """Returns what `statistics_to_json` was given, of the modalities and folds of `dataset`."""
    return {
        modality: {
            dataset.fold(fold): (np.array(channel["mean"]), np.array(channel["std"]))
            for fold, channel in folds.items()
        }
        for modality, folds in content.items()
    }
