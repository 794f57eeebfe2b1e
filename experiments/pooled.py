"""Scores of several folds and seeds: counts summed over the folds, then the spread over seeds.

The folds of a seed test each sample once, so their counts add up to one test over all samples, as
in the paper's tables; a mean of five mIoUs would weigh rare classes by chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pastis_jax.metrics import ConfusionMatrix
from pastis_jax.panoptic.metric import PanopticQuality

MODEL = ("task", "fusion", "modalities", "temporal_dropout", "auxiliary")
"""What runs of one model have in common in their result.json."""


class Spread(NamedTuple):
    """Mean and standard deviation (of the values themselves: of a single one, 0)."""

    mean: float
    deviation: float


def spread(values: Sequence[float]) -> Spread:
    """Returns mean and standard deviation.

    Raises:
      ValueError: If there is no value.
    """
    if not len(values):
        raise ValueError("no value")
    return Spread(float(np.mean(values)), float(np.std(values)))


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
    classes = _classes(_alike(results, (*MODEL, "data", "seed")))
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


def pool_seeds(results: Sequence[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """Returns what `pool` returns for each seed, in their order.

    Args:
      results: Content of result.json of each fold and seed of one model.

    Raises:
      ValueError: As `pool`.
    """
    _alike(results, (*MODEL, "data"))
    seeds = sorted({result["seed"] for result in results})
    return {seed: pool([r for r in results if r["seed"] == seed]) for seed in seeds}


def fold_scores(results: Sequence[Mapping[str, Any]], score: str) -> dict[int, float]:
    """Returns the test `score` of each fold alone, mean over its seeds.

    Raises:
      ValueError: If the results are not of one model and data.
    """
    _alike(results, (*MODEL, "data"))
    folds = sorted({result["fold"] for result in results})
    return {
        fold: math.fsum(values) / len(values)
        for fold in folds
        if (values := [r["test"][score] for r in results if r["fold"] == fold])
    }


def _alike(results, names):
    """Returns the first of `results`, which must agree in all `names`."""
    if not results:
        raise ValueError("no result")
    for name in names:
        found = {str(result[name]) for result in results}
        if len(found) > 1:
            raise ValueError(f"{name} differs: {', '.join(sorted(found))}")
    return results[0]


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
