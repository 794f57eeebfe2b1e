"""Published PyTorch weights -> Flax variables (NumPy in, no PyTorch needed)."""

from pastis_jax.interop.parcel import convert_ltae, convert_parcel_classifier
from pastis_jax.interop.semantic import convert_utae

__all__ = ["convert_ltae", "convert_parcel_classifier", "convert_utae"]
