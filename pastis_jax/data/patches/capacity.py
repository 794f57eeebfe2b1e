"""How many valid frames a batch of patches can hold."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def frame_capacity(dates: Sequence[int], batch_size: int, kept: float = 1.0) -> int:
    """Returns how many valid frames of one modality a batch needs room for, at least 1.

    Without temporal dropout this is the largest total that can occur. A batch of `training_batches`
    is the end of one epoch, in which no record occurs twice, and then a stretch from the start of
    the next: a record occurs twice in it where an epoch ends, and no more unless the batch is
    larger than the source.

    With dropout, the number of frames is binomial, save that one of each series is always kept. The
    capacity is then four standard deviations above the mean of the batch with the most dates. That
    one needs more about once in 10,000 times, others less often: the caller must bear it.

    Args:
      dates: Number of dates of each record.
      batch_size: Number of records in a batch.
      kept: Probability that a date is kept by temporal dropout, above 0 and at most 1.
    """
    dates = np.sort(np.asarray(dates, np.int64))[::-1]
    largest = _largest(dates, batch_size)
    if kept == 1:
        return max(1, math.ceil(largest))
    mean = _largest(kept * dates + (1 - kept) ** dates, batch_size)  # E max(binomial, 1)
    room = math.ceil(mean + 4 * math.sqrt(largest * kept * (1 - kept)))
    return max(1, min(math.ceil(largest), room))


def _largest(falling: np.ndarray, batch_size: int) -> float:
    """Returns the largest sum over a batch of records with these values, largest first."""
    n = len(falling)
    best = np.concatenate([[0], np.cumsum(falling)])  # sum of the k largest
    head = np.arange(min(n, batch_size) + 1)  # records left of an epoch
    epochs, rest = np.divmod(batch_size - head, n)
    return float((best[head] + epochs * best[n] + best[rest]).max())
