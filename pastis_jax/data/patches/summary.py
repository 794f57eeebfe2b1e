"""What training needs to know of a whole patch folder, gathered patch by patch."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from pastis_jax.data.gaps import GapFinder
from pastis_jax.data.metadata import Patch
from pastis_jax.data.patches.folder import Annotations, PatchFolder, StoredSeries
from pastis_jax.data.statistics import StatisticsAccumulator, statistics_to_json
from pastis_jax.errors import DataError

Measures = tuple[tuple[int, int], np.ndarray, int, dict[str, np.ndarray], tuple[str, ...]]
"""Size h, w; pixels by number of the class; number of instances; moments of each modality; those
modalities without an observed date."""


class PatchSummary:
    """Gathers sizes, pixels by label, instances, gaps and, on request, channel statistics.

    Args:
      folder: The folder.
      statistics: Whether to compute channel statistics.
      gaps: Where gaps are gathered; by default anew.

    Attributes:
      gaps: Where gaps are gathered; patches skipped there count nowhere else.
    """

    def __init__(self, folder: PatchFolder, *, statistics: bool, gaps: GapFinder | None = None):
        self._folder = folder
        dataset = folder.dataset
        self._folds, self._classes = dataset.folds, len(dataset.nomenclature.classes)
        self._accumulators = {
            m: StatisticsAccumulator(dataset[m], dataset.folds)
            for m in folder.modalities
            if statistics
        }
        self._pixels = {fold: np.zeros(self._classes, np.int64) for fold in dataset.folds}
        self._first: tuple[Patch, tuple[int, int]] | None = None
        self._most_instances = 0
        self.gaps = gaps or GapFinder(dataset)

    def measure(self, patch: Patch, series: StoredSeries, annotations: Annotations) -> Measures:
        """Measures one patch; may run in any thread."""
        semantic = annotations.semantic
        pixels = np.bincount(semantic.ravel(), minlength=self._classes)
        numbers = self._folder.instance_numbers(patch, annotations)
        grown = ~self._folder.dataset.nomenclature.is_background(semantic)
        instances = len(np.unique(numbers[grown]))
        moments = {m: sums.moments(series[m][0]) for m, sums in self._accumulators.items()}
        unobserved = tuple(self.gaps.unobserved(series))
        return semantic.shape, pixels, instances, moments, unobserved

    def add(self, patch: Patch, measures: Measures) -> None:
        """Counts one patch.

        Raises:
          DataError: If it has another size than the first one.
        """
        size, pixels, instances, moments, unobserved = measures
        first, expected = self._first = self._first or (patch, size)
        if size != expected:
            fault = f"{size[0]} x {size[1]} pixels where patch {first.id} has "
            fault += f"{expected[0]} x {expected[1]}"
            file = self._folder.file(patch, self._folder.modalities[0])
            raise DataError(fault, where=file, remedy="cut all patches to one size")
        self._pixels[patch.fold] += pixels
        self._most_instances = max(self._most_instances, instances)
        self.gaps.add(patch.id, patch.fold, patch.days, unobserved)
        for modality, measured in moments.items():
            self._accumulators[modality].add_moments(patch.fold, measured)

    def facts(self) -> dict[str, Any]:
        """Returns, as plain JSON, what all patches that were added have in common.

        Raises:
          DataError: If none was added.
        """
        every, root = self._folder.patches.values(), self._folder.root
        if self._first is None:
            fault = f"values of all {len(every)} patches are implausible"
            raise DataError(fault, where=root, remedy="look at them by pastis-jax inspect")
        patches = [patch for patch in every if patch.id not in self.gaps.skipped]
        counts = Counter(patch.fold for patch in patches)
        return {
            "modalities": list(self._folder.modalities),
            "lengths": {
                m: max([1, *(len(p.days[m]) for p in patches)]) for m in self._folder.modalities
            },
            "size": list(self._first[1]),
            "most_instances": self._most_instances,
            "patches": {str(fold): counts[fold] for fold in self._folds},
            "pixels": {
                str(fold): {str(label): int(n) for label, n in enumerate(pixels) if n}
                for fold, pixels in self._pixels.items()
            },
            "gaps": self.gaps.to_json(),
        }

    def statistics(self) -> dict[str, Any]:
        """Returns the channel statistics by modality and fold as plain JSON."""
        return statistics_to_json({m: sums.compute() for m, sums in self._accumulators.items()})
