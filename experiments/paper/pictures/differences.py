"""True parcels that a prediction gets right, and those that one gets right and another does not."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class ClassMap:
    """A prediction of one patch, or the truth.

    Attributes:
      classes: ``h w``, class index; the number of classes is void.
      instances: ``h w``, instance from 1, 0 for none; None for a semantic prediction.
    """

    classes: np.ndarray
    instances: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Difference:
    """A true parcel that one of two predictions gets right.

    Attributes:
      row: Of its pixel next to its centre.
      column: Likewise.
      radius: Of a circle of its area, pixels.
      gained: Whether it is the first of the two that is right.
    """

    row: int
    column: int
    radius: float
    gained: bool


def counted_parcels(truth: ClassMap, void: int) -> np.ndarray:
    """Returns which parcels count: those with a pixel that is not void; ``n`` bool, from 0."""
    counted = truth.instances[truth.classes != void]
    return (np.bincount(counted, minlength=truth.instances.max() + 1) > 0) & _numbers(truth)


def right_parcels(
    predicted: ClassMap, truth: ClassMap, void: int, *, legacy_void: bool = False
) -> np.ndarray:
    """Returns which true parcels a prediction gets right; ``n`` bool by their number, from 0.

    A semantic prediction: more than half of the parcel's pixels have its class. A panoptic one: an
    instance of its class matches it with an IoU above 1/2, as panoptic quality counts it. Void
    pixels count for nothing, and predicted instances that the rule for void removes neither.

    Args:
      predicted: With or without instances.
      truth: With instances; each has one class.
      void: Index of void.
      legacy_void: Which rule: that since June 2022, or the one before (`VoidRules`).
    """
    if predicted.instances is None:
        return _right_by_majority(predicted.classes, truth, void)
    return _right_by_match(predicted, truth, void, legacy_void)


def differences(
    first: np.ndarray, other: np.ndarray, parcels: np.ndarray, *, most: int
) -> list[Difference]:
    """Returns the largest parcels that only one of two predictions gets right.

    Args:
      first: Which parcels it gets right, ``n`` bool, as from `right_parcels`.
      other: Likewise.
      parcels: ``h w``, number of the parcel, 0 for none.
      most: Number of those that only `first`, and of those that only `other` gets right.
    """
    area = np.bincount(parcels.ravel(), minlength=len(first))
    largest = []
    for gained, only in ((True, first & ~other), (False, other & ~first)):
        numbers = np.flatnonzero(only)
        for number in numbers[np.argsort(-area[numbers], kind="stable")][:most]:
            pixels = np.argwhere(parcels == number)
            distance = np.square(pixels - pixels.mean(0)).sum(1)
            row, column = pixels[distance.argmin()].tolist()
            largest.append(Difference(row, column, float(np.sqrt(len(pixels) / np.pi)), gained))
    return largest


def _right_by_majority(predicted, truth, void):
    counted, most = truth.classes != void, truth.instances.max() + 1
    hits = counted & (predicted == truth.classes)
    area, right = (np.bincount(truth.instances[w], minlength=most) for w in (counted, hits))
    return (2 * right > area) & _numbers(truth)


def _right_by_match(predicted, truth, void, legacy_void):
    most = truth.instances.max() + 1, predicted.instances.max() + 1
    pixels = np.zeros((2, *most), int)  # by (void or not, true, predicted instance)
    hidden = (truth.classes == void).astype(int)
    np.add.at(pixels, (hidden, truth.instances, predicted.instances), 1)
    seen, unseen = pixels
    together = np.stack([seen.sum(0), unseen.sum(0)]) * hidden.any()
    segments = together if legacy_void else unseen[1:]
    removed = _match(segments, segments.sum(1), pixels.sum((0, 1))).any(0)
    seen = np.where(removed, 0, seen)
    predicted_label, true_label = np.zeros(most[1], int), np.zeros(most[0], int)
    predicted_label[predicted.instances] = predicted.classes
    np.maximum.at(true_label, truth.instances, np.where(hidden, 0, truth.classes))
    pairs = _match(seen, pixels[0].sum(1), seen.sum(0)) & (true_label[:, None] == predicted_label)
    return pairs[:, 1:].any(1) & _numbers(truth) & (true_label > 0)


def _match(common, area, predicted_area):
    """Whether the IoU exceeds 1/2: in integers, exact."""
    return 3 * common > area[:, None] + predicted_area


def _numbers(truth):
    """False for 0, which is no parcel."""
    return np.arange(truth.instances.max() + 1) > 0
