"""Optimisers and learning rates by name."""

from __future__ import annotations

from typing import Literal

import jax
import optax

Schedule = Literal["constant", "step", "cosine"]
Optimizer = Literal["adam", "adamw"]
WEIGHT_DECAY = 0.01


def make_schedule(name: Schedule, learning_rate: float, *, steps: int) -> optax.Schedule:
    """Returns the learning rate of every step.

    Args:
      name: `constant`; `step`, a tenth of it from half of the steps on (the paper, for panoptic
        segmentation: 0.01 then 0.001); `cosine`, falling to 0.
      learning_rate: The first.
      steps: Number of steps of the run.

    Raises:
      ValueError: If there is no such schedule.
    """
    match name:
        case "constant":
            return optax.constant_schedule(learning_rate)
        case "step":
            return optax.piecewise_constant_schedule(learning_rate, {-(-steps // 2): 0.1})
        case "cosine":
            return optax.cosine_decay_schedule(learning_rate, max(1, steps))
        case _:
            raise ValueError(f"no schedule is called {name!r}")


def make_optimizer(
    name: Optimizer, schedule: optax.Schedule, *, weight_decay: float = WEIGHT_DECAY
) -> optax.GradientTransformation:
    """Returns an optimiser.

    Args:
      name: `adam`, or `adamw` with decoupled weight decay.
      schedule: Learning rate of each step.
      weight_decay: Of `adamw`; kernels decay, what has one axis (biases, scales, offsets) does not.

    Raises:
      ValueError: If there is no such optimiser.
    """
    match name:
        case "adam":
            return optax.adam(schedule)
        case "adamw":
            return optax.adamw(schedule, weight_decay=weight_decay, mask=_decays)
        case _:
            raise ValueError(f"no optimiser is called {name!r}")


def _decays(params):
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
