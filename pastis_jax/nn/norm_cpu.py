"""Convolution, group norm and ReLU on a CPU: some frames at a time, from cache to cache.

The function of `conv.ConvNorm` with the norms that see one image. As passes over all frames, each
of its steps reads and writes memory; here a frame goes through all of them before the next one.
Kept for the backward pass are the input and what the norm normalises, nothing else of their size.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from pastis_jax.nn import conv_cpu
from pastis_jax.nn.norm import EPSILON


class How(NamedTuple):
    """Stride, groups of the norm, whether a ReLU follows, and the type of the result."""

    stride: int
    groups: int
    relu: bool
    result: DTypeLike


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def convolve_and_normalise(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "k k c d"],
    bias: Float[Array, " d"],
    scale: Float[Array, " d"],
    offset: Float[Array, " d"],
    how: How,
) -> Float[Array, "b h2 w2 d"]:
    """Convolves, adds the bias, normalises groups of channels of each image, rectifies."""

    def some(x):
        y = _convolved(x, kernel, bias, how)
        mean, gain = _statistics(y, how)[1:]
        return _finished((y - mean) * gain, scale, offset, how)

    return _joined(_in_turn(some, _cut(x)), len(x))


def _in_turn(function, parts):
    """Maps a function over parts; results that are alike take the place of what they come from."""
    first = jax.ShapeDtypeStruct(parts.shape[1:], parts.dtype)
    result = jax.eval_shape(function, first)
    if (result.shape, result.dtype) != (first.shape, first.dtype):
        return jax.lax.map(function, parts)

    def replace(parts, i):
        done = function(jax.lax.dynamic_index_in_dim(parts, i, keepdims=False))
        return jax.lax.dynamic_update_index_in_dim(parts, done, i, 0), None

    return jax.lax.scan(replace, parts, jnp.arange(len(parts)))[0]


def _forward(x, kernel, bias, scale, offset, how):
    def some(x):
        y = _convolved(x, kernel, bias, how)
        means, mean, gain = _statistics(y, how)
        return _finished((y - mean) * gain, scale, offset, how), y, means, mean, gain

    z, *kept = jax.lax.map(some, _cut(x))
    return _joined(z, len(x)), (x, kernel, scale, offset, kept)


def _pull_back(how, saved, dz):
    x, kernel, scale, offset, kept = saved
    wide = jnp.promote_types(kernel.dtype, jnp.float32)

    def some(totals, frames):
        x, y, means, mean, gain, dz = frames
        normal, dz = (y - mean) * gain, dz.astype(y.dtype)
        if how.relu:
            dz = jnp.where(normal * scale + offset > 0, dz, 0)
        pixels = y.shape[1] * y.shape[2]
        of_offset = jnp.sum(dz, (1, 2), keepdims=True)
        of_scale = jnp.sum(dz * normal, (1, 2), keepdims=True)
        shared = _of_groups(of_offset * scale, how) / pixels
        along = _of_groups(of_scale * scale, how) / pixels
        dy = gain * (dz * scale - shared - normal * along)
        # The sum of dy, without another pass.
        of_bias = (means - mean) * gain * along
        of_bias = gain * (of_offset * scale - pixels * (shared + of_bias))
        dy = jax.lax.optimization_barrier(dy.astype(x.dtype))
        of_kernel = conv_cpu.kernel_gradient(x, dy, kernel, how.stride)
        sums = (s.sum((0, 1, 2)) for s in (of_bias, of_scale, of_offset))
        totals = jax.tree.map(jnp.add, totals, (of_kernel, *sums))
        return totals, conv_cpu.input_gradient(dy, kernel, how.stride)

    zeros = jnp.zeros(kernel.shape, wide), *(jnp.zeros_like(scale) for _ in range(3))
    (of_kernel, *others), dx = jax.lax.scan(some, zeros, (_cut(x), *kept, _cut(dz, len(kept[0]))))
    return _joined(dx, len(x)), of_kernel.astype(kernel.dtype), *others


convolve_and_normalise.defvjp(_forward, _pull_back)


def _convolved(x, kernel, bias, how):
    y = conv_cpu.convolve(x, kernel, how.stride)
    # Written once: the norm reads it three times.
    return jax.lax.optimization_barrier(y.astype(jnp.promote_types(y.dtype, jnp.float32)) + bias)


def _statistics(y, how):
    """Mean of each channel; mean and reciprocal deviation of its group, for each channel."""
    means = y.mean((1, 2), keepdims=True)
    mean = _of_groups(means, how)
    variance = _of_groups(jnp.square(y - mean).mean((1, 2), keepdims=True), how)
    return means, mean, jax.lax.rsqrt(variance + EPSILON)


def _of_groups(x, how):
    """Means over each group, for each of its channels."""
    grouped = x.reshape(*x.shape[:-1], how.groups, -1)
    return jnp.broadcast_to(grouped.mean(-1, keepdims=True), grouped.shape).reshape(x.shape)


def _finished(normal, scale, offset, how):
    z = normal * scale + offset
    return (jax.nn.relu(z) if how.relu else z).astype(how.result)


def _cut(x, parts=None):
    """Frames in equal parts, as many as fit the cache or `parts` of them; zeros fill the last."""
    b, h, w, _ = x.shape
    size = max(1, conv_cpu.PIXELS_PER_GROUP // (h * w))
    parts = parts or -(-b // size)
    size = -(-b // parts)
    x = jnp.pad(x, ((0, parts * size - b), *((0, 0),) * 3))
    return x.reshape(parts, size, *x.shape[1:])


def _joined(x, b):
    return x.reshape(-1, *x.shape[2:])[:b]
