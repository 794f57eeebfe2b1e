"""What training needs to know of a whole patch folder, gathered patch by patch."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from pastis_jax.data.metadata import Patch
from pastis_jax.data.patches.folder import Annotations, PatchFolder, StoredSeries
from pastis_jax.data.statistics import StatisticsAccumulator, statistics_to_json
from pastis_jax.data.survey import Survey
from pastis_jax.errors import DataError

Measures = tuple[tuple[int, int], np.ndarray, int, dict[str, np.ndarray], dict[str, Any]]
"""Size h, w; pixels by number of the class; number of instances; moments of each modality; what
`Survey.measure` gives."""


class PatchSummary:
    """Gathers sizes, pixels by label, instances and, on request, channel statistics.

    Args:
      folder: The folder.
      statistics: Whether to compute channel statistics.
    """

    def __init__(self, folder: PatchFolder, *, statistics: bool):
        self._folder = folder
        dataset = folder.dataset
        self._folds, self._classes = dataset.folds, len(dataset.nomenclature.classes)
        self._accumulators = {
            m: StatisticsAccumulator(dataset[m], dataset.folds)
            for m in folder.modalities
            if statistics
        }
        self._pixels = {fold: np.zeros(self._classes, np.int64) for fold in dataset.folds}
        self._survey = Survey([dataset[m] for m in folder.modalities], dataset.folds)
        self._first: tuple[Patch, tuple[int, int]] | None = None
        self._most_instances = 0

    def measure(self, patch: Patch, series: StoredSeries, annotations: Annotations) -> Measures:
        """Measures one patch; may run in any thread."""
        semantic = annotations.semantic
        pixels = np.bincount(semantic.ravel(), minlength=self._classes)
        numbers = self._folder.instance_numbers(patch, annotations)
        grown = ~self._folder.dataset.nomenclature.is_background(semantic)
        instances = len(np.unique(numbers[grown]))
        moments = {m: sums.moments(series[m][0]) for m, sums in self._accumulators.items()}
        return semantic.shape, pixels, instances, moments, self._survey.measure(series)

    def add(self, patch: Patch, measures: Measures) -> None:
        """Counts one patch.

        Raises:
          DataError: If it has another size than the first one.
        """
        size, pixels, instances, moments, survey = measures
        first, expected = self._first = self._first or (patch, size)
        if size != expected:
            fault = f"{size[0]} x {size[1]} pixels where patch {first.id} has "
            fault += f"{expected[0]} x {expected[1]}"
            file = self._folder.file(patch, self._folder.modalities[0])
            raise DataError(fault, where=file, remedy="cut all patches to one size")
        self._pixels[patch.fold] += pixels
        self._most_instances = max(self._most_instances, instances)
        self._survey.add(patch.fold, patch.id, survey)
        for modality, measured in moments.items():
            self._accumulators[modality].add_moments(patch.fold, measured)

    def facts(self) -> dict[str, Any]:
        """Returns, as plain JSON, what all patches that were added have in common."""
        patches = self._folder.patches.values()
        counts = Counter(patch.fold for patch in patches)
        return {
            "modalities": list(self._folder.modalities),
            "lengths": {m: max(len(p.days[m]) for p in patches) for m in self._folder.modalities},
            "size": list(self._first[1]),
            "survey": self._survey.to_json(),
            "most_instances": self._most_instances,
            "patches": {str(fold): counts[fold] for fold in self._folds},
            "pixels": {
                str(fold): {str(label): int(n) for label, n in enumerate(pixels) if n}
                for fold, pixels in self._pixels.items()
            },
        }

    def statistics(self) -> dict[str, Any]:
        """Returns the channel statistics by modality and fold as plain JSON."""
        return statistics_to_json({m: sums.compute() for m, sums in self._accumulators.items()})
