"""The PaPs loss: centers, sizes, shapes and classes."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float

from pastis_jax.losses import cross_entropy
from pastis_jax.metrics import Mean
from pastis_jax.nn.norm import EXACT
from pastis_jax.types import InstancePrediction, PanopticPrediction, PanopticTarget

EPSILON = 1e-8


@struct.dataclass
class PanopticLoss:
    """The four parts, each with its own count; merge them before computing.

    Attributes:
      center: Over the true centres.
      size: Over the instances.
      shape: Over the pixels of all boxes.
      label: Over the instances that are not void.
    """

    center: Mean
    size: Mean
    shape: Mean
    label: Mean

    @classmethod
    def empty(cls) -> PanopticLoss:
        """Returns the loss of nothing."""
        return cls(*(Mean.empty() for _ in range(4)))

    def merge(self, other: PanopticLoss) -> PanopticLoss:
        """Joins two disjoint sets of images."""
        return jax.tree.map(jnp.add, self, other)

    def parts(self) -> dict[str, Float[Array, ""]]:
        """Returns `center`, `size`, `shape` and `label`; 0 for what has nothing to count."""
        others = {name: getattr(self, name).compute() for name in ("size", "shape", "label")}
        # Images without a centre have a loss too: that of a single one.
        center = self.center.total / jnp.maximum(self.center.count, 1)
        return {"center": center, **others}

    def compute(self) -> dict[str, float]:
        """Returns the parts, on the host."""
        return {name: float(value) for name, value in self.parts().items()}

    def total(self, weights: Mapping[str, float] | None = None) -> Float[Array, ""]:
        """Returns the weighted sum of the parts; weights not given are 1."""
        weights = weights or {}
        return sum(weights.get(name, 1.0) * value for name, value in self.parts().items())


def paps_loss(
    prediction: PanopticPrediction,
    target: PanopticTarget,
    counted: Bool[Array, " b"],
    *,
    void: int = 19,
) -> PanopticLoss:
    """The loss of a batch; of the centers alone where the prediction is of the warm-up.

    Differs from the reference: an image without parcels supervises its heatmap alone; there, it has
    one instance of size 0. A batch whose parcels are all void has a class loss of 0, not NaN.

    Args:
      prediction: Made with the target.
      target: The truth.
      counted: Images that count.
      void: Label that the class loss leaves out.
    """
    loss = PanopticLoss.empty().replace(center=center_loss(prediction.heatmap, target, counted))
    instances = prediction.instances
    if instances is None:
        return loss
    return loss.replace(**_instance_losses(instances, target, counted, void))


def center_loss(
    heatmap: Float[Array, "b h w"], target: PanopticTarget, counted: Bool[Array, " b"]
) -> Mean:
    """CornerNet's focal loss with alpha 0 and beta 4: centres, and the others by their distance.

    Sum, and number of centres.
    """
    at_centre = (target.heatmap == 1) & counted[:, None, None]
    near = jnp.where(at_centre | ~counted[:, None, None], 0, (1 - target.heatmap) ** 4)
    # As products, whose rounding errors do not grow with the number of pixels.
    total = -jnp.vdot(at_centre, jnp.log(heatmap + EPSILON), precision=EXACT)
    # The maximum keeps XLA from adding 1 and epsilon first, which loses it: log(0) at heatmap 1.
    total -= jnp.vdot(near, jnp.log(jnp.maximum(1 - heatmap, 0) + EPSILON), precision=EXACT)
    return Mean(total, at_centre.sum(dtype=jnp.float32))


def _instance_losses(instances: InstancePrediction, target, counted, void) -> dict[str, Mean]:
    fit = instances.fit
    matched = (fit.instance > 0) & counted[:, None]
    slot = jnp.maximum(fit.instance - 1, 0)
    size = jnp.take_along_axis(target.size, slot[..., None], 1)
    label = jnp.take_along_axis(target.label, slot, 1)

    size = jnp.where(matched[..., None], size, 1)
    error = (jnp.abs(size - instances.size) / (size + EPSILON)).sum(-1)
    known = matched & (label != void)
    return {
        "size": Mean.from_batch(error, matched.astype(jnp.float32)),
        "shape": _ratio(fit.cross_entropy, fit.pixels, matched),
        "label": _ratio(cross_entropy(instances.logits, label, known), 1.0, known),
    }


def _ratio(total, count, where) -> Mean:
    return Mean(jnp.sum(jnp.where(where, total, 0)), jnp.sum(jnp.where(where, count, 0)))
