"""Convolutions with reflected borders, normalised and rectified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from pastis_jax.nn import conv_cpu, norm_cpu
from pastis_jax.nn.norm import BatchNorm, image_group_norm

Norm = Literal["group", "batch", "instance"]


def convolve(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c d"], *, stride: int = 1
) -> Float[Array, "b h2 w2 d"]:
    """Convolution with the border reflected, by (k - 1) // 2 pixels on each side.

    Args:
      x: Images.
      kernel: Square kernel of any size.
      stride: Step in both directions.
    """
    size = kernel.shape[0]
    if for_a_cpu(x, size, stride):
        return conv_cpu.convolve(x, kernel, stride)
    if pad := (size - 1) // 2:
        x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=conv_cpu.NHWC
    )


def for_a_cpu(x: Float[Array, "b h w c"], size: int, stride: int) -> bool:
    """Whether a convolution of `x` takes the order that is fast on a CPU."""
    b, h, w, _ = x.shape
    # It takes longer to compile: not worth it for little.
    if jax.default_backend() != "cpu" or b * h * w < conv_cpu.PIXELS_PER_GROUP or min(h, w) <= 2:
        return False
    return (size, stride) == (3, 1) or ((size, stride) == (4, 2) and h % 2 == w % 2 == 0)


@jax.custom_vjp
def convolve_same(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c d"]
) -> Float[Array, "b h w d"]:
    """Convolution with zeros around the image, for odd kernels; also fast to train in a loop.

    The gradient of the kernel is one product for each of its pixels: as a convolution, inside a
    loop on a CPU, it takes XLA ten to thirty times as long.
    """
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=conv_cpu.NHWC)


def _convolve_same_forward(x, kernel):
    return convolve_same(x, kernel), (x, kernel)


def _convolve_same_backward(kept, gradient):
    x, kernel = kept
    k, h, w = len(kernel), *x.shape[1:3]
    of_x = convolve_same(gradient, kernel[::-1, ::-1].swapaxes(2, 3))
    padded = jnp.pad(x, ((0, 0), (k // 2,) * 2, (k // 2,) * 2, (0, 0)))
    of_kernel = [
        jnp.einsum("bhwc,bhwd->cd", padded[:, i : i + h, j : j + w], gradient)
        for i in range(k)
        for j in range(k)
    ]
    return of_x, jnp.stack(of_kernel).reshape(kernel.shape)


convolve_same.defvjp(_convolve_same_forward, _convolve_same_backward)


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
        dimension_numbers=conv_cpu.NHWC,
    )


class ConvNorm(nn.Module):
    """Convolution, norm, and ReLU unless it is left out.

    Attributes:
      features: Output channels ``d``.
      size: Kernel size.
      stride: Step in both directions.
      transposed: Double the resolution instead.
      norm: `group` (4 groups) and `instance` see one image, `batch` all unmasked ones.
      relu: Whether the ReLU follows.
      dtype: Type of the convolution's input and of the result; the norm is computed in float32.
      result: Type of the result, if another one.
      axis_name: Mapped device axis, under `pmap`.
    """

    features: int
    size: int = 3
    stride: int = 1
    transposed: bool = False
    norm: Norm = "batch"
    relu: bool = True
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None
    result: DTypeLike | None = None
    first_offset: float = 0.0

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
        result = self.result or self.dtype
        if self.norm != "batch":
            scale = self.param("scale", nn.initializers.ones, (self.features,))
            offset = self.param("offset", nn.initializers.zeros, (self.features,))
            groups = 4 if self.norm == "group" else self.features
            if not self.transposed and for_a_cpu(x, self.size, self.stride):
                how = norm_cpu.How(self.stride, groups, self.relu, result)
                return norm_cpu.convolve_and_normalise(x, weight, bias, scale, offset, how)
        if self.transposed:
            x = convolve_transposed(x, weight)
        else:
            x = convolve(x, weight, stride=self.stride)
        x = x.astype(jnp.float32) + bias
        if self.norm == "batch":
            norm = BatchNorm(self.axis_name, self.first_offset, name="norm")
            x = norm(x, mask, train=train, track=track)
        else:
            x = image_group_norm(x, scale, offset, groups=groups)
        x = nn.relu(x) if self.relu else x
        return x.astype(result)


class ConvBlock(nn.Module):
    """3 x 3 convolutions after each other, each with norm and ReLU.

    Attributes:
      widths: Output channels of each.
      norm: See `ConvNorm`.
      dtype: See `ConvNorm`.
      result: Type of the last one's result, if another one.
      axis_name: Mapped device axis, under `pmap`.
    """

    widths: Sequence[int]
    norm: Norm = "batch"
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None
    result: DTypeLike | None = None

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
                result=self.result if i == len(self.widths) - 1 else None,
                name=f"layer_{i}",
            )
            x = layer(x, mask, train, track)
        return x
