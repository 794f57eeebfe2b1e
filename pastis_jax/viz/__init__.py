"""Pictures (matplotlib, without pyplot: no display and no global state)."""

from pastis_jax.viz.curves import confusion_matrix, iou_per_class, learning_curves

__all__ = ["confusion_matrix", "iou_per_class", "learning_curves"]
