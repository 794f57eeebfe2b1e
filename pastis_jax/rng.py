"""Named random streams: every random number of a run follows from one key."""

from __future__ import annotations

import zlib

import jax
from jaxtyping import Array, Int


def fold_in_name(key: Array, name: str) -> Array:
    """Derives the key of the stream `name`; independent of which other streams exist."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def stream(key: Array, name: str, step: Int[Array, ""] | int) -> Array:
    """Derives the key of stream `name` at `step`: nothing to store, the same after a resume."""
    return jax.random.fold_in(fold_in_name(key, name), step)
