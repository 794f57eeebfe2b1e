"""What prepared folders of both layouts have in common."""

from __future__ import annotations

import abc
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np

from pastis_jax.data import surveyed
from pastis_jax.data.dataset import Dataset, Fold
from pastis_jax.data.gaps import Gaps
from pastis_jax.data.statistics import (
    FoldStatistics,
    Statistics,
    folds_with,
    split_statistics,
)
from pastis_jax.data.surveyed import Surveyed
from pastis_jax.errors import DataError


class Prepared(abc.ABC):
    """A folder, checked and ready for random access.

    Attributes:
      SAMPLE: What is wanted of each fold.
      listing: Name of the file that lists the samples.
      root: The folder.
      dataset: What it holds.
      modalities: Names of the modalities that records hold.
      gaps: What samples lack.
      survey: What the values are like, by modality.
      published: Statistics of the NORM files; nothing where they are not used.
      fold_statistics: Channel means and standard deviations by modality and fold.
    """

    SAMPLE: ClassVar[str]
    listing: str
    root: pathlib.Path
    dataset: Dataset
    modalities: tuple[str, ...]
    gaps: Gaps
    survey: Mapping[str, Surveyed]
    published: Mapping[str, FoldStatistics]
    fold_statistics: Mapping[str, FoldStatistics]

    @abc.abstractmethod
    def samples_in(self, fold: Fold) -> int:
        """Number of samples of a fold."""

    def holds(self, folds: Sequence[Fold]) -> bool:
        """Whether each of `folds` has a sample."""
        return all(self.samples_in(fold) for fold in folds)

    def _measured(self, name: str) -> list[Fold]:
        """Folds of which a sample has a modality."""
        absent = {fold: len(self.gaps.without(name, [fold])) for fold in self.dataset.folds}
        return [fold for fold, number in absent.items() if number < self.samples_in(fold)]

    def check_folds(self, folds: Sequence[Fold]) -> None:
        """Refuses folds of which there is nothing.

        Raises:
          DataError: Naming the first fold without a sample.
        """
        for fold in folds:
            if not self.holds([fold]):
                raise DataError(
                    f"no {self.SAMPLE} in fold {fold}",
                    where=self.root / self.listing,
                    remedy="choose another `fold`, or give the whole dataset",
                )

    def statistics(self, train_folds: Sequence[Fold]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Returns the channel statistics to normalise with when training on `train_folds`.

        Returns:
          Mean and standard deviation, (c,) float32 each, of each modality in its stored unit.

        Raises:
          DataError: If a fold has no sample, or a channel that never varies, or no fold has a
            modality; folds without one do not count for it.
        """
        self.check_folds(train_folds)
        modalities = [self.dataset[name] for name in self.modalities]
        measured = {name: self._measured(name) for name in self.modalities}
        return split_statistics(self.fold_statistics, modalities, train_folds, self.root, measured)

    def check_statistics(self, statistics: Statistics) -> None:
        """Refuses statistics of a run that cannot be used on these values.

        Args:
          statistics: Mean and standard deviation of each channel in its unit, by modality.

        Raises:
          DataError: Naming the channel, and what was measured of it.
        """
        surveyed.check_run(self.survey, statistics, self.root)

    def notes(
        self, folds: Mapping[str, Sequence[Fold]], run: Statistics | None = None
    ) -> tuple[str, ...]:
        """Returns what a reader should know of these splits, a line each.

        Args:
          folds: Folds of each split.
          run: Statistics of a run that takes the place of the folder's own.
        """
        chosen = {fold for names in folds.values() for fold in names}
        own = () if run is not None else self._without_statistics(folds["train"])
        return *own, *surveyed.notes(self.survey, chosen, self.published, run)

    def _without_statistics(self, train_folds: Sequence[Fold]) -> Iterator[str]:
        for name, statistics in self.fold_statistics.items():
            if name not in self.modalities:
                continue
            with_it = folds_with(statistics, train_folds, self._measured(name))
            without = [str(fold) for fold in train_folds if fold not in with_it]
            if with_it and without:  # without any, training is refused
                yield (
                    f"no sample of fold {', '.join(without)} has {name}: it is normalised by the "
                    f"statistics of fold {', '.join(map(str, with_it))}"
                )
