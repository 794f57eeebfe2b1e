"""What batches take of this machine's memory, told before any of them is made."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np

from pastis_jax import machine
from pastis_jax.data.batches import AHEAD
from pastis_jax.data.splits import Splits
from pastis_jax.errors import ArgumentError

AT_A_TIME = AHEAD + 2
"""Batches that are held together: those made ahead, one that comes next and one at the device."""
TOLD = 0.25
"""Share of the memory from which on it is worth a line."""


def batch_bytes(splits: Splits) -> int:
    """Bytes of the larger of a training batch and one of validation, as this process holds it."""
    plan, sizes = splits.plan, []
    record = next((source[0] for source in splits.sources.values() if len(source)), None)
    if record is None:
        return 0
    for encode, rows in (
        (splits.encode, plan.rows),
        (splits.evaluation_encoding, plan.evaluation_rows),
    ):
        leaves = jax.tree.leaves(encode(record, np.random.default_rng(0)))
        sizes.append(sum(np.asarray(leaf).nbytes for leaf in leaves) * len(rows))
    return max(sizes)


def check_batches(splits: Splits, samples: str, say: Callable[[str], None]) -> None:
    """Refuses batches that this machine cannot hold, and tells of those that fill much of it.

    What the model takes comes on top, on the device that it runs on.

    Args:
      splits: The records.
      samples: What they are, in plural.
      say: Tells the reader a line.

    Raises:
      ArgumentError: If the batches alone are larger than the memory.
    """
    memory = machine.memory()
    if memory is None:
        return
    plan, each = splits.plan, batch_bytes(splits)
    share, size = AT_A_TIME * each / memory, max(plan.batch_size, plan.evaluation_size)
    needed = (
        f"batches of {size:,} {samples} take {each / 1e9:.1f} GB each, {AT_A_TIME} are held at a "
        f"time: {AT_A_TIME * each / 1e9:.1f} GB, of {memory / 1e9:.1f} GB that this machine has"
    )
    if share > 1:
        remedy = f"give {max(1, int(size / share))} or less"
        raise ArgumentError(needed, argument="batch_size", remedy=remedy)
    if share > TOLD:
        say(f"Note: {needed}; the model's own take more.")
