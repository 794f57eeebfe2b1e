"""State, steps, loop, checkpoints, run folder. Knows no model, fusion scheme or dataset."""

from pastis_jax.training.checkpoint import Checkpoints, read_facts
from pastis_jax.training.evaluation import (
    NonFiniteLossError,
    Outcome,
    check_counted,
    check_finite,
    evaluate,
    evaluate_each,
)
from pastis_jax.training.feed import Batches, OnDevice, batch_maker
from pastis_jax.training.logging import DELETE_RESULT, RunFolder, jsonable, write_arrays, write_json
from pastis_jax.training.loop import Fit, fit, stopped_at
from pastis_jax.training.optimizer import Optimizer, Schedule, make_optimizer, make_schedule
from pastis_jax.training.processes import (
    connect,
    from_main,
    is_main,
    leaving_on_failure,
    main_first,
)
from pastis_jax.training.recipe import Recipe
from pastis_jax.training.sharding import AXIS, Parallel, Placement, data_mesh, sum_over
from pastis_jax.training.state import TrainState, count_parameters, create_state
from pastis_jax.training.step import (
    Augmentation,
    EpochMetrics,
    EvaluationStep,
    Metric,
    TrainStep,
    make_evaluation_step,
    make_prediction_step,
    make_train_step,
)
from pastis_jax.training.watch import Events, Profile, parameter_table

__all__ = [
    "AXIS",
    "DELETE_RESULT",
    "Augmentation",
    "Batches",
    "Checkpoints",
    "EpochMetrics",
    "EvaluationStep",
    "Events",
    "Fit",
    "Metric",
    "NonFiniteLossError",
    "OnDevice",
    "Optimizer",
    "Outcome",
    "Parallel",
    "Placement",
    "Profile",
    "Recipe",
    "RunFolder",
    "Schedule",
    "TrainState",
    "TrainStep",
    "batch_maker",
    "check_counted",
    "check_finite",
    "connect",
    "count_parameters",
    "create_state",
    "data_mesh",
    "evaluate",
    "evaluate_each",
    "fit",
    "from_main",
    "is_main",
    "jsonable",
    "leaving_on_failure",
    "main_first",
    "make_evaluation_step",
    "make_optimizer",
    "make_prediction_step",
    "make_schedule",
    "make_train_step",
    "parameter_table",
    "read_facts",
    "stopped_at",
    "sum_over",
    "write_arrays",
    "write_json",
]
