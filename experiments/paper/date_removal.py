"""Dates removed at test, as more clouds would (paper, Figure 7)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int


def removal_rank(
    valid: Bool[np.ndarray, "b t"],
    ids: Int[np.ndarray, " b"],
    *,
    spell: int = 1,
    seed: int = 0,
    draw: int = 0,
) -> Int[np.ndarray, "b t"]:
    """Draws in which order the dates of each sample are removed.

    Its valid dates are cut into blocks of `spell` that follow each other, the first from a random
    date on, and the blocks are put in random order.

    Args:
      valid: Valid dates, in the order of the calendar.
      ids: Identifiers of the samples, not negative: the order depends on them, not on the batch.
      spell: Dates of a block: 1 removes dates at random, as the paper; 6 of S2, about a month.
      seed: Everything random follows from it, `draw` and the identifiers.
      draw: Number of the order among several.

    Returns:
      Place of each valid date in the order, from 0; arbitrary where not valid.
    """
    rank = np.zeros(valid.shape, np.int64)
    for i, identifier in enumerate(ids):
        dates = np.flatnonzero(valid[i])
        rng = np.random.default_rng([seed, draw, int(identifier)])
        starts = np.arange(rng.integers(1, spell, endpoint=True), len(dates), spell)
        blocks = np.split(dates, starts)
        order = [blocks[number] for number in rng.permutation(len(blocks))]
        rank[i, np.concatenate(order)] = np.arange(len(dates))
    return rank


def remaining(
    valid: Bool[np.ndarray, "b t"], rank: Int[np.ndarray, "b t"], ratio: float
) -> Bool[np.ndarray, "b t"]:
    """Returns the valid dates without the first round(`ratio` n) of each sample's n.

    Args:
      valid: Valid dates.
      rank: Of `removal_rank`. A larger ratio removes what a smaller one does, and more.
      ratio: 0 to 1.
    """
    removed = np.rint(ratio * valid.sum(1, keepdims=True))
    return valid & (rank >= removed)
