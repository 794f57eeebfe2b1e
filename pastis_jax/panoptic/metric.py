"""Panoptic quality (Kirillov et al. 2019), with the two published rules for void parcels."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int


@struct.dataclass
class PanopticQuality:
    """Segments found, wrongly found and missed, per class of things.

    A segment is all pixels of one instance, and has the class of these pixels, one for all. Class 0
    is the background: neither its pixels nor segments of it count. ``k`` counts it all the same, so
    that entries agree with a mapping's names; it is 0 everywhere.

    Attributes:
      true_positive: ``k``, int32, pairs of a predicted and a true segment of the same class with an
        IoU above 1/2; there is at most one per segment.
      false_positive: ``k``, int32, predicted segments without a pair.
      false_negative: ``k``, int32, true segments without a pair.
      iou: ``k``, float32, sum of the IoUs of the pairs.
      beyond: int32, pixels whose instance exceeds the maximum it was counted with.
    """

    true_positive: Int[Array, " k"]
    false_positive: Int[Array, " k"]
    false_negative: Int[Array, " k"]
    iou: Float[Array, " k"]
    beyond: Int[Array, ""]

    @classmethod
    def empty(cls, classes: int) -> PanopticQuality:
        """Returns the quality of no image."""
        counts = (jnp.zeros(classes, jnp.int32) for _ in range(3))  # apart: states are donated
        return cls(*counts, jnp.zeros(classes), jnp.zeros((), jnp.int32))

    @classmethod
    def from_batch(
        cls,
        predicted: Int[Array, "b h w"],
        predicted_class: Int[Array, "b h w"],
        truth: Int[Array, "b h w"],
        true_class: Int[Array, "b h w"],
        real: Bool[Array, " b"],
        *,
        classes: int,
        most_predicted: int,
        most_true: int,
        legacy_void: bool = False,
    ) -> PanopticQuality:
        """Counts the segments of the images that are `real`.

        Differs from the reference, which counts one segment too few of a class that covers a whole
        image.

        Void pixels are nobody's. Before that, predicted segments that match a void parcel, with an
        IoU above 1/2, are removed: they are neither right nor wrong. Predicted segments of class 0
        or of no class (`classes` or more) are not counted.

        Args:
          predicted: Predicted instance of each pixel from 1, 0 for none.
          predicted_class: Its predicted class.
          truth: True instance of each pixel from 1, 0 for none.
          true_class: Its true class; void is `classes`.
          real: Images to count.
          classes: Number of classes ``k``, background (0) included and void left out.
          most_predicted: Most predicted instances of an image.
          most_true: Most true instances of an image.
          legacy_void: The rule as published before June 2022, with which the paper's Table 3 was
            made: in an image with void pixels, the predicted segments removed are those that match
            all void pixels together, or all others together, background included.
        """
        options = {"classes": classes, "most_predicted": most_predicted, "most_true": most_true}
        maps = predicted, predicted_class, truth, true_class
        corrected, legacy = _count_images(*maps, real, **options)
        return legacy if legacy_void else corrected

    def merge(self, other: PanopticQuality) -> PanopticQuality:
        """Joins two disjoint sets of images; also how folds are joined."""
        return jax.tree.map(jnp.add, self, other)

    def compute(self) -> dict[str, Any]:
        """Returns `SQ`, `RQ`, `PQ` (fractions) and `per_class`, the same names with ``k`` each.

        The means are over the classes that occur: those with a predicted or a true segment that is
        counted. A class without a pair has SQ = RQ = PQ = 0; one that does not occur, NaN.

        Raises:
          ValueError: If an image had more instances than the maximum given for it.
        """
        if self.beyond:
            raise ValueError(f"{int(self.beyond)} pixels of instances beyond the maximum")
        tp, fp, fn, iou = (
            np.asarray(x, np.float64)
            for x in (self.true_positive, self.false_positive, self.false_negative, self.iou)
        )
        occurs = tp + fp + fn > 0
        sq = np.where(occurs, iou / np.maximum(tp, 1), np.nan)
        rq = np.divide(tp, tp + fp / 2 + fn / 2, out=np.full(len(tp), np.nan), where=occurs)
        per_class = {"SQ": sq, "RQ": rq, "PQ": sq * rq}
        means = {
            name: float(x[occurs].mean()) if occurs.any() else 0.0 for name, x in per_class.items()
        }
        return {**means, "per_class": per_class}


@struct.dataclass
class VoidRules:
    """Panoptic quality of the same images by both published rules for void parcels.

    The best state of a run is selected by one of them; results hold the scores by both.

    Attributes:
      corrected: The rule since June 2022: predicted segments that match a void parcel, with an IoU
        above 1/2, are removed: they are neither right nor wrong.
      legacy: The rule before, with which the paper's Table 3 was made: in an image with void
        pixels, the predicted segments removed are those that match all void pixels together, or all
        others together, background included.
      legacy_void: Whether the scores are those by the earlier rule.
    """

    corrected: PanopticQuality
    legacy: PanopticQuality
    legacy_void: bool = struct.field(pytree_node=False, default=False)

    @classmethod
    def empty(cls, classes: int, *, legacy_void: bool = False) -> VoidRules:
        """Returns the quality of no image."""
        quality = (PanopticQuality.empty(classes) for _ in range(2))
        return cls(*quality, legacy_void=legacy_void)

    @classmethod
    def from_batch(cls, *maps: Array, legacy_void: bool = False, **most: int) -> VoidRules:
        """Counts the segments of images once, for both rules.

        Args:
          *maps: `predicted`, `predicted_class`, `truth`, `true_class` and `real` of
            `PanopticQuality.from_batch`.
          legacy_void: Whether the scores are to be those by the earlier rule.
          **most: `classes`, `most_predicted` and `most_true`, likewise.
        """
        return cls(*_count_images(*maps, **most), legacy_void=legacy_void)

    @property
    def scored(self) -> PanopticQuality:
        """The quality by the rule that the scores are by."""
        return self.legacy if self.legacy_void else self.corrected

    def by_rule(self) -> dict[str, PanopticQuality]:
        """Returns both by the names of the rules."""
        return {"corrected": self.corrected, "legacy": self.legacy}

    def merge(self, other: VoidRules) -> VoidRules:
        """Joins two disjoint sets of images; also how folds are joined."""
        return jax.tree.map(jnp.add, self, other)

    def compute(self) -> dict[str, Any]:
        """Returns what `scored` computes, and `void_rules`: SQ, RQ and PQ by the name of each rule.

        Raises:
          ValueError: If an image had more instances than the maximum given for it.
        """
        rules = {}
        for rule, quality in self.by_rule().items():
            scores = quality.compute()
            rules[rule] = {name: scores[name] for name in ("SQ", "RQ", "PQ")}
        return {**self.scored.compute(), "void_rules": rules}


def _count_images(*maps: Array, **most: int) -> tuple[PanopticQuality, PanopticQuality]:
    """Counts the images that are real, the last of `maps`, by the present rule and the earlier."""
    *maps, real = maps
    counted = jax.vmap(partial(_count_image, **most))(*maps)

    def total(fields: tuple[Array, ...]) -> PanopticQuality:
        chosen = (jnp.where(real.reshape(-1, *(1,) * (x.ndim - 1)), x, 0).sum(0) for x in fields)
        return PanopticQuality(*chosen)

    return tuple(total(fields) for fields in counted)


def _count_image(
    predicted, predicted_class, truth, true_class, *, classes, most_predicted, most_true
):
    """Counts one image; returns the fields of `PanopticQuality` by the present rule and before."""
    predicted, predicted_class, truth, true_class = (
        x.reshape(-1) for x in (predicted, predicted_class, truth, true_class)
    )
    beyond = (predicted < 0) | (predicted > most_predicted) | (truth < 0) | (truth > most_true)
    void = true_class == classes

    # Pixels by (void or not, true, predicted instance): all areas are sums of these.
    pixels = jnp.zeros((2, most_true + 1, most_predicted + 1), jnp.int32)
    pixels = pixels.at[void.astype(jnp.int32), truth, predicted].add(1, mode="drop")
    seen, unseen = pixels
    area = pixels.sum((0, 1))
    parcels = unseen[1:]
    regions = jnp.where(void.any(), jnp.stack([seen.sum(0), unseen.sum(0)]), 0)

    def class_of(instance, label, most):
        return jnp.zeros(most + 1, jnp.int32).at[instance].max(label, mode="drop")[1:]

    def per_class(label, values):
        label = jnp.where(label > 0, label, classes)
        return jnp.zeros(classes, values.dtype).at[label].add(values, mode="drop")

    predicted_label = class_of(predicted, predicted_class, most_predicted)
    true_label = class_of(truth, jnp.where(void, 0, true_class), most_true)
    true_area = seen.sum(1)[1:]

    def without(removed):
        left = jnp.where(removed, 0, seen)
        predicted_area = left.sum(0)[1:]
        common = jnp.where(true_label[:, None] == predicted_label, left[1:, 1:], 0)
        pairs = _match(common, predicted_area, true_area)
        union = true_area[:, None] + predicted_area - common
        iou = jnp.where(pairs, common / jnp.maximum(union, 1), 0).sum(1)
        tp = per_class(true_label, pairs.sum(1, dtype=jnp.int32))
        fp = per_class(predicted_label, (predicted_area > 0).astype(jnp.int32)) - tp
        fn = per_class(true_label, (true_area > 0).astype(jnp.int32)) - tp
        return tp, fp, fn, per_class(true_label, iou), beyond.sum(dtype=jnp.int32)

    return tuple(
        without(_match(void_segments, area, void_segments.sum(1)).any(0))
        for void_segments in (parcels, regions)
    )


def _match(common, predicted_area, area):
    """Whether the IoU exceeds 1/2, by (segment, predicted segment): in integers, exact."""
    return 3 * common > area[:, None] + predicted_area
