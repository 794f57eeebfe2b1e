"""What the values of a folder are like: gathered while it is checked, sample by sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.dataset import Dataset, Fold
from pastis_jax.data.metadata import Identifier
from pastis_jax.data.modality import Modality
from pastis_jax.data.surveyed import PATCHES, MeasuredFold, Surveyed

_VALUES = 2048
"""About the most values of a channel that are looked at in one series."""


def _places(number: int, step: int) -> np.ndarray:
    """One of every `step` pixels of `number`, (n,): always the same ones, at any row and column.

    Equal steps would stay in one column where they are as long as rows.
    """
    starts = np.arange(0, max(number - step, 0) + 1, step)
    return starts + np.random.default_rng(number).integers(0, min(step, number), len(starts))


class Survey:
    """Gathers what modalities are like, parcel by parcel or patch by patch.

    Args:
      modalities: The modalities.
      folds: All folds.
    """

    def __init__(self, modalities: Sequence[Modality], folds: Sequence[Fold]):
        self._modalities = {modality.name: modality for modality in modalities}
        self._items = {name: {fold: [] for fold in folds} for name in self._modalities}
        self._patches: dict[str, dict[Identifier, list[np.ndarray]]] = {
            name: {} for name in self._modalities
        }
        self._counts = {name: np.zeros(2, int) for name in self._modalities}

    def measure(self, series: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
        """Measures one parcel or patch; may run in any thread.

        Args:
          series: Values (t, c, ...) as they are stored, and days, by modality.

        Returns:
          By modality, its number of acquisitions, how many are blank, and mean, standard deviation,
          median and darkest twentieth of each channel, (4, c) float32, or None.
        """
        return {name: self._of(series[name][0], name) for name in self._modalities}

    def _of(self, values: np.ndarray, name: str) -> tuple[int, int, np.ndarray | None]:
        modality, (t, c) = self._modalities[name], values.shape[:2]
        if not values.size:
            return t, 0, None
        values = values.reshape(t, c, -1)
        blank = modality.blank(values, (1, 2)).reshape(t)
        places = _places(values.shape[2], max(1, t * values.shape[2] // _VALUES))
        chosen = values[:, :, places][~blank].astype(np.float32)
        missing = modality.missing(chosen)
        flat = chosen.swapaxes(0, 1).reshape(c, -1)
        if missing is not None and missing.any():
            flat = flat[:, ~missing.any(1).reshape(-1)]
        if not flat.shape[1]:
            return t, int(blank.sum()), None
        ordered = np.sort(flat, 1)
        median, dark = (ordered[:, int(share * (flat.shape[1] - 1))] for share in (0.5, 0.05))
        moments = np.stack((flat.mean(1), flat.std(1), median, dark))
        return t, int(blank.sum()), moments

    def add(self, fold: Fold, patch: Identifier, measured: Mapping[str, Any]) -> None:
        """Counts one parcel or patch of `fold`, in `patch`, by what `measure` gave."""
        for name, (acquisitions, blank, moments) in measured.items():
            self._counts[name] += acquisitions, blank
            if moments is not None:
                self._items[name][fold].append(moments)
                self._patches[name].setdefault(patch, []).append(moments[0])

    def to_json(self) -> dict[str, Any]:
        """Returns what was gathered as plain JSON."""
        return {name: self._plain(name) for name in self._modalities}

    def _plain(self, name: str) -> dict[str, Any]:
        folds = {}
        for fold, items in self._items[name].items():
            if items:
                mean, std, median, dark = np.array(items, np.float64).swapaxes(0, 1)
                variance = (std**2).mean(0)
                spreads = np.sqrt(variance), np.sqrt(variance + mean.var(0))
                own = (mean.mean(0), *spreads, np.median(median, 0), np.median(dark, 0))
                folds[str(fold)] = [moment.tolist() for moment in own]
        means = np.array([np.mean(some, 0) for some in self._patches[name].values()], np.float64)
        error = None
        if len(means) >= PATCHES:
            error = (means.std(0, ddof=1) / np.sqrt(len(means))).tolist()
        acquisitions, blank = self._counts[name].tolist()
        return {"folds": folds, "error": error, "acquisitions": acquisitions, "blank": blank}


def from_json(content: Mapping[str, Any], dataset: Dataset) -> dict[str, Surveyed]:
    """Returns what `Survey.to_json` wrote, by modality of `dataset`."""
    return {
        name: Surveyed(
            modality=dataset[name],
            folds={
                dataset.fold(fold): MeasuredFold(*map(np.array, own))
                for fold, own in entry["folds"].items()
            },
            error=None if entry["error"] is None else np.array(entry["error"]),
            acquisitions=entry["acquisitions"],
            blank=entry["blank"],
        )
        for name, entry in content.items()
    }
