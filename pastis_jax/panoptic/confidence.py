"""Choice of the least confidence from how well validation masks fit."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Int

from pastis_jax.types import PanopticPrediction

THRESHOLDS = np.arange(0, 1, 0.01)


@struct.dataclass
class ConfidenceTuning:
    """Counts at each threshold 0, 0.01, ... 0.99; an instance is good at an achieved IoU over 0.5.

    Attributes:
      good: ``100``, int32, good instances more confident than the threshold.
      bad: ``100``, int32, the others.
      missed: ``100``, int32, good instances less confident than the threshold.
    """

    good: Int[Array, " 100"]
    bad: Int[Array, " 100"]
    missed: Int[Array, " 100"]

    @classmethod
    def empty(cls) -> ConfidenceTuning:
        """Returns the counts of nothing."""
        return cls(*(jnp.zeros(len(THRESHOLDS), jnp.int32) for _ in range(3)))

    @classmethod
    def from_batch(
        cls, prediction: PanopticPrediction, counted: Bool[Array, " b"]
    ) -> ConfidenceTuning:
        """Counts the instances of the images that count; predicted with a target."""
        instances = prediction.instances
        matched = (instances.fit.instance > 0) & counted[:, None]
        good, bad = matched & (instances.fit.iou > 0.5), matched & (instances.fit.iou <= 0.5)
        threshold = jnp.asarray(THRESHOLDS, jnp.float32)[:, None, None]

        def count(which):
            return which.sum((1, 2), dtype=jnp.int32)

        above, below = instances.confidence > threshold, instances.confidence < threshold
        return cls(count(above & good), count(above & bad), count(below & good))

    def merge(self, other: ConfidenceTuning) -> ConfidenceTuning:
        """Joins two disjoint sets of images."""
        return jax.tree.map(jnp.add, self, other)

    def compute(self) -> dict[str, float]:
        """Returns `min_confidence`, the first threshold of best F-score; 0 if none is good."""
        good, bad, missed = (np.asarray(x, np.float64) for x in (self.good, self.bad, self.missed))
        score = good / np.maximum(good + (bad + missed) / 2, 1)
        return {"min_confidence": float(THRESHOLDS[score.argmax()])}
