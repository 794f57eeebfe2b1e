"""Values in a stored unit: what of them is missing, what is refused, what travels to a device."""

from __future__ import annotations

import numpy as np

from pastis_jax.data.arrays import contradiction, implausible, not_held, outside
from pastis_jax.data.modality import Modality
from pastis_jax.types import Marks, Series, Stored

SEASON = -60, 730
"""Days from the start of the season that acquisitions are expected in."""


def marks_of(modality: Modality) -> Marks:
    """What of a modality's stored values tells that nothing was observed."""
    nan = modality.nodata is not None and bool(np.isnan(modality.nodata))
    return Marks(
        value=None if nan else modality.nodata,
        nan=nan,
        infinite=modality.unit == "dB",
        zero=modality.never_zero,
    )


def travelling(modality: Modality) -> np.dtype:
    """Type that stored values go to the device in: their own up to 16 bits, else float32."""
    dtype = np.dtype(modality.dtype)
    return dtype.newbyteorder("=") if dtype.itemsize <= 2 else np.dtype(np.float32)


def showing(values: np.ndarray, modality: Modality) -> np.ndarray:
    """Which dates show something: every channel was observed at some pixel, (t,) bool.

    Args:
      values: As they are stored, (t, c, ...).
      modality: Their modality.
    """
    missing = modality.missing(values, range(1, values.ndim))
    if missing is None or not missing.any():
        return np.ones(len(values), bool)
    return ~missing.all(tuple(range(2, values.ndim))).any(1)


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
    """Returns what a model takes, of a series as it was observed: what steps do, on the host.

    Args:
      series: As for `observed`, and so are the others.
      modality: What observed it.
      moments: Mean and standard deviation of each channel.
      season: Days from the start of the season that acquisitions may be of.

    Returns:
      The series with normalised values, 0 where nothing counts. A date that lacks a channel at
      every pixel is no longer valid.

    Raises:
      ValueError: As `observed`.

    Examples:
      >>> index = Modality("NDVI", ("NDVI",), "float32", "index")
      >>> ones = np.ones((1, 2), bool)
      >>> observed = Series(np.full((1, 2, 1, 1), 0.5), np.array([[3, 8]]), ones, ones[:, :1])
      >>> moments = np.array([0.3], np.float32), np.array([0.1], np.float32)
      >>> normalise(observed, index, moments).values.round(3).ravel().tolist()
      [2.0, 2.0]
    """
    import jax

    from pastis_jax.nn.raw import as_series  # what reads data needs no JAX

    return jax.device_get(as_series(observed(series, modality, moments, season=season)))


def observed(
    series: Series,
    modality: Modality,
    moments: tuple[np.ndarray, np.ndarray],
    *,
    season: tuple[int, int] = SEASON,
) -> Stored:
    """Returns what travels to the device, of a series as it was observed; as the encodings do.

    Args:
      series: Values ``b t s c`` or ``b t h w c`` as they are stored; features of outlines as the
        table of parcels has them.
      modality: What observed it.
      moments: Mean and standard deviation of each channel.
      season: First and last day, from the start of the season, on which acquisitions may be.

    Raises:
      ValueError: If at a valid date a value is neither finite nor marked as missing, the values of
        a sample cannot be in the modality's unit, channels contradict each other, or the day is
        outside `season`.
    """
    given = values = np.asarray(series.values, np.float32)
    valid = np.array(series.valid)
    b, t, *space, c = values.shape
    missing = modality.missing(values, range(2, values.ndim))
    if missing is not None and missing.any():
        flat, gone = (x.reshape(b * t, -1, c).swapaxes(1, 2) for x in (values, missing))
        if series.pixels is not None:
            gone = gone | np.repeat(~np.asarray(series.pixels), t, axis=0)[:, None]
        flat, shown = fill_missing(flat, gone)
        values = flat.swapaxes(1, 2).reshape(b, t, *space, c)
        valid &= shown.reshape(b, t)
    where = valid.reshape(b, t, *(1,) * (len(space) + 1))
    if series.pixels is not None:
        where = where & np.asarray(series.pixels)[:, None, :, None]
    mean, std = moments
    values = values + np.float32(modality.offset) if modality.offset else values
    counted = np.broadcast_to(where[..., 0], values.shape[:-1])
    seen = [
        one.reshape(-1, c) if which.all() else one[which]
        for one, which in zip(values, counted, strict=True)
        if which.any()
    ]
    if not all(np.isfinite(one).all() for one in seen):
        raise ValueError(f"values of {modality.name} are not finite at a valid date")
    if seen and (fault := _other_unit(seen, modality, mean)):
        raise ValueError(f"{modality.name} is not in {modality.unit}: {fault}")
    days = np.asarray(series.days)[valid]
    if days.size and not season[0] <= days.min() <= days.max() <= season[1]:
        fault = f"days from {days.min()} to {days.max()} are not within {season[0]} to {season[1]}"
        raise ValueError(f"{modality.name}: {fault}, counted from the start of the season")
    return Stored(
        values=np.moveaxis(given, -1, 2),
        days=np.asarray(series.days),
        valid=valid,
        mean=np.tile(mean - np.float32(modality.offset), (b, 1)),
        deviation=np.tile(std, (b, 1)),
        pixels=series.pixels,
        geometric=None if series.geometric is None else np.log1p(np.asarray(series.geometric)),
        marks=marks_of(modality),
    )


def _other_unit(samples: list[np.ndarray], modality: Modality, mean: np.ndarray) -> str | None:
    """Tells why values (n, c) of samples are not in the modality's unit; None if they may be.

    A few pixels may be darker than any whole parcel: how dark reflectance is, is judged by that of
    training, of all samples together.
    """
    # What the model was trained on may itself have been out of the ordinary.
    ordered = not contradiction(mean[None], modality)
    darkest, trained = float(mean.min()), float(mean.max())
    bounded = not outside(darkest, trained, modality)
    likely = not implausible(mean[None], darkest, trained, modality)
    by_training = modality.plausible is None and "reflectance" in modality.unit
    for values in samples:
        low, high, offset = float(values.min()), float(values.max()), modality.offset
        if bounded and (fault := outside(low, high, modality)):
            mark = "" if modality.nodata is None else f"marked by {modality.nodata:g}, or "
            return f"{fault}; what is missing must be {mark}not valid"
        if fault := not_held(low - offset, high - offset, modality):
            return fault
        if ordered and (fault := contradiction(values, modality)):
            return fault
        if likely and not by_training and (fault := implausible(values, low, high, modality)):
            return fault
    if not by_training:
        return None
    high, number = max(float(one.max()) for one in samples), sum(one.size for one in samples)
    if high < trained / 100:
        return f"the largest value is {high:g}, in training the mean was {trained:g}"
    average = sum(float(one.sum(dtype=np.float64)) for one in samples) / number
    if average > trained * 100:
        return f"the mean is {average:g}, in training it was {trained:g}"
    return None
