"""Encoders by name: what makes S for a modality, and T. Another one is an entry more::

PARCEL_ENCODERS.add("mean pixel", lambda spec, capacity, axis_name: Halves(...))
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from pastis_jax.models.ltae import LTAE
from pastis_jax.models.pse import PixelSetEncoder
from pastis_jax.models.time_first import MapDecoder, MapUNet, PixelEncoder
from pastis_jax.models.utae import FrameEncoder, TemporalUNet
from pastis_jax.registry import Registry


@dataclasses.dataclass(frozen=True)
class Halves:
    """The encoders of a model.

    Attributes:
      spatial: Makes S for a modality.
      temporal: Makes T.
      trunk: Makes what stands between an embedding and the head of a decoder, if something does.
    """

    spatial: Callable[[str], nn.Module]
    temporal: Callable[[], nn.Module]
    trunk: Callable[[], nn.Module] | None = None

    def decoder(self, head: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        """What makes D of what makes its head."""
        trunk = self.trunk
        return head if trunk is None else lambda: MapDecoder(trunk(), head())


MakeHalves = Callable[[Any, Mapping[str, int | None], str | None], Halves]
"""Makes them of a model's specification, the room for valid frames by modality (`FrameEncoder`) and
the name of a mapped device axis, if there is one."""

PARCEL_ENCODERS: Registry[MakeHalves] = Registry("encoder")
"""Of pixel sets: S from ``b t s c`` to ``b t d``, T from that to ``b d``."""
IMAGE_ENCODERS: Registry[MakeHalves] = Registry("encoder")
"""Of images: S from ``b t h w c`` to what T reads, T from that to maps ``b h w d``, finest last."""


def pse_ltae(spec: Any, capacity: Mapping[str, int | None], axis_name: str | None) -> Halves:
    """PSE and L-TAE. Of `spec` it takes `geometric`."""
    del capacity
    return Halves(
        lambda _: PixelSetEncoder(geometric=spec.geometric, axis_name=axis_name),
        functools.partial(LTAE, axis_name=axis_name),
    )


def utae(spec: Any, capacity: Mapping[str, int | None], axis_name: str | None) -> Halves:
    """The halves of U-TAE. Of `spec` it takes widths, heads, norm, aggregation, `remat`, `bf16`."""
    dtype = jnp.bfloat16 if spec.bf16 else jnp.float32
    ltae = functools.partial(
        LTAE,
        model_features=spec.model_features,
        heads=spec.heads,
        key_features=spec.key_features,
    )

    def spatial(modality: str) -> FrameEncoder:
        return FrameEncoder(
            spec.encoder_widths,
            spec.encoder_norm,
            capacity.get(modality),
            remat=spec.remat,
            dtype=dtype,
            axis_name=axis_name,
        )

    def temporal() -> TemporalUNet:
        return TemporalUNet(
            spec.decoder_widths,
            spec.aggregation,
            ltae,
            remat=spec.remat,
            dtype=dtype,
            axis_name=axis_name,
        )

    return Halves(spatial, temporal)


def time_first(spec: Any, capacity: Mapping[str, int | None], axis_name: str | None) -> Halves:
    """PSE's pixel encoder and L-TAE at every pixel, and a U-Net on the map of embeddings.

    Of `spec` it takes widths (the encoder's last one is that of features and embedding), heads,
    `remat`, `bf16` and `freeze`.
    """
    dtype, width = jnp.bfloat16 if spec.bf16 else jnp.float32, spec.encoder_widths[-1]

    def spatial(modality: str) -> PixelEncoder:
        return PixelEncoder(
            features=width,
            capacity=capacity.get(modality),
            dtype=dtype,
            frozen=spec.freeze,
            axis_name=axis_name,
        )

    def temporal() -> LTAE:
        return LTAE(
            width,
            spec.model_features,
            spec.heads,
            spec.key_features,
            frozen=spec.freeze,
            axis_name=axis_name,
        )

    def trunk() -> MapUNet:
        return MapUNet(spec.decoder_widths, spec.remat, dtype, axis_name)

    return Halves(spatial, temporal, trunk)


PARCEL_ENCODERS.add("pse-ltae", pse_ltae)
IMAGE_ENCODERS.add("utae", utae)
IMAGE_ENCODERS.add("time-first", time_first)
