"""TFDS builder: the official pixel-set folder as ArrayRecord files, without TensorFlow."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from pastis_jax.data import folder_builder
from pastis_jax.data.folder_builder import array_feature, scalar_feature, series_feature
from pastis_jax.data.metadata import Parcel
from pastis_jax.data.nomenclature import CLASSES, FOLDS, GEOMETRIC_FEATURES, VOID
from pastis_jax.data.pixel_set import PixelSetFolder
from pastis_jax.data.statistics import StatisticsAccumulator, statistics_to_json

PARCELS_PER_SHARD = 512  # about 110 MB, all of which TFDS keeps in memory while it writes a shard


class Builder(folder_builder.FolderBuilder):
    """PASTIS-R pixel sets, one record per parcel.

    Splits `fold_1` to `fold_5` hold the parcels with a crop label, in the order of
    `metadata_parcel.csv`, and `void` those without; a split without parcels is left out.

    `info.metadata` holds `modalities`, `lengths` (most dates of a parcel, by modality), `counts`
    (parcels by fold and label, void included), `statistics` (by modality and fold, mean and std
    per channel computed from the crop parcels) and `source`.

    Args:
      modalities: Modalities to write.
      progress: Whether to draw a progress bar over the parcels.
      **kwargs: `data_dir` and the other arguments of any TFDS builder.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Download the pixel-set version of PASTIS-R from https://zenodo.org/record/5745151, unpack it,
    and give its folder (the one with metadata_parcel.csv) as manual_dir.
    """
    ITEMS = "parcels"

    def _features(self) -> dict[str, Any]:
        return {
            **{name: series_feature(name, ["pixels"]) for name in self._modalities},
            "label": tfds.features.ClassLabel(
                names=[c.name for c in CLASSES], doc="Crop class, 1 to 18, or 19 for void."
            ),
            "parcel": scalar_feature(np.int64, "ID_PARCEL."),
            "patch": scalar_feature(np.int64, "ID_PATCH of the patch the parcel lies in."),
            "fold": scalar_feature(np.int32, "Official fold, 1 to 5."),
            "geometric_features": array_feature(
                (len(GEOMETRIC_FEATURES),), np.float32, ", ".join(GEOMETRIC_FEATURES) + "."
            ),
        }

    def _open(self, root: os.PathLike[str]) -> int:
        self._folder = PixelSetFolder(root, self._modalities)
        self._statistics = {m: StatisticsAccumulator(m) for m in self._modalities}
        return len(self._folder.parcels)

    def _shard_iterators_per_split(self, dl_manager):
        splits = {f"fold_{fold}": [] for fold in FOLDS} | {"void": []}
        for parcel in self._folder.parcels:
            splits["void" if parcel.label == VOID else f"fold_{parcel.fold}"].append(parcel)
        return folder_builder.shards(self._examples, splits, PARCELS_PER_SHARD)

    def _examples(self, parcels: Sequence[Parcel]) -> Iterator[tuple[int, dict[str, Any]]]:
        for parcel in parcels:
            series = self._folder.read(parcel)
            if parcel.label != VOID:
                for modality, (values, _) in series.items():
                    self._statistics[modality].add(parcel.fold, values)
            yield (
                parcel.id,
                {
                    **{m: {"values": values, "days": days} for m, (values, days) in series.items()},
                    "label": parcel.label,
                    "parcel": parcel.id,
                    "patch": parcel.patch,
                    "fold": parcel.fold,
                    "geometric_features": parcel.geometric_features,
                },
            )
            self._bar.update()

    def _metadata(self) -> dict[str, Any]:
        """Returns what training needs to know of the whole dataset, as plain JSON."""
        parcels = self._folder.parcels
        patches = [self._folder.patches[patch] for patch in {parcel.patch for parcel in parcels}]
        counts = Counter((parcel.fold, parcel.label) for parcel in parcels)
        return {
            "source": os.fspath(self._folder.root),
            "modalities": list(self._modalities),
            "lengths": {m: max(len(p.days[m]) for p in patches) for m in self._modalities},
            "counts": {
                str(fold): {str(label): n for (f, label), n in sorted(counts.items()) if f == fold}
                for fold in FOLDS
            },
            "statistics": statistics_to_json(
                {m: accumulator.compute() for m, accumulator in self._statistics.items()}
            ),
        }
