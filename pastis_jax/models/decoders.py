"""Decoders: from an embedding to logits."""

from __future__ import annotations

from collections.abc import Sequence

from flax import linen as nn
from jaxtyping import Array, Float

from pastis_jax.nn import DenseBatchNorm
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
