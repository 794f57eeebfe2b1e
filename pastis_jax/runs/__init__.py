"""A run as a thing: train it, save it, send it, open it, predict."""

from pastis_jax.runs.drawing import make_predict
from pastis_jax.runs.learning import Start
from pastis_jax.runs.opened import Run, open_run
from pastis_jax.runs.opened_data import OpenedData
from pastis_jax.runs.scoring import Scorer, plan_of
from pastis_jax.runs.training import Watching, train
from pastis_jax.runs.until import Until

__all__ = [
    "OpenedData",
    "Run",
    "Scorer",
    "Start",
    "Until",
    "Watching",
    "make_predict",
    "open_run",
    "plan_of",
    "train",
]
