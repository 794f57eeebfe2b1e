"""From values in a stored unit to the inputs of a model: what is missing, mean and deviation."""

from __future__ import annotations

import numpy as np

from pastis_jax.data.arrays import contradiction, implausible
from pastis_jax.data.modality import Modality
from pastis_jax.types import Series

SEASON = -60, 730
"""Days from the start of the season that acquisitions are expected in."""


def fill_missing(values: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Replaces missing pixels of a date, channel by channel, by the mean of its observed ones.

    Differs from the reference, where nodata passes for a reflectance.

    Args:
      values: ``t c s``.
      missing: ``t c s``; pixels that are not real count as missing.

    Returns:
      Filled values, and for each date whether every channel of it was observed (``t``).
    """
    count = (~missing).sum(-1, keepdims=True)
    mean = np.where(missing, 0, values).sum(-1, keepdims=True) / np.maximum(count, 1)
    filled = np.where(missing, mean.astype(np.float32), values)
    return filled.astype(np.float32, copy=False), (count > 0).all((1, 2))


def normalise(
    series: Series,
    modality: Modality,
    moments: tuple[np.ndarray, np.ndarray],
    *,
    season: tuple[int, int] = SEASON,
) -> Series:
    """Returns what a model takes, of a series as it was observed; as the encodings do.

    Args:
      series: Values ``b t s c`` or ``b t h w c`` as they are stored; features of outlines as the
        table of parcels has them.
      modality: What observed it.
      moments: Mean and standard deviation of each channel.
      season: Days from the start of the season that acquisitions may be of.

    Raises:
      ValueError: If at a valid date a value is neither finite nor marked as missing, all values
        together cannot be in the modality's unit, channels contradict each other, or the day is
        outside `season`.
    """
    values, valid = np.asarray(series.values, np.float32), np.array(series.valid)
    b, t, *space, c = values.shape
    missing = modality.missing(values, range(2, values.ndim))
    if missing is not None and missing.any():
        flat, gone = (x.reshape(b * t, -1, c).swapaxes(1, 2) for x in (values, missing))
        if series.pixels is not None:
            gone = gone | np.repeat(~np.asarray(series.pixels), t, axis=0)[:, None]
        flat, observed = fill_missing(flat, gone)
        values = flat.swapaxes(1, 2).reshape(b, t, *space, c)
        valid &= observed.reshape(b, t)
    where = valid.reshape(b, t, *(1,) * (len(space) + 1))
    if series.pixels is not None:
        where = where & np.asarray(series.pixels)[:, None, :, None]
    mean, std = moments
    values = values + np.float32(modality.offset) if modality.offset else values
    counted = np.broadcast_to(where[..., 0], values.shape[:-1])
    seen = values.reshape(-1, c) if counted.all() else values[counted]
    if not np.isfinite(seen).all():
        raise ValueError(f"values of {modality.name} are not finite at a valid date")
    if seen.size and (fault := _other_unit(seen, modality, mean)):
        raise ValueError(f"{modality.name} is not in {modality.unit}: {fault}")
    days = np.asarray(series.days)[valid]
    if days.size and not season[0] <= days.min() <= days.max() <= season[1]:
        fault = f"days from {days.min()} to {days.max()} are not within {season[0]} to {season[1]}"
        raise ValueError(f"{modality.name}: {fault}, counted from the start of the season")
    values = np.where(where, (values - mean) / std, np.float32(0))
    outline = None if series.geometric is None else np.log1p(np.asarray(series.geometric))
    return series.replace(values=values, valid=valid, geometric=outline)


def _other_unit(values: np.ndarray, modality: Modality, mean: np.ndarray) -> str | None:
    """Tells why values (n, c) are not in the modality's unit; None if they may be.

    A few pixels may be darker than any whole parcel: reflectance is judged by that of training.
    """
    # What the model was trained on may itself have been out of the ordinary.
    if not contradiction(mean[None], modality) and (fault := contradiction(values, modality)):
        return fault
    low, high, trained = float(values.min()), float(values.max()), float(mean.max())
    if modality.plausible is not None or "reflectance" not in modality.unit:
        odd = implausible(mean[None], float(mean.min()), trained, modality)
        return None if odd else implausible(values, low, high, modality)
    if high < trained / 100:
        return f"the largest value is {high:g}, in training the mean was {trained:g}"
    if (average := float(values.mean())) > trained * 100:
        return f"the mean is {average:g}, in training it was {trained:g}"
    return None
