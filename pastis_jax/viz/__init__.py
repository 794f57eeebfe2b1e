"""Pictures (matplotlib, without pyplot: no display and no global state)."""

from pastis_jax.viz.confidence import reliability
from pastis_jax.viz.curves import confusion_matrix, iou_per_class, learning_curves, pq_per_class
from pastis_jax.viz.instances import PanopticRow, outlines, panoptic_panel
from pastis_jax.viz.maps import (
    PanelRow,
    class_map,
    error_map,
    picture,
    segmentation_panel,
)
from pastis_jax.viz.season import by_date

__all__ = [
    "PanelRow",
    "PanopticRow",
    "by_date",
    "class_map",
    "confusion_matrix",
    "error_map",
    "iou_per_class",
    "learning_curves",
    "outlines",
    "panoptic_panel",
    "picture",
    "pq_per_class",
    "reliability",
    "segmentation_panel",
]
