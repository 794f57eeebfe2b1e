"""Pictures (matplotlib, without pyplot: no display and no global state)."""

from pastis_jax.viz.calendar import attention_calendar
from pastis_jax.viz.clouds import CloudCurve, CloudPanel, cloud_cover
from pastis_jax.viz.comparison import ComparisonRow, comparison_panel
from pastis_jax.viz.curves import (
    compare_per_class,
    confusion_matrix,
    iou_per_class,
    learning_curves,
    pq_per_class,
    validation_curves,
)
from pastis_jax.viz.differences import (
    ClassMap,
    Difference,
    counted_parcels,
    differences,
    right_parcels,
)
from pastis_jax.viz.flow import gradient_flow
from pastis_jax.viz.instances import PanopticRow, outlines, panoptic_panel
from pastis_jax.viz.maps import (
    PanelRow,
    class_map,
    error_map,
    radar_composite,
    rgb,
    segmentation_panel,
)

__all__ = [
    "ClassMap",
    "CloudCurve",
    "CloudPanel",
    "ComparisonRow",
    "Difference",
    "PanelRow",
    "PanopticRow",
    "attention_calendar",
    "class_map",
    "cloud_cover",
    "compare_per_class",
    "comparison_panel",
    "confusion_matrix",
    "counted_parcels",
    "differences",
    "error_map",
    "gradient_flow",
    "iou_per_class",
    "learning_curves",
    "outlines",
    "panoptic_panel",
    "pq_per_class",
    "radar_composite",
    "rgb",
    "right_parcels",
    "segmentation_panel",
    "validation_curves",
]
