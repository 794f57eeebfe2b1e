"""Reflected convolutions on a CPU: the functions of `conv`, in the order that is fast there.

What XLA does on a CPU with a padded convolution and its gradients is two to five times slower than
need be: padding copies every image, the gradient of the kernel becomes a convolution with a kernel
as large as the image, and that of a strided convolution's input one with mostly zeros.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

NHWC = ("NHWC", "HWIO", "NHWC")
_conv = partial(jax.lax.conv_general_dilated, dimension_numbers=NHWC)
PIXELS_PER_GROUP = 4096
"""Pixels whose neighbourhoods are gathered at a time, for the processor's cache."""


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c d"], stride: int
) -> Float[Array, "b h2 w2 d"]:
    """Convolution, the border reflected by a pixel: 3 x 3 of stride 1 or 4 x 4 of stride 2."""
    x = _reflected(_reflected(x, 1), 2)
    if stride == 2:
        return _conv(x, kernel, (2, 2), "VALID")
    # More zeros around it and a pixel less: twice as fast as without.
    return _conv(x, kernel, (1, 1), "SAME")[:, 1:-1, 1:-1]


def _pull_back(stride, saved, dy):
    x, kernel = saved
    of_kernel = kernel_gradient(x, dy, kernel, stride).astype(kernel.dtype)
    return input_gradient(dy, kernel, stride), of_kernel


convolve.defvjp(lambda x, kernel, stride: (convolve(x, kernel, stride), (x, kernel)), _pull_back)


def input_gradient(
    dy: Float[Array, "b h2 w2 d"], kernel: Float[Array, "k k c d"], stride: int
) -> Float[Array, "b h w c"]:
    """Gradient of `convolve` by its input."""
    return _input_gradient_4x4(dy, kernel) if stride == 2 else _input_gradient_3x3(dy, kernel)


def _input_gradient_3x3(dy, kernel):
    """The border's share lands one pixel inside."""
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    dx = _conv(dy, flipped, (1, 1), "SAME")
    top = _conv(dy[:, :1], flipped[2:], (1, 1), ((0, 0), (2, 2)))
    bottom = _conv(dy[:, -1:], flipped[:1], (1, 1), ((0, 0), (2, 2)))
    left = _conv(dy[:, :, :1], flipped[:, 2:], (1, 1), ((1, 1), (0, 0)))
    right = _conv(dy[:, :, -1:], flipped[:, :1], (1, 1), ((1, 1), (0, 0)))
    dx = dx.at[:, 1].add(_folded(top, 2)[:, 0]).at[:, -2].add(_folded(bottom, 2)[:, 0])
    return dx.at[:, :, 1].add(left[:, :, 0]).at[:, :, -2].add(right[:, :, 0])


def _input_gradient_4x4(dy, kernel):
    """Each of a pixel's four neighbours of one parity comes from a 2 x 2 convolution of its own."""
    b, h, w, d = dy.shape
    # Row 2 m + p of the padded image was seen by rows m (at p) and m - 1 (at p + 2).
    parts = kernel.reshape(2, 2, 2, 2, -1, d)[::-1, :, ::-1]  # from, p, from, q, c, d
    parts = parts.transpose(0, 2, 5, 1, 3, 4).reshape(2, 2, d, -1)
    dx = _conv(dy, parts, (1, 1), ((1, 1), (1, 1))).reshape(b, h + 1, w + 1, 2, 2, -1)
    dx = dx.transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h + 2, 2 * w + 2, -1)
    return _folded(_folded(dx, 1), 2)


def kernel_gradient(
    x: Float[Array, "b h w c"],
    dy: Float[Array, "b h2 w2 d"],
    kernel: Float[Array, "k k c d"],
    stride: int,
) -> Float[Array, "k k c d"]:
    """Gradient of `convolve` by its kernel, float32 or wider: parts of it are still to be summed.

    Gradients times neighbourhoods, as matrix products of some frames or rows at a time.
    """
    k, _, c, d = kernel.shape
    b, h, w, _ = dy.shape
    x = _reflected(_reflected(x, 1), 2)
    if stride == 2:  # As a convolution of stride 1 over blocks of 2 x 2 pixels.
        x = x.reshape(b, h + 1, 2, w + 1, 2, c).swapaxes(2, 3).reshape(b, h + 1, w + 1, 4 * c)
    near = k // stride
    size = min(b, max(1, PIXELS_PER_GROUP // (h * w)))
    rows = min(h, max(1, PIXELS_PER_GROUP // w))
    groups, bands = -(-b // size), -(-h // rows)
    spare = (0, groups * size - b), (0, bands * rows - h), (0, 0), (0, 0)
    x, dy = jnp.pad(x, spare), jnp.pad(dy, spare)

    def add(total, i):
        place = (i // bands * size, i % bands * rows, 0, 0)
        part = jax.lax.dynamic_slice(x, place, (size, rows + near - 1, *x.shape[2:]))
        parts = [
            part[:, i : i + rows, j : j + w].reshape(size * rows * w, -1)
            for i in range(near)
            for j in range(near)
        ]
        gradients = jax.lax.dynamic_slice(dy, place, (size, rows, w, d)).reshape(-1, d)
        # The narrower one transposed: the other order takes up to three times as long.
        product = jnp.matmul(
            gradients.T, jnp.concatenate(parts, -1), preferred_element_type=total.dtype
        )
        return total + product, None

    zeros = jnp.zeros((d, k * k * c), jnp.promote_types(x.dtype, jnp.float32))
    total, _ = jax.lax.scan(add, zeros, jnp.arange(groups * bands))
    total = total.reshape(d, near, near, stride, stride, c).transpose(1, 3, 2, 4, 5, 0)
    return total.reshape(kernel.shape)


def _reflected(x, axis):
    """Reflects the border by a pixel."""
    size = x.shape[axis]
    return jnp.take(x, jnp.array((1, *range(size), size - 2)), axis)


def _folded(x, axis):
    """Gradient of `_reflected`: adds the border to the pixels it shows."""
    x = jnp.moveaxis(x, axis, 0)
    x = x[1:-1].at[1].add(x[0]).at[-2].add(x[-1])
    return jnp.moveaxis(x, 0, axis)
