"""Decoders: from an embedding to logits."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from pastis_jax.nn import DenseBatchNorm
from pastis_jax.nn.conv import ConvBlock
from pastis_jax.types import Embedding


class MLPDecoder(nn.Module):
    """Classifies an embedding: linear layers with batch norm and ReLU, the last one bare.

    Attributes:
      classes: Number of classes ``k``.
      widths: Widths of the hidden layers.
      axis_name: Mapped device axis, under `pmap`.
    """

    classes: int
    widths: Sequence[int] = (64, 32)
    axis_name: str | None = None

    @nn.compact
    def __call__(self, embedding: Embedding, *, train: bool = False) -> Float[Array, "b k"]:
        """Returns logits.

        Args:
          embedding: Values ``b d``; only valid samples enter the batch statistics.
          train: Use and update the batch's statistics.
        """
        x = embedding.values
        for i, width in enumerate(self.widths):
            dense = DenseBatchNorm(width, self.axis_name, name=f"hidden_{i}")
            x = nn.relu(dense(x, embedding.valid, train=train))
        return nn.Dense(self.classes, kernel_init=nn.initializers.he_normal(), name="logits")(x)


class ConvDecoder(nn.Module):
    """Classifies every pixel of the finest map: 3 x 3 convolutions, batch norm and ReLU.

    As published, the last convolution, the one that gives the logits, has batch norm and ReLU too.

    Attributes:
      classes: Number of classes ``k``.
      widths: Widths of the convolutions before the last.
      dtype: Type of the convolutions' inputs and outputs; logits are float32.
      axis_name: Mapped device axis, under `pmap`.
    """

    classes: int
    widths: Sequence[int] = (32,)
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, embedding: Embedding, *, train: bool = False) -> Float[Array, "b h w k"]:
        """Returns logits.

        Args:
          embedding: Maps ``b h w d``, finest last; only valid samples enter the batch statistics.
          train: Use and update the batch's statistics.
        """
        widths = (*self.widths, self.classes)
        block = ConvBlock(
            widths, dtype=self.dtype, axis_name=self.axis_name, result=jnp.float32, name="block"
        )
        return block(embedding.values[-1], embedding.valid, train)
