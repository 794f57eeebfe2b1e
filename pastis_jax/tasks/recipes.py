"""How models of patches are trained, beside what every model's recipe has."""

from __future__ import annotations

import dataclasses
import math
import pathlib

from pastis_jax.errors import refuse
from pastis_jax.training import Recipe


@dataclasses.dataclass(frozen=True)
class ImageRecipe(Recipe):
    """How a model of patches is trained."""

    batch_size: int = 4
    init_from: pathlib.Path | None = None
    """Weights to start from, which decide the sizes of the model. Either published weights of the
    task (model.pth.tar, with conf.json beside it): they need `--fusion single`, and --epochs 0
    tests them as they are. Or the folder of a run of parcels, whose encoders a time-first model
    begins with."""

    @property
    def from_parcels(self) -> bool:
        """Whether the first weights come from a run of parcels."""
        return self.init_from is not None and (self.init_from.expanduser() / "run.json").exists()

    @property
    def least_epochs(self) -> int:
        """0 where all weights come trained."""
        return 1 if self.init_from is None or self.from_parcels else 0

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse(
            "initialisation",
            self.init_from is not None and self.initialisation != "he",
            "the first weights come from `init_from`",
            "leave it out",
        )


@dataclasses.dataclass(frozen=True)
class SemanticRecipe(ImageRecipe):
    """How a classifier of pixels is trained and tested."""

    components: bool = False
    """Also score the connected components of each class as if they were parcels, by panoptic
    quality: a panoptic model has to do better."""


@dataclasses.dataclass(frozen=True)
class PanopticRecipe(ImageRecipe):
    """How a panoptic model is trained and tested."""

    loss_weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    """Weights of the losses of centerness, size, shape and class."""
    warmup: int = 5
    """Number of first epochs that train the centerness alone, never the last one. The default is 1
    on simulated data, and 0 with published weights."""
    min_confidence: float | None = None
    """Confidence below which instances are left out. Default: the best on the validation samples,
    tuned after each epoch, or that of the weights with --init-from and --epochs 0."""
    legacy_void: bool = False
    """Score and select by the rule for void parcels that the paper used. Results hold the scores by
    both rules."""

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = self.loss_weights
        refuse(
            "loss_weights",
            not all(0 <= weight < math.inf for weight in weights) or not any(weights),
            "must be 0 or more, and not all 0",
            "give 1 1 1 1, say",
        )
        refuse("warmup", self.warmup < 0, "must be at least 0", "give 5, say")
        share = 0 <= (self.min_confidence or 0) <= 1
        refuse("min_confidence", not share, "must be 0 to 1", "give such a number")
        fault = "not for panoptic segmentation"
        refuse("removed_optical", self.removed_optical, fault, "leave it out")
        refuse(
            "accumulate",
            self.accumulate > 1,
            "the losses of PaPs are means over the parcels of a whole batch",
            "leave it out; `remat` saves memory too",
        )
