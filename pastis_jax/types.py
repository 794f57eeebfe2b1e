"""Series, batches and outputs: what every part of the library passes to the next.

Axis letters, here and everywhere: b batch, t dates, s sampled pixels, c channels, h w space,
n heads, d features, k classes, g geometric features. Channels are last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import jax
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PyTree


@struct.dataclass
class Series:
    """One modality of a batch: an irregular time series whose validity is carried, never inferred.

    Attributes:
      values: Pixel sets ``b t s c``, images ``b t h w c``, or a pytree of features with leading
        ``b t``. Normalised, so without unit.
      days: ``b t``, int32, days since 2018-09-01; arbitrary where not valid.
      valid: ``b t``, True for a real, undropped acquisition.
      pixels: ``b s``, True for a real pixel of a pixel set; None for images and features.
      geometric: ``b g``, static features of the parcel's outline; None when not used.
    """

    values: PyTree[Float[Array, "b t ..."]]
    days: Int[Array, "b t"]
    valid: Bool[Array, "b t"]
    pixels: Bool[Array, "b s"] | None = None
    geometric: Float[Array, "b g"] | None = None


@struct.dataclass
class Embedding:
    """What a temporal encoder makes of a series.

    Attributes:
      values: ``b d``, maps ``b h w d``, or a pytree of these.
      valid: ``b``, True where the series had at least one valid date.
    """

    values: PyTree[Float[Array, "b ..."]]
    valid: Bool[Array, " b"]


@struct.dataclass
class Prediction:
    """What a fusion scheme returns.

    Attributes:
      logits: ``b k`` or ``b h w k``, unnormalised log-probabilities.
      valid: ``b``, True where at least one date of one modality was valid.
      auxiliary: Predictions of the auxiliary decoders by modality; empty at inference.
    """

    logits: Float[Array, "b ... k"]
    valid: Bool[Array, " b"]
    auxiliary: Mapping[str, Prediction] = struct.field(default_factory=dict)


@struct.dataclass
class Batch:
    """A batch of parcels (or patches).

    Attributes:
      series: One `Series` per modality.
      label: ``b`` (or ``b h w``), int32 class index.
      real: ``b``, False for the samples that only fill up the last batch.
      id: ``b``, int32 identifier of the parcel (or patch) in its dataset.
    """

    series: Mapping[str, Series]
    label: Int[Array, "b ..."]
    real: Bool[Array, " b"]
    id: Int[Array, " b"]


class SpatialEncoder(Protocol):
    """S: encodes every acquisition by itself."""

    def __call__(self, series: Series, *, train: bool) -> Series: ...


class TemporalEncoder(Protocol):
    """T: reduces the dates of a feature series.

    `track=False` leaves running statistics alone: for calls that only supervise.
    """

    def __call__(self, series: Series, *, train: bool, track: bool = True) -> Embedding: ...


class Decoder(Protocol):
    """D: maps an embedding to logits."""

    def __call__(self, embedding: Embedding, *, train: bool) -> jax.Array: ...
