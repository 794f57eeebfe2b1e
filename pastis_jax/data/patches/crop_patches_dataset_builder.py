"""TFDS builder: a folder of patches as ArrayRecord files, without TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
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
from pastis_jax.data.metadata import Patch
from pastis_jax.data.patches.folder import PatchFolder
from pastis_jax.data.patches.summary import PatchSummary
from pastis_jax.data.reading import restore
from pastis_jax.errors import DataError

PATCHES_PER_SHARD = 4  # about 120 MB, all of which TFDS keeps in memory while it writes a shard


class Builder(folder_builder.FolderBuilder):
    """Patches, one record per patch.

    A split for each fold, `fold_1` say, holds its patches in the order of `metadata.geojson`; a
    split without patches is left out.

    `info.metadata` holds `modalities`, `lengths` (most dates of a patch, by modality), `size` (rows
    and columns), `most_instances` (of a patch), `patches` (by fold), `pixels` (by fold and number
    of the class), `contradictions` (by patch: that nothing numbers its parcels, all others are
    refused), `shared_parcels` (of several folds), `statistics` (by modality and fold, mean and std
    per channel computed from the patches) and `gaps` (what patches lack, and those left out).

    Args:
      parcel_ids: Whether to write ID_PARCEL of each pixel; the folder must hold it then.
      **kwargs: Those of `FolderBuilder`.
    """

    VERSION = tfds.core.Version("2.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Give a folder in the layout of the patches of PASTIS-R as manual_dir: the one with ANNOTATIONS.
    PASTIS-R itself is at https://zenodo.org/record/5735646.
    """
    ITEMS = "patches"

    def __init__(self, *, parcel_ids: bool = True, **kwargs: Any):
        self._parcel_ids = parcel_ids
        super().__init__(**kwargs)

    def _features(self) -> dict[str, Any]:
        def image(dtype, text):
            return array_feature((None, None), dtype, text)

        ids = {"parcel_ids": image(np.int64, "ID_PARCEL of each pixel, 0 for none.")}
        space, classes = ["rows", "columns"], self._dataset.nomenclature.classes
        names = ", ".join(f"{number} {entry.name}" for number, entry in enumerate(classes))
        return {
            **{m: series_feature(self._dataset[m], space) for m in self._modalities},
            "semantic": image(np.int32, f"Number of the class: {names}."),
            "parcels": image(np.int64, "Number of the parcel within the patch, 0 for none."),
            "fine": image(np.int64, "Fine crop code."),
            **(ids if self._parcel_ids else {}),
            "instances": image(np.int32, "Instance from 1, 0 on background."),
            "zones": image(np.int32, "Instance whose centre the pixel counts for."),
            "heatmap": image(np.float32, "Centerness, 0 to 1, exactly 1 at each centre."),
            "patch": text_feature("ID_PATCH."),
            "fold": text_feature("The fold."),
        }

    def _open(self, root: os.PathLike[str]) -> int:
        self._folder = PatchFolder(
            root, self._modalities, dataset=self._described, assignment=self._assignment
        )
        self._summary = PatchSummary(self._folder, statistics=True, gaps=self._gaps)
        return len(self._folder.patches)

    def _shard_iterators_per_split(self, dl_manager):
        patches = self._folder.patches.values()
        splits = {
            split_name(fold): [patch for patch in patches if patch.fold == fold]
            for fold in self._dataset.folds
        }
        return folder_builder.shards(self._examples, splits, PATCHES_PER_SHARD)

    def _examples(self, patches: Sequence[Patch]) -> Iterator[tuple[str, dict[str, Any]]]:
        for patch in patches:
            self._bar.update()
            if (checked := self._read(patch, self._folder.check)) is None:
                continue
            series, annotations = checked
            measures = self._summary.measure(patch, series, annotations)
            if wrong := [x for x in measures.contradictions if not x.absent]:
                raise self._folder.refusal(patch, wrong[0])
            self._summary.add(patch, measures)
            record = {m: {"values": values, "days": days} for m, (values, days) in series.items()}
            record |= vars(annotations) | vars(self._folder.instances(patch))
            if not self._parcel_ids:
                del record["parcel_ids"]
            elif record["parcel_ids"] is None:
                file = self._folder.file(patch, "ParcelIDs")
                remedy = f"{restore(file)}, or give parcel_ids=False"
                raise DataError("file not found", where=file, remedy=remedy)
            yield str(patch.id), record | {"patch": str(patch.id), "fold": str(patch.fold)}

    def _metadata(self) -> dict[str, Any]:
        """Returns what training needs to know of the whole dataset, as plain JSON."""
        return self._summary.facts() | {"statistics": self._summary.statistics()}
