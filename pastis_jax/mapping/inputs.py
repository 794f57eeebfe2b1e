"""Windows of a Region as a run takes them: read, counted, padded, stacked, as they are stored."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from pastis_jax.data.dataset import Dataset
from pastis_jax.data.modality import Modality
from pastis_jax.data.patches.encoding import PatchEncoding, store_frames
from pastis_jax.data.regions.grid import touched
from pastis_jax.data.regions.records.window_series import WindowSeries
from pastis_jax.data.regions.store import Region
from pastis_jax.mapping.season import Season
from pastis_jax.runs import Run
from pastis_jax.types import Stored

_STEP = 8
"""Dates by which series are padded: one program serves windows of about as many."""

Acquisitions = tuple[np.ndarray, np.ndarray]
"""Values as they are stored, (t, c, h, w), and days (t,)."""
Frames = Mapping[str, Acquisitions]
"""Acquisitions of a window by modality."""
_NOTHING: Acquisitions = np.zeros(0), np.zeros(0, np.int32)


class Stacker:
    """Makes what a run takes of the acquisitions of windows or patches.

    Args:
      run: The run.
      dataset: What the acquisitions are of; modalities of the run may be missing.
      start: Day 0 of the days.
    """

    def __init__(self, run: Run, dataset: Dataset, start: datetime.date):
        self._run, self._dataset, self._start = run, dataset, start
        self.modalities = run.modalities

    def taken(self, name: str, values: np.ndarray, days: np.ndarray) -> Acquisitions:
        """Of the acquisitions of one modality, those that the run takes: all, or a single one."""
        if self._single is None:
            return values, days
        chosen = list(self._single.acquisitions(name, values, days, "here"))
        return values[chosen], days[chosen]

    @functools.cached_property
    def _single(self) -> PatchEncoding | None:
        date = getattr(self._run.saved.record_options(), "date", None)
        if date is None:
            return None
        dataset = dataclasses.replace(self._dataset, season_start=self._start)
        return PatchEncoding(dataset, {}, {}, self._run.classes, size=(1, 1), date=date)

    def counts(self, frames: Frames, shape: tuple[int, int]) -> np.ndarray:
        """Valid dates of each pixel by modality, (m, h, w) uint16: every channel was observed."""
        counts = np.zeros((len(self.modalities), *shape), np.uint16)
        for place, name in enumerate(self.modalities):
            if name in frames:
                counts[place] = observed(frames[name][0], self._dataset[name]).sum(0)
        return counts

    def stack(
        self, several: Sequence[Frames], size: int, shape: tuple[int, int]
    ) -> dict[str, Stored]:
        """Pads windows and stacks them, by modality.

        Args:
          several: At most `size` windows.
          size: Samples ``b`` of the batch; those beyond the windows have no valid date.
          shape: Rows and columns of the windows.

        Returns:
          What is stored, ``b t c h w``.
        """
        batch = {}
        for name in self.modalities:
            most = max((len(x[name][1]) for x in several if name in x), default=0)
            length = max(-(-most // _STEP), 1) * _STEP
            samples = [self._store(name, x.get(name, _NOTHING), length, shape) for x in several]
            if len(samples) < size:
                blank = self._store(name, _NOTHING, length, shape)
                samples += [blank] * (size - len(samples))
            batch[name] = jax.tree.map(_stack, *samples)
        return batch

    def _store(
        self, name: str, frames: Acquisitions, length: int, shape: tuple[int, int]
    ) -> Stored:
        dataset = self._dataset if name in self._dataset.names else self._run.dataset
        moments = self._run.saved.learned.statistics[name]
        return store_frames(*frames, dataset[name], moments, length=length, size=shape)


def _stack(*arrays: np.ndarray) -> np.ndarray:
    """Stacks arrays; a single one is large, and is not copied."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


class Inputs(Stacker):
    """Reads what a run takes of a Region. Reading may run in any thread.

    Args:
      run: The run.
      region: The Region.
      season: The acquisitions that count.
      max_cloud: Largest clouded share of the observed pixels of a window; None takes all.
    """

    def __init__(self, run: Run, region: Region, season: Season, max_cloud: float | None):
        super().__init__(run, region.dataset, season.start)
        self._region, self._season, self._max_cloud = region, season, max_cloud

    def read(self, rows: slice, columns: slice) -> Frames:
        """Reads the acquisitions that observed any chunk that a window touches."""
        frames = {}
        for name, acquired in self._season.acquired.items():
            seen = self._region.observed(name)[:, touched(rows), touched(columns)].any((1, 2))
            of = acquired.among(np.flatnonzero(seen))
            window = (self._region, name, rows, columns, of.numbers, self._max_cloud)
            frames[name] = self.taken(name, np.asarray(WindowSeries(*window)), of.days)
        return frames


def observed(values: np.ndarray, modality: Modality) -> np.ndarray:
    """Where every channel was observed, (t, ...) bool, of values (t, c, ...) as they are stored."""
    missing = modality.missing(values, range(1, values.ndim))
    if missing is None:
        return np.ones((len(values), *values.shape[2:]), bool)
    return ~missing.any(1)
