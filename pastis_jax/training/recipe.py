"""How a model is trained: everything of it that is a number or a word."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import optax

from pastis_jax.errors import refuse
from pastis_jax.training.optimizer import Optimizer, Schedule, make_optimizer, make_schedule

MOST_EPOCHS, LARGEST_BATCH = 1_000_000, 65536
Initialisation = Literal["he", "reference"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Raises:
      ArgumentError: If arguments are out of range or contradict each other.
    """

    epochs: int = 100
    """Passes over the training samples. On simulated data a few by default, else 100, as in the
    paper."""
    batch_size: int = 128
    """Samples per step. On simulated data for a CPU by default, else as in the paper."""
    learning_rate: float = 1e-3
    """Step size of Adam. Default: 1e-3, panoptic 1e-2, as in the paper; on simulated patches 3e-3,
    panoptic 2e-2."""
    schedule: Schedule = "constant"
    """Learning rate over a run: constant, a tenth of it from half of the epochs on, or falling to 0
    as a cosine. Default: constant; panoptic: step, as in the paper, cosine on simulated data."""
    optimizer: Optimizer = "adam"
    """Adam, as in the paper, or Adam with decoupled weight decay."""
    weight_decay: float | None = None
    """Share of the weights that each step of adamw takes off, times the learning rate. Default:
    0.01."""
    accumulate: int = 1
    """Take each batch in so many parts, one after another, and add their gradients: memory of a
    part, steps of the batch. Batch norms see a part at a time."""
    ema: float | None = None
    """Also keep a moving average of weights and running statistics with this decay per step (0.999,
    say); it is what is validated, kept and tested."""
    initialisation: Initialisation = "he"
    """First weights: He-normal, or as the published code draws them."""
    temporal_dropout: bool = False
    """Drop dates while training, of each modality the share that the dataset says (PASTIS-R: 40 %
    of S2, 20 % of each Sentinel-1 orbit)."""
    drop_rates: tuple[str, ...] = ()
    """With --temporal-dropout: shares of the dates to drop, by modality, in place of those that the
    dataset says: S2=0.4 S1A=0.2. A modality that is not named keeps the dataset's."""
    modality_dropout: float = 0.0
    """Mask each modality of a training sample with this probability, but never its last one (with
    early fusion, never the first modality). In mid, late and decision fusion, one model then serves
    whatever is left."""
    removed_optical: tuple[float, ...] = ()
    """Also test with each date of optical modalities removed with these probabilities, as clouds
    might; the last one of a sample always stays. (experiments.paper.cloud_cover removes exact
    shares.)"""
    seed: int = 0
    """Everything random follows from it."""

    def __post_init__(self):
        _between("epochs", self.epochs, self.least_epochs, MOST_EPOCHS)
        _between("batch_size", self.batch_size, 1, LARGEST_BATCH)
        _between("seed", self.seed, 0, 2**32 - 1)
        refuse("learning_rate", not 0 < self.learning_rate < 1, "must be 0 to 1", "give 1e-3, say")
        refuse(
            "weight_decay",
            self.weight_decay is not None and self.optimizer != "adamw",
            f"{self.optimizer} has none",
            "give `optimizer` adamw, or leave it out",
        )
        decays = 0 <= (self.weight_decay or 0) <= 1
        refuse("weight_decay", not decays, "must be 0 to 1", "give 0.01, say")
        refuse(
            "accumulate",
            not 1 <= self.accumulate <= self.batch_size,
            f"a batch of {self.batch_size} has 1 to {self.batch_size} parts",
            "give such a number",
        )
        averages = self.ema is None or 0 < self.ema < 1
        refuse("ema", not averages, "must be between 0 and 1", "give 0.999, say")
        fault, remedy = "no dates are dropped", "add `temporal_dropout`, or leave it out"
        refuse("drop_rates", self.drop_rates and not self.temporal_dropout, fault, remedy)
        share = 0 <= self.modality_dropout <= 1
        refuse("modality_dropout", not share, "must be 0 to 1", "give 0.2, say")
        shares = all(0 <= share <= 1 for share in self.removed_optical)
        refuse("removed_optical", not shares, "shares go from 0 to 1", "give 0.7 for 70 %")

    @property
    def least_epochs(self) -> int:
        """Fewest epochs; 0 where a model can come trained."""
        return 1

    @property
    def evaluation_size(self) -> int:
        """Samples in a batch of validation and test: a part of a training batch."""
        return -(-self.batch_size // self.accumulate)

    def make_optimizer(self, steps: int) -> optax.GradientTransformation:
        """Makes the optimiser for a run of so many steps."""
        schedule = make_schedule(self.schedule, self.learning_rate, steps=steps)
        decay = {} if self.weight_decay is None else {"weight_decay": self.weight_decay}
        return make_optimizer(self.optimizer, schedule, **decay)


def _between(argument: str, value: float, least: float, most: float) -> None:
    wrong = not (math.isfinite(value) and least <= value <= most)
    refuse(argument, wrong, f"got {value}, must be {least} to {most}", "give such a number")
