"""Published weights -> Flax variables. Only `load_utae`, which reads files, needs PyTorch."""

from pastis_jax.interop.checkpoint import PublishedModel, UTAESettings, load_utae
from pastis_jax.interop.parcel import convert_ltae, convert_parcel_classifier
from pastis_jax.interop.semantic import convert_utae

__all__ = [
    "PublishedModel",
    "UTAESettings",
    "convert_ltae",
    "convert_parcel_classifier",
    "convert_utae",
    "load_utae",
]
