"""Pixel-Set Encoder: the spatial half of parcel models (Garnot et al., CVPR 2020, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Shaped

from pastis_jax.nn import DenseBatchNorm
from pastis_jax.nn.masked import mapped_axis
from pastis_jax.nn.norm import folded, mean_and_covariance, moments_of_input
from pastis_jax.nn.pixels import (
    LastLayer,
    PixelSets,
    moments_of_features,
    normalised_and_pooled,
    pooled,
)
from pastis_jax.types import Series


class PixelSetEncoder(nn.Module):
    """Encodes the set of pixels of every acquisition: ``b t s c`` to ``b t d``.

    MLP1 per pixel, then mean and standard deviation over pixels, then (with geometric features, if
    used) MLP2.

    Differs from the reference: only real pixels of valid dates enter the batch statistics.

    Attributes:
      widths: Widths of MLP1.
      features: Output width ``d``.
      geometric: Join the parcel's geometric features before MLP2 (the paper does not).
      axis_name: Mapped device axis, under `pmap`.
    """

    widths: Sequence[int] = (32, 64)
    features: int = 128
    geometric: bool = False
    axis_name: str | None = None

    @nn.compact
    def __call__(self, series: Series, *, train: bool = False) -> Series:
        """Encodes `series`.

        Args:
          series: Pixel sets; `pixels` is required, `geometric` when the encoder uses it.
          train: Use and update the batch's statistics.

        Raises:
          ValueError: If `series` lacks pixels, or geometric features that the encoder uses.
        """
        if series.pixels is None:
            raise ValueError("a pixel-set encoder needs a series of pixel sets (series.pixels)")
        if self.geometric and series.geometric is None:
            raise ValueError("this encoder uses geometric features; series.geometric is missing")
        x = self._pooled_features(series, train=train)
        if self.geometric:
            outline = series.geometric[:, None, :]
            x = jnp.concatenate(
                [x, jnp.broadcast_to(outline, (*x.shape[:2], outline.shape[-1]))], -1
            )
        x = DenseBatchNorm(self.features, self.axis_name, name="mlp2")(x, series.valid, train=train)
        return series.replace(values=x, pixels=None, geometric=None)

    def _pooled_features(self, series: Series, *, train: bool) -> Float[Array, "b t 2*d"]:
        """MLP1, then mean and standard deviation, of a few dates at a time (`nn/pixels.py`)."""
        b, days, s, channels = series.values.shape
        mask = series.valid[:, :, None] & series.pixels[:, None, :]
        values = _complete(series.values, mask, series.pixels)
        cut = partial(_in_chunks, size=dates_per_chunk(b, days, s))
        count = series.pixels.sum(-1, dtype=values.dtype)[:, None, None]
        count, ones = jnp.broadcast_to(count, (b, days, 1)), jnp.ones_like(values[..., :1])
        sets = PixelSets(cut(jnp.concatenate([values, ones], -1)), cut(mask), cut(count))
        layers, axis = (), mapped_axis(self)
        for i, width in enumerate(self.widths):
            norm = DenseBatchNorm(width, self.axis_name, name=f"mlp1_{i}")
            kernel, bias, scale, offset = norm.parameters(channels)
            channels = width
            if train and i == len(self.widths) - 1:
                last = LastLayer(kernel, scale, offset)
                x, moments = normalised_and_pooled(axis, layers, last, sets)
                norm.tracked(jax.lax.stop_gradient(moments), bias)
                break
            if train:
                about = (
                    moments_of_features(layers, sets, axis)
                    if layers
                    else mean_and_covariance(values, mask, axis)
                )
                mean, var = norm.tracked(moments_of_input(*about, kernel), bias)
            else:
                mean, var = norm.running(bias)
            layers += (folded(kernel, mean, var, scale, offset),)
        else:
            x = pooled(layers, sets)
        dates = x.reshape(len(x), b, -1, x.shape[-1]).swapaxes(0, 1)
        return dates.reshape(b, -1, x.shape[-1])[:, :days]


def _complete(
    values: Float[Array, "b t s c"], mask: Bool[Array, "b t s"], pixels: Bool[Array, "b s"]
) -> Float[Array, "b t s c"]:
    """Puts a parcel's first pixel where it has none, and zeros at dates that are not there.

    Whatever stood there, NaN too, does not pass.
    """
    values = jnp.where(mask[..., None], values, 0)
    first = jnp.argmax(pixels, -1)[:, None, None, None]
    return jnp.where(pixels[:, None, :, None], values, jnp.take_along_axis(values, first, 2))


def dates_per_chunk(b: int, t: int, s: int) -> int:
    """Number of dates that the encoder takes at a time.

    On a CPU few enough for the cache; elsewhere so many that the device is busy, yet memory stays
    bounded.
    """
    pixels = 4096 if jax.default_backend() == "cpu" else 1 << 20
    return min(t, max(1, round(pixels / (b * s))))


def _in_chunks(x: Shaped[Array, "b t ..."], size: int) -> Shaped[Array, "m k ..."]:
    """Cuts the dates into chunks of `size`, the last one filled up with zeros (False)."""
    b, t, *rest = x.shape
    chunks = -(-t // size)
    x = jnp.pad(x, ((0, 0), (0, chunks * size - t), *((0, 0) for _ in rest)))
    return x.reshape(b, chunks, size, *rest).swapaxes(0, 1).reshape(chunks, b * size, *rest)
