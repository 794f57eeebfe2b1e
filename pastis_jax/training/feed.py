"""Batches as training and evaluation take them: from the host, or made where they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax
import numpy as np

from pastis_jax.nn.ragged import PixelTable, Rows, make_batch
from pastis_jax.training.sharding import Placement
from pastis_jax.types import Batch


class Batches(Protocol):
    """Endless batches that can be taken up again; what Grain's iterators are.

    `get_state` gives a JSON-able state, which `set_state` of such an iterator takes: its next batch
    is then the one that would have come next here.
    """

    def __next__(self) -> Any: ...

    def get_state(self) -> Any: ...

    def set_state(self, state: Any) -> None: ...


class OnDevice:
    """Batches of pixel sets that are made on the devices, from a table that lies there.

    Args:
      table: The parcels, whole on every device.
      rows: Which of them make each batch: this process's samples, as `Rows` has them.
      make: What `batch_maker` gives for the placement.
      placement: The devices.
      at_once: Whether many training steps are one program, which waits for nothing.
    """

    def __init__(
        self,
        table: PixelTable,
        rows: Batches,
        make: Callable[[PixelTable, Rows], Batch],
        placement: Placement,
        *,
        at_once: bool = False,
    ):
        self.table, self.make, self.at_once = table, make, at_once
        self._rows, self._placement = rows, placement

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return self.make(self.table, self._placement.batch(Rows(**next(self._rows))))

    def take(self, number: int, of: int) -> Rows:
        """The rows of the next batches, placed, without making the batches.

        Args:
          number: How many.
          of: How many there is room for; the others are those of the last one.
        """
        some = [next(self._rows) for _ in range(number)]
        some += some[-1:] * (of - number)
        stacked = {name: np.stack([rows[name] for rows in some]) for name in some[0]}
        return self._placement.batches(Rows(**stacked))

    def like(self, of: int) -> Rows:
        """Rows such as `take` gives, of any parcels; none are taken."""
        before = self.get_state()
        rows = self.take(1, of)
        self.set_state(before)
        return rows

    def get_state(self) -> Any:
        """State of the rows."""
        return self._rows.get_state()

    def set_state(self, state: Any) -> None:
        """Goes on from a state."""
        self._rows.set_state(state)


def batch_maker(
    placement: Placement, key: jax.Array, size: int
) -> Callable[[PixelTable, Rows], Batch]:
    """Compiles `make_batch`: every device makes its own samples, from its own copy of the table.

    Args:
      placement: The devices.
      key: PRNG key of what is drawn.
      size: Number of pixels that are drawn.
    """

    spread = placement.axis_name is None and placement.devices > 1

    def make(table: PixelTable, rows: Rows) -> Batch:
        return make_batch(table, rows, key, size, spread=spread)

    return placement.compiled(make, ("whole", "batch"), donate=(), result="batch")


def place(batch: Batch, batches: Any, placement: Placement) -> Batch:
    """Spreads a batch of `batches` over the devices, unless it was made there."""
    return batch if isinstance(batches, OnDevice) else placement.batch(batch)
