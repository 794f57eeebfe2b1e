"""Panoptic segmentation."""

from pastis_jax.panoptic.metric import PanopticQuality

__all__ = ["PanopticQuality"]
