"""Panoptic segmentation beside the modules: centres, masks, panoptic maps, loss and metric."""

from pastis_jax.panoptic.assembly import panoptic_map
from pastis_jax.panoptic.components import connected_components
from pastis_jax.panoptic.confidence import ConfidenceTuning
from pastis_jax.panoptic.loss import PanopticLoss, paps_loss
from pastis_jax.panoptic.metric import PanopticQuality, VoidRules

__all__ = [
    "ConfidenceTuning",
    "PanopticLoss",
    "PanopticQuality",
    "VoidRules",
    "connected_components",
    "panoptic_map",
    "paps_loss",
]
