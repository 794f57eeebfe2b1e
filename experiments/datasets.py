"""The records of a run, and the batches that are made of them."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax

from pastis_jax.data.pipeline import Encoding, evaluation_batches, training_batches
from pastis_jax.training import Batches
from pastis_jax.types import Batch


@dataclasses.dataclass(frozen=True)
class Data:
    """The records of a run.

    Attributes:
      root: Their folder.
      sources: Records of `train`, `val` and `test`.
      encode: How training records become arrays.
      batch_size: Samples in a training batch.
      seed: Of the training batches.
      rows: Samples of every training batch that this process makes.
      evaluation_size: Samples in a batch of validation and test.
      evaluation_rows: Samples of these that this process makes.
    """

    root: pathlib.Path
    sources: Mapping[str, Sequence[Mapping[str, Any]]]
    encode: Encoding
    batch_size: int
    seed: int
    rows: range
    evaluation_size: int
    evaluation_rows: range

    def training(self) -> Batches:
        """Endless training batches."""
        return training_batches(
            self.sources["train"],
            self.encode,
            batch_size=self.batch_size,
            seed=self.seed,
            rows=self.rows,
        )

    def evaluation(self, split: str, *, ahead: bool = True) -> Iterator[Batch]:
        """Batches of the whole records of `split`, each once; by default made ahead, by threads."""
        return self._whole(split, self.evaluation_size, self.evaluation_rows, ahead)

    def alone(self, split: str, size: int | None = None) -> Iterator[Batch]:
        """The same for one process and one device alone, in batches of `size`.

        Default: what one device gets in validation and test.
        """
        size = size or -(-self.evaluation_size // jax.device_count())
        return self._whole(split, size, range(size))

    def _whole(self, split, size, rows, ahead=True):
        return evaluation_batches(
            self.sources[split], self.evaluation_encoding, batch_size=size, rows=rows, ahead=ahead
        )

    @property
    def evaluation_encoding(self) -> Encoding:
        """How records of validation and test become arrays."""
        return self.encode

    @property
    def steps_per_epoch(self) -> int:
        """Batches that hold the training records once."""
        return max(1, len(self.sources["train"]) // self.batch_size)
