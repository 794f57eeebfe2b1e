"""From an official pixel-set folder to records that training reads at random, prepared once."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource
from tensorflow_datasets.proto import tf_example_pb2

from pastis_jax.data import layout
from pastis_jax.data.cache import default_cache, fingerprint, writing
from pastis_jax.data.metadata import PARCEL_METADATA, PATCH_METADATA
from pastis_jax.data.nomenclature import MODALITIES, VOID
from pastis_jax.data.pastis_r_pixel_set.pastis_r_pixel_set_dataset_builder import Builder
from pastis_jax.data.pixel_set import check_layout
from pastis_jax.data.statistics import (
    FoldStatistics,
    fold_statistics_from_norm,
    split_statistics,
    statistics_from_json,
)
from pastis_jax.errors import DataError


def prepare_pixel_set(
    root: str | os.PathLike[str],
    *,
    modalities: Sequence[str] = tuple(MODALITIES),
    cache: str | os.PathLike[str] | None = None,
    compute_statistics: bool = False,
    progress: bool = True,
) -> PreparedPixelSet:
    """Checks a pixel-set folder and writes it as a TFDS dataset, or reuses what it wrote before.

    The dataset lies in `cache` under a fingerprint of the folder: its path, its metadata, and
    the name, size and time of change of every file. A folder that changed is
    prepared anew; what was prepared from it before stays until deleted. The folder itself is
    never written to, and nothing stays in the cache when preparation fails or is interrupted.

    Args:
      root: The official pixel-set folder.
      modalities: Modalities to serve; all that the folder holds are prepared.
      cache: Where to write; by default `$PASTIS_JAX_CACHE`, else `pastis_jax` in
        `$XDG_CACHE_HOME` or `~/.cache`.
      compute_statistics: Whether to use channel statistics computed from the data instead of
        those of the `NORM_PARCEL_<sat>_set.json` files.
      progress: Whether to draw a progress bar while writing.

    Returns:
      The dataset, with its modalities in the order S2, S1A, S1D.

    Raises:
      ValueError: If `modalities` is empty or holds an unknown name.
      DataError: If the folder is not a sound pixel-set folder with these modalities and, unless
        computed, their statistics, or the cache cannot be written.
    """
    layout.check_names(modalities)
    root = layout.resolve(root)
    modalities = check_layout(root, modalities)
    published = {
        m: fold_statistics_from_norm(root / f"NORM_PARCEL_{m}_set.json", m)
        for m in modalities
        if not compute_statistics
    }
    cache = layout.resolve(cache or default_cache())
    name, size = fingerprint(
        root,
        str(Builder.VERSION),
        files=(PATCH_METADATA, PARCEL_METADATA),
        folders=[f"DATA_{m}" for m in check_layout(root)],
    )
    data_dir = cache / f"pixel_set-{name}"
    if not data_dir.exists():
        _write(root, data_dir, size=size, progress=progress)

    info = tfds.builder_from_directory(data_dir / Builder.name / str(Builder.VERSION)).info
    computed = statistics_from_json(info.metadata["statistics"]) if compute_statistics else None
    return PreparedPixelSet(
        root=root,
        path=pathlib.Path(info.data_dir),
        modalities=modalities,
        lengths={m: info.metadata["lengths"][m] for m in modalities},
        counts={
            int(fold): {int(label): n for label, n in labels.items()}
            for fold, labels in info.metadata["counts"].items()
        },
        fold_statistics=computed or published,
        info=info,
    )


@dataclasses.dataclass(frozen=True)
class PreparedPixelSet:
    """A pixel-set folder, checked and ready for random access.

    Attributes:
      root: The official folder it was prepared from.
      path: Where its TFDS dataset lies; `tfds.builder_from_directory` opens it.
      modalities: Modalities that records hold.
      lengths: Most dates of a parcel, by modality.
      counts: Number of parcels by fold and official label, void (19) included.
      fold_statistics: Channel means and standard deviations by modality and fold.
      info: The TFDS description: features, splits and metadata.
    """

    root: pathlib.Path
    path: pathlib.Path
    modalities: tuple[str, ...]
    lengths: Mapping[str, int]
    counts: Mapping[int, Mapping[int, int]]
    fold_statistics: Mapping[str, FoldStatistics] = dataclasses.field(repr=False)
    info: tfds.core.DatasetInfo = dataclasses.field(repr=False)

    def source(self, folds: Sequence[int]) -> PixelSetSource:
        """Returns random access to the crop parcels of `folds`, fold after fold.

        Raises:
          DataError: If a fold has no crop parcel.
        """
        self._check(folds)
        files = [
            file for fold in folds for file in self.info.splits[f"fold_{fold}"].file_instructions
        ]
        return PixelSetSource(ArrayRecordDataSource(files), self.modalities)

    def statistics(self, train_folds: Sequence[int]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Returns the channel statistics to normalise with when training on `train_folds`.

        Returns:
          Mean and standard deviation, (c,) float32 each, of each modality in its stored unit.

        Raises:
          DataError: If a fold has no crop parcel, or a channel that never varies.
        """
        self._check(train_folds)
        return split_statistics(self.fold_statistics, self.modalities, train_folds, self.root)

    def _check(self, folds: Sequence[int]) -> None:
        for fold in folds:
            if not any(label != VOID for label in self.counts.get(fold, ())):
                raise DataError(
                    f"no crop parcel in fold {fold}",
                    where=self.root / PARCEL_METADATA,
                    remedy="choose another --fold, or give the whole dataset",
                )


class PixelSetSource:
    """Random access to prepared parcels; pickles, so that Grain workers can share it.

    An item is a dict with, for each modality, a dict of `values`, (t, c, s) int16 for S2 and
    float16 for S1A and S1D, and `days`, (t,) int32 since 2018-09-01; and with `label` (official,
    1 to 18), `parcel`, `patch`, `fold` (int) and `geometric_features`, (4,) float32. Arrays are
    read-only views of the record; s = 0 in a parcel without pixels.

    Reads what TFDS would, five times as fast: without its generic nesting and for the wanted
    modalities only, and with parcels of no pixel, which TFDS writes but cannot read.
    """

    def __init__(self, records: ArrayRecordDataSource, modalities: Sequence[str]):
        self._records = records
        self._layout = {
            m: (np.dtype(MODALITIES[m].dtype), len(MODALITIES[m].channels)) for m in modalities
        }

    def __repr__(self) -> str:  # without an address: Grain compares it when it restores a state
        return f"PixelSetSource({len(self)} parcels, {', '.join(self._layout)})"

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        record = tf_example_pb2.Example.FromString(self._records[index]).features.feature
        item = {}
        for modality, (dtype, channels) in self._layout.items():
            days = np.frombuffer(record[f"{modality}/days"].bytes_list.value[0], np.int32)
            values = np.frombuffer(record[f"{modality}/values/value"].bytes_list.value[0], dtype)
            item[modality] = {"values": values.reshape(len(days), channels, -1), "days": days}
        for name in ("label", "parcel", "patch", "fold"):
            item[name] = record[name].int64_list.value[0]
        features = record["geometric_features"].bytes_list.value[0]
        return item | {"geometric_features": np.frombuffer(features, np.float32)}


def _write(root: pathlib.Path, data_dir: pathlib.Path, *, size: int, progress: bool) -> None:
    """Writes the TFDS dataset of `root` under `data_dir`, entirely or not at all."""
    cache = data_dir.parent
    with writing(cache):
        if shutil.disk_usage(cache).free < 1.05 * size:
            raise OSError(f"{1.05 * size / 1e9:.1f} GB needed on its disk")
        staging = tempfile.mkdtemp(prefix=".preparing-", dir=cache)
        try:
            staged = pathlib.Path(staging, "data")
            builder = Builder(data_dir=staged, modalities=check_layout(root), progress=progress)
            builder.download_and_prepare(
                download_dir=pathlib.Path(staging, "downloads"),  # nothing, but TFDS wants a place
                download_config=tfds.download.DownloadConfig(manual_dir=root),
            )
            try:
                os.rename(staged, data_dir)
            except OSError:
                if not data_dir.exists():  # else another process was faster: its result is as good
                    raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)
