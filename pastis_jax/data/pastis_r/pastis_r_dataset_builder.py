"""TFDS builder: the official patch folder as ArrayRecord files, without TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from pastis_jax.data import folder_builder
from pastis_jax.data.arrays import RESTORE
from pastis_jax.data.folder_builder import array_feature, scalar_feature, series_feature
from pastis_jax.data.metadata import Patch
from pastis_jax.data.nomenclature import FOLDS
from pastis_jax.data.patch_folder import PatchFolder
from pastis_jax.data.patch_summary import PatchSummary
from pastis_jax.errors import DataError

PATCHES_PER_SHARD = 4  # about 120 MB, all of which TFDS keeps in memory while it writes a shard


class Builder(folder_builder.FolderBuilder):
    """PASTIS-R patches, one record per patch.

    Splits `fold_1` to `fold_5` hold the patches in the order of `metadata.geojson`; a split without
    patches is left out.

    `info.metadata` holds `modalities`, `lengths` (most dates of a patch, by modality), `size` (rows
    and columns), `most_instances` (of a patch), `patches` (by fold), `pixels` (by fold and label),
    `statistics` (by modality and fold, mean and std per channel computed from the patches) and
    `source`.

    Args:
      parcel_ids: Whether to write ID_PARCEL of each pixel; the folder must hold it then.
      modalities: Modalities to write.
      progress: Whether to draw a progress bar over the patches.
      **kwargs: `data_dir` and the other arguments of any TFDS builder.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Download PASTIS-R from https://zenodo.org/record/5735646, unpack it, and give its folder (the
    one with ANNOTATIONS) as manual_dir.
    """
    ITEMS = "patches"

    def __init__(self, *, parcel_ids: bool = True, **kwargs: Any):
        self._parcel_ids = parcel_ids
        super().__init__(**kwargs)

    def _features(self) -> dict[str, Any]:
        def image(dtype, text):
            return array_feature((None, None), dtype, text)

        ids = {"parcel_ids": image(np.int32, "ID_PARCEL of each pixel, 0 for none.")}
        return {
            **{name: series_feature(name, ["rows", "columns"]) for name in self._modalities},
            "semantic": image(np.uint8, "Label: 0 background, 1 to 18 crops, 19 void."),
            "parcels": image(np.int32, "Number of the parcel within the patch, 0 for none."),
            "fine": image(np.int32, "Fine crop code."),
            **(ids if self._parcel_ids else {}),
            "instances": image(np.int32, "Instance from 1, 0 on background."),
            "zones": image(np.int32, "Instance whose centre the pixel counts for."),
            "heatmap": image(np.float32, "Centerness, 0 to 1, exactly 1 at each centre."),
            "patch": scalar_feature(np.int64, "ID_PATCH."),
            "fold": scalar_feature(np.int32, "Official fold, 1 to 5."),
        }

    def _open(self, root: os.PathLike[str]) -> int:
        self._folder = PatchFolder(root, self._modalities)
        self._summary = PatchSummary(self._folder, statistics=True)
        return len(self._folder.patches)

    def _shard_iterators_per_split(self, dl_manager):
        patches = self._folder.patches.values()
        splits = {f"fold_{fold}": [p for p in patches if p.fold == fold] for fold in FOLDS}
        return folder_builder.shards(self._examples, splits, PATCHES_PER_SHARD)

    def _examples(self, patches: Sequence[Patch]) -> Iterator[tuple[int, dict[str, Any]]]:
        for patch in patches:
            series, annotations = self._folder.check(patch)
            self._summary.add(patch, self._summary.measure(patch, series, annotations))
            record = {m: {"values": values, "days": days} for m, (values, days) in series.items()}
            record |= vars(annotations) | vars(self._folder.instances(patch))
            if not self._parcel_ids:
                del record["parcel_ids"]
            elif record["parcel_ids"] is None:
                file = self._folder.file(patch, "ParcelIDs")
                remedy = f"{RESTORE}, or give parcel_ids=False"
                raise DataError("file not found", where=file, remedy=remedy)
            yield patch.id, record | {"patch": patch.id, "fold": patch.fold}
            self._bar.update()

    def _metadata(self) -> dict[str, Any]:
        """Returns what training needs to know of the whole dataset, as plain JSON."""
        return self._summary.facts() | {"statistics": self._summary.statistics()}
