"""What panoptic segmentation has to beat: the connected components of a semantic map as parcels."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from pastis_jax.data.splits import PatchSplits
from pastis_jax.panoptic import VoidRules, connected_components
from pastis_jax.types import Batch, Prediction

LEAST_AREAS = 1, 2, 4, 8, 16, 32, 64


def score(
    predict: Callable[[Batch], tuple[Prediction, jax.Array]], data: PatchSplits
) -> dict[str, Any]:
    """Panoptic quality on the test folds, of components of the least area best for validation.

    Args:
      predict: Prediction and class of each pixel ``b h w`` of a batch; compiled.
      data: Patches with instances.

    Returns:
      `SQ`, `RQ`, `PQ` by the corrected rule for void, `void_rules` with both, `per_class` by name,
      and `least_area` in pixels.
    """
    classes = data.classes.names

    def maps(split):
        # Without the series, which would fill the memory.
        return [
            (
                np.asarray(output),
                *(batch.panoptic.instances, batch.label),
                batch.real & np.asarray(prediction.valid),
            )
            for batch in data.alone(split)
            for prediction, output in [predict(batch)]
        ]

    val, test = maps("val"), maps("test")
    each = (connected_components(image) for images, *_ in val + test for image in images)
    most = max(int(components.max()) for components in each)
    count = jax.jit(
        functools.partial(
            VoidRules.from_batch,
            classes=len(classes),
            most_predicted=most,
            most_true=data.most_instances,
        )
    )

    def quality(split, least_area):
        total = VoidRules.empty(len(classes))
        for images, *truth in split:
            predicted = [connected_components(image, least_area=least_area) for image in images]
            total = total.merge(count(np.stack(predicted), images, *truth))
        return jax.device_get(total).compute()

    best = max(LEAST_AREAS, key=lambda least: quality(val, least)["PQ"])
    scores = quality(test, best)
    kinds = scores.pop("per_class")
    per_class = {
        name: {kind: values[i] for kind, values in kinds.items()} for i, name in enumerate(classes)
    }
    return {**scores, "least_area": best, "per_class": per_class}
