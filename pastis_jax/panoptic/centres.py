"""Where instances are: centres on a centerness heatmap, and boxes around them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

_LARGEST = 2**20
"""Sides beyond this many pixels are cut, so that they stay integers."""


def zone_centres(
    heatmap: Float[Array, "b h w"], zones: Int[Array, "b h w"], slots: int
) -> tuple[Int[Array, "b i 2"], Bool[Array, "b i"]]:
    """The highest point of the heatmap in each true zone, the first of equals (training).

    Args:
      heatmap: Predicted centerness.
      zones: Instance that each pixel belongs to, from 1; 0 for none.
      slots: Number of instances ``i`` to look for.

    Returns:
      Row and column for each instance, and whether it has a zone.
    """
    b, h, w = heatmap.shape

    def highest_of_zones(heat, zone):
        top = jax.ops.segment_max(heat, zone, slots + 1)
        place = jnp.where(heat == top[zone], jnp.arange(h * w), h * w)
        return jax.ops.segment_min(place, zone, slots + 1)[1:]

    place = jax.vmap(highest_of_zones)(heatmap.reshape(b, -1), zones.reshape(b, -1))
    return _row_and_column(place, w), place < h * w


def local_maxima(
    heatmap: Float[Array, "b h w"], most: int
) -> tuple[Int[Array, "b i 2"], Bool[Array, "b i"], Int[Array, " b"]]:
    """Pixels that equal the highest of their 3 x 3 neighbourhood and exceed the image's mean.

    Differs from the reference: the mean is the image's own, not the batch's.

    Args:
      heatmap: Predicted centerness.
      most: Number of slots ``i``; the most confident centres get them.

    Returns:
      Row and column of each centre in falling order of confidence, whether the slot holds one, and
      the number of centres beyond the slots.
    """
    b, h, w = heatmap.shape
    highest = jax.lax.reduce_window(heatmap, -jnp.inf, jax.lax.max, (1, 3, 3), (1, 1, 1), "SAME")
    centre = (heatmap == highest) & (heatmap > heatmap.mean((1, 2), keepdims=True))
    score, place = jax.lax.top_k(
        jnp.where(centre, heatmap, -jnp.inf).reshape(b, -1), min(most, h * w)
    )
    missing = most - place.shape[1]
    place = jnp.pad(place, ((0, 0), (0, missing)))
    found = jnp.pad(jnp.isfinite(score), ((0, 0), (0, missing)))
    dropped = jnp.maximum(centre.sum((1, 2), dtype=jnp.int32) - most, 0)
    return _row_and_column(place, w), found, dropped


def _row_and_column(place, w):
    return jnp.stack([place // w, place % w], -1).astype(jnp.int32)


def at_centres(maps: Float[Array, "b h w ..."], centre: Int[Array, "b i 2"]) -> Array:
    """The values ``b i ...`` of a map at the centres."""
    return maps[jnp.arange(len(maps))[:, None], centre[..., 0], centre[..., 1]]


def boxes(centre: Int[Array, "b i 2"], size: Float[Array, "b i 2"]) -> Int[Array, "b i 4"]:
    """Boxes (top, left, bottom, right; half open) of the rounded sizes; they may leave the image.

    Sizes get no gradient through them.

    Args:
      centre: Row and column.
      size: Predicted rows and columns, pixels; less than one counts as one.
    """
    side = jnp.clip(jnp.round(jax.lax.stop_gradient(size)), 1, _LARGEST).astype(jnp.int32)
    start = centre - side // 2
    return jnp.concatenate([start, start + side], -1)
