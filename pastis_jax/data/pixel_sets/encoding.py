"""From records of parcels to padded, masked, normalised pixel sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.modality import Modality
from pastis_jax.data.normalisation import fill_missing
from pastis_jax.data.statistics import Statistics
from pastis_jax.types import Batch, Series


@dataclasses.dataclass(frozen=True)
class PixelSetEncoding:
    """How a parcel's record becomes arrays of fixed shape.

    Attributes:
      dataset: What the records are of.
      lengths: Number of dates ``t`` to pad to, by modality.
      statistics: Mean and standard deviation per channel in its unit, by modality, of the train
        folds.
      classes: Classes of the labels.
      pixels: Number of pixels ``s`` drawn per parcel.
      geometric: Keep the geometric features, as log(1 + x). Differs from the reference, which
        standardises them.
    """

    dataset: Dataset
    lengths: Mapping[str, int]
    statistics: Statistics
    classes: ClassMapping
    pixels: int = 32
    geometric: bool = False

    def __call__(self, record: Mapping[str, Any], rng: np.random.Generator) -> Batch:
        """Encodes one record; the same pixels are drawn for every modality."""
        first = next(iter(self.lengths))
        drawn, real = draw_pixels(record[first]["values"].shape[-1], self.pixels, rng)
        # Perimeters and pixel counts span four orders of magnitude.
        outline = np.log1p(record["geometric_features"]) if self.geometric else None
        return Batch(
            series={m: self._series(m, record[m], drawn, real, outline) for m in self.lengths},
            label=self.classes.lookup[record["label"]],
            real=np.True_,
            number=np.int32(record["number"]),
        )

    def _series(self, modality, record, drawn, real, outline) -> Series:
        values, days = record["values"], record["days"]
        sensor, moments = self.dataset[modality], self.statistics[modality]
        length = self.lengths[modality]
        series = encode_pixels(values, days, sensor, moments, drawn, real, length=length)
        return series.replace(geometric=outline)


def encode_pixels(
    values: np.ndarray,
    days: np.ndarray,
    sensor: Modality,
    moments: tuple[np.ndarray, np.ndarray],
    drawn: np.ndarray,
    real: np.ndarray,
    *,
    length: int,
) -> Series:
    """Normalises and pads the pixels of a parcel in one modality.

    Args:
      values: As they are stored, (t, c, n).
      days: Of the acquisitions, since the start of the season, (t,).
      sensor: The modality.
      moments: Mean and standard deviation per channel in its unit.
      drawn: Which of the n pixels are taken, ``s``.
      real: Which of these are real, ``s``.
      length: Number of dates ``t`` to pad to, at least as many as there are.

    Returns:
      The series, ``t s c``; an acquisition in which a channel was observed nowhere is not valid.
    """
    t, c, n = values.shape
    mean, std = moments
    mean = mean - np.float32(sensor.offset)
    padded = np.zeros((length, len(drawn), c), np.float32)
    valid = np.zeros(length, bool)
    valid[:t] = True
    if n:
        chosen = values[:, :, drawn].astype(np.float32)
        missing = sensor.missing(chosen, (1, 2))
        if missing is not None and missing.any():
            chosen, observed = fill_missing(chosen, missing | ~real)
            valid[:t] = observed
        padded[:t] = ((chosen - mean[:, None]) / std[:, None]).transpose(0, 2, 1)
    padded[~valid] = 0
    padded_days = np.zeros(length, np.int32)
    padded_days[:t] = days
    return Series(values=padded, days=padded_days, valid=valid, pixels=real)


def draw_pixels(count: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws `size` of `count` pixels without replacement.

    A smaller parcel gives all its pixels, its last one repeated and masked; an empty parcel gives
    one zero pixel. Differs from the reference, which draws for each modality anew.

    Returns:
      Indices ``s`` and the mask of real pixels ``s``.
    """
    if count > size:
        return np.sort(rng.choice(count, size, replace=False)), np.ones(size, bool)
    index = np.minimum(np.arange(size), max(count - 1, 0))
    return index, np.arange(size) < max(count, 1)
