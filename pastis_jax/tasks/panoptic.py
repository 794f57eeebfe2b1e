"""Panoptic segmentation with U-TAE and PaPs (paper, section 4.5, Table 3)."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from pastis_jax import viz
from pastis_jax.calibration import Scored
from pastis_jax.data.splits import PatchSplits
from pastis_jax.errors import refuse
from pastis_jax.models import PaPs
from pastis_jax.models.encoders import IMAGE_ENCODERS
from pastis_jax.panoptic import (
    ConfidenceTuning,
    PanopticLoss,
    PanopticQuality,
    VoidRules,
    panoptic_map,
    paps_loss,
)
from pastis_jax.schemes import Model
from pastis_jax.tasks._images import PANEL_PATCHES, ImageModel, ImageTask, patch_title
from pastis_jax.tasks._task import Metrics, Score
from pastis_jax.training import Outcome, sum_over
from pastis_jax.types import Batch, PanopticMap, Prediction


@dataclasses.dataclass(frozen=True)
class PanopticModel(ImageModel):
    """A model that finds parcels, and the crop of each."""

    shape_size: int = 16
    """Side of the predicted shapes."""
    mask_conv: bool = True
    """Refine masks by three convolutions; with published weights, where these do."""
    mask_threshold: float = 0.4
    """Probability above which a pixel belongs to a mask."""
    min_remain: float = 0.5
    """Share of a mask that must not overlap more confident ones."""
    max_instances: int = 256
    """Most parcels to find in a patch; the most confident are kept."""
    auxiliary_parts: Literal["whole", "heatmap"] = "whole"
    """What a modality is supervised by itself to find, with --auxiliary: parcels and all of theirs,
    or the heatmap of their centres alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse(
            "fusion",
            self.scheme.averages,
            "decisions of panoptic models cannot be averaged: their parcels differ",
            "choose single, early, mid or late",
        )
        refuse(
            "auxiliary_parts",
            self.auxiliary_parts != "whole" and not self.auxiliary,
            "there are no auxiliary losses",
            "add `auxiliary`, or leave it out",
        )
        for name in ("min_remain", "mask_threshold"):
            share = 0 <= getattr(self, name) <= 1
            refuse(name, not share, "must be 0 to 1", "give such a number")
        for name, most in (("shape_size", 256), ("max_instances", 65536)):
            inside = 1 <= getattr(self, name) <= most
            refuse(name, not inside, f"must be 1 to {most}", "give such a number")


@dataclasses.dataclass(frozen=True)
class PanopticTask(ImageTask):
    """Finds the parcels of patches, and the crop of each.

    Attributes:
      loss_weights: Weights of the losses of centerness, size, shape and class.
      min_confidence: Confidence below which instances are left out; None tunes it on the validation
        samples.
      legacy_void: Score, and select the best state, by the rule for void parcels that the paper's
        figures were made with; results hold the scores by both rules.
    """

    loss_weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    min_confidence: float | None = None
    legacy_void: bool = False

    name, title, told = "panoptic", "Panoptic segmentation", "parcels found"
    less_memory = "lower `batch_size`, add `remat`, or give a smaller `crop`"
    scores, per_class = ("PQ", "SQ", "RQ"), "PQ"
    targets, context_names, tested = True, ("min_confidence",), "quality"

    def model(
        self, capacity: Mapping[str, int | None] | None = None, *, warmup: bool = False
    ) -> Model:
        """Combines the halves of U-TAE and PaPs; while warming up, with the heatmap alone."""
        spec: PanopticModel = self.spec
        decoder = functools.partial(
            PaPs,
            classes=len(self.classes.names) + 1,
            max_instances=spec.max_instances,
            shape_size=spec.shape_size,
            mask_conv=spec.mask_conv,
            mask_threshold=spec.mask_threshold,
            heatmap_only=warmup,
            dtype=jnp.bfloat16 if spec.bf16 else jnp.float32,
            axis_name=self.axis_name,
        )
        halves = IMAGE_ENCODERS[spec.encoder](spec, capacity or {}, self.axis_name)
        own = functools.partial(decoder, instances=spec.auxiliary_parts == "whole")
        return spec.combine(halves, decoder, own)

    def loss(
        self, prediction: Prediction, batch: Batch
    ) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
        """The PaPs loss, and that of each modality's own prediction by its weight.

        Each part is a mean over the whole batch's pixels or instances: one value for all samples.
        """
        weights = dict(zip(("center", "size", "shape", "label"), self.loss_weights, strict=True))

        def total(part: Prediction) -> Array:
            return sum_over(self.metric(part, batch), self.axis_name).total(weights)

        loss = total(prediction)
        for part in prediction.auxiliary.values():
            loss += self.spec.auxiliary_weight * total(part)
        counted = (batch.real & prediction.valid).astype(jnp.float32)
        return jnp.broadcast_to(loss, counted.shape), counted

    def metric(self, prediction: Prediction, batch: Batch) -> PanopticLoss:
        """The parts of the loss, which training logs."""
        counted = batch.real & prediction.valid
        return paps_loss(prediction.output, batch.panoptic, counted, void=self.classes.void)

    def empty(self) -> PanopticLoss:
        """The parts of the loss of nothing."""
        return PanopticLoss.empty()

    def metrics(self, splits: PatchSplits) -> Metrics:
        """`tuning`: how well masks fit, by confidence; `quality` at a least confidence.

        Probabilities of classes are looked at where a true parcel tells what is right: at instances
        of at least that confidence whose mask overlaps the parcel they were matched with by an IoU
        above 1/2, void parcels left out.
        """
        number = len(self.classes.names)

        def tuning(prediction: Prediction, batch: Batch) -> ConfidenceTuning:
            return ConfidenceTuning.from_batch(prediction.output, batch.real & prediction.valid)

        def quality(
            prediction: Prediction, batch: Batch, *, min_confidence: Array, **asked: Array
        ) -> Scored:
            output = self.output(prediction, min_confidence=min_confidence)
            rules = VoidRules.from_batch(
                output.instances,
                output.semantic,
                batch.panoptic.instances,
                batch.label,
                batch.real & prediction.valid,
                classes=number,
                most_predicted=self.spec.max_instances,
                most_true=splits.most_instances,
                legacy_void=self.legacy_void,
            )
            found, fit = prediction.output.instances, prediction.output.instances.fit
            slot = jnp.maximum(fit.instance - 1, 0)
            label = jnp.take_along_axis(batch.panoptic.label, slot, 1)
            where = found.found & (fit.instance > 0) & (fit.iou > 0.5)
            where &= (found.confidence >= min_confidence) & (label != self.classes.void)
            where &= (batch.real & prediction.valid)[:, None]
            return Scored.from_batch(rules, found.logits[..., :number], label, where, **asked)

        def nothing() -> Scored:
            return Scored.empty(VoidRules.empty(number, legacy_void=self.legacy_void))

        return {
            "tuning": (tuning, ConfidenceTuning.empty),
            self.tested: (quality, nothing),
        }

    def validate(self, score: Score) -> Outcome:
        """Finds the confidence that is best, if none is given, then the quality at it."""
        least = self.min_confidence
        if least is None:
            least = score("tuning").scores["min_confidence"]
        outcome = score(self.tested, min_confidence=least, temperature=0.0, fit=0.0)
        outcome.scores["min_confidence"] = least
        return outcome

    def context(self, validated: Outcome) -> dict[str, float]:
        """The confidence."""
        return {"min_confidence": validated.scores["min_confidence"]}

    def output(self, prediction: Prediction, **context: Array) -> PanopticMap:
        """The map of what is found, at `min_confidence`."""
        return panoptic_map(
            prediction.output,
            min_confidence=context["min_confidence"],
            min_remain=self.spec.min_remain,
        )

    def answer(
        self, prediction: Prediction, *, temperature: ArrayLike = 1.0, **context: Array
    ) -> PanopticMap:
        """The map; without a parcel, confidences NaN, of samples without a valid date."""
        parcels = self.output(prediction, **context)
        logits = prediction.output.instances.logits[..., : len(self.classes.names)]
        shares = jax.nn.softmax(logits.astype(jnp.float32) / temperature)
        valid = prediction.valid[:, None]
        return parcels.replace(
            confidence=jnp.where(valid, parcels.confidence, jnp.nan),
            probability=jnp.where(valid[..., None], shares, jnp.nan),
        )

    def summary(self, outcome: Outcome) -> dict[str, Any]:
        """PQ, SQ, RQ, loss, the first three by class, and by each rule for void parcels."""
        scores = outcome.scores
        # A run that an earlier version began has selected its state without them.
        rules = {name: scores[name] for name in ("void_rules",) if name in scores}
        return {
            **{name: scores[name] for name in (*self.scores, "loss")},
            "per_class": {
                name: {kind: values[i] for kind, values in scores["per_class"].items()}
                for i, name in enumerate(self.classes.names)
            },
            **rules,
        }

    def counts(self, outcome: Outcome) -> dict[str, Any]:
        """Segments found, wrongly found and missed, by class; also by each rule for void."""
        rules = outcome.metrics.task.metric
        by_rule = {rule: _counts(quality) for rule, quality in rules.by_rule().items()}
        return {"counts": _counts(rules.scored), "counts_by_void_rule": by_rule}

    def draw(self, outcome: Outcome, folder: pathlib.Path) -> None:
        """Draws the PQ of each class."""
        names, colours = self.classes.names, self.classes.colours
        viz.pq_per_class(outcome.scores["per_class"], names, colours, folder / "pq_per_class.png")

    def panel(self, predict: Any, splits: PatchSplits, folder: pathlib.Path, title: str) -> None:
        """Draws picture, centerness, prediction and truth of some test patches."""
        batch = next(splits.alone("test", PANEL_PATCHES))
        prediction, output = predict(batch)
        rows = []
        for i in range(int(batch.real.sum())):
            record = splits.sources["test"][int(batch.number[i])]
            pictures = self.pictures(splits, record)
            rows.append(
                viz.PanopticRow(
                    title=patch_title(record, prediction.valid[i]),
                    pictures=dict(list(pictures.items())[:1]),
                    heatmap=np.asarray(prediction.output.heatmap[i]),
                    centres=np.argwhere(batch.panoptic.heatmap[i] == 1),
                    predicted=np.asarray(output.instances[i]),
                    predicted_class=np.asarray(output.semantic[i]),
                    truth=np.asarray(batch.panoptic.instances[i]),
                    true_class=np.asarray(batch.label[i]),
                )
            )
        names, colours = self.classes.names, self.classes.colours
        viz.panoptic_panel(rows, names, colours, folder / "panel.png", title=title)


def _counts(quality: PanopticQuality) -> dict[str, Any]:
    counts = dataclasses.asdict(quality)
    return {name: value for name, value in counts.items() if name != "beyond"}
