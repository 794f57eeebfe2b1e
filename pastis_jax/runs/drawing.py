"""The pictures of a run, and the predictions that they show."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jaxtyping import PyTree

from pastis_jax import viz
from pastis_jax.nn.raw import all_series
from pastis_jax.tasks import Task
from pastis_jax.types import Batch


def make_predict(
    task: Task, variables: PyTree, context: Mapping[str, float]
) -> Callable[[Batch], tuple[Any, Any]]:
    """Returns what gives the model's prediction and output of a batch, on one device alone."""
    alone = dataclasses.replace(task, axis_name=None)
    model = alone.model()

    @jax.jit
    def predict(variables, series):
        prediction = model.apply(variables, all_series(series))
        return prediction, alone.output(prediction, **context)

    variables = jax.device_get(variables)
    return lambda batch: predict(variables, batch.series)


def draw(task, splits, recipe, folder, state, context, test, result, more) -> None:
    """Draws the pictures of a run, and adds to its result what needs predictions."""
    if recipe.epochs:
        log, picture = folder.path / "metrics.jsonl", folder.path / "learning_curves.png"
        viz.learning_curves(log, picture, score=task.scores[0])
    task.draw(test, folder.path)
    viz.reliability(result["calibration"], folder.path / "reliability.png")
    predict = make_predict(task, state.variables, context)
    if more is not None:
        result.update(more(predict))
    task.panel(predict, splits, folder.path, result["title"])
