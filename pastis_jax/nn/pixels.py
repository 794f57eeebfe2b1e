"""Layers at every pixel of pixel sets, then mean and deviation over each set: some sets at a time.

The features of all pixels would be hundreds of times larger than the input. As batch norms become
part of the weights once the moments of their inputs are known, a pass over the pixels gathers
moments, another one pools; features live in the cache only, and the gradient, written by hand,
computes them again in a third pass.

Everywhere here, sets are in ``m`` chunks, ``m k s c`` with the sets of a chunk ``k`` and pixels
``s``; layers are kernels and offsets, each followed by a ReLU.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pastis_jax.nn.norm import Moments, gram, inverse_deviation, moments_of_input

Layers = Sequence[tuple[Float[Array, "c d"], Float[Array, " d"]]]
SPREAD = 1e-11
"""Of equal pixels only rounding noise is left: variance over squared mean that counts as none."""


class PixelSets(NamedTuple):
    """Sets of pixels in chunks.

    Attributes:
      values: ``m k s c+1``, a channel of ones behind the others. Where a set has no pixel, those of
        one that it has, so that only the counts need to know.
      real: ``m k s``, the pixels that are there, at dates that are.
      count: ``m k 1``, the number of pixels of each set, at every date.
    """

    values: Float[Array, "m k s c1"]
    real: Bool[Array, "m k s"]
    count: Float[Array, "m k 1"]


def features(layers: Layers, values: Float[Array, "... c1"]) -> Float[Array, "... d"]:
    """Output of `layers` at every pixel; `values` has the channel of ones."""
    if not layers:
        return values[..., :-1]
    (kernel, offset), *others = layers
    x = jax.nn.relu(values @ jnp.concatenate([kernel, offset[None]]))
    for kernel, offset in others:
        x = jax.nn.relu(x @ kernel + offset)
    return x


def moments_of_features(
    layers: Layers, sets: PixelSets, axis_name: str | None
) -> tuple[Float[Array, " d"], Float[Array, "d d"], Float[Array, ""]]:
    """Mean and covariance over real pixels, and their number.

    They are gathered about the mean of the first chunk: a covariance is no small difference of
    large numbers then.
    """
    weight = sets.real[..., None].astype(sets.values.dtype)
    first, share = features(layers, jax.lax.stop_gradient(sets.values[0])), weight[0]
    some = _over_devices(((first * share).sum((0, 1)), share.sum()), axis_name)
    shift = jax.lax.stop_gradient(some[0] / jnp.maximum(some[1], 1))

    def add(sums, chunk):
        values, weight = chunk
        x = ((features(layers, values) - shift) * weight).reshape(-1, len(shift))
        return (sums[0] + x.sum(0), sums[1] + gram(x)), None

    zeros = jnp.zeros_like(shift), jnp.zeros((len(shift),) * 2, shift.dtype)
    (total, products), _ = jax.lax.scan(jax.checkpoint(add), zeros, (sets.values, weight))
    total, products, count = _over_devices((total, products, weight.sum()), axis_name)
    apart = total / jnp.maximum(count, 1)
    covariance = products / jnp.maximum(count, 1) - jnp.outer(apart, apart)
    return shift + apart, covariance, count


def pooled(layers: Layers, sets: PixelSets) -> Float[Array, "m k 2*d"]:
    """Mean and deviation over the pixels of each set of the output of `layers`."""

    def pool(chunk):
        values, count = chunk
        x = features(layers, values)
        return jnp.concatenate(mean_and_deviation(x, count), -1)

    return jax.lax.map(jax.checkpoint(pool), (sets.values, sets.count))


def mean_and_deviation(
    x: Float[Array, "k s d"], count: Float[Array, "k 1"]
) -> tuple[Float[Array, "k d"], Float[Array, "k d"]]:
    """Mean and standard deviation over the first axis of pixels.

    The deviation divides by count - 1, and by 1 where there is a single pixel (where it is 0).

    Args:
      x: Features; where a pixel is not there, those of the set's first one.
      count: Number of pixels that are there.
    """
    apart = x - x[:, :1]
    total, squares = sum_over_pixels(apart), sum_over_pixels(jnp.square(apart))
    apart = total / jnp.maximum(count, 1)
    mean = jnp.where(count > 0, x[:, 0] + apart, 0)
    variance = (squares - total * apart) / jnp.maximum(count - 1, 1)
    variance = jnp.where(variance > SPREAD * jnp.square(mean), variance, 0)
    return mean, _safe_sqrt(variance)


def sum_over_pixels(x: Float[Array, "k s d"]) -> Float[Array, "k d"]:
    """Sum over ``s``; on a CPU written out, which XLA turns into one loop over vectors."""
    if jax.default_backend() != "cpu" or x.shape[1] > 64:
        return x.sum(1)
    return sum(x[:, i] for i in range(x.shape[1]))


def _safe_sqrt(x: jax.Array) -> jax.Array:
    """Square root with gradient 0 at 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


def _over_devices(x, axis_name):
    return x if axis_name is None else jax.lax.psum(x, axis_name)


class LastLayer(NamedTuple):
    """The layer before the pool: linear, without bias, then batch norm and ReLU."""

    kernel: Float[Array, "c d"]
    scale: Float[Array, " d"]
    offset: Float[Array, " d"]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def normalised_and_pooled(
    axis_name: str | None, layers: Layers, last: LastLayer, sets: PixelSets
) -> tuple[Float[Array, "m k 2*d"], Moments]:
    """Pools the output of `layers` and `last`, normalised with the moments of the batch.

    The gradient of a batch norm needs two sums over all pixels: of the gradient of its result
    ``z``, and of their product. Both follow from what was pooled: mean and deviation grow as ``z``
    does, so that the product sums to that of what is pooled and its gradient, and the other sum
    needs the number of pixels that the ReLU lets through. One pass is enough for all gradients.

    Args:
      axis_name: Mapped device axis to sum the statistics over.
      layers: Layers before the last one, folded.
      last: The last one.
      sets: Pixel sets.

    Returns:
      What `pooled` gives, and the moments of ``x @ kernel``, which have no gradient.
    """
    return _forward(axis_name, layers, last, sets)[0]


def _forward(axis_name, layers, last, sets):
    about = moments_of_features(layers, sets, axis_name)
    moments = mean, var, _ = moments_of_input(*about, last.kernel)
    gain = last.scale * inverse_deviation(var)

    def pool(chunk):
        values, count = chunk
        y = features(layers, values) @ last.kernel
        x = jax.nn.relu((y - mean) * gain + last.offset)
        through = sum_over_pixels((x > 0).astype(x.dtype))
        through -= (x.shape[1] - count) * (x[:, 0] > 0)  # Pixels that are not there.
        return *mean_and_deviation(x, count), through

    mean_of, deviation, through = jax.lax.map(pool, (sets.values, sets.count))
    out = jnp.concatenate([mean_of, deviation], -1), moments
    return out, (layers, last, sets, moments, mean_of, deviation, through)


def _backward(axis_name, kept, gradients):
    layers, last, sets, (mean, var, total), mean_of, deviation, through = kept
    kernel, scale, offset = last
    there = sets.real.any(-1, keepdims=True)
    of_mean, of_deviation = jnp.split(jnp.where(there, gradients[0], 0), 2, -1)
    inverse = inverse_deviation(var)
    gain = scale * inverse
    # The gradient at a pixel that the ReLU lets through is `level + slope * z`.
    slope = jnp.where(
        deviation > 0,
        of_deviation / (jnp.where(deviation > 0, deviation, 1) * jnp.maximum(sets.count - 1, 1)),
        0,
    )
    each = of_mean / jnp.maximum(sets.count, 1)
    level = each - slope * mean_of
    shares = each * through + slope * mean_of * (sets.count - through)
    products = of_mean * mean_of + of_deviation * deviation
    sums = _over_devices((shares.sum((0, 1)), products.sum((0, 1))), axis_name)
    of_offset, product = sums
    # Of `scale`, but for rounding where it is small: it is found exactly further down.
    estimate = jnp.where(scale != 0, (product - offset * of_offset) / jnp.where(scale, scale, 1), 0)
    total = jnp.maximum(total, 1)
    tilt = -estimate * inverse / total

    def add(sums, chunk):
        values, real, level, slope = chunk
        # As rows: sums over two axes at once would be transposed first.
        x, back = jax.vjp(features, layers, values.reshape(-1, values.shape[-1]))
        y = (x @ kernel - mean).reshape(*values.shape[:-1], -1)
        z = y * gain + offset
        of_z = jnp.where(z > 0, level[:, None] + slope[:, None] * z, 0)
        of_y = jnp.where(real[..., None], of_z + (tilt * y - of_offset / total), 0)
        of_y = of_y.reshape(len(x), -1)
        of_layers, of_values = back(of_y @ (kernel * gain).T)
        sums = jax.tree.map(jnp.add, sums, (x.T @ of_y, of_layers))
        return sums, of_values.reshape(values.shape)

    zeros = jax.tree.map(jnp.zeros_like, (kernel, tuple(layers)))
    chunks = sets.values, sets.real, level, slope
    (of_kernel, of_layers), of_values = jax.lax.scan(add, zeros, chunks)
    along = _over_devices((kernel * of_kernel).sum(0), axis_name)
    of_scale = along * inverse + var * jnp.square(inverse) * estimate
    share = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    of_last = LastLayer(of_kernel * gain, of_scale / share, of_offset / share)
    return of_layers, of_last, PixelSets(of_values, None, jnp.zeros_like(sets.count))


normalised_and_pooled.defvjp(_forward, _backward)
