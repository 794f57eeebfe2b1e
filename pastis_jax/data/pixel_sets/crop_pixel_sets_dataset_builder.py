"""TFDS builder: a folder of pixel sets as ArrayRecord files, without TensorFlow."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from pastis_jax.data import folder_builder
from pastis_jax.data.folder_builder import (
    array_feature,
    series_feature,
    split_name,
    text_feature,
)
from pastis_jax.data.layout import LOOK
from pastis_jax.data.metadata import GEOMETRIC_FEATURES, Parcel
from pastis_jax.data.pixel_sets.folder import PixelSetFolder
from pastis_jax.data.pixel_sets.opening import PixelSets
from pastis_jax.data.statistics import StatisticsAccumulator, statistics_to_json
from pastis_jax.data.survey import Survey
from pastis_jax.errors import DataError

PARCELS_PER_SHARD = 512  # about 110 MB, all of which TFDS keeps in memory while it writes a shard


class Builder(folder_builder.FolderBuilder):
    """Pixel sets, one record per parcel.

    A split for each fold, `fold_1` say, holds its parcels with a crop label, in the order of
    `metadata_parcel.csv`, and `void` holds those without; a split without parcels is left out.

    `info.metadata` holds `modalities`, `lengths` (most dates of a parcel, by modality), `counts`
    (parcels by fold and number of their class, void included), `geometric_features` (their number),
    `statistics` (by modality and fold, mean and std per channel computed from the crop parcels),
    `gaps` (what crop parcels lack, and the parcels that were left out) and `survey` (what the
    values are like).

    Args:
      folder: What opens the folder, with its modalities, dataset and assignment.
      **kwargs: Those of `FolderBuilder`.
    """

    VERSION = tfds.core.Version("2.4.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Give a folder in the layout of the pixel-set version of PASTIS-R as manual_dir: the one with
    metadata_parcel.csv. PASTIS-R itself is at https://zenodo.org/record/5745151.
    """
    ITEMS = "parcels"

    def __init__(self, *, folder: Callable[..., PixelSets] = PixelSetFolder, **kwargs: Any):
        self._open_folder = folder
        super().__init__(**kwargs)

    def _features(self) -> dict[str, Any]:
        classes = self._dataset.nomenclature.classes
        return {
            **{name: series_feature(self._dataset[name], ["pixels"]) for name in self._modalities},
            "label": tfds.features.ClassLabel(
                names=[entry.name for entry in classes], doc="Number of the class."
            ),
            "parcel": text_feature("ID_PARCEL."),
            "patch": text_feature("ID_PATCH of the patch the parcel lies in."),
            "fold": text_feature("The fold."),
            "geometric_features": array_feature(
                (None,), np.float32, f"{', '.join(GEOMETRIC_FEATURES)}, or nothing."
            ),
        }

    def _open(self, root: os.PathLike[str]) -> int:
        self._folder = self._open_folder(
            root, self._modalities, dataset=self._described, assignment=self._assignment
        )
        self._survey = Survey(
            [self._dataset[name] for name in self._modalities], self._dataset.folds
        )
        self._statistics = {
            name: StatisticsAccumulator(self._dataset[name], self._dataset.folds)
            for name in self._modalities
        }
        return len(self._folder.parcels)

    def _shard_iterators_per_split(self, dl_manager):
        splits = {split_name(fold): [] for fold in self._dataset.folds} | {"void": []}
        for parcel in self._folder.parcels:
            name = "void" if self._folder.is_void(parcel) else split_name(parcel.fold)
            splits[name].append(parcel)
        return folder_builder.shards(self._examples, splits, PARCELS_PER_SHARD)

    def _examples(self, parcels: Sequence[Parcel]) -> Iterator[tuple[str, dict[str, Any]]]:
        for parcel in parcels:
            self._bar.update()
            series = self._read(parcel, self._folder.read)
            if series is None:
                continue
            self._survey.add(parcel.fold, parcel.patch, self._survey.measure(series))
            if not self._folder.is_void(parcel):
                for modality, (values, _) in series.items():
                    self._statistics[modality].add(parcel.fold, values)
                days = {modality: days for modality, (_, days) in series.items()}
                blind = self._gaps.unobserved(series)
                self._gaps.add(parcel.id, parcel.fold, days, blind)
            yield (
                str(parcel.id),
                {
                    **{m: {"values": values, "days": days} for m, (values, days) in series.items()},
                    "label": parcel.label,
                    "parcel": str(parcel.id),
                    "patch": str(parcel.patch),
                    "fold": str(parcel.fold),
                    "geometric_features": parcel.geometric_features,
                },
            )

    def _metadata(self) -> dict[str, Any]:
        """Returns what training needs to know of the whole dataset, as plain JSON.

        Raises:
          DataError: If every crop parcel was left out.
        """
        skipped = self._gaps.skipped
        crops = [parcel for parcel in self._folder.parcels if not self._folder.is_void(parcel)]
        if crops and all(parcel.id in skipped for parcel in crops):
            fault = f"values of all {len(crops):,} crop parcels are implausible"
            raise DataError(fault, where=self._folder.root, remedy=LOOK)
        parcels = [parcel for parcel in self._folder.parcels if parcel.id not in skipped]
        patches = [self._folder.patches[patch] for patch in {parcel.patch for parcel in parcels}]
        counts = {fold: Counter() for fold in self._dataset.folds}
        for parcel in parcels:
            counts[parcel.fold][parcel.label] += 1
        return {
            "modalities": list(self._modalities),
            "lengths": {m: max([1, *(len(p.days[m]) for p in patches)]) for m in self._modalities},
            "counts": {
                str(fold): {str(label): n for label, n in sorted(labels.items())}
                for fold, labels in counts.items()
            },
            "geometric_features": len(self._folder.parcels[0].geometric_features),
            "survey": self._survey.to_json(),
            "statistics": statistics_to_json(
                {m: accumulator.compute() for m, accumulator in self._statistics.items()}
            ),
            "gaps": self._gaps.to_json(),
        }
