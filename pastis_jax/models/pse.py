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
from pastis_jax.nn.norm import gram, mean_and_covariance, moments_of_input
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

    def _pooled_features(self, series: Series, *, train: bool) -> Float[Array, "b t d"]:
        """MLP1, mean and standard deviation, a few dates at a time.

        The features of all pixels would be hundreds of times larger than the input. As the batch
        norms fold into the layers once their inputs' moments are known, one pass per layer gathers
        moments and a last one pools; features live in the cache only and are computed again in the
        backward pass. Twice as fast on a CPU, and memory no longer grows with the batch.
        """
        days = series.values.shape[1]
        size = dates_per_chunk(*series.values.shape[:3])
        mask = series.valid[:, :, None] & series.pixels[:, None, :]
        # Whatever stands at a masked date or pixel, NaN too, must not pass through a product.
        values = jnp.where(mask[..., None], series.values, 0)
        values, mask = _in_chunks(values, size), _in_chunks(mask, size)
        layers = []

        def features(x):
            for kernel, offset in layers:
                x = nn.relu(x @ kernel + offset)
            return x

        channels, axis = series.values.shape[-1], mapped_axis(self)
        for i, width in enumerate(self.widths):
            moments = None
            if train:
                moments = partial(
                    moments_of_input,
                    *_moments(features, channels, values, mask, axis)
                    if layers
                    else mean_and_covariance(values, mask, axis),
                )
            dense = DenseBatchNorm(width, self.axis_name, name=f"mlp1_{i}")
            layers.append(dense.folded(channels, moments))
            channels = width
        pool = jax.checkpoint(lambda x: mean_and_std(features(x), series.pixels))
        pooled = jax.lax.map(pool, values)
        chunks, b, n, d = pooled.shape
        return pooled.swapaxes(0, 1).reshape(b, chunks * n, d)[:, :days]


def dates_per_chunk(b: int, t: int, s: int) -> int:
    """Number of dates that the encoder takes at a time.

    On a CPU few enough for the cache; elsewhere so many that the device is busy, yet memory stays
    bounded.
    """
    pixels = 4096 if jax.default_backend() == "cpu" else 1 << 20
    return min(t, max(1, round(pixels / (b * s))))


def _in_chunks(x: Shaped[Array, "b t ..."], size: int) -> Shaped[Array, "chunks b n ..."]:
    """Cuts the dates into chunks of `size`, the last one filled up with zeros (False)."""
    b, t, *rest = x.shape
    chunks = -(-t // size)
    x = jnp.pad(x, ((0, 0), (0, chunks * size - t), *((0, 0) for _ in rest)))
    return x.reshape(b, chunks, size, *rest).swapaxes(0, 1)


def _moments(features, channels, values, mask, axis_name):
    """Mean, covariance and number of the masked `features` of all chunks."""

    def add(sums, chunk):
        x, real = chunk
        x = features(x).reshape(-1, channels)
        kept = jnp.where(real.reshape(-1, 1), x, 0)
        return (sums[0] + kept.sum(0), sums[1] + gram(kept)), None

    zeros = jnp.zeros(channels, values.dtype), jnp.zeros((channels, channels), values.dtype)
    (total, products), _ = jax.lax.scan(jax.checkpoint(add), zeros, (values, mask))
    count = mask.sum(dtype=values.dtype)
    if axis_name is not None:
        total, products, count = jax.lax.psum((total, products, count), axis_name)
    mean = total / jnp.maximum(count, 1)
    # Features are normalised and rectified: their mean is not large beside their deviation.
    return mean, products / jnp.maximum(count, 1) - jnp.outer(mean, mean), count


def mean_and_std(x: Float[Array, "b t s c"], pixels: Bool[Array, "b s"]) -> Float[Array, "b t 2*c"]:
    """Joins masked mean and masked standard deviation over pixels.

    The deviation divides by count - 1, and by 1 where there is a single pixel (where it is 0).
    """
    weight = pixels.astype(x.dtype)
    count = weight.sum(-1)[:, None, None]
    mean = jnp.einsum("btsc,bs->btc", x, weight) / jnp.maximum(count, 1)
    centred = jnp.square(x - mean[:, :, None, :])
    variance = jnp.einsum("btsc,bs->btc", centred, weight) / jnp.maximum(count - 1, 1)
    # Of equal pixels, or one, only rounding noise is left; the gradient of its root is no smaller
    # than that of a real deviation.
    variance = jnp.where(variance > 1e-11 * jnp.square(mean), variance, 0)
    return jnp.concatenate([mean, _safe_sqrt(variance)], -1)


def _safe_sqrt(x: jax.Array) -> jax.Array:
    """Square root with gradient 0 at 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)
