"""Gradient flow: which parameters lower the objective (paper, section 4.3, equation 9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Float, PyTree

from pastis_jax import rng
from pastis_jax.metrics import Mean
from pastis_jax.nn import all_series
from pastis_jax.training.sharding import Placement
from pastis_jax.training.state import TrainState
from pastis_jax.training.step import EpochMetrics, LossFunction, TrainStep
from pastis_jax.types import Batch


@struct.dataclass
class GradientFlow:
    """What steps of gradient descent do to the objective; a metric of training.

    Attributes:
      flow: Sum over the steps of <grad L, grad L_obj>, over the parameters of each module.
      objective: Sum of L_obj before the steps.
      decrease: Sum of what each step took off L_obj, on its own batch and with its own dropout.
      steps: Number of steps.
    """

    flow: PyTree[Float[Array, ""]]
    objective: Float[Array, ""]
    decrease: Float[Array, ""]
    steps: Float[Array, ""]

    @classmethod
    def empty(cls, flow: PyTree[Any]) -> GradientFlow:
        """Returns that of no step; `flow` gives the modules."""
        # Each an array of its own: steps donate them.
        flow = jax.tree.map(lambda _: jnp.zeros(()), flow)
        return cls(flow, *(jnp.zeros(()) for _ in range(3)))

    def merge(self, other: GradientFlow) -> GradientFlow:
        """Joins two sets of steps."""
        return jax.tree.map(jnp.add, self, other)

    def compute(self) -> dict[str, Any]:
        """Returns `flow`, `objective` and `decrease` of the mean step."""
        whole = {"flow": self.flow, "objective": self.objective, "decrease": self.decrease}
        return jax.tree.map(lambda x: float(x / jnp.maximum(self.steps, 1)), whole)


def make_flow_step(
    *,
    model: nn.Module,
    loss: LossFunction,
    by_module: Callable[[PyTree[Array]], PyTree[Float[Array, ""]]],
    optimizer: optax.GradientTransformation,
    key: Array,
    placement: Placement,
) -> TrainStep:
    """Returns a compiled training step that records the gradient flow; it donates its state.

    With a step size of eta, eta times the flow of all modules is the first-order decrease of L_obj.

    Args:
      model: A fusion scheme.
      loss: L of a prediction, L_obj of one without its auxiliary predictions.
      by_module: Sums what is shaped like the parameters over those of each module.
      optimizer: Plain gradient descent: equation 9 holds for no other.
      key: Root key of the run; every step derives its own from it.
      placement: Devices to spread the batch over, by `jit`.
    """

    def flow_step(state: TrainState, metrics: EpochMetrics, batch: Batch):
        def losses(params):
            prediction, updated = model.apply(
                {"params": params, "batch_stats": state.batch_stats},
                all_series(batch.series),
                train=True,
                **batch.given,
                rngs={"dropout": rng.stream(key, "dropout", state.step)},
                mutable=["batch_stats"],
            )
            each, weights = loss(prediction, batch)
            alone, _ = loss(prediction.replace(auxiliary={}), batch)
            whole, objective = (Mean.from_batch(x, weights).compute() for x in (each, alone))
            return (whole, objective), (updated["batch_stats"], each, weights)

        (_, before), backward, (batch_stats, each, weights) = jax.vjp(
            losses, state.params, has_aux=True
        )
        (gradient,), (slope,) = backward((1.0, 0.0)), backward((0.0, 1.0))
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        (_, after), _ = losses(params)
        flow = GradientFlow(
            flow=by_module(jax.tree.map(jnp.multiply, gradient, slope)),
            objective=before,
            decrease=before - after,
            steps=jnp.ones(()),
        )
        norm = Mean(optax.tree.norm(gradient), jnp.ones(()))
        metrics = metrics.update(each, weights, flow, batch, state.step, gradient=norm)
        state = TrainState(state.step + 1, params, batch_stats, opt_state)
        return state, metrics

    return placement.compiled(flow_step, ("whole", "whole", "batch"), donate=(0, 1))
