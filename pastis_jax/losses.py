"""Losses: one value per example, and the weight of each example."""

from __future__ import annotations

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from pastis_jax.types import Prediction


def cross_entropy(
    logits: Float[Array, "b k"], label: Int[Array, " b"], where: Bool[Array, " b"]
) -> Float[Array, " b"]:
    """Cross-entropy per example, 0 where not `where`."""
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    return jnp.where(where, loss, 0)


def supervised_loss(
    prediction: Prediction,
    label: Int[Array, " b"],
    real: Bool[Array, " b"],
    *,
    auxiliary_weight: float = 0.5,
) -> Float[Array, " b"]:
    """Objective plus auxiliary cross-entropies per example (paper, equations 6 and 7).

    Args:
      prediction: Of a fusion scheme. A modality that a sample lacks supervises nothing.
      label: Class index.
      real: Samples that count; the others get 0.
      auxiliary_weight: lambda_m, the same for every modality.
    """
    loss = cross_entropy(prediction.logits, label, real & prediction.valid)
    for one in prediction.auxiliary.values():
        loss += auxiliary_weight * cross_entropy(one.logits, label, real & one.valid)
    return loss
