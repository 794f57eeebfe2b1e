"""A run over a Region: blocks and windows, parcels and instances, files, report."""

from pastis_jax.mapping.folders import predict_folder
from pastis_jax.mapping.options import MapOptions
from pastis_jax.mapping.predict import predict_region

__all__ = ["MapOptions", "predict_folder", "predict_region"]
