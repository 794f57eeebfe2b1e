"""Pictures (matplotlib, without pyplot: no display and no global state)."""

from pastis_jax.viz.curves import confusion_matrix, iou_per_class, learning_curves
from pastis_jax.viz.maps import (
    PanelRow,
    class_map,
    error_map,
    radar_composite,
    rgb,
    segmentation_panel,
)

__all__ = [
    "PanelRow",
    "class_map",
    "confusion_matrix",
    "error_map",
    "iou_per_class",
    "learning_curves",
    "radar_composite",
    "rgb",
    "segmentation_panel",
]
