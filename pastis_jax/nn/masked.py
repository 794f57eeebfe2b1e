"""Reductions that take a mask and carry (sum, count).

Exact on padded batches and across devices.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float


def sum_and_count(
    x: Float[Array, "..."],
    mask: Bool[Array, "..."],
    axis: Sequence[int],
    *,
    axis_name: str | None = None,
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Sums the unmasked entries of `x` and counts them.

    Args:
      x: Any shape.
      mask: Same rank as `x`; axes of size 1 are broadcast.
      axis: Axes to reduce; they are kept with size 1.
      axis_name: Mapped device axis to sum over as well.

    Returns:
      Sum, and the number of positions of `mask` that entered it (never less than 0; its shape is
      broadcastable to the sum's).
    """
    axis = tuple(axis)
    total = jnp.sum(jnp.where(mask, x, 0), axis=axis, keepdims=True)
    repeats = 1
    for a in axis:
        repeats *= x.shape[a] // mask.shape[a] if mask.shape[a] == 1 else 1
    count = repeats * jnp.sum(mask, axis=axis, keepdims=True, dtype=x.dtype)
    if axis_name is not None:
        total, count = jax.lax.psum((total, count), axis_name)
    return total, count


def masked_mean(
    x: Float[Array, "..."],
    mask: Bool[Array, "..."],
    axis: Sequence[int],
    *,
    axis_name: str | None = None,
) -> Float[Array, "..."]:
    """Mean of the unmasked entries, with reduced axes kept; 0 where nothing is unmasked."""
    total, count = sum_and_count(x, mask, axis, axis_name=axis_name)
    return total / jnp.maximum(count, 1)


def masked_softmax(
    logits: Float[Array, "..."], mask: Bool[Array, "..."], axis: int
) -> Float[Array, "..."]:
    """Softmax over the unmasked entries; masked ones get 0, all of them where all are masked."""
    return jax.nn.softmax(logits, axis=axis, where=mask)


def mapped_axis(module: nn.Module) -> str | None:
    """Device axis that `module` reduces over: none to initialise, which happens on one device."""
    return None if module.is_initializing() else module.axis_name
