"""Metrics as states: `empty`, `from_batch`, `merge`, `compute`. They live on the device."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int


@struct.dataclass
class Mean:
    """A weighted mean, as (sum, count).

    Attributes:
      total: Sum of the values, each times its weight.
      count: Sum of the weights.

    Examples:
      >>> first = Mean.from_batch(jnp.array([1.0, 3.0]), jnp.array([1.0, 1.0]))
      >>> second = Mean.from_batch(jnp.array([8.0, jnp.nan]), jnp.array([1.0, 0.0]))
      >>> float(first.merge(second).compute())
      4.0
    """

    total: Float[Array, ""]
    count: Float[Array, ""]

    @classmethod
    def empty(cls) -> Mean:
        """Returns the mean of nothing."""
        return cls(jnp.zeros(()), jnp.zeros(()))

    @classmethod
    def from_batch(cls, values: Float[Array, " b"], weights: Float[Array, " b"]) -> Mean:
        """Counts each value by its weight; 0 leaves it out, whatever it is."""
        return cls(jnp.sum(jnp.where(weights > 0, values * weights, 0)), jnp.sum(weights))

    def merge(self, other: Mean) -> Mean:
        """Joins two disjoint sets of examples."""
        return jax.tree.map(jnp.add, self, other)

    def compute(self) -> jax.Array:
        """Returns the mean, 0 for nothing."""
        return jnp.where(self.count > 0, self.total / jnp.where(self.count > 0, self.count, 1), 0)


@struct.dataclass
class ConfusionMatrix:
    """Counts of (true class, predicted class): rows are the truth.

    Attributes:
      counts: ``k k``, int32.

    Examples:
      >>> label, predicted = jnp.array([0, 0, 1, 1]), jnp.array([0, 1, 1, 1])
      >>> matrix = ConfusionMatrix.from_batch(label, predicted, label >= 0, classes=2)
      >>> scores = matrix.compute()
      >>> scores["OA"], scores["IoU"].round(2).tolist()
      (0.75, [0.5, 0.67])
    """

    counts: Int[Array, "k k"]

    @classmethod
    def empty(cls, classes: int) -> ConfusionMatrix:
        """Returns the matrix of no example."""
        return cls(jnp.zeros((classes, classes), jnp.int32))

    @classmethod
    def from_batch(
        cls,
        label: Int[Array, "..."],
        predicted: Int[Array, "..."],
        where: Bool[Array, "..."],
        *,
        classes: int,
    ) -> ConfusionMatrix:
        """Counts the examples (parcels or pixels) where `where`."""
        counts = jnp.zeros((classes, classes), jnp.int32)
        return cls(counts.at[label, predicted].add(where.astype(jnp.int32)))

    def merge(self, other: ConfusionMatrix) -> ConfusionMatrix:
        """Joins two disjoint sets of examples; also how folds are joined."""
        return jax.tree.map(jnp.add, self, other)

    def compute(self, ignore: int | None = None) -> dict[str, Any]:
        """Returns `OA`, `mIoU`, `macro F1` (fractions), `IoU` and `F1` (``k``, NaN if absent).

        F1 of a class is the harmonic mean of its precision and recall, and macro F1 the plain mean
        over the classes, as mIoU is of IoU.

        Args:
          ignore: A class (void) whose row and column are removed first. Classes that never occur
            and are never predicted are left out of the means.
        """
        counts = np.asarray(self.counts, np.float64)
        if ignore is not None:
            counts = np.delete(np.delete(counts, ignore, 0), ignore, 1)
        hit = np.diag(counts)
        both = counts.sum(0) + counts.sum(1)
        seen = both > 0

        def of_seen(share: np.ndarray, whole: np.ndarray) -> np.ndarray:
            return np.divide(share, whole, out=np.full(len(hit), np.nan), where=seen)

        iou, f1 = of_seen(hit, both - hit), of_seen(2 * hit, both)
        return {
            "OA": float(hit.sum() / max(counts.sum(), 1)),
            "mIoU": float(iou[seen].mean()) if seen.any() else 0.0,
            "macro F1": float(f1[seen].mean()) if seen.any() else 0.0,
            "IoU": iou,
            "F1": f1,
        }
