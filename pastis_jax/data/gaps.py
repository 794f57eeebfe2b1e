"""What samples lack: a modality, every observation, or plausible values."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.dataset import Dataset, Fold, Modality
from pastis_jax.data.metadata import Identifier, parse_identifier
from pastis_jax.errors import DataError

_ByFold = Mapping[str, Mapping[Fold, tuple[Identifier, ...]]]


@dataclasses.dataclass(frozen=True)
class Gaps:
    """What the samples of a folder lack; of void parcels nothing is told.

    Attributes:
      absent: Samples without a modality, by modality and fold.
      unobserved: By modality and fold, samples that have no date of it at which every channel was
        observed: encodings mask all of them. Those without the modality are among them.
      skipped: Samples that were left out for implausible values, and what was wrong.
    """

    absent: _ByFold = dataclasses.field(default_factory=dict)
    unobserved: _ByFold = dataclasses.field(default_factory=dict)
    skipped: Mapping[Identifier, str] = dataclasses.field(default_factory=dict)

    def without(self, modality: str, folds: Iterable[Fold]) -> list[Identifier]:
        """Samples of `folds` without a modality."""
        return _of_folds(self.absent, modality, folds)

    def without_dates(self, modalities: Sequence[str], folds: Iterable[Fold]) -> list[Identifier]:
        """Samples of `folds` without an observed date of any of `modalities`."""
        folds, (first, *others) = tuple(folds), modalities
        blind = [{*_of_folds(self.unobserved, name, folds)} for name in others]
        without = _of_folds(self.unobserved, first, folds)
        return [sample for sample in without if all(sample in other for other in blind)]

    @classmethod
    def from_json(cls, content: Mapping[str, Any], dataset: Dataset) -> Gaps:
        """Returns what `GapFinder.to_json` gave."""

        def by_fold(of: Mapping[str, Mapping[str, Sequence[Any]]]) -> _ByFold:
            return {
                name: {
                    dataset.fold(fold): tuple(map(parse_identifier, ids))
                    for fold, ids in folds.items()
                }
                for name, folds in of.items()
            }

        skipped = {parse_identifier(name): text for name, text in content["skipped"].items()}
        return cls(by_fold(content["absent"]), by_fold(content["unobserved"]), skipped)


def _of_folds(of: _ByFold, name: str, folds: Iterable[Fold]) -> list[Identifier]:
    return [sample for fold in folds for sample in of.get(name, {}).get(fold, ())]


def any_observed(values: np.ndarray, modality: Modality) -> bool:
    """Whether every channel has an observed pixel at some date; else no date is valid.

    Args:
      values: Shape (t, c, ...), in the stored unit.
      modality: What observed them.
    """
    missing = modality.missing(values, range(1, values.ndim))
    if missing is None or not values.size:
        return len(values) > 0
    seen = ~missing.all(tuple(range(2, missing.ndim)))
    return bool(seen.all(1).any())


class GapFinder:
    """Gathers `Gaps`, sample by sample.

    Args:
      dataset: What the samples are of.
    """

    def __init__(self, dataset: Dataset):
        self._dataset = dataset
        self._absent: dict[str, dict[Fold, list[Identifier]]] = {}
        self._unobserved: dict[str, dict[Fold, list[Identifier]]] = {}
        self.skipped: dict[Identifier, str] = {}
        """Samples that were left out."""

    def unobserved(self, series: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Iterator[str]:
        """The modalities of a sample without an observed date; may run in any thread."""
        for name, (values, _) in series.items():
            if not any_observed(values, self._dataset[name]):
                yield name

    def add(
        self,
        identifier: Identifier,
        fold: Fold,
        days: Mapping[str, np.ndarray],
        unobserved: Iterable[str],
    ) -> None:
        """Counts a sample.

        Args:
          identifier: The sample.
          fold: Its fold.
          days: Days of its acquisitions, by modality.
          unobserved: What `unobserved` gave.
        """
        for name in (name for name, of in days.items() if not len(of)):
            self._absent.setdefault(name, {}).setdefault(fold, []).append(identifier)
        for name in unobserved:
            self._unobserved.setdefault(name, {}).setdefault(fold, []).append(identifier)

    def skip(self, identifier: Identifier, error: DataError) -> None:
        """Counts a sample that is left out."""
        self.skipped[identifier] = f"{pathlib.Path(error.where).name}: {error.fault}"

    def to_json(self) -> dict[str, Any]:
        """Returns what was found as plain JSON."""

        def by_fold(of):
            return {name: {str(fold): ids for fold, ids in x.items()} for name, x in of.items()}

        return {
            "absent": by_fold(self._absent),
            "unobserved": by_fold(self._unobserved),
            "skipped": {str(sample): text for sample, text in self.skipped.items()},
        }
