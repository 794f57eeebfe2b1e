"""Masked normalisation: only real, undropped entries count.

Differs from the reference: there, repeated pixels and padded dates enter the statistics, so a
sample's output depends on the batch it stands in.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from pastis_jax.nn.masked import mapped_axis, masked_mean, sum_and_count

EPSILON = 1e-5
MOMENTUM = 0.9
EXACT = jax.lax.Precision.HIGHEST


def group_norm(
    x: Float[Array, "b t ... c"],
    mask: Bool[Array, "b t"],
    scale: Float[Array, " c"],
    offset: Float[Array, " c"],
    *,
    groups: int,
) -> Float[Array, "b t ... c"]:
    """Normalises each group of channels of each sequence over its valid dates.

    Every position of the space axes is a sequence of its own; its statistics run over
    (t, c/group). Masked dates influence nothing; a sequence without valid dates stays finite.

    Args:
      x: Features ``b t ... c``.
      mask: Valid dates ``b t``.
      scale: Scale per channel.
      offset: Offset per channel.
      groups: Number of groups; divides ``c``.
    """
    grouped = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    where = mask.reshape(*mask.shape, *(1,) * (grouped.ndim - 2))
    axes = (1, grouped.ndim - 1)
    centred = jnp.where(where, grouped - masked_mean(grouped, where, axes), 0)
    variance = masked_mean(jnp.square(centred), where, axes)
    normal = centred * jax.lax.rsqrt(variance + EPSILON)
    return normal.reshape(x.shape) * scale + offset


class GroupNorm(nn.Module):
    """`group_norm` with its parameters `scale` and `offset`.

    Attributes:
      groups: Number of groups; divides the number of channels.
    """

    groups: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t ... c"], mask: Bool[Array, "b t"]
    ) -> Float[Array, "b t ... c"]:
        """Normalises `x` over the dates where `mask`."""
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
        offset = self.param("offset", nn.initializers.zeros, x.shape[-1:])
        return group_norm(x, mask, scale, offset, groups=self.groups)


Moments = tuple[Float[Array, " d"], Float[Array, " d"], Float[Array, ""]]
"""Mean and biased variance of each feature of ``x @ kernel``, and the number of rows."""


class DenseBatchNorm(nn.Module):
    """Linear layer followed by masked batch normalisation, folded into one affine map.

    With `y = x W + b`, the batch mean of `y` is `mean(x) W + b` and its variance the diagonal of
    `W^T Cov(x) W`. When the layer widens, the moments of its narrow input are cheaper than passes
    over its wide output, and the normalisation becomes part of the weights, so `y` itself is never
    stored. Same function, same parameters, same gradients.

    Running statistics follow PyTorch: momentum 0.1, the variance unbiased. A batch without a
    single unmasked row leaves them as they are.

    Attributes:
      features: Output width.
      axis_name: Mapped device axis to sum the statistics over, under `pmap`.
    """

    features: int
    axis_name: str | None = None

    def __call__(
        self,
        x: Float[Array, "... c"],
        mask: Bool[Array, "..."],
        *,
        train: bool,
        track: bool = True,
    ) -> Float[Array, "... d"]:
        """Applies the layer.

        Args:
          x: Rows ``... c``.
          mask: Rows that count in the statistics, ``...`` with axes of size 1 broadcast.
          train: Normalise with the batch's statistics instead of the running ones.
          track: Update the running statistics (only when training).
        """

        axis = mapped_axis(self)

        def moments(kernel):
            if x.shape[-1] < self.features:
                return moments_of_input(*mean_and_covariance(x, mask, axis), kernel)
            return _moments_of_output(x @ kernel, mask, axis)

        channels = x.shape[-1]
        kernel, offset = self.folded(channels, moments if train else None, track=track)
        return x @ kernel + offset

    @nn.compact
    def folded(
        self,
        channels: int,
        moments: Callable[[Float[Array, "c d"]], Moments] | None,
        *,
        track: bool = True,
    ) -> tuple[Float[Array, "c d"], Float[Array, " d"]]:
        """Returns kernel and offset of the layer as one affine map.

        Args:
          channels: Input width.
          moments: Gives the moments of ``x @ kernel`` over the batch; None to normalise with the
            running statistics.
          track: Update the running statistics (only with `moments`).
        """
        kernel = self.param("kernel", nn.initializers.he_normal(), (channels, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        moments = None if moments is None else moments(kernel)
        mean, gain, offset = _normaliser(self, self.features, moments, bias, track)
        return kernel * gain, offset - mean * gain


class BatchNorm(nn.Module):
    """Batch normalisation over unmasked images, with the running statistics of `DenseBatchNorm`.

    Attributes:
      axis_name: Mapped device axis to sum the statistics over, under `pmap`.
      first_offset: Value that the offset starts from.
    """

    axis_name: str | None = None
    first_offset: float = 0.0

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b ... c"],
        mask: Bool[Array, " b"],
        *,
        train: bool,
        track: bool = True,
    ) -> Float[Array, "b ... c"]:
        """Normalises `x`; arguments as for `DenseBatchNorm`."""
        moments = _moments_of_output(x, rows_mask(mask, x), mapped_axis(self)) if train else None
        width, first = x.shape[-1], self.first_offset
        mean, gain, offset = _normaliser(self, width, moments, 0.0, track, first)
        return (x - mean) * gain + offset


def _normaliser(module, width, moments, bias, track, first_offset=0.0):
    """Declares a batch norm in `module`; returns its mean, gain and offset.

    `moments` are those of the input without `bias`; None to use the running statistics.
    """
    scale = module.param("scale", nn.initializers.ones, (width,))
    offset = module.param("offset", nn.initializers.constant(first_offset), (width,))
    running_mean = module.variable("batch_stats", "mean", jnp.zeros, (width,))
    running_var = module.variable("batch_stats", "var", jnp.ones, (width,))
    if moments is None:
        mean, var = running_mean.value - bias, running_var.value
    else:
        mean, var, count = moments
        if track and not module.is_initializing():
            unbiased = var * count / jnp.maximum(count - 1, 1)
            keep = jnp.where(count > 0, MOMENTUM, 1.0)
            running_mean.value = keep * running_mean.value + (1 - keep) * (mean + bias)
            running_var.value = keep * running_var.value + (1 - keep) * unbiased
    return mean, scale * jax.lax.rsqrt(var + EPSILON), offset


def image_group_norm(
    x: Float[Array, "b h w c"],
    scale: Float[Array, " c"],
    offset: Float[Array, " c"],
    *,
    groups: int,
) -> Float[Array, "b h w c"]:
    """Normalises each group of channels of each image over its pixels."""
    grouped = x.reshape(*x.shape[:3], groups, -1)
    centred = grouped - grouped.mean((1, 2, 4), keepdims=True)
    var = jnp.square(centred).mean((1, 2, 4), keepdims=True)
    return (centred * jax.lax.rsqrt(var + EPSILON)).reshape(x.shape) * scale + offset


def mean_and_covariance(
    x: Float[Array, "... c"], mask: Bool[Array, "..."], axis_name: str | None = None
) -> tuple[Float[Array, " c"], Float[Array, "c c"], Float[Array, ""]]:
    """Mean and biased covariance of the channels over unmasked rows, and the number of rows."""
    rows = x.reshape(-1, x.shape[-1])
    mask = jnp.broadcast_to(mask, x.shape[:-1]).reshape(-1, 1)
    total, count = sum_and_count(rows, mask, (0,), axis_name=axis_name)
    mean = total / jnp.maximum(count, 1)
    centred = jnp.where(mask, rows - mean, 0)
    products = gram(centred)
    if axis_name is not None:
        products = jax.lax.psum(products, axis_name)
    return mean[0], products / jnp.maximum(count, 1), count[0, 0]


def gram(x: Float[Array, "n c"]) -> Float[Array, "c c"]:
    """``x^T x`` in full float32, also where products are rounded to bfloat16 or TF32 by default."""
    return jnp.matmul(x.T, x, precision=EXACT)


def moments_of_input(
    mean: Float[Array, " c"],
    covariance: Float[Array, "c c"],
    count: Float[Array, ""],
    kernel: Float[Array, "c d"],
) -> Moments:
    """Moments of ``x @ kernel`` from those of ``x``."""
    var = jnp.einsum("cd,ce,ed->d", kernel, covariance, kernel, precision=EXACT)
    return mean @ kernel, jnp.maximum(var, 0), count


def _moments_of_output(y, mask, axis_name) -> Moments:
    rows = tuple(range(y.ndim - 1))
    total, count = sum_and_count(y, mask[..., None], rows, axis_name=axis_name)
    mean = total / jnp.maximum(count, 1)
    squares, _ = sum_and_count(jnp.square(y - mean), mask[..., None], rows, axis_name=axis_name)
    count = count.reshape(())
    return mean.reshape(-1), squares.reshape(-1) / jnp.maximum(count, 1), count


def rows_mask(mask: Bool[Array, " b"], x: Float[Array, "b ... c"]) -> Bool[Array, "b ..."]:
    """Gives a mask over samples one axis of size 1 for each space axis of `x`."""
    return mask.reshape(-1, *(1,) * (x.ndim - 2))
