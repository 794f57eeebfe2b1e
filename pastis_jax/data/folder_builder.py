"""What both TFDS builders share: a folder as ArrayRecord files, without TensorFlow.

Differs from most builders in two ways, both because TFDS writes with TensorFlow otherwise or reads
slowly: it derives from `ShardBasedBuilder`, since `GeneratorBasedBuilder` spills a split of more
than 1 GB into TensorFlow files; and its records are not compressed, since radiometry hardly
shrinks (about 10 %) while unpacking makes random reads eight times slower.
"""

from __future__ import annotations

import abc
import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.core.writer import ExampleWriter

from pastis_jax.data.assignment import Assignment
from pastis_jax.data.dataset import Dataset, Fold
from pastis_jax.data.gaps import GapFinder
from pastis_jax.data.layout import ImplausibleError
from pastis_jax.data.modality import Modality


class FolderBuilder(tfds.core.ShardBasedBuilder):
    """Base of the builders.

    A subclass names its `ITEMS` and defines `_features`, `_open` (returns the number of items),
    `_metadata` (asked for after the last item) and `_shard_iterators_per_split`.

    Args:
      dataset: What the folder holds.
      modalities: Names of the modalities to write; by default all of the dataset.
      assignment: Lists of samples that take the place of the folds.
      skip_implausible: Whether to leave out samples with values that no sensor measures, in place
        of refusing them.
      progress: Whether to draw a progress bar over the items.
      **kwargs: `data_dir` and the other arguments of any TFDS builder.
    """

    ITEMS = "items"

    def __init__(
        self,
        *,
        dataset: Dataset,
        modalities: Sequence[str] | None = None,
        assignment: Assignment | None = None,
        skip_implausible: bool = False,
        progress: bool = True,
        **kwargs: Any,
    ):
        self._described = dataset
        self._dataset = dataset if assignment is None else assignment.dataset(dataset)
        self._modalities = tuple(m for m in dataset.names if modalities is None or m in modalities)
        self._assignment, self._progress = assignment, progress
        self._skip_implausible, self._gaps = skip_implausible, GapFinder(self._dataset)
        super().__init__(file_format="array_record", **kwargs)

    @abc.abstractmethod
    def _features(self) -> dict[str, Any]:
        """Returns the documented features of a record."""

    @abc.abstractmethod
    def _open(self, root: os.PathLike[str]) -> int:
        """Opens the official folder; returns the number of items."""

    def _read(self, item: Any, read: Callable[[Any], Any]) -> Any:
        """What `read` gives for a sample; None for one that is left out."""
        try:
            return read(item)
        except ImplausibleError as error:
            if not self._skip_implausible:
                raise
            self._gaps.skip(item.id, error)
            return None

    @abc.abstractmethod
    def _metadata(self) -> dict[str, Any]:
        """Returns what training needs to know of the whole dataset, as plain JSON."""

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(self._features()),
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
        with tqdm.tqdm(
            total=self._open(dl_manager.manual_dir),
            desc=f"Preparing {self.ITEMS} (once)",
            unit=f" {self.ITEMS}",
            disable=not self._progress,
        ) as self._bar:
            super()._download_and_prepare(dl_manager, download_config)
        self.info.metadata.update(self._metadata())


def shards(
    examples: Callable[[Sequence[Any]], Iterable], splits: Mapping[str, Sequence[Any]], size: int
) -> dict[str, list[Callable[[], Iterable]]]:
    """Cuts each split that is not empty in shards of `size` items, which `examples` will write."""
    return {
        split: [
            functools.partial(examples, items[start : start + size])
            for start in range(0, len(items), size)
        ]
        for split, items in splits.items()
        if items
    }


def array_feature(shape: tuple[int | None, ...], dtype: Any, text: str) -> tfds.features.Tensor:
    """Returns the feature of an array."""
    # Raw bytes: the default writes one varint per number, which is slow and twice the size.
    return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes", doc=text)


def series_feature(modality: Modality, space: Sequence[str]) -> tfds.features.FeaturesDict:
    """Returns the feature of a modality with these axes of space."""
    axes = ", ".join(("dates", f"channels {', '.join(modality.channels)}", *space))
    return tfds.features.FeaturesDict(
        {
            "values": array_feature(
                (None, len(modality.channels), *(None for _ in space)),
                np.dtype(modality.dtype),
                f"({axes}): {modality.unit}.",
            ),
            "days": array_feature((None,), np.int32, "Days since the start of the season."),
        }
    )


def text_feature(text: str) -> tfds.features.Text:
    """Returns the feature of a name, which an identifier is written as."""
    return tfds.features.Text(doc=text)


def split_name(fold: Fold) -> str:
    """Name of the TFDS split that holds a fold."""
    return f"fold_{fold}"


class _UncompressedWriter(ExampleWriter):
    """Writes ArrayRecord files for random access."""

    def write(self, path, examples) -> None:
        writer = ArrayRecordWriter(os.fspath(path), "group_size:1,uncompressed")
        with contextlib.closing(writer):  # also when reading an item fails halfway
            for _, serialized in examples:
                writer.write(serialized)
