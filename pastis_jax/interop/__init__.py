"""Published PyTorch weights -> Flax variables (NumPy in, no PyTorch needed)."""

from pastis_jax.interop.parcel import convert_ltae, convert_parcel_classifier

__all__ = ["convert_ltae", "convert_parcel_classifier"]
