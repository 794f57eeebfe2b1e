"""Dates removed at test, as more clouds would (paper, Figure 7)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from pastis_jax.data.metadata import Identifier


def removal_rank(
    valid: Bool[np.ndarray, "b t"],
    days: Int[np.ndarray, "b t"],
    identifiers: Sequence[Identifier],
    *,
    spell: int = 1,
    seed: int = 0,
    draw: int = 0,
    series: int = 0,
) -> Int[np.ndarray, "b t"]:
    """Draws in which order the dates of each sample are removed.

    Its valid dates, in the order of the calendar, are cut into blocks of `spell` that follow each
    other, the first from a random date on, and the blocks are put in random order.

    Args:
      valid: Valid dates.
      days: Their days, in any order.
      identifiers: Of the samples: the order depends on them, not on their places.
      spell: Dates of a block: 1 removes dates at random, as the paper; 6 of S2, about a month.
      seed: Everything random follows from it, `draw`, `series` and the identifiers.
      draw: Number of the order among several.
      series: Number of the series among several of a sample, each of which has an order of its own.

    Returns:
      Place of each valid date in the order, from 0; arbitrary where not valid.
    """
    rank = np.zeros(valid.shape, np.int64)
    for i, identifier in enumerate(identifiers):
        dates = np.flatnonzero(valid[i])
        dates = dates[np.argsort(days[i, dates], kind="stable")]
        rng = np.random.default_rng([seed, draw, _number(identifier), *([series] * (series > 0))])
        starts = np.arange(rng.integers(1, spell, endpoint=True), len(dates), spell)
        blocks = np.split(dates, starts)
        order = [blocks[number] for number in rng.permutation(len(blocks))]
        rank[i, np.concatenate(order)] = np.arange(len(dates))
    return rank


def _number(identifier: Identifier) -> int:
    """An integer that is not negative: the identifier itself, or a digest of its text."""
    if not isinstance(identifier, str) and identifier >= 0:
        return int(identifier)
    return int.from_bytes(hashlib.sha256(str(identifier).encode()).digest()[:16], "big")


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
