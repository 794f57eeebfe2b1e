"""Grain pipelines: from records of a prepared dataset to padded, masked batches.

Shapes never change: every modality is padded to one number of dates and the last evaluation batch
to a full one, so a jitted step compiles once. All randomness follows from the seed and the index of
the record, so it does not depend on threads.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grain
import jax
import numpy as np

from pastis_jax.types import Batch

Encoding = Callable[[Mapping[str, Any], np.random.Generator], Batch]
"""Makes arrays of fixed shape of a record; what is random comes from the generator."""
AHEAD = 4
"""Threads that make batches, and batches that wait."""


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
    return iterate(_Batches(records, count, batch_size, rows or range(batch_size)))


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
    records = evaluation_records(source, encode)
    count = -(-len(records) // batch_size)
    return iterate(_Batches(records, count, batch_size, rows or range(batch_size)), ahead)


def evaluation_records(source: Sequence[Any], encode: Callable[..., Any]) -> grain.MapDataset:
    """Encoded records; what is random follows from the number of the record alone."""
    return grain.MapDataset.source(source).seed(0).random_map(encode)


def training_rows(
    count: int, *, batch_size: int, seed: int, rows: range | None = None
) -> Sequence[dict[str, np.ndarray]]:
    """Which records make endless training batches; to be given to `iterate`.

    As of `training_batches`, each epoch is in a new order, and epochs follow each other without a
    seam. The order is another one: that of Grain's shuffle takes longer to find than an accelerator
    takes to compute.

    Args:
      count: Number of records.
      batch_size: Number of records in a batch.
      seed: The order follows from it.
      rows: See `training_batches`.

    Returns:
      Dicts of `number`, of the record; `real`, False of rows beyond the batch; and `place`, of the
      sample among all that were ever taken, uint32.
    """
    order = functools.partial(_shuffled, count, seed)
    return _Rows(order, np.iinfo(np.int64).max, batch_size, rows or range(batch_size))


def evaluation_rows(
    count: int, *, batch_size: int, rows: range | None = None
) -> Sequence[dict[str, np.ndarray]]:
    """Which records `evaluation_batches` takes; as `training_rows`."""
    return _Rows(lambda places: places, count, batch_size, rows or range(batch_size))


def _shuffled(count: int, seed: int, places: np.ndarray) -> np.ndarray:
    """The records at places of an endless order."""
    numbers = np.zeros_like(places)
    for epoch in np.unique(places // count).tolist():
        here = places // count == epoch
        numbers[here] = _permutation(count, seed, epoch)[places[here] % count]
    return numbers


@functools.lru_cache(maxsize=2)
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(count)


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Batches of the numbers of consecutive records; see `_Batches`.

    Attributes:
      order: Gives the records at places.
      count: Number of places.
      size: Records in a batch.
      rows: Rows of every batch.
    """

    order: Callable[[np.ndarray], np.ndarray]
    count: int
    size: int
    rows: range

    def __len__(self) -> int:
        return min(-(-self.count // self.size), sys.maxsize)

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        rows = np.array(self.rows)
        places = number * self.size + rows
        real = (rows < self.size) & (places < self.count)
        numbers = np.where(real, self.order(np.where(real, places, 0)), 0)
        return {
            "number": numbers.astype(np.int32),
            "real": real,
            "place": places.astype(np.uint32),
        }


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


def iterate(batches: Sequence[Any], ahead: bool = True) -> grain.DatasetIterator:
    """Gives batches one after the other.

    Args:
      batches: Makes the batch of a number.
      ahead: Whether threads make them before they are asked for.
    """
    dataset = grain.MapDataset.source(batches)
    # Decoding is NumPy and file reading: threads overlap with the accelerator without copies.
    threads = AHEAD if ahead else 0
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
    return iter(dataset.to_iter_dataset(options))
