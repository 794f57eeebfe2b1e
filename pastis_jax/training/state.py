"""What training changes: one immutable state."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Int, PyTree

from pastis_jax.nn.raw import all_series
from pastis_jax.rng import fold_in_name
from pastis_jax.types import Batch


@struct.dataclass
class TrainState:
    """State of a training run.

    Attributes:
      step: Number of optimiser steps taken.
      params: Trained parameters.
      batch_stats: Running statistics.
      opt_state: State of the optimiser.
      average: Moving average of `params` and `batch_stats`, by these names, where one is kept.
    """

    step: Int[Array, ""]
    params: PyTree[Array]
    batch_stats: PyTree[Array]
    opt_state: optax.OptState
    average: PyTree[Array] | None = None

    @property
    def variables(self) -> dict[str, PyTree[Array]]:
        """What `model.apply` takes to predict: the average, where one is kept."""
        if self.average is not None:
            return self.average
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def tested(self) -> TrainState:
        """The variables alone, as they are tested, whatever training keeps beside them."""
        return TrainState(self.step, **self.variables, opt_state=())


def create_state(
    model: nn.Module, optimizer: optax.GradientTransformation, batch: Batch, key: Array
) -> TrainState:
    """Initialises a state, compiled as one function.

    The model is initialised as for training, so that auxiliary decoders get their parameters.

    Args:
      model: Called with `batch.series` and `batch.given`.
      optimizer: Makes the optimiser's state.
      batch: Any batch of the right shapes.
      key: Root key of the run.
    """

    def create(batch):
        names = ("params", "dropout")
        rngs = {n: fold_in_name(key, n) for n in names}
        variables = model.init(rngs, all_series(batch.series), train=True, **batch.given)
        params = variables["params"]
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            opt_state=optimizer.init(params),
        )

    return jax.jit(create)(batch)


def count_parameters(params: PyTree[Array]) -> int:
    """Number of scalars in `params`."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
