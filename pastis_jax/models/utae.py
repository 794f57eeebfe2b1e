"""U-TAE (Garnot and Landrieu, ICCV 2021), cut between its spatial and its temporal half.

The spatial half encodes every frame by itself into a pyramid of maps; the temporal half reduces
the dates of each level with the attention of an L-TAE at the coarsest one, and climbs back. So the
two are an S and a T like any other, and every fusion scheme takes them: also mid fusion, where the
pyramids of all modalities stack along time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from pastis_jax.models.ltae import LTAE
from pastis_jax.nn import dates_cpu, packing
from pastis_jax.nn.conv import ConvBlock, ConvNorm, Norm
from pastis_jax.types import Embedding, Series

Aggregation = Literal["att_group", "att_mean", "mean"]
PIXELS_PER_CHUNK = 1 << 19
"""32 frames of 128 x 128."""


class FrameEncoder(nn.Module):
    """The spatial half: images ``b t h w c`` to pyramids, finest level first.

    Level ``i`` has ``widths[i]`` channels; its sides are ``2 ** i`` times shorter, rounded up.

    Differs from the reference: no second pass to learn a shape, and masked frames are not inferred
    from their values; they are encoded as zeros, or not at all with `capacity`.

    Attributes:
      widths: Channels of each level.
      norm: `group`, `batch` or `instance`; batch statistics count valid frames only.
      capacity: Most valid frames in a batch, known to the data pipeline: these are packed before
        encoding and stay so, so that most padding and dropped frames cost nothing. Frames beyond it
        are masked. None encodes every frame.
      remat: Compute activations again in the backward pass instead of storing them, some frames at
        a time: beside the pyramids, memory no longer grows with the number of frames. (With batch
        norm, whose statistics need all frames, level by level.)
      chunk: Most pixels that are taken at a time under `remat`, at least one frame of each sample
        that is not packed.
      dtype: Type of the convolutions' inputs and outputs; norms are computed in float32.
      axis_name: Mapped device axis, under `pmap`.
    """

    widths: Sequence[int] = (64, 64, 64, 128)
    norm: Norm = "group"
    capacity: int | None = None
    remat: bool = False
    chunk: int = PIXELS_PER_CHUNK
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, series: Series, *, train: bool = False) -> Series:
        """Encodes `series`.

        Raises:
          ValueError: If the images are smaller than 2 pixels at the coarsest level.
        """
        b, t, h, w, _ = series.values.shape
        if min(h, w) <= (least := 2 ** (len(self.widths) - 1)):
            raise ValueError(f"images must be larger than {least} pixels, got {h} x {w}")
        # Whatever stands at a masked date, NaN too, must not pass through a convolution.
        frames = jnp.where(series.valid[:, :, None, None, None], series.values, 0)
        valid, where = series.valid.reshape(-1), None
        if self.capacity is not None and self.capacity < b * t:
            where = packing.valid_frames(series.valid, self.capacity)
            frames, valid = packing.pack(frames, where), where < b * t
            series = series.replace(valid=packing.unpack(valid, where, (b, t)))
        frames = frames.reshape(-1, h, w, frames.shape[-1]).astype(self.dtype)
        if self.remat and self.norm != "batch":
            # Unpacked frames are cut by date: a batch stays spread over its devices as it is.
            levels = self._in_chunks(frames, valid, train, rows=b if where is None else 1)
        else:
            levels = self._pyramid(frames, valid, train)
        if where is None:
            levels = [x.reshape(b, t, *x.shape[1:]) for x in levels]
        return series.replace(values=tuple(levels), frames=where)

    def _in_chunks(self, frames, valid, train, *, rows) -> list[jax.Array]:
        """Encodes frames ``f h w c`` a few at a time, each computed again in the backward pass.

        A chunk holds as many frames of each of the `rows` that the frames consist of.
        """
        f, h, w, _ = frames.shape
        length = f // rows
        size = min(length, max(1, self.chunk // (rows * h * w)))
        chunks = -(-length // size)

        def cut(x):
            x = x.reshape(rows, length, *x.shape[1:])
            x = jnp.pad(x, ((0, 0), (0, chunks * size - length), *((0, 0),) * (x.ndim - 2)))
            x = x.reshape(rows, chunks, size, *x.shape[2:]).swapaxes(0, 1)
            return x.reshape(chunks, rows * size, *x.shape[3:])

        def join(x):
            x = x.reshape(chunks, rows, size, *x.shape[2:]).swapaxes(0, 1)
            return x.reshape(rows, chunks * size, *x.shape[3:])[:, :length].reshape(f, *x.shape[3:])

        def encode(module, carry, chunk):
            return carry, module._pyramid(*chunk, train)

        scan = nn.scan(
            nn.remat(encode, prevent_cse=False),
            variable_broadcast="params",
            split_rngs={"params": False},
        )
        _, levels = scan(self, None, (cut(frames), cut(valid)))
        return [join(x) for x in levels]

    def _pyramid(self, frames, valid, train) -> list[jax.Array]:
        """Encodes frames ``f h w c``, level by level."""
        block, down = ConvBlock, DownBlock
        if self.remat and self.norm == "batch":
            block, down = (nn.remat(module, static_argnums=(3,)) for module in (block, down))
        shared = {"norm": self.norm, "dtype": self.dtype, "axis_name": self.axis_name}
        first, *others = self.widths
        levels = [block((first, first), **shared, name="in_conv")(frames, valid, train)]
        for i, width in enumerate(others):
            levels.append(down(width, **shared, name=f"down_{i}")(levels[-1], valid, train))
        return levels


class DownBlock(nn.Module):
    """Halves the resolution: strided 4 x 4 convolution, convolution, residual convolution.

    An odd height or width is reflected by one pixel first.

    Attributes:
      features: Output channels.
      norm: See `ConvNorm`.
      dtype: See `ConvNorm`.
      axis_name: Mapped device axis, under `pmap`.
    """

    features: int
    norm: Norm
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], mask: Bool[Array, " b"], train: bool
    ) -> Float[Array, "b h2 w2 d"]:
        """Applies the block; `mask` tells the images that count in batch statistics."""
        layer = partial(ConvNorm, norm=self.norm, dtype=self.dtype, axis_name=self.axis_name)
        h, w = x.shape[1:3]
        if h % 2 or w % 2:
            x = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="reflect")
        x = layer(x.shape[-1], 4, 2, name="down")(x, mask, train)
        x = layer(self.features, name="conv1")(x, mask, train)
        return x + layer(self.features, name="conv2")(x, mask, train)


class UpBlock(nn.Module):
    """Doubles the resolution and joins the aggregated map of the finer level.

    Attributes:
      features: Output channels.
      dtype: See `ConvNorm`.
      axis_name: Mapped device axis, under `pmap`.
    """

    features: int
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h2 w2 c"],
        skip: Float[Array, "b h w e"],
        mask: Bool[Array, " b"],
        train: bool,
        track: bool,
    ) -> Float[Array, "b h w d"]:
        """Applies the block; `mask` tells the samples that count in batch statistics."""
        layer = partial(ConvNorm, dtype=self.dtype, axis_name=self.axis_name)
        skip = layer(skip.shape[-1], 1, name="skip")(skip, mask, train, track)
        x = layer(self.features, 4, transposed=True, name="up")(x, mask, train, track)
        x = jnp.concatenate([x[:, : skip.shape[1], : skip.shape[2]], skip], -1)
        x = layer(self.features, name="conv1")(x, mask, train, track)
        return x + layer(self.features, name="conv2")(x, mask, train, track)


class TemporalUNet(nn.Module):
    """The temporal half: pyramids over dates to maps, coarsest level first.

    Attributes:
      widths: Channels of each level's map, finest first; the coarsest is the L-TAE's output.
      aggregation: How a finer level's dates are reduced: `att_group` cuts its channels in as many
        groups as there are heads, each weighted by its head's attention; `att_mean` weights all by
        the mean attention; `mean` weights valid dates alike.
      ltae: Makes the L-TAE of the coarsest level, with `functools.partial` for other sizes. (A
        module given here would be shared by all that hold it.)
      remat: Compute activations again in the backward pass instead of storing them.
      dtype: Type of the convolutions' inputs and outputs; all else is computed in float32.
      axis_name: Mapped device axis, under `pmap`.
    """

    widths: Sequence[int] = (32, 32, 64, 128)
    aggregation: Aggregation = "att_group"
    ltae: Callable[..., LTAE] = LTAE
    remat: bool = False
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, series: Series, *, train: bool = False, track: bool = True) -> Embedding:
        """Reduces `series`, whose values are the levels ``b t h w c`` of pyramids, finest first.

        Returns:
          Maps ``b h w d``, coarsest first; the last one has the resolution of the images.
        """
        *finer, coarsest = series.values
        frames = series.frames
        if frames is not None:
            coarsest = packing.unpack(coarsest, frames, series.valid.shape)
        ltae = self.ltae(features=self.widths[-1], axis_name=self.axis_name, name="temporal")
        embedding, attention = ltae.with_attention(
            series.replace(values=coarsest.astype(jnp.float32), frames=None),
            train=train,
            track=track,
        )
        maps = [embedding.values]
        block, reduce = UpBlock, aggregate
        if self.remat:
            block = nn.remat(UpBlock, static_argnums=(4, 5))
            reduce = jax.checkpoint(aggregate, static_argnums=(3, 4))
        for level in reversed(range(len(finer))):
            scale = 2 ** (len(finer) - level)
            skip = reduce(finer[level], attention, series.valid, self.aggregation, scale, frames)
            up = block(self.widths[level], self.dtype, self.axis_name, name=f"up_{level}")
            maps.append(up(maps[-1], skip, embedding.valid, train, track))
        values = tuple(x.astype(jnp.float32) for x in maps)
        return Embedding(values=values, valid=embedding.valid)


def aggregate(
    x: Float[Array, "b t h w c"] | Float[Array, "f h w c"],
    attention: Float[Array, "b t h2 w2 n"],
    valid: Bool[Array, "b t"],
    how: Aggregation,
    scale: int,
    frames: Int[Array, " f"] | None = None,
) -> Float[Array, "b h w c"]:
    """Reduces the dates of a level with the attention of the coarsest one.

    Args:
      x: Maps of a level.
      attention: Attention of each head, resampled bilinearly (half-pixel centres) to `x`.
      valid: Valid dates; the others count nothing.
      how: See `TemporalUNet`.
      scale: Pixels of the level in a side of a pixel of the coarsest one.
      frames: The dates that `x` holds, if packed (`nn.packing`).

    Returns:
      Float32 maps.
    """
    where = valid[:, :, None, None, None]
    if how == "mean":
        attention = 1 / jnp.maximum(where.sum(1, keepdims=True), 1)
    elif how == "att_mean":
        attention = attention.mean(-1, keepdims=True)
    weights = jnp.where(where, attention, 0)
    if frames is not None:
        weights, where = packing.pack(weights, frames), packing.pack(where, frames)
    if jax.default_backend() == "cpu":
        b, t = valid.shape
        samples = None if frames is None else frames // t
        factor = None if how == "mean" else scale
        return dates_cpu.weighted_sum(x, weights, where[..., 0, 0, 0], samples, b, factor)
    *dates, h, w, c = x.shape
    *_, h2, w2, n = weights.shape
    if how != "mean":
        shape = (*dates, h2 * scale, w2 * scale, n)
        weights = jax.image.resize(weights, shape, "bilinear")[..., :h, :w, :]
    x = jnp.where(where, x, 0).reshape(*dates, h, w, n, c // n)
    weighted = (weights[..., None] * x.astype(jnp.float32)).reshape(*dates, h, w, c)
    if frames is not None:
        return packing.sum_dates(weighted, frames, valid.shape)
    return jnp.sum(weighted, axis=1)
