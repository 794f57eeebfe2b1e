"""Grain pipelines: from records of a prepared dataset to padded, masked, normalised batches.

Shapes never change: every modality is padded to one number of dates and the last evaluation batch
to a full one, so a jitted step compiles once. All randomness follows from the seed and the index of
the record, so it does not depend on threads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grain
import jax
import numpy as np

from pastis_jax.data.nomenclature import MODALITIES
from pastis_jax.types import Batch, Series

Statistics = Mapping[str, tuple[np.ndarray, np.ndarray]]

Encoding = Callable[[Mapping[str, Any], np.random.Generator], Batch]
"""Makes arrays of fixed shape of a record; what is random comes from the generator."""


@dataclasses.dataclass(frozen=True)
class PixelSetEncoding:
    """How a parcel's record becomes arrays of fixed shape.

    Attributes:
      lengths: Number of dates ``t`` to pad to, by modality.
      statistics: Mean and standard deviation per channel, by modality, of the train folds.
      pixels: Number of pixels ``s`` drawn per parcel.
      geometric: Keep the geometric features, as log(1 + x). Differs from the reference, which joins
        them as they are.
    """

    lengths: Mapping[str, int]
    statistics: Statistics
    pixels: int = 32
    geometric: bool = False

    def __call__(self, record: Mapping[str, Any], rng: np.random.Generator) -> Batch:
        """Encodes one record; the same pixels are drawn for every modality."""
        first = next(iter(self.lengths))
        drawn, real = draw_pixels(record[first]["values"].shape[-1], self.pixels, rng)
        # Perimeters and pixel counts span four orders of magnitude.
        outline = np.log1p(record["geometric_features"]) if self.geometric else None
        return Batch(
            series={m: self._series(m, record[m], drawn, real, outline) for m in self.lengths},
            label=np.int32(record["label"] - 1),
            real=np.True_,
            id=np.int32(record["parcel"]),
        )

    def _series(self, modality, record, drawn, real, outline) -> Series:
        values, days = record["values"], record["days"]
        t, c, n = values.shape
        length = self.lengths[modality]
        mean, std = self.statistics[modality]
        padded = np.zeros((length, self.pixels, c), np.float32)
        valid = np.zeros(length, bool)
        valid[:t] = True
        if n:
            chosen = values[:, :, drawn].astype(np.float32)
            nodata = MODALITIES[modality].nodata
            if nodata is not None and (chosen == nodata).any():
                chosen, observed = fill_missing(chosen, (chosen == nodata) | ~real)
                valid[:t] = observed
            padded[:t] = ((chosen - mean[:, None]) / std[:, None]).transpose(0, 2, 1)
        padded[~valid] = 0
        padded_days = np.zeros(length, np.int32)
        padded_days[:t] = days
        return Series(values=padded, days=padded_days, valid=valid, pixels=real, geometric=outline)


def draw_pixels(count: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws `size` of `count` pixels without replacement.

    A smaller parcel gives all its pixels, its last one repeated and masked; an empty parcel gives
    one zero pixel.

    Returns:
      Indices ``s`` and the mask of real pixels ``s``.
    """
    if count > size:
        return np.sort(rng.choice(count, size, replace=False)), np.ones(size, bool)
    index = np.minimum(np.arange(size), max(count - 1, 0))
    return index, np.arange(size) < max(count, 1)


def fill_missing(values: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Replaces missing pixels of a date, channel by channel, by the mean of its observed ones.

    Differs from the reference, where nodata passes for a reflectance.

    Args:
      values: ``t c s``.
      missing: ``t c s``; pixels that are not real count as missing.

    Returns:
      Filled values, and for each date whether every channel of it was observed (``t``).
    """
    count = (~missing).sum(-1, keepdims=True)
    mean = np.where(missing, 0, values).sum(-1, keepdims=True) / np.maximum(count, 1)
    filled = np.where(missing, mean.astype(np.float32), values)
    return filled.astype(np.float32, copy=False), (count > 0).all((1, 2))


def training_batches(
    source: Sequence[Mapping[str, Any]],
    encode: Encoding,
    *,
    batch_size: int,
    seed: int,
    rows: range | None = None,
) -> grain.DatasetIterator:
    """Endless batches of shuffled records, each epoch in a new order with new draws.

    Epochs follow each other without a seam, so every batch is full and no record is left out.

    Args:
      source: Random-access records.
      encode: Encoder of a record.
      batch_size: Number of records in a batch.
      seed: Everything random follows from it.
      rows: Which samples of every batch to make, for several processes that make one batch; those
        from `batch_size` on are masked. By default the whole batch.
    """
    records = grain.MapDataset.source(source).seed(seed).shuffle().repeat().random_map(encode)
    count = len(records) // batch_size
    return _iterate(_Batches(records, count, batch_size, rows or range(batch_size)))


def evaluation_batches(
    source: Sequence[Mapping[str, Any]],
    encode: Encoding,
    *,
    batch_size: int,
    rows: range | None = None,
    ahead: bool = True,
) -> grain.DatasetIterator:
    """Every record exactly once, in order; the last batch is filled up with masked samples.

    What is drawn of a record is the same at every evaluation.

    Args:
      source: Random-access records.
      encode: Encoder of a record.
      batch_size: Number of samples in a batch.
      rows: See `training_batches`.
      ahead: Whether threads make batches before they are asked for.
    """
    records = grain.MapDataset.source(source).seed(0).random_map(encode)
    count = -(-len(records) // batch_size)
    return _iterate(_Batches(records, count, batch_size, rows or range(batch_size)), ahead)


@dataclasses.dataclass(frozen=True)
class _Batches:
    """Batches of consecutive records, of which only some rows are read and encoded.

    Attributes:
      records: Encoded records.
      count: Number of batches.
      size: Records in a batch.
      rows: Rows of every batch; where there is no record, a masked one of zeros.
    """

    records: grain.MapDataset
    count: int
    size: int
    rows: range

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Batch:
        first = number * self.size
        end = min(first + self.size, len(self.records))
        real = [first + row for row in self.rows if first + row < end and row < self.size]
        encoded = [self.records[i] for i in real or [first]]
        batch = grain.experimental.batch_and_pad(encoded, batch_size=len(self.rows))
        # Without a record for these rows, another one gives the shapes.
        return batch if real else jax.tree.map(np.zeros_like, batch)


def _iterate(batches: _Batches, ahead: bool = True) -> grain.DatasetIterator:
    dataset = grain.MapDataset.source(batches)
    # Decoding is NumPy and file reading: threads overlap with the accelerator without copies.
    threads = 4 if ahead else 0
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
    return iter(dataset.to_iter_dataset(options))
