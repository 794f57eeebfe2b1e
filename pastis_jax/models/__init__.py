"""Encoders and decoders: the S, T and D that fusion schemes combine."""

from pastis_jax.models.decoders import MLPDecoder
from pastis_jax.models.ltae import LTAE
from pastis_jax.models.pse import PixelSetEncoder

__all__ = ["LTAE", "MLPDecoder", "PixelSetEncoder"]
