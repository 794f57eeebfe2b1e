"""Sinusoidal code of the day of an acquisition."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def sinusoidal_day_code(
    days: Int[Array, "..."], width: int, *, period: float = 1000.0
) -> Float[Array, "... width"]:
    """Encodes day numbers as sines (even features) and cosines (odd features).

    Feature ``j`` has the angle ``day / period ** (2 * (j // 2) / width)`` (L-TAE, equation 4).
    Computed from the day itself, so any day number works: also negative or beyond one year.

    Args:
      days: Days since the reference date, any shape.
      width: Number of features.
      period: Longest wavelength divided by 2 pi, in days.
    """
    j = np.arange(width)
    frequencies = np.power(period, -2.0 * (j // 2) / width).astype(np.float32)
    angles = days[..., None].astype(jnp.float32) * frequencies
    return jnp.where(j % 2 == 0, jnp.sin(angles), jnp.cos(angles))
