"""Published weights -> Flax variables. Only `load_...`, which read files, need PyTorch."""

from pastis_jax.interop.checkpoint import PublishedModel, load_utae
from pastis_jax.interop.panoptic import PublishedPanopticModel, convert_paps, load_paps
from pastis_jax.interop.parcel import convert_ltae, convert_parcel_classifier
from pastis_jax.interop.semantic import convert_utae
from pastis_jax.interop.settings import UTAESettings

__all__ = [
    "PublishedModel",
    "PublishedPanopticModel",
    "UTAESettings",
    "convert_ltae",
    "convert_paps",
    "convert_parcel_classifier",
    "convert_utae",
    "load_paps",
    "load_utae",
]
