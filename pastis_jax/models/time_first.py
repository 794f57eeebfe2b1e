"""Time first: every pixel of an image is read as a series of its own, and space comes afterwards.

The spatial and the temporal encoder are those of parcels without the pooling, at every pixel; a
small U-Net then reads the map of embeddings. (Tarasiou et al., TSViT, CVPR 2023, argue for this
order of time and space; here it is made of PSE and L-TAE, whose weights parcels and images share.)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from pastis_jax.models.utae import DownBlock, UpBlock
from pastis_jax.nn import DenseBatchNorm, packing
from pastis_jax.nn.conv import ConvNorm
from pastis_jax.nn.masked import mapped_axis
from pastis_jax.nn.norm import moments_of_input
from pastis_jax.nn.pixel_features import Part, PixelFeatures
from pastis_jax.types import Embedding, Series


class PixelEncoder(nn.Module):
    """The spatial half: images ``b t h w c`` to features ``b t h w d`` of every pixel by itself.

    It is the pixel-set encoder of parcels, of sets of one pixel: the deviation over pixels, the
    second half of what MLP2 reads, is 0. Parameters have the same names and shapes. The features
    are not made here: the temporal half makes a few of them at a time (`nn.pixel_features`).

    Attributes:
      widths: Widths of MLP1.
      features: Output width ``d``.
      capacity: Most valid frames in a batch: these are packed, so that most padding and dropped
        frames cost nothing. Frames beyond it are masked. None for all.
      dtype: Type of the products' inputs.
      frozen: Whether nothing is learned here: running statistics, no gradient.
      axis_name: Mapped device axis, under `pmap`.
    """

    widths: Sequence[int] = (32, 64)
    features: int = 128
    capacity: int | None = None
    dtype: DTypeLike = jnp.float32
    frozen: bool = False
    axis_name: str | None = None

    @nn.compact
    def __call__(self, series: Series, *, train: bool = False) -> Series:
        """Encodes `series`."""
        (b, t), channels = series.valid.shape, series.values.shape[-1]
        train = train and not self.frozen
        # Whatever stands at a masked date, NaN too, must not pass through a product.
        values = jnp.where(series.valid[:, :, None, None, None], series.values, 0)
        valid, frames = series.valid, None
        if self.capacity is not None and self.capacity < b * t:
            frames = packing.valid_frames(valid, self.capacity)
            values, rows = packing.pack(values, frames), frames < b * t
            valid = packing.unpack(rows, frames, (b, t))
        else:
            values, rows = values.reshape(b * t, *values.shape[2:]), valid.reshape(-1)
        part, axis = Part(values, frames, (), (b, t)), mapped_axis(self)
        for i, width in enumerate(self.widths):
            dense = DenseBatchNorm(width, self.axis_name, name=f"mlp1_{i}")
            moments = partial(moments_of_input, *part.moments(rows, axis)) if train else None
            part = part.then(*dense.folded(channels, moments), dtype=self.dtype)
            channels = width
        dense = DenseBatchNorm(self.features, self.axis_name, name="mlp2")
        moments = partial(_moments_beside_zeros, part.moments(rows, axis)) if train else None
        kernel, offset = dense.folded(2 * channels, moments)
        part = part.then(kernel[:channels], offset, relu=False, dtype=self.dtype)
        if self.frozen:
            part = jax.lax.stop_gradient(part)
        return series.replace(values=PixelFeatures((part,)), valid=valid)


def _moments_beside_zeros(moments, kernel):
    """Moments of ``[x, 0] @ kernel`` from those of ``x``."""
    return moments_of_input(*moments, kernel[: len(moments[0])])


class MapUNet(nn.Module):
    """A U-Net on the map of embeddings: ``b h w d`` to maps of each level, coarsest first.

    Attributes:
      widths: Channels of each level, finest first.
      remat: Compute activations again in the backward pass instead of storing them.
      dtype: Type of the convolutions' inputs and outputs.
      axis_name: Mapped device axis, under `pmap`.
    """

    widths: Sequence[int] = (32, 32, 64, 128)
    remat: bool = False
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, embedding: Embedding, *, train: bool = False) -> Embedding:
        """Applies the U-Net."""
        down, up = DownBlock, UpBlock
        if self.remat:
            down = nn.remat(DownBlock, static_argnums=(3,))
            up = nn.remat(UpBlock, static_argnums=(4, 5))
        shared = {"dtype": self.dtype, "axis_name": self.axis_name}
        first, *others = self.widths
        x, valid = embedding.values.astype(self.dtype), embedding.valid
        levels = [ConvNorm(first, 1, **shared, name="in_conv")(x, valid, train)]
        for i, width in enumerate(others):
            block = down(width, "group", **shared, name=f"down_{i}")
            levels.append(block(levels[-1], valid, train))
        maps = levels[-1:]
        for level in reversed(range(len(others))):
            block = up(self.widths[level], **shared, name=f"up_{level}")
            maps.append(block(maps[-1], levels[level], valid, train, True))
        return Embedding(values=tuple(x.astype(jnp.float32) for x in maps), valid=valid)


class MapDecoder(nn.Module):
    """A decoder of maps, and what makes the maps of an embedding.

    Attributes:
      trunk: From an embedding to maps.
      head: From maps to what is predicted.
    """

    trunk: nn.Module
    head: nn.Module

    def __call__(self, embedding: Embedding, *, train: bool = False, **given: Any) -> Any:
        """Decodes `embedding`; see the head's."""
        return self.head(self.trunk(embedding, train=train), train=train, **given)
