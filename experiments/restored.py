"""A finished run, opened again: its configuration, its data, its model with the best weights."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
from jaxtyping import PyTree

from experiments import arguments, panoptic, parcel, semantic, supervised
from pastis_jax import training
from pastis_jax.data.nomenclature import MODALITIES
from pastis_jax.errors import UserError
from pastis_jax.training.step import PredictionStep
from pastis_jax.types import Batch

TASKS = {"parcel": parcel, "semantic": semantic, "panoptic": panoptic}
"""The experiments by the name of their task."""


@dataclasses.dataclass(frozen=True)
class Restored:
    """A finished run.

    Attributes:
      folder: Its folder.
      config: Its completed configuration.
      result: Content of its result.json.
      parts: Task, records and model.
      state: The state that was tested.
      placement: Where state and batches lie.
    """

    folder: pathlib.Path
    config: arguments.Config
    result: dict[str, Any]
    parts: supervised.Parts
    state: training.TrainState
    placement: training.Placement

    def evaluate(self, batches: Iterable[Batch] | None = None) -> training.Outcome:
        """Scores `batches`, by default those of the test fold, as the run's own test did."""
        parts = self.parts
        size, empty = parts.data.evaluation_size, parts.empty or parts.task.empty
        return training.evaluate(
            self.state,
            parts.data.evaluation("test") if batches is None else batches,
            step=self._step,
            empty=lambda: training.EpochMetrics.empty(empty(), size),
            placement=self.placement,
            context=parts.context,
        )

    def predict(self, batch: Batch) -> PyTree[jax.Array]:
        """What the model gives out for the series of a batch, ``b ...``; does not wait for it."""
        return self._prediction_step(
            self.state, self.placement.batch(batch.series), self.placement.whole(self.parts.context)
        )

    @functools.cached_property
    def _prediction_step(self) -> PredictionStep:
        parts = self.parts
        return training.make_prediction_step(
            model=parts.model, output=parts.output, placement=self.placement
        )

    @functools.cached_property
    def _step(self) -> training.EvaluationStep:
        parts = self.parts
        return training.make_evaluation_step(
            model=parts.model,
            loss=parts.task.loss,
            metric=parts.metric or parts.task.metric,
            placement=self.placement,
        )


def open_run(folder: pathlib.Path, *, cache_dir: pathlib.Path | None = None) -> Restored:
    """Opens the finished run in `folder`.

    Args:
      folder: What was its --out.
      cache_dir: Where prepared and simulated data are kept, if no longer where they were.

    Raises:
      UserError: If there is no finished run, or its data are not there any more.
    """
    result, content = read_run(folder)
    experiment = TASKS[result["task"]]
    config = arguments.restored(experiment.Config, content, folder / "config.json")
    config = dataclasses.replace(config, cache_dir=cache_dir or config.cache_dir, distributed=False)
    parts = experiment.restore(config, result)
    placement = arguments.evaluation_placement(config)
    checkpoints = training.Checkpoints(folder / "checkpoints", content)
    state = checkpoints.load("best", placement.whole_like(_shapes(config, parts)))
    return Restored(folder, config, result, parts, state, placement)


def read_run(folder: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads the content of result.json and config.json of a finished run.

    Raises:
      UserError: If there is none in `folder`.
    """
    try:
        found = [json.loads((folder / f"{n}.json").read_text()) for n in ("result", "config")]
    except FileNotFoundError as error:
        remedy = "give the --out of a run that is finished"
        raise UserError("no finished run here", where=folder, remedy=remedy) from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot be read ({error})", where=folder, remedy="train it anew"
        ) from error
    return found[0], found[1]


def model_name(result: Mapping[str, Any]) -> str:
    """The name of a run's model: of its only modality, or of its fusion scheme.

    A scheme of other than all modalities has them in its name, and so has early fusion onto the
    dates of another modality than S2.
    """
    modalities, fusion = result["modalities"], result["fusion"]
    if fusion == "single":
        return modalities[0]
    usual = {*modalities} == {*MODALITIES} and (fusion != "early" or modalities[0] == "S2")
    return fusion if usual else f"{fusion} of {' + '.join(modalities)}"


def enhancement(result: Mapping[str, Any]) -> str:
    """What a run's model was trained with: `base`, `temporal_dropout`, `auxiliary` or `both`."""
    names = [name for name in ("temporal_dropout", "auxiliary") if result[name]]
    return "both" if len(names) == 2 else "".join(names) or "base"


def origin(folder: pathlib.Path, result: Mapping[str, Any]) -> dict[str, Any]:
    """What a measurement writes down about its run: where it is, and what was trained.

    Args:
      folder: Of the run.
      result: Content of its result.json.
    """
    return {
        "run": folder.absolute(),
        "model": model_name(result),
        "enhancement": enhancement(result),
        **{name: result[name] for name in ("task", "modalities", "fold", "seed", "data")},
    }


def find_runs(*folders: pathlib.Path) -> list[pathlib.Path]:
    """Returns the finished runs that `folders` are or hold, in the order of their names.

    Raises:
      UserError: If one of `folders` holds none.
    """
    found = []
    for folder in folders:
        runs = sorted(p.parent for p in folder.glob("**/result.json") if _is_run(p.parent))
        if not runs:
            remedy = "give the --out of finished runs, or a folder that holds them"
            raise UserError("no finished run here", where=folder, remedy=remedy)
        found += runs
    return list(dict.fromkeys(found))


def _is_run(folder: pathlib.Path) -> bool:
    return (folder / "config.json").exists()


def _shapes(config: arguments.Config, parts: supervised.Parts) -> training.TrainState:
    """Shapes of the run's state."""
    steps = max(1, config.epochs * parts.data.steps_per_epoch)
    create = functools.partial(
        training.create_state, parts.model, supervised.make_optimizer(config, steps)
    )
    batch = next(parts.data.evaluation("val"))
    state = jax.eval_shape(create, batch, jax.random.key(0))
    return state.replace(average=state.variables) if config.ema else state
