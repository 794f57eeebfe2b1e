"""What a run begins to learn with: first weights, optimiser, and what is masked of its batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from pastis_jax import training
from pastis_jax.data import declared
from pastis_jax.errors import refuse
from pastis_jax.modality_dropout import modality_dropout
from pastis_jax.nn import reference_initialisation
from pastis_jax.rng import fold_in_name
from pastis_jax.schemes import Model
from pastis_jax.tasks import Task
from pastis_jax.temporal_dropout import temporal_dropout
from pastis_jax.training import Augmentation, Recipe, TrainState
from pastis_jax.types import Batch, Series


@dataclasses.dataclass(frozen=True)
class Start:
    """Weights that training starts from.

    Attributes:
      variables: `params` and `batch_stats`, of all of the model or of some of its parts; the others
        are drawn.
    """

    variables: Mapping[str, PyTree]


def is_encoder(name: str) -> bool:
    """Whether parameters of this name are of a spatial or temporal encoder, as schemes name them.

    Those of auxiliary decoders are not.
    """
    return name.split("_")[0] in ("spatial", "temporal")


def drop_rates(task: Task, recipe: Recipe) -> dict[str, float]:
    """Rates of temporal dropout by modality; empty for none.

    Raises:
      ArgumentError: If one of the recipe is no share, or of a modality that is not the model's.
    """
    if not recipe.temporal_dropout:
        return {}
    names, given = task.spec.modalities, declared.shares("drop_rates", recipe.drop_rates)
    unknown, remedy = sorted(given.keys() - {*names}), f"choose among {', '.join(names)}"
    refuse("drop_rates", unknown, f"the model takes no {', '.join(unknown)}", remedy)
    return {name: given.get(name, task.dataset[name].drop_rate) for name in names}


def optimizer_of(task: Task, recipe: Recipe, steps: int) -> optax.GradientTransformation:
    """The recipe's optimiser for so many steps.

    Decay must not move frozen encoders, which have no gradient.
    """
    optimizer = recipe.make_optimizer(steps)
    if not getattr(task.spec, "freeze", False):
        return optimizer

    def of_encoders(params: PyTree) -> PyTree:
        def all_of(name: str) -> PyTree:
            return jax.tree.map(lambda _: is_encoder(name), params[name])

        return {name: all_of(name) for name in params}

    return optax.chain(optimizer, optax.masked(optax.set_to_zero(), of_encoders))


def augmentation_of(
    task: Task,
    recipe: Recipe,
    rates: Mapping[str, float],
    most: Mapping[str, int | None],
    axis_name: str | None,
) -> Augmentation | None:
    """What masks modalities and dates of training batches; None where nothing does.

    Args:
      task: The task.
      recipe: How it is trained.
      rates: What `drop_rates` gives.
      most: Most dates that a batch may keep, by modality; see `temporal_dropout`.
      axis_name: Mapped device axis, under `pmap`.
    """
    keep = () if task.spec.scheme.masks else task.spec.read

    def augment(key: jax.Array, series: Mapping[str, Series]) -> Mapping[str, Series]:
        if recipe.modality_dropout:
            rate = recipe.modality_dropout
            series = modality_dropout(key, series, rate, keep=keep, axis_name=axis_name)
        if rates:
            series = temporal_dropout(key, series, rates, most, axis_name)
        return series

    return augment if rates or recipe.modality_dropout else None


def first_state(
    model: Model,
    optimizer: optax.GradientTransformation,
    batch: Batch,
    key: jax.Array,
    recipe: Recipe,
    start: Start | None,
) -> TrainState:
    """The state that training begins with.

    Args:
      model: The model.
      optimizer: The optimiser.
      batch: A batch, for its shapes.
      key: PRNG key of the run.
      recipe: How weights are drawn.
      start: Weights in place of drawn ones.
    """
    state = training.create_state(model, optimizer, batch, key)
    if recipe.initialisation == "reference":
        drawn = fold_in_name(key, "reference")
        params = reference_initialisation(drawn, state.params, state.batch_stats)
        state = state.replace(params=params)
    if start is not None:
        state = state.replace(
            params={**state.params, **start.variables["params"]},
            batch_stats={**state.batch_stats, **start.variables["batch_stats"]},
        )
    if recipe.ema:
        state = state.replace(average=jax.tree.map(jnp.copy, state.variables))
    return state
