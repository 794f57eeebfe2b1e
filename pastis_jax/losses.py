"""Losses: one value per example, and its weight."""

from __future__ import annotations

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from pastis_jax.types import Prediction


def cross_entropy(
    logits: Float[Array, "... k"], label: Int[Array, "..."], where: Bool[Array, "..."]
) -> Float[Array, "..."]:
    """Cross-entropy of parcels or pixels, 0 where not `where`; any label may stand there.

    Args:
      logits: Unnormalised log-probabilities.
      label: Class index of each parcel or pixel.
      where: Which ones count.

    Returns:
      The loss of each, in nats.

    Examples:
      >>> loss = cross_entropy(jnp.zeros((2, 4)), jnp.array([3, 99]), jnp.array([True, False]))
      >>> [round(float(value), 3) for value in loss]  # log 4, and what does not count
      [1.386, 0.0]
    """
    label = jnp.where(where, label, 0)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    return jnp.where(where, loss, 0)


def supervised_loss(
    prediction: Prediction,
    label: Int[Array, "b ..."],
    counted: Bool[Array, "b ..."],
    *,
    auxiliary_weight: float = 0.5,
) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """Objective plus auxiliary cross-entropies (paper, equations 6 and 7).

    Args:
      prediction: Of a fusion scheme. A modality that a sample lacks supervises nothing.
      label: Class index, of each parcel ``b`` or pixel ``b h w``.
      counted: Parcels or pixels that count: real and not void.
      auxiliary_weight: lambda_m, the same for every modality.

    Returns:
      Each example's mean loss over what counts in it, and the share of it that counts. With these
      shares as weights, the mean over a batch is the mean over all its parcels or pixels.

    Examples:
      >>> prediction = Prediction(jnp.zeros((2, 4)), valid=jnp.array([True, True]))
      >>> loss, weight = supervised_loss(
      ...     prediction, jnp.array([1, 0]), counted=jnp.array([True, False])
      ... )
      >>> weight.tolist()
      [1.0, 0.0]
    """
    space = tuple(range(1, label.ndim))

    def mean(part: Prediction) -> tuple[Array, Array]:
        where = counted & part.valid.reshape(-1, *(1,) * len(space))
        total = cross_entropy(part.output, label, where).sum(space)
        return total / jnp.maximum(where.sum(space), 1), where.mean(space)

    loss, weight = mean(prediction)
    for part in prediction.auxiliary.values():
        loss += auxiliary_weight * mean(part)[0]
    return loss, weight
