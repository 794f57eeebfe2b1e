"""The TFDS dataset that pixel sets were written to: opened, and compared with itself."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
from collections.abc import Sequence

import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader

from pastis_jax.data import survey
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.folder_builder import split_name
from pastis_jax.data.gaps import Gaps
from pastis_jax.data.pixel_sets.crop_pixel_sets_dataset_builder import Builder
from pastis_jax.data.statistics import check_moments, statistics_from_json
from pastis_jax.errors import DataError
from pastis_jax.files import open_regular


def open_written(
    data_dir: pathlib.Path, dataset: Dataset, modalities: Sequence[str]
) -> tfds.core.DatasetInfo:
    """Opens what `prepare` wrote, and compares its parts with each other.

    Raises:
      ValueError: Telling what is damaged.
      DataError: If a file cannot be read, sound as it may be.
    """
    folder = data_dir / Builder.name / str(Builder.VERSION)
    try:
        for file in folder.iterdir():
            open_regular(file).close()
        info = tfds.builder_from_directory(folder).info
        facts = info.metadata
        if not {*facts["modalities"]} >= {*modalities}:
            raise ValueError("other modalities")
        if not all(int(facts["lengths"][name]) >= 0 for name in modalities):
            raise ValueError("no dates")
        int(facts["geometric_features"])
        Gaps.from_json(facts["gaps"], dataset)
        if not survey.from_json(facts["survey"], dataset).keys() >= {*modalities}:
            raise ValueError("other modalities")
        statistics = statistics_from_json(facts["statistics"], dataset)
        check_moments(statistics, [dataset[name] for name in modalities], dataset.folds)
        void = dataset.nomenclature.void_number
        for fold in dataset.folds:
            counts = facts["counts"][str(fold)].items()
            crops = sum(number for label, number in counts if int(label) != void)
            split = info.splits.get(split_name(fold))
            if crops != (split.num_examples if split else 0):
                raise ValueError(f"other numbers of parcels in fold {fold}")
        for split in info.splits.values():
            for file in split.file_instructions:
                with contextlib.closing(ArrayRecordReader(file.filename)) as reader:
                    if reader.num_records() != file.examples_in_shard:
                        raise ValueError(f"{os.path.basename(file.filename)} is not whole")
    except MemoryError:
        raise
    except Exception as error:  # TFDS and ArrayRecord raise whatever damaged files bring about
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT, errno.ENOTDIR):
            fault = f"cannot be read ({error.strerror})"
            remedy = "make it readable, or delete it to have it made anew"
            raise DataError(fault, where=error.filename or folder, remedy=remedy) from error
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return info
