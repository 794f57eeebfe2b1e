"""Packed frames: some dates of a batch one after another, in room for as many as may be valid.

``frames``, ``f``, int32, tells which: ``sample * t + date``, or ``b t`` for room that is left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int


def valid_frames(valid: Bool[Array, "b t"], capacity: int) -> Int[Array, " f"]:
    """Returns the first `capacity` valid dates."""
    (frames,) = jnp.nonzero(valid.reshape(-1), size=capacity, fill_value=valid.size)
    return frames


def pack(x: Array, frames: Int[Array, " f"]) -> Array:
    """Takes dates out of ``b t ...``; zeros (False) where room is left."""
    flat = x.reshape(-1, *x.shape[2:])
    return jnp.take(flat, frames, axis=0, mode="fill", fill_value=0)


def unpack(x: Array, frames: Int[Array, " f"], shape: tuple[int, int]) -> Array:
    """Puts ``f ...`` back in their places of ``b t ...``, `shape` ``(b, t)``; zeros elsewhere."""
    empty = jnp.zeros((math.prod(shape), *x.shape[1:]), x.dtype)
    return empty.at[frames].set(x, mode="drop").reshape(*shape, *x.shape[1:])


def sum_dates(x: Array, frames: Int[Array, " f"], shape: tuple[int, int]) -> Array:
    """Sums the dates ``f ...`` of each sample; `shape` is ``(b, t)``."""
    b, t = shape
    return jax.ops.segment_sum(x, frames // t, num_segments=b)


def join_dates(frames: Sequence[Int[Array, " f"]], b: int, lengths: Sequence[int]) -> Array:
    """Where the frames of series of `lengths` are, when these are stacked along time."""
    total, before, joined = sum(lengths), 0, []
    for numbers, t in zip(frames, lengths, strict=True):
        sample, date = jnp.divmod(numbers, t)
        joined.append(jnp.where(sample < b, sample * total + before + date, b * total))
        before += t
    return jnp.concatenate(joined)
