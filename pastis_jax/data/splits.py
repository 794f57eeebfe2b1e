"""The records of a run in three splits, and the batches that are made of them."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from pastis_jax.data.batches import (
    Encoding,
    evaluation_batches,
    evaluation_records,
    training_batches,
)
from pastis_jax.data.cache import Fingerprint
from pastis_jax.data.calendar import Days
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.dataset import Dataset, Fold
from pastis_jax.data.gaps import Gaps
from pastis_jax.data.metadata import Identifier
from pastis_jax.data.npy import parts
from pastis_jax.data.patches.encoding import PatchEncoding
from pastis_jax.data.pixel_sets.encoding import PixelSetEncoding, draw_pixels
from pastis_jax.data.pixel_sets.packed import PackedPixelSets
from pastis_jax.types import Batch


class Source(Protocol):
    """Random access to records.

    Attributes:
      observed: Days of the patches that the records are of, or lie in.
    """

    observed: Sequence[Days]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[str, Any]: ...

    def identifier(self, number: int) -> Identifier: ...

    def unchanged(self) -> None: ...


@dataclasses.dataclass(frozen=True)
class BatchPlan:
    """Sizes and seed of batches, and which of their samples this process makes.

    Attributes:
      batch_size: Samples in a training batch.
      seed: Of the training batches.
      rows: Samples of every training batch that this process makes.
      evaluation_size: Samples in a batch of validation and test.
      evaluation_rows: Samples of every such batch that this process makes.

    Examples:
      One process makes all of its batches:

      >>> plan = BatchPlan(32, 0, range(32), evaluation_size=64, evaluation_rows=range(64))
      >>> len(plan.rows) == plan.batch_size
      True
    """

    batch_size: int
    seed: int
    rows: range
    evaluation_size: int
    evaluation_rows: range


@dataclasses.dataclass(frozen=True)
class Splits:
    """The records of a run.

    Attributes:
      root: Their folder.
      dataset: What it holds.
      folds: The folds of each split.
      fingerprint: Of what the records are made from.
      sources: Records of `train`, `val` and `test`, or of those that have samples.
      encode: How training records become arrays.
      plan: Of the batches.
      gaps: What samples lack.
      notes: What a reader should know of them, a line each.
    """

    root: pathlib.Path
    dataset: Dataset
    folds: Mapping[str, Sequence[Fold]]
    fingerprint: Fingerprint
    sources: Mapping[str, Source]
    encode: Encoding
    plan: BatchPlan
    gaps: Gaps = dataclasses.field(default=Gaps(), kw_only=True)
    notes: Sequence[str] = dataclasses.field(default=(), kw_only=True)

    @property
    def classes(self) -> ClassMapping:
        """Classes of the labels."""
        return self.encode.classes

    @property
    def absent(self) -> dict[str, int]:
        """Number of samples that lack a modality, by its name, where some do."""
        folds = [fold for split in self.sources for fold in self.folds[split]]
        counts = {name: len(self.gaps.without(name, folds)) for name in self.encode.lengths}
        return {name: count for name, count in counts.items() if count}

    def training(self) -> Any:
        """Endless training batches, a Grain iterator."""
        plan = self.plan
        return training_batches(
            self.sources["train"],
            self.encode,
            batch_size=plan.batch_size,
            seed=plan.seed,
            rows=plan.rows,
        )

    def evaluation(self, split: str, *, ahead: bool = True) -> Iterator[Batch]:
        """Batches of the whole records of `split`, each once; by default made ahead, by threads."""
        plan = self.plan
        return self._whole(split, plan.evaluation_size, plan.evaluation_rows, ahead)

    def alone(self, split: str, size: int | None = None) -> Iterator[Batch]:
        """Batches of the whole records of `split`, for one process and one device alone.

        Args:
          split: ``train``, ``val`` or ``test``.
          size: Samples in a batch; None for what one device gets in validation and test.
        """
        size = size or -(-self.plan.evaluation_size // jax.device_count())
        return self._whole(split, size, range(size))

    def _whole(self, split, size, rows, ahead=True):
        return evaluation_batches(
            self.sources[split], self.evaluation_encoding, batch_size=size, rows=rows, ahead=ahead
        )

    @property
    def evaluation_encoding(self) -> Encoding:
        """How records of validation and test become arrays."""
        return self.encode

    def unchanged(self) -> None:
        """Compares the files that records were read from with what they were at first.

        Raises:
          DataError: If one of them was changed since.
        """
        for source in self.sources.values():
            source.unchanged()

    def observed(self, split: str) -> Sequence[Days]:
        """Days that the patches of `split` were observed on, and that are used."""
        return self.sources[split].observed

    @property
    def steps_per_epoch(self) -> int:
        """Batches that hold the training records once."""
        return max(1, len(self.sources["train"]) // self.plan.batch_size)


@dataclasses.dataclass(frozen=True)
class PixelSplits(Splits):
    """The parcels of a run.

    Attributes:
      packed: Opens their packed form, which holds parcels of all folds.
    """

    encode: PixelSetEncoding
    packed: Callable[[], PackedPixelSets] = dataclasses.field(kw_only=True, repr=False)

    def drawn(self, counts: Sequence[int]) -> np.ndarray:
        """The pixels that evaluation takes of each record of a split, ``n s`` int32.

        Args:
          counts: Number of pixels of each record.
        """

        def draw(count: int, rng: np.random.Generator) -> np.ndarray:
            return draw_pixels(int(count), self.encode.pixels, rng)[0]

        return np.array(evaluation_records(counts, draw)[:], np.int32)


@dataclasses.dataclass(frozen=True)
class PatchSplits(Splits):
    """The patches of a run.

    Attributes:
      size: Rows and columns ``h w`` of a patch.
      most_instances: Most parcels of a patch.
    """

    encode: PatchEncoding
    size: tuple[int, int]
    most_instances: int

    @property
    def evaluation_encoding(self) -> PatchEncoding:
        """Of whole patches."""
        return self.encode.for_evaluation()

    def without_targets(self) -> PatchSplits:
        """Returns these splits without panoptic targets."""
        return dataclasses.replace(self, encode=dataclasses.replace(self.encode, instances=None))

    def median(self, record: Mapping[str, Any], modality: str) -> np.ndarray:
        """One image ``h w c`` of a record in the stored unit: the median over the dates in use.

        Of many dates, it shows neither clouds nor speckle. NaN where nothing was observed.
        """
        used = self.dates_in_use(record, modality)
        values = record[modality]["values"]
        if not len(used):
            return np.full((*values.shape[2:], values.shape[1]), np.nan, np.float32)
        chosen = np.stack([*parts(values, used)]).astype(np.float32)
        missing = self.dataset[modality].missing(chosen, (1, 2, 3))
        if missing is None or not missing.any():
            return np.median(chosen, axis=0).transpose(1, 2, 0)
        with np.errstate(all="ignore"):
            middle = np.ma.median(np.ma.array(chosen, mask=missing), axis=0)
        return np.ma.filled(middle.astype(np.float32), np.nan).transpose(1, 2, 0)

    def dates_in_use(self, record: Mapping[str, Any], modality: str) -> np.ndarray:
        """Numbers of the acquisitions of a record that are used."""
        values, days = record[modality]["values"], record[modality]["days"]
        return np.asarray(self.encode.acquisitions(modality, values, days, record["patch"]), int)

    def observed(self, split: str) -> Sequence[Days]:
        """Days that the patches of `split` were observed on; one where one acquisition is used."""
        every = super().observed(split)
        if self.encode.date is None:
            return every

        def used(number: int, name: str) -> np.ndarray:
            days = every[number][name]
            patch = self.sources[split].identifier(number)
            return days[[self.encode.wanted(name, days, patch)]] if len(days) else days

        numbers, names = range(len(every)), self.encode.lengths
        return [{name: used(number, name) for name in names} for number in numbers]

    @property
    def steps_per_epoch(self) -> int:
        """Batches that cover the training patches once, in area."""
        crop = self.encode.crop
        covering = 1 if crop is None else math.prod(self.size) / crop**2
        return max(1, round(covering * len(self.sources["train"]) / self.plan.batch_size))
