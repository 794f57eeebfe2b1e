"""TFDS builder: the official pixel-set folder as ArrayRecord files, without TensorFlow.

Differs from most builders in two ways, both because TFDS writes with TensorFlow otherwise or reads
slowly: it derives from `ShardBasedBuilder`, since `GeneratorBasedBuilder` spills a split of more
than 1 GB into TensorFlow files; and its records are not compressed, since radiometry hardly
shrinks (about 10 %) while unpacking makes random reads eight times slower.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.core.writer import ExampleWriter

from pastis_jax.data.metadata import Parcel
from pastis_jax.data.nomenclature import CLASSES, FOLDS, GEOMETRIC_FEATURES, MODALITIES, VOID
from pastis_jax.data.pixel_set import PixelSetFolder
from pastis_jax.data.statistics import StatisticsAccumulator

PARCELS_PER_SHARD = 512  # about 110 MB, all of which TFDS keeps in memory while it writes a shard


class Builder(tfds.core.ShardBasedBuilder):
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

    def __init__(
        self, *, modalities: Sequence[str] = tuple(MODALITIES), progress: bool = True, **kwargs: Any
    ):
        self._modalities = tuple(m for m in MODALITIES if m in modalities)
        self._progress = progress
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(record_features(self._modalities)),
            homepage="https://github.com/VSainteuf/pastis-benchmark",
            supervised_keys=None,
            metadata=tfds.core.MetadataDict(),
        )

    def _log_download_bytes(self) -> None:
        """Prints nothing: nothing is downloaded, and the progress bar says the rest."""

    _log_download_done = _log_download_bytes

    def _example_writer(self) -> ExampleWriter:
        return _UncompressedWriter(self.info.file_format)

    def _download_and_prepare(self, dl_manager, download_config=None) -> None:
        folder = PixelSetFolder(dl_manager.manual_dir, self._modalities)
        self._folder = folder
        self._statistics = {m: StatisticsAccumulator(m) for m in self._modalities}
        with tqdm.tqdm(
            total=len(folder.parcels),
            desc="Preparing parcels (once)",
            unit=" parcels",
            disable=not self._progress,
        ) as self._bar:
            super()._download_and_prepare(dl_manager, download_config)
        self.info.metadata.update(self._metadata())

    def _shard_iterators_per_split(self, dl_manager):
        splits = {f"fold_{fold}": [] for fold in FOLDS} | {"void": []}
        for parcel in self._folder.parcels:
            splits["void" if parcel.label == VOID else f"fold_{parcel.fold}"].append(parcel)
        return {
            split: [
                functools.partial(self._examples, parcels[start : start + PARCELS_PER_SHARD])
                for start in range(0, len(parcels), PARCELS_PER_SHARD)
            ]
            for split, parcels in splits.items()
            if parcels
        }

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
            "statistics": {
                modality: {
                    str(fold): {"mean": mean.tolist(), "std": std.tolist()}
                    for fold, (mean, std) in accumulator.compute().items()
                }
                for modality, accumulator in self._statistics.items()
            },
        }


def record_features(modalities: Iterable[str]) -> dict[str, Any]:
    """Returns the documented features of a record that holds `modalities`."""

    def array(shape, dtype, text):
        # Raw bytes: the default writes one varint per number, which is slow and twice the size.
        return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes", doc=text)

    def series(name):
        modality = MODALITIES[name]
        channels = ", ".join(modality.channels)
        return tfds.features.FeaturesDict(
            {
                "values": array(
                    (None, len(modality.channels), None),
                    np.dtype(modality.dtype),
                    f"(dates, channels {channels}, pixels): {modality.unit}.",
                ),
                "days": array((None,), np.int32, "Acquisition days since 2018-09-01."),
            }
        )

    def scalar(dtype, text):
        return tfds.features.Scalar(dtype=dtype, doc=text)

    return {
        **{name: series(name) for name in modalities},
        "label": tfds.features.ClassLabel(
            names=[c.name for c in CLASSES], doc="Crop class, 1 to 18, or 19 for void."
        ),
        "parcel": scalar(np.int64, "ID_PARCEL."),
        "patch": scalar(np.int64, "ID_PATCH of the patch the parcel lies in."),
        "fold": scalar(np.int32, "Official fold, 1 to 5."),
        "geometric_features": array(
            (len(GEOMETRIC_FEATURES),), np.float32, ", ".join(GEOMETRIC_FEATURES) + "."
        ),
    }


class _UncompressedWriter(ExampleWriter):
    """Writes ArrayRecord files for random access."""

    def write(self, path, examples) -> None:
        writer = ArrayRecordWriter(os.fspath(path), "group_size:1,uncompressed")
        with contextlib.closing(writer):  # also when reading a parcel fails halfway
            for _, serialized in examples:
                writer.write(serialized)
