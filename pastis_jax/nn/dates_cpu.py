"""The weighted sum of maps over dates on a CPU: one date after another.

As one expression, XLA sums each pixel over dates that lie megabytes apart, on one core, and writes
the resampled weights of all dates, and in the backward pass the weighted maps, in full.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


@partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def weighted_sum(
    x: Float[Array, "b t h w c"] | Float[Array, "f h w c"],
    weights: Float[Array, "b t h2 w2 n"] | Float[Array, "f h2 w2 n"],
    valid: Bool[Array, "b t"] | Bool[Array, " f"],
    samples: Int[Array, " f"] | None,
    b: int,
    scale: int | None,
) -> Float[Array, "b h w c"]:
    """Sums maps times weights over valid dates, in the type of the weights.

    Args:
      x: Maps.
      weights: Weights of each group of channels, 0 at dates that are not valid.
      valid: Dates that count.
      samples: Where each packed date belongs, ``b`` for room that is left; None if `x` is not
        packed.
      b: Number of samples.
      scale: Pixels of `x` in a side of a pixel of the weights, which are resampled bilinearly
        (half-pixel centres); None for weights that are the same everywhere, ``h2 = w2 = 1``.
    """

    def add(total, i):
        maps, small, _ = _date(x, weights, valid, samples, i)
        full = _full(small, maps.shape, scale)
        weighted = jnp.repeat(full, maps.shape[-1] // full.shape[-1], -1) * maps
        if samples is None:
            return total + weighted, None
        return total.at[samples[i]].add(weighted[0], mode="drop"), None

    zeros = jnp.zeros((b, *x.shape[-3:]), weights.dtype)
    return jax.lax.scan(add, zeros, jnp.arange(_length(x, samples)))[0]


def _length(x, samples):
    return x.shape[1] if samples is None else len(samples)


def _date(x, weights, valid, samples, i):
    """A date of all samples, or the one sample that it belongs to: maps, weights, validity."""
    axis = int(samples is None)
    maps, small, ok = (
        jax.lax.dynamic_slice_in_dim(a, i, 1, axis).reshape(-1, *a.shape[axis + 1 :])
        for a in (x, weights, valid)
    )
    ok = ok[:, None, None, None]
    return jnp.where(ok, maps, 0).astype(jnp.float32), small, ok


def _full(weights, shape, scale):
    """Weights ``b h2 w2 n`` at each pixel, ``b h w n``."""
    b, h, w, _ = shape
    *_, h2, w2, n = weights.shape
    if scale is not None:
        weights = jax.image.resize(weights, (b, h2 * scale, w2 * scale, n), "bilinear")
    return jnp.broadcast_to(weights[:, :h, :w], (b, h, w, n))


def _pull_back(b, scale, saved, dy):
    x, weights, valid, samples = saved

    def one(i):
        maps, small, ok = _date(x, weights, valid, samples, i)
        mine = dy if samples is None else jnp.take(dy, samples[i][None], 0, mode="clip")
        full, pull = jax.vjp(lambda small: _full(small, maps.shape, scale), small)
        size = maps.shape[-1] // full.shape[-1]
        # Sums of so few neighbours are fast as a product.
        groups = np.repeat(np.eye(full.shape[-1], dtype=full.dtype), size, 0)
        (of_weights,) = pull((maps * mine) @ groups)
        of_x = jnp.where(ok, jnp.repeat(full, size, -1) * mine, 0).astype(x.dtype)
        return of_x, of_weights

    def back(dates):
        return dates[:, 0] if samples is not None else jnp.moveaxis(dates, 0, 1)

    of_x, of_weights = jax.lax.map(one, jnp.arange(_length(x, samples)))
    return back(of_x), back(of_weights), None, None


def _forward(x, weights, valid, samples, b, scale):
    return weighted_sum(x, weights, valid, samples, b, scale), (x, weights, valid, samples)


weighted_sum.defvjp(_forward, _pull_back)
