"""What training needs to know of a whole patch folder, gathered patch by patch."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from pastis_jax.data.gaps import GapFinder
from pastis_jax.data.layout import LOOK
from pastis_jax.data.metadata import Patch
from pastis_jax.data.patches.agreement import (
    Contradiction,
    ParcelFolds,
    crop_parcels,
    in_parcels,
)
from pastis_jax.data.patches.annotations import Annotations
from pastis_jax.data.patches.folder import PatchFolder, StoredSeries
from pastis_jax.data.patches.instances import instances_from_parcels
from pastis_jax.data.statistics import StatisticsAccumulator, statistics_to_json
from pastis_jax.data.survey import Survey
from pastis_jax.errors import DataError


@dataclasses.dataclass(frozen=True)
class Measures:
    """What is measured of one patch.

    Attributes:
      size: Rows and columns h, w.
      pixels: Pixels by number of the class.
      instances: Number of instances.
      moments: Of each modality.
      contradictions: What its annotations say against each other.
      parcels: `ParcelIDs` of its crop pixels, (n,).
      days: Of each modality; none where it is missing throughout.
      unobserved: Modalities without an observed date.
      survey: What `Survey.measure` gives.
    """

    size: tuple[int, int]
    pixels: np.ndarray
    instances: int
    moments: Mapping[str, np.ndarray]
    contradictions: list[Contradiction]
    parcels: np.ndarray
    days: Mapping[str, np.ndarray]
    unobserved: tuple[str, ...]
    survey: Mapping[str, Any]


class PatchSummary:
    """Gathers sizes, pixels by label, instances, contradictions, parcels of several folds, gaps
    and, on request, channel statistics.

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
        self._survey = Survey([dataset[m] for m in folder.modalities], dataset.folds)
        self._first: tuple[Patch, tuple[int, int]] | None = None
        self._most_instances = 0
        self.gaps = gaps or GapFinder(dataset)
        self._contradictions: dict[str, Contradiction] = {}
        self._parcels = ParcelFolds(dataset.folds)

    def measure(self, patch: Patch, series: StoredSeries, annotations: Annotations) -> Measures:
        """Measures one patch; may run in any thread."""
        semantic, nomenclature = annotations.semantic, self._folder.dataset.nomenclature
        pixels = np.bincount(semantic.ravel(), minlength=self._classes)
        numbers = self._folder.instance_numbers(patch, annotations)
        inside = in_parcels(semantic, numbers, nomenclature)
        return Measures(
            size=semantic.shape,
            pixels=pixels,
            instances=int(instances_from_parcels(numbers, inside).max()),
            moments={m: sums.moments(series[m][0]) for m, sums in self._accumulators.items()},
            contradictions=self._folder.contradictions(patch, annotations),
            parcels=crop_parcels(semantic, annotations.parcel_ids, nomenclature),
            days={m: days for m, (_, days) in series.items()},
            unobserved=tuple(self.gaps.unobserved(series)),
            survey=self._survey.measure(series),
        )

    def add(self, patch: Patch, measures: Measures) -> None:
        """Counts one patch.

        Raises:
          DataError: If it has another size than the first one.
        """
        size = measures.size
        first, expected = self._first = self._first or (patch, size)
        if size != expected:
            fault = f"{size[0]} x {size[1]} pixels where patch {first.id} has "
            fault += f"{expected[0]} x {expected[1]}"
            file = self._folder.file(patch, self._folder.modalities[0])
            raise DataError(fault, where=file, remedy="cut all patches to one size")
        self._pixels[patch.fold] += measures.pixels
        self._most_instances = max(self._most_instances, measures.instances)
        self.gaps.add(patch.id, patch.fold, measures.days, measures.unobserved)
        self._survey.add(patch.fold, patch.id, measures.survey)
        for modality, measured in measures.moments.items():
            self._accumulators[modality].add_moments(patch.fold, measured)
        if measures.contradictions:
            self._contradictions[str(patch.id)] = measures.contradictions[0]
        self._parcels.add(measures.parcels, patch.fold)

    def facts(self) -> dict[str, Any]:
        """Returns, as plain JSON, what all patches that were added have in common.

        Raises:
          DataError: If none was added.
        """
        every, root = self._folder.patches.values(), self._folder.root
        if self._first is None:
            fault = f"values of all {len(every)} patches are implausible"
            raise DataError(fault, where=root, remedy=LOOK)
        patches = [patch for patch in every if patch.id not in self.gaps.skipped]
        counts = Counter(patch.fold for patch in patches)
        return {
            "modalities": list(self._folder.modalities),
            "lengths": {
                m: max([1, *(len(p.days[m]) for p in patches)]) for m in self._folder.modalities
            },
            "size": list(self._first[1]),
            "survey": self._survey.to_json(),
            "most_instances": self._most_instances,
            "patches": {str(fold): counts[fold] for fold in self._folds},
            "pixels": {
                str(fold): {str(label): int(n) for label, n in enumerate(pixels) if n}
                for fold, pixels in self._pixels.items()
            },
            "gaps": self.gaps.to_json(),
            # The first one of each patch that has any.
            "contradictions": {
                name: dataclasses.asdict(first) for name, first in self._contradictions.items()
            },
            "shared_parcels": [dataclasses.asdict(some) for some in self._parcels.shared()],
        }

    def statistics(self) -> dict[str, Any]:
        """Returns the channel statistics by modality and fold as plain JSON."""
        return statistics_to_json({m: sums.compute() for m, sums in self._accumulators.items()})
