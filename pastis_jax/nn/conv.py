"""Convolutions with reflected borders, normalised and rectified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from pastis_jax.nn.norm import BatchNorm, image_group_norm

Norm = Literal["group", "batch", "instance"]
_NHWC = ("NHWC", "HWIO", "NHWC")


def convolve(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c d"], *, stride: int = 1
) -> Float[Array, "b h2 w2 d"]:
    """Convolution with the border reflected, by (k - 1) // 2 pixels on each side.

    Args:
      x: Images.
      kernel: Square kernel of any size.
      stride: Step in both directions.
    """
    pad = (kernel.shape[0] - 1) // 2
    if pad == 1 and stride == 1 and min(x.shape[1:3]) > 2 and jax.default_backend() == "cpu":
        return _convolve_inside_and_border(x, kernel)
    if pad:
        x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")
    return _valid(x, kernel, stride)


def _valid(x, kernel, stride=1):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=_NHWC
    )


def _convolve_inside_and_border(x, kernel):
    """The same for 3 x 3 kernels, two to three times as fast on a CPU: padding copies every image.

    Zeros around the image, which cost nothing, are right for all but its outermost pixels; these
    four strips are computed again from three reflected rows or columns each.
    """
    y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=_NHWC)
    for axis in (1, 2):
        size, pad = x.shape[axis], [(0, 0)] * 4
        pad[3 - axis] = (1, 1)
        for place, rows in ((0, (1, 0, 1)), (size - 1, (size - 2, size - 1, size - 2))):
            strip = jnp.pad(jnp.take(x, jnp.array(rows), axis), pad, mode="reflect")
            y = jax.lax.dynamic_update_slice_in_dim(y, _valid(strip, kernel), place, axis)
    return y


def convolve_transposed(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c d"]
) -> Float[Array, "b 2*h 2*w d"]:
    """Transposed convolution of stride 2 that doubles height and width.

    Args:
      x: Images.
      kernel: Square kernel of even size, as a correlation over the dilated image.
    """
    pad = kernel.shape[0] // 2
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, 1),
        padding=((pad, pad), (pad, pad)),
        lhs_dilation=(2, 2),
        dimension_numbers=_NHWC,
    )


class ConvNorm(nn.Module):
    """Convolution, norm, ReLU.

    Attributes:
      features: Output channels ``d``.
      size: Kernel size.
      stride: Step in both directions.
      transposed: Double the resolution instead.
      norm: `group` (4 groups) and `instance` see one image, `batch` all unmasked ones.
      dtype: Type of the convolution's input and of the result; the norm is computed in float32.
      axis_name: Mapped device axis, under `pmap`.
    """

    features: int
    size: int = 3
    stride: int = 1
    transposed: bool = False
    norm: Norm = "batch"
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w c"],
        mask: Bool[Array, " b"],
        train: bool,
        track: bool = True,
    ) -> Float[Array, "b h2 w2 d"]:
        """Applies the layer; `mask` tells the images that count in batch statistics."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, weight = x.astype(self.dtype), kernel.astype(self.dtype)
        if self.transposed:
            x = convolve_transposed(x, weight)
        else:
            x = convolve(x, weight, stride=self.stride)
        x = x.astype(jnp.float32) + bias
        if self.norm == "batch":
            x = BatchNorm(self.axis_name, name="norm")(x, mask, train=train, track=track)
        else:
            scale = self.param("scale", nn.initializers.ones, (self.features,))
            offset = self.param("offset", nn.initializers.zeros, (self.features,))
            groups = 4 if self.norm == "group" else self.features
            x = image_group_norm(x, scale, offset, groups=groups)
        return nn.relu(x).astype(self.dtype)


class ConvBlock(nn.Module):
    """3 x 3 convolutions after each other, each with norm and ReLU.

    Attributes:
      widths: Output channels of each.
      norm: See `ConvNorm`.
      dtype: See `ConvNorm`.
      axis_name: Mapped device axis, under `pmap`.
    """

    widths: Sequence[int]
    norm: Norm = "batch"
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w c"],
        mask: Bool[Array, " b"],
        train: bool,
        track: bool = True,
    ) -> Float[Array, "b h w d"]:
        """Applies the block; `mask` tells the images that count in batch statistics."""
        for i, width in enumerate(self.widths):
            layer = ConvNorm(
                width,
                norm=self.norm,
                dtype=self.dtype,
                axis_name=self.axis_name,
                name=f"layer_{i}",
            )
            x = layer(x, mask, train, track)
        return x
