"""Named random streams: every random number of a run follows from one key."""

from __future__ import annotations

import zlib

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key


def fold_in_name(key: Array, name: str) -> Array:
    """Derives the key of the stream `name`; independent of which other streams exist."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def stream(key: Array, name: str, step: Int[Array, ""] | int) -> Array:
    """Derives the key of stream `name` at `step`: nothing to store, the same after a resume."""
    return jax.random.fold_in(fold_in_name(key, name), step)


def sample_keys(key: Array, samples: int, axis_name: str | None = None) -> Key[Array, " b"]:
    """Derives a key for each sample of a batch, from its place in the whole batch.

    So a sample draws the same numbers however many devices the batch is spread over, and however
    many samples follow it.

    Args:
      key: Key of the batch, the same on every device.
      samples: Number of samples ``b`` here.
      axis_name: Mapped device axis that the batch is spread over, under `pmap`.
    """
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * samples
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(first + jnp.arange(samples))
