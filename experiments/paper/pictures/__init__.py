"""Pictures that serve the paper's figures alone."""

from experiments.paper.pictures.calendar import attention_calendar
from experiments.paper.pictures.clouds import CloudCurve, CloudPanel, cloud_cover
from experiments.paper.pictures.comparison import ComparisonRow, comparison_panel
from experiments.paper.pictures.curves import compare_per_class, validation_curves
from experiments.paper.pictures.dataset import (
    Acquisition,
    AnnotatedPatch,
    dataset_panel,
    series_panel,
)
from experiments.paper.pictures.differences import (
    ClassMap,
    Difference,
    counted_parcels,
    differences,
    right_parcels,
)
from experiments.paper.pictures.flow import gradient_flow

__all__ = [
    "Acquisition",
    "AnnotatedPatch",
    "ClassMap",
    "CloudCurve",
    "CloudPanel",
    "ComparisonRow",
    "Difference",
    "attention_calendar",
    "cloud_cover",
    "compare_per_class",
    "comparison_panel",
    "counted_parcels",
    "dataset_panel",
    "differences",
    "gradient_flow",
    "right_parcels",
    "series_panel",
    "validation_curves",
]
