"""Encoders and decoders: the S, T and D that fusion schemes combine."""

from pastis_jax.models.decoders import ConvDecoder, MLPDecoder
from pastis_jax.models.ltae import LTAE
from pastis_jax.models.paps import PaPs
from pastis_jax.models.pse import PixelSetEncoder
from pastis_jax.models.time_first import MapDecoder, MapUNet, PixelEncoder
from pastis_jax.models.utae import FrameEncoder, TemporalUNet

__all__ = [
    "LTAE",
    "ConvDecoder",
    "FrameEncoder",
    "MLPDecoder",
    "MapDecoder",
    "MapUNet",
    "PaPs",
    "PixelEncoder",
    "PixelSetEncoder",
    "TemporalUNet",
]
