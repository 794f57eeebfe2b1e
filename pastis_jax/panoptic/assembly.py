"""From predicted instances to one panoptic map (paper on PaPs, section 3.2: pseudo-NMS)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from pastis_jax.types import PanopticMap, PanopticPrediction


def panoptic_map(
    prediction: PanopticPrediction,
    *,
    min_confidence: ArrayLike = 0.2,
    min_remain: ArrayLike = 0.5,
) -> PanopticMap:
    """Places the masks on one map, the most confident first.

    A mask that overlaps those already placed keeps its new part, if that is more than `min_remain`
    of it. Otherwise it is left out.

    Args:
      prediction: A prediction with masks, which inference makes.
      min_confidence: Confidence below which instances are left out, 0 to 1; may be traced.
      min_remain: Share of a mask that must be new, 0 to 1; may be traced.

    Returns:
      The map of each image.
    """
    instances = prediction.instances
    label = jnp.argmax(instances.logits, -1).astype(jnp.int32)
    active = instances.found & (instances.confidence >= min_confidence)

    def place(slot, placed):
        on_map, kept = placed
        mask = jax.lax.dynamic_index_in_dim(instances.masks, slot, 1, keepdims=False)
        mask &= active[:, slot, None, None]
        fresh = mask & (on_map == 0)
        total, new = (x.sum((1, 2), dtype=jnp.int32) for x in (mask, fresh))
        keep = (new == total) | (new / jnp.maximum(total, 1) > min_remain)
        keep &= new > 0
        on_map = jnp.where(fresh & keep[:, None, None], slot + 1, on_map)
        return on_map, kept.at[:, slot].set(keep)

    b, _, h, w = instances.masks.shape
    # In falling order of confidence, so nothing is active after the last active slot.
    last = active.sum(1).max()
    start = (jnp.zeros((b, h, w), jnp.int32), jnp.zeros_like(active))
    on_map, kept = jax.lax.fori_loop(0, last, place, start)
    classes = jnp.pad(label, ((0, 0), (1, 0)))
    semantic = jnp.take_along_axis(classes, on_map.reshape(b, -1), 1).reshape(b, h, w)
    return PanopticMap(
        instances=on_map,
        semantic=semantic,
        label=label,
        confidence=instances.confidence,
        box=instances.box,
        kept=kept,
        dropped=instances.dropped,
    )
