"""Features of every pixel of a series of images, made a few pixels at a time where they are read.

Written out, they would be some ten times larger than the images: 2 GB for four patches of 60 dates.
So what travels are the images, and the layers that make features of their pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PyTree

from pastis_jax.nn import packing
from pastis_jax.nn.norm import gram, mean_and_covariance

Moments = tuple[Float[Array, " c"], Float[Array, "c c"], Float[Array, ""]]


@struct.dataclass
class Layer:
    """An affine map of the channels, and what follows it.

    Attributes:
      kernel: ``c d``.
      offset: ``d``.
      relu: Whether a ReLU follows.
      dtype: Type of the product's inputs.
    """

    kernel: Float[Array, "c d"]
    offset: Float[Array, " d"]
    relu: bool = struct.field(pytree_node=False, default=True)
    dtype: Any = struct.field(pytree_node=False, default=jnp.float32)

    def __call__(self, x: Float[Array, "... c"]) -> Float[Array, "... d"]:
        """Applies the layer; the result is float32."""
        kernel = self.kernel.astype(self.dtype)
        x = jnp.matmul(x.astype(self.dtype), kernel, preferred_element_type=jnp.float32)
        x = x + self.offset
        return jax.nn.relu(x) if self.relu else x


@struct.dataclass
class Part:
    """Features of one modality.

    Attributes:
      values: ``f h w c``, frames, 0 where not valid.
      frames: ``f``, which dates these are (`nn.packing`); None for all ``b t``.
      layers: What makes features of a pixel.
      shape: ``(b, t)``.
    """

    values: Float[Array, "f h w c"]
    frames: Int[Array, " f"] | None
    layers: tuple[Layer, ...]
    shape: tuple[int, int] = struct.field(pytree_node=False)

    def then(self, kernel: Array, offset: Array, **options: Any) -> Part:
        """Returns the same with one `Layer` more."""
        return self.replace(layers=(*self.layers, Layer(kernel, offset, **options)))

    def of(self, x: Float[Array, "f p c"]) -> Float[Array, "f p d"]:
        """Makes the features of some pixels of the frames."""
        for layer in self.layers:
            x = layer(x)
        return x

    def dates(self, x: Float[Array, "f p d"]) -> Float[Array, "b t p d"]:
        """Puts frames in their places."""
        if self.frames is None:
            return x.reshape(*self.shape, *x.shape[1:])
        return packing.unpack(x, self.frames, self.shape)

    def moments(self, rows: Bool[Array, " f"], axis_name: str | None) -> Moments:
        """Mean, covariance and number of the features of all pixels of some frames.

        Args:
          rows: Frames that count.
          axis_name: Mapped device axis to sum over as well.
        """
        if not self.layers:
            return mean_and_covariance(self.values, rows[:, None, None], axis_name)
        pixels = self.values.shape[1] * self.values.shape[2]
        size = pixels_per_chunk(self.shape[1], pixels)
        width = self.layers[-1].offset.shape[-1]
        weight = rows.astype(jnp.float32)[:, None, None]

        def add(sums, chunk):
            x, real = chunk
            kept = (self.of(x) * weight * real[:, None]).reshape(-1, width)
            return (sums[0] + kept.sum(0), sums[1] + gram(kept)), None

        real = _cut(jnp.ones((1, pixels), jnp.float32), size)[:, 0]
        nothing = jnp.zeros(width), jnp.zeros((width, width))
        chunks = _cut(_flat(self.values), size), real
        (total, products), _ = jax.lax.scan(jax.checkpoint(add), nothing, chunks)
        count = pixels * weight.sum()
        if axis_name is not None:
            total, products, count = jax.lax.psum((total, products, count), axis_name)
        mean = total / jnp.maximum(count, 1)
        # Features are normalised and rectified: their mean is not large beside their deviation.
        return mean, products / jnp.maximum(count, 1) - jnp.outer(mean, mean), count


@struct.dataclass
class PixelFeatures:
    """Features ``b t h w d`` of one or several modalities, whose dates follow each other.

    Attributes:
      parts: Those of each.
    """

    parts: tuple[Part, ...]

    @classmethod
    def joined(cls, several: Sequence[PixelFeatures]) -> PixelFeatures:
        """Stacks features along time."""
        return cls(tuple(part for one in several for part in one.parts))

    @property
    def space(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.parts[0].values.shape[1:3]

    def chunks(self) -> PyTree[Float[Array, "chunks f p c"]]:
        """Cuts the images into chunks of a few pixels, the last one filled up with zeros."""
        height, width = self.space
        size = pixels_per_chunk(sum(part.shape[1] for part in self.parts), height * width)
        return [_cut(_flat(part.values), size) for part in self.parts]

    def of(self, chunk: PyTree[Float[Array, "f p c"]]) -> Float[Array, "b t p d"]:
        """Makes the features of the pixels of a chunk."""
        made = [part.dates(part.of(x)) for part, x in zip(self.parts, chunk, strict=True)]
        return jnp.concatenate(made, 1)

    def image(self, x: Float[Array, "chunks b p d"]) -> Float[Array, "b h w d"]:
        """Joins what was made of each chunk to maps."""
        height, width = self.space
        x = jnp.moveaxis(x, 0, 1).reshape(x.shape[1], -1, x.shape[-1])
        return x[:, : height * width].reshape(-1, height, width, x.shape[-1])


def pixels_per_chunk(dates: int, pixels: int) -> int:
    """Number of pixels that are taken at a time; it does not depend on the batch.

    On a CPU few enough for the cache; elsewhere so many that the device is busy, yet memory stays
    bounded.

    Args:
      dates: Dates of a pixel.
      pixels: Pixels of an image.
    """
    rows = 2048 if jax.default_backend() == "cpu" else 1 << 18
    return min(pixels, max(1, round(rows / dates)))


def _flat(frames: Float[Array, "f h w c"]) -> Float[Array, "f p c"]:
    return frames.reshape(len(frames), -1, frames.shape[-1])


def _cut(x: Float[Array, "f p ..."], size: int) -> Float[Array, "chunks f size ..."]:
    chunks = -(-x.shape[1] // size)
    x = jnp.pad(x, ((0, 0), (0, chunks * size - x.shape[1]), *((0, 0),) * (x.ndim - 2)))
    return jnp.moveaxis(x.reshape(len(x), chunks, size, *x.shape[2:]), 1, 0)
