"""Dropout whose draws belong to samples."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from pastis_jax.nn.masked import mapped_axis
from pastis_jax.rng import sample_keys


class Dropout(nn.Module):
    """Sets entries to zero at random and scales the others up; a sample has draws of its own.

    Under one key, linen's dropout would draw the same mask on every device of a mapped axis.

    Attributes:
      rate: Probability to drop an entry, less than 1.
      axis_name: Mapped device axis, under `pmap`.
    """

    rate: float
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b ..."], *, train: bool) -> Float[Array, "b ..."]:
        """Drops entries of `x` (stream `dropout`) when training."""
        if not train or self.rate == 0:
            return x
        keys = sample_keys(self.make_rng("dropout"), len(x), mapped_axis(self))
        kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - self.rate, x.shape[1:]))(keys)
        return jnp.where(kept, x / (1 - self.rate), 0)
