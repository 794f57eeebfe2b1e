"""Scores of several folds and seeds: counts summed over the folds, then the spread over seeds.

The folds of a seed test each sample once, so their counts add up to one test over all samples, as
in the paper's tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pastis_jax.metrics import ConfusionMatrix
from pastis_jax.panoptic.metric import PanopticQuality

SHARED = ("task", "fusion", "modalities", "temporal_dropout", "auxiliary", "data", "seed")
"""What the folds of one model and seed have in common in their result.json."""


def spread(values: Sequence[float]) -> dict[str, float]:
    """Returns `mean` and `std`, the standard deviation of the values themselves (0 for one).

    Raises:
      ValueError: If there is no value.
    """
    if not len(values):
        raise ValueError("no value")
    return {"mean": float(np.mean(values)), "std": float(np.std(values))}


def pool(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Scores the folds of one model and seed as one test.

    Args:
      results: Content of result.json of each fold, in any order.

    Returns:
      For parcels and semantic segmentation `OA`, `mIoU` and `iou` by class; for panoptic
      segmentation `SQ`, `RQ`, `PQ` and `per_class`, the same three by class. Fractions; NaN for a
      class that occurs in no fold.

    Raises:
      ValueError: If there is no result, if they differ in model, data, seed or classes, or if a
        fold is there twice.
    """
    _check_alike(results)
    classes = _classes(results[0])
    for result in results:
        if (other := _classes(result)) != classes:
            raise ValueError(f"classes differ: {sorted({*classes} ^ {*other}) or 'their order'}")
    folds = [result["fold"] for result in results]
    if len({*folds}) < len(folds):
        raise ValueError(f"a fold is there twice: {sorted(folds)}")
    if results[0]["task"] == "panoptic":
        return _panoptic([result["counts"] for result in results], classes)
    counts = np.sum([result["confusion"] for result in results], 0, dtype=np.int64)
    if counts.shape != (len(classes), len(classes)):
        raise ValueError(f"{len(classes)} classes, but counts of {counts.shape}")
    scores = ConfusionMatrix(counts).compute()
    iou = dict(zip(classes, scores["IoU"].tolist(), strict=True))
    return {"OA": scores["OA"], "mIoU": scores["mIoU"], "iou": iou}


def _check_alike(results):
    if not results:
        raise ValueError("no result")
    for name in SHARED:
        found = {str(result[name]) for result in results}
        if len(found) > 1:
            raise ValueError(f"{name} differs: {', '.join(sorted(found))}")


def _classes(result) -> list[str]:
    """Names of the classes, in the order of the counts."""
    return list(result["test"]["per_class" if result["task"] == "panoptic" else "iou"])


def _panoptic(counts, classes):
    fields = {
        name: np.sum([one[name] for one in counts], 0)
        for name in ("true_positive", "false_positive", "false_negative", "iou")
    }
    if any(values.shape != (len(classes),) for values in fields.values()):
        raise ValueError(f"{len(classes)} classes, but counts of {fields['iou'].shape}")
    scores = PanopticQuality(**fields, beyond=np.zeros((), np.int64)).compute()
    per_class = {
        name: {kind: float(scores["per_class"][kind][k]) for kind in ("SQ", "RQ", "PQ")}
        for k, name in enumerate(classes)
    }
    return {**{kind: scores[kind] for kind in ("SQ", "RQ", "PQ")}, "per_class": per_class}
