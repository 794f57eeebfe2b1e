"""Scores of several folds and seeds: counts summed over the folds, then the spread over seeds.

The folds of a seed test each sample once, so their counts add up to one test over all samples, as
in the paper's tables.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pastis_jax.metrics import ConfusionMatrix
from pastis_jax.panoptic import PanopticQuality, VoidRules

SHARED = (
    "task",
    "fusion",
    "modalities",
    "temporal_dropout",
    "modality_dropout",
    "auxiliary",
    "data",
    "seed",
)
"""What the folds of one model and seed have in common in their result.json."""


def spread(values: Sequence[float]) -> dict[str, float]:
    """Returns `mean` and `std`, the standard deviation of the values themselves (0 for one).

    Raises:
      ValueError: If there is no value.
    """
    if not len(values):
        raise ValueError("no value")
    return {"mean": float(np.mean(values)), "std": float(np.std(values))}


def complete(runs: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Which runs can be pooled, and then compared.

    Args:
      runs: Fold and seed of each.

    Returns:
      The folds of the seed that has most, and all seeds that have them.

    Raises:
      ValueError: If there is no run.
    """
    of_seed: dict[int, set[int]] = {}
    for fold, seed in runs:
        of_seed.setdefault(seed, set()).add(fold)
    if not of_seed:
        raise ValueError("no run")
    folds = max(map(sorted, of_seed.values()), key=len)
    return folds, sorted(seed for seed, own in of_seed.items() if own >= set(folds))


def count(task: str, tests: Sequence[Any]) -> ConfusionMatrix | PanopticQuality:
    """Returns the sum of what tests of `task` counted.

    Args:
      task: `parcel`, `semantic` or `panoptic`.
      tests: Of each, as in result.json: a confusion matrix, or `true_positive`, `false_positive`,
        `false_negative` and `iou` by class.
    """
    if task != "panoptic":
        return ConfusionMatrix(np.sum(tests, 0, dtype=np.int64))
    fields = {
        name: np.sum([counts[name] for counts in tests], 0)
        for name in ("true_positive", "false_positive", "false_negative", "iou")
    }
    return PanopticQuality(**fields, beyond=np.zeros((), np.int64))


def counts(metric: ConfusionMatrix | PanopticQuality | VoidRules) -> Any:
    """What a test has counted, as result.json holds it; `count` is the inverse.

    Of both rules for void, by that which the test's scores are by.
    """
    if isinstance(metric, VoidRules):
        metric = metric.scored
    if isinstance(metric, ConfusionMatrix):
        return metric.counts
    return {k: v for k, v in dataclasses.asdict(metric).items() if k != "beyond"}


def pool(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Scores the folds of one model and seed as one test.

    Args:
      results: Content of result.json of each fold, in any order.

    Returns:
      For parcels and semantic segmentation `OA`, `mIoU`, `macro F1`, and `iou` and `f1` by class;
      for panoptic segmentation `SQ`, `RQ`, `PQ` and `per_class`, the same three by class, and
      `void_rules`, the same by each rule for void if every result has both. Fractions; NaN for a
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
        scores = _panoptic([result["counts"] for result in results], classes)
        both = [result.get("counts_by_void_rule") for result in results]
        if not all(both):  # an earlier version's
            return scores
        rules = {rule: _panoptic([own[rule] for own in both], classes) for rule in both[0]}
        for of_rule in rules.values():
            del of_rule["per_class"]
        return scores | {"void_rules": rules}
    matrix = count(results[0]["task"], [result["confusion"] for result in results])
    if matrix.counts.shape != (len(classes), len(classes)):
        raise ValueError(f"{len(classes)} classes, but counts of {matrix.counts.shape}")
    scores = matrix.compute()
    by_class = {
        kind.lower(): dict(zip(classes, scores[kind].tolist(), strict=True))
        for kind in ("IoU", "F1")
    }
    return {name: scores[name] for name in ("OA", "mIoU", "macro F1")} | by_class


def _check_alike(results):
    if not results:
        raise ValueError("no result")
    for name in SHARED:
        # Results of earlier versions have no dropout of modalities.
        values = {str(result.get(name, 0.0)) for result in results}
        if len(values) > 1:
            raise ValueError(f"{name} differs: {', '.join(sorted(values))}")


def _classes(result) -> list[str]:
    """Names of the classes, in the order of the counts."""
    return list(result["test"]["per_class" if result["task"] == "panoptic" else "iou"])


def _panoptic(counts, classes):
    quality = count("panoptic", counts)
    shapes = {np.shape(x) for x in (quality.true_positive, quality.false_negative, quality.iou)}
    if shapes != {(len(classes),)}:
        raise ValueError(f"{len(classes)} classes, but counts of {quality.iou.shape}")
    scores = quality.compute()
    per_class = {
        name: {kind: float(scores["per_class"][kind][k]) for kind in ("SQ", "RQ", "PQ")}
        for k, name in enumerate(classes)
    }
    return {**{kind: scores[kind] for kind in ("SQ", "RQ", "PQ")}, "per_class": per_class}
