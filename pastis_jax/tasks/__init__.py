"""The three tasks, each in one file: model, loss, metrics, output, scores, pictures."""

from pastis_jax.tasks._images import ImageModel, PatchRecords
from pastis_jax.tasks._spec import ModelSpec, RecordOptions, folds_of
from pastis_jax.tasks._task import Learned, Task, blank_series
from pastis_jax.tasks.panoptic import PanopticModel, PanopticTask
from pastis_jax.tasks.parcel import ParcelModel, ParcelRecords, ParcelTask
from pastis_jax.tasks.recipes import ImageRecipe, PanopticRecipe, SemanticRecipe
from pastis_jax.tasks.semantic import SemanticModel, SemanticTask

TASKS: dict[str, type[Task]] = {
    task.name: task for task in (ParcelTask, SemanticTask, PanopticTask)
}
"""The tasks by name."""
SPECS: dict[str, type[ModelSpec]] = {
    "parcel": ParcelModel,
    "semantic": SemanticModel,
    "panoptic": PanopticModel,
}
"""What their models are specified by."""
RECORDS: dict[str, type[RecordOptions]] = {
    "parcel": ParcelRecords,
    "semantic": PatchRecords,
    "panoptic": PatchRecords,
}
"""What their records are chosen by."""

__all__ = [
    "RECORDS",
    "SPECS",
    "TASKS",
    "ImageModel",
    "ImageRecipe",
    "Learned",
    "ModelSpec",
    "PanopticModel",
    "PanopticRecipe",
    "PanopticTask",
    "ParcelModel",
    "ParcelRecords",
    "ParcelTask",
    "PatchRecords",
    "RecordOptions",
    "SemanticModel",
    "SemanticRecipe",
    "SemanticTask",
    "Task",
    "blank_series",
    "folds_of",
]
