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
from pastis_jax.models.utae import FrameEncoder, TemporalUNet
from pastis_jax.registry import Registry


@dataclasses.dataclass(frozen=True)
class Halves:
    """The encoders of a model.

    Attributes:
      spatial: Makes S for a modality.
      temporal: Makes T.
    """

    spatial: Callable[[str], nn.Module]
    temporal: Callable[[], nn.Module]


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


PARCEL_ENCODERS.add("pse-ltae", pse_ltae)
IMAGE_ENCODERS.add("utae", utae)
