"""Arrays on disk, series and annotations: read, and refused when implausible."""

from __future__ import annotations

import functools
import math
import pathlib

import numpy as np

from pastis_jax.data.metadata import PATCH_METADATA
from pastis_jax.data.modality import Modality
from pastis_jax.data.npy import StoredArray
from pastis_jax.data.reading import restore
from pastis_jax.errors import DataError

_DARKEST_REFLECTANCE, _LARGEST_REFLECTANCE = -2000, np.iinfo(np.int16).max
"""Bounds of reflectance x 10000: atmospheric correction leaves -447 in PASTIS-R at the lowest."""
_LOUDEST = 100.0
"""Largest backscatter of a scene, dB."""
_BRIGHTEST = 10.0
"""Largest mean backscatter of a scene, linear power."""
_WEAKER = 1.0
"""Backscatter (dB) by which cross-polarisation cannot lie above like polarisation: in PASTIS-R, no
parcel has it less than 3 dB below."""
_UNLIKE, _FEW = 0.1, 0.01
"""Least error (dB) of a channel that is no difference of two others, and share of values with it
that is left unsaid."""


def check_series_shape(
    values: np.ndarray | StoredArray,
    axes: tuple[str, ...],
    modality: Modality,
    dates: int,
    file: pathlib.Path,
) -> None:
    """Refuses a series of another shape than the modality and the metadata say.

    Args:
      values: What `file` holds.
      axes: Names of the axes it should have: dates, channels, then those of space.
      modality: Its modality.
      dates: Number of dates in the metadata.
      file: Where it lies.

    Raises:
      DataError: If the number of axes, channels or dates differs, or it holds no numbers.
    """
    if values.ndim != len(axes):
        fault = f"shape {values.shape} where ({', '.join(axes)}) is expected"
        raise DataError(fault, where=file, remedy=restore(file))
    if values.dtype.kind not in "iuf":
        raise DataError(f"dtype {values.dtype} is not numeric", where=file, remedy=restore(file))
    if values.shape[1] != len(modality.channels):
        fault = f"{values.shape[1]} channels where {modality.name} has {len(modality.channels)}"
        remedy = f"store {', '.join(modality.channels)} on the second axis"
        raise DataError(fault, where=file, remedy=remedy)
    if values.shape[0] != dates:
        fault = (
            f"{values.shape[0]} dates where dates-{modality.name} of {PATCH_METADATA} lists {dates}"
        )
        raise DataError(fault, where=file, remedy="use arrays and metadata of one release")


def check_series_values(values: np.ndarray, modality: Modality, file: pathlib.Path) -> bool:
    """Refuses a series with values that cannot have been measured in the modality's unit.

    A series that is missing throughout, as products have it that fill gaps of a satellite, is none.

    Args:
      values: Shape (t, c, ...), of any numeric dtype.
      modality: Its modality.
      file: Where it lies.

    Returns:
      Whether anything was measured, or could be: not where every value is missing.

    Raises:
      DataError: If a value is not finite, or the values are normalised, scaled, all missing in some
        channels alone, more than the modality's type can hold, or channels contradict each other.
    """
    if not values.size:
        return True
    wide = values.astype(np.float32) if values.dtype == np.float16 else values
    missing = modality.missing(wide, range(1, wide.ndim))
    if missing is not None and missing.all():
        _refuse_unheld(values, modality, file)
        return False
    wide = _measured(wide, missing, modality, file)
    low, high = wide.min(), wide.max()  # NaN where a value is NaN
    if not np.isfinite(low) or not np.isfinite(high):
        remedy = "replace them by measured values"
        if np.isnan(low):
            remedy += f", or {_declaring(modality, np.nan)}"
        elif modality.nodata is not None:
            remedy += f", or by {modality.nodata:g}, which marks what is missing"
        raise DataError("NaN or infinite values", where=file, remedy=remedy)
    low, high = float(low), float(high)
    _refuse_implausible(wide, low, high, modality, file)
    if fault := contradiction(wide, modality, missing):
        channels = ", ".join(modality.channels)
        remedy = f"store {channels} in this order, or correct `channels` in the dataset"
        raise DataError(fault, where=file, remedy=remedy)
    if values.dtype != modality.dtype:
        _refuse_unheld(values, modality, file)
        integers = np.dtype(modality.dtype).kind in "iu"
        if fault := not_held(low, high, modality):
            raise DataError(fault, where=file, remedy="correct them, or the dataset's dtype")
        stored = np.rint(wide) if integers else wide.astype(modality.dtype)
        if (modality.marked(stored) & ~modality.marked(values)).any():
            fault = f"values that would be rounded to the nodata mark {modality.nodata:g}"
            raise DataError(fault, where=file, remedy="correct them, or the dataset's dtype")
    return True


def _refuse_unheld(values: np.ndarray, modality: Modality, file: pathlib.Path) -> None:
    """Refuses what integers cannot hold, of values of floats that are missing too."""
    if np.dtype(modality.dtype).kind == "f" or values.dtype.kind != "f":
        return
    if not (np.isfinite(values) | modality.marked(values)).all():
        fault = f"NaN or infinite values do not fit in {modality.dtype}"
        raise DataError(fault, where=file, remedy="correct them, or the dataset's dtype")


def _refuse_implausible(
    wide: np.ndarray, low: float, high: float, modality: Modality, file: pathlib.Path
) -> None:
    offset = modality.offset
    if offset:
        wide, low, high = wide.astype(np.float64) + offset, low + offset, high + offset
    fault = implausible(wide, low, high, modality)
    if fault is None:
        return
    remedy = f"give {modality.name} in its unit, {modality.unit}, or its own unit in dataset.json"
    if modality.plausible is not None:
        remedy = f"correct them, or `plausible` of {modality.name} in the dataset"
    elif "reflectance" in modality.unit and " are outside " in fault:
        dark = low < _DARKEST_REFLECTANCE / (10000 if modality.unit == "reflectance" else 1)
        mark = (low if dark else high) - offset
        if dark and wide.dtype == np.int16:
            remedy = f"{remedy} ({mark:g} is what 16 bits with a sign make of {mark + 65536:g})"
        remedy = f"{_declaring(modality, mark)}, or {remedy}"
    raise DataError(fault, where=file, remedy=remedy)


def _declaring(modality: Modality, mark: float) -> str:
    """What to do where a value marks what is missing, but is not declared."""
    text = f"{int(mark)}" if float(mark).is_integer() and abs(mark) < 1e15 else f"{mark:.9g}"
    remedy = f"declare the mark of what is missing by `nodata` {modality.name}={text}"
    if modality.nodata is not None:
        remedy = f"write {modality.nodata:g}, which marks what is missing, or {remedy}"
    return remedy


def implausible(values: np.ndarray, low: float, high: float, modality: Modality) -> str | None:
    """Tells what cannot have been measured in the modality's unit; None of what can.

    Args:
      values: Shape (t, c, ...), finite and not empty, none of them marked as missing.
      low: Their lowest.
      high: Their highest.
      modality: Their modality.
    """
    if (fault := outside(low, high, modality)) or modality.plausible is not None:
        return fault
    return _IMPLAUSIBLE[modality.unit](values, low, high, modality)


def outside(low: float, high: float, modality: Modality) -> str | None:
    """Tells that values lie where not one can: out of `plausible`, or no reflectance at all.

    Args:
      low: Their lowest, in the modality's unit.
      high: Their highest.
      modality: Their modality.
    """
    if modality.plausible is not None:
        least, most = modality.plausible
    elif "reflectance" in modality.unit:
        scale = 10000 if modality.unit == "reflectance" else 1
        least, most = _DARKEST_REFLECTANCE / scale, _LARGEST_REFLECTANCE / scale
    else:
        return None
    if low >= least and high <= most:
        return None
    return f"values from {low:g} to {high:g} are outside {least:g} to {most:g}"


def not_held(low: float, high: float, modality: Modality) -> str | None:
    """Tells that stored values from `low` to `high` are more than the modality's type holds."""
    integers = np.dtype(modality.dtype).kind in "iu"
    limits = np.iinfo(modality.dtype) if integers else np.finfo(modality.dtype)
    if low >= float(limits.min) and high <= float(limits.max):
        return None
    return f"values from {low:g} to {high:g} do not fit in {modality.dtype}"


def contradiction(
    values: np.ndarray, modality: Modality, missing: np.ndarray | None = None
) -> str | None:
    """Tells which channels cannot be what they are called; None if all may be.

    Args:
      values: Shape (t, c, ...).
      modality: Their modality.
      missing: Which of them are missing.
    """

    def seen(*channels: int) -> list[np.ndarray]:
        chosen = [values[:, channel].astype(np.float32) for channel in channels]
        if missing is None or not missing.any():
            return chosen
        observed = ~missing[:, list(channels)].any(1)
        return [channel[observed] for channel in chosen]

    names = modality.channels
    for difference, minuend, subtrahend in modality.differences:
        third, first, second = seen(difference, minuend, subtrahend)
        # Each of the three was rounded to the type on disk.
        largest = max(float(np.abs(x).max(initial=1)) for x in (third, first, second))
        floats = np.dtype(modality.dtype).kind == "f"
        rounding = float(np.spacing(np.array(largest, modality.dtype))) if floats else 1.0
        off = np.abs(third - (first - second)) > _UNLIKE + 1.5 * rounding
        if off.size and off.mean() > _FEW:
            fault = f"{names[difference]} differs from {names[minuend]} minus {names[subtrahend]}"
            if (np.abs(third + first - second) <= _UNLIKE + 1.5 * rounding).mean() > 1 - _FEW:
                return f"{fault}, but is {names[subtrahend]} minus {names[minuend]}"
            return f"{fault} in {off.mean():.0%} of the values"
    for like, crossed in modality.polarisations:
        means = [channel.mean(dtype=np.float64) for channel in seen(like, crossed) if channel.size]
        decibels = means if modality.unit == "dB" else 10 * np.log10(np.maximum(means, 1e-12))
        if len(means) and decibels[0] < decibels[1] - _WEAKER:
            return (
                f"mean {names[like]} of {means[0]:.4g} is below mean {names[crossed]} of "
                f"{means[1]:.4g}, which is the weaker one"
            )
    return None


def _measured(
    values: np.ndarray, missing: np.ndarray | None, modality: Modality, file: pathlib.Path
) -> np.ndarray:
    """What is not missing: all of it as it is where nothing is.

    Raises:
      DataError: If a channel has no value where others have.
    """
    if missing is None or not missing.any():
        return values
    dead = missing.all((0, *range(2, values.ndim)))
    fault, nodata = "is missing: a mark, or an acquisition of 0 alone", modality.nodata
    if nodata is not None and (math.isnan(nodata) or (values[missing] == nodata).all()):
        fault = f"is the nodata mark {nodata:g}"
    if dead.any():
        fault = f"every value of {', '.join(np.array(modality.channels)[dead])} {fault}"
    else:
        # Masked arrays are slow, and means by channel need the axes.
        fill = values.mean(where=~missing, dtype=np.float64)
        return np.where(missing, fill.astype(values.dtype), values)
    remedy = f"give measured values of {modality.name}, or leave it out"
    raise DataError(fault, where=file, remedy=remedy)


def as_stored(values: np.ndarray, modality: Modality) -> np.ndarray:
    """Returns `values` in the modality's dtype; itself where it has that already.

    What is the nodata mark in the type of the file is exactly the mark in that of the modality.
    """
    if values.dtype == modality.dtype:
        return values
    marked = modality.marked(values)
    if np.dtype(modality.dtype).kind in "iu" and values.dtype.kind == "f":
        values = np.where(marked, 0, np.rint(values))
    stored = values.astype(modality.dtype)
    if modality.nodata is not None:
        stored[marked] = modality.nodata
    return stored


# The bounds are loose on purpose: they judge a whole series of a parcel or patch, so that one odd
# but real pixel (metal roof, snow, water) passes and a wrong scale, which shows everywhere, does
# not. Each function takes the values (t, c, ...), the lowest and highest of them, and the modality.


def _reflectance(values, low, high, modality, *, scale=1.0) -> str | None:
    if high < 256 / scale:
        return f"the largest value is {high:g}: already normalised or divided"
    return None


def _backscatter(values, low, high, modality) -> str | None:
    if max(-low, high) > _LOUDEST:
        return f"values from {low:g} to {high:g} are not backscatter in dB"
    # The weaker polarisation tells; a ratio of two stands beside it as their difference.
    means = values.mean((0, *range(2, values.ndim)), dtype=np.float64)
    channel = int(means.argmin())
    if not -60 <= means[channel] <= -1:
        fault = f"mean {modality.channels[channel]} of {means[channel]:g} is not in dB"
        return f"{fault}: linear power, normalised or divided"
    return None


def _power(values, low, high, modality) -> str | None:
    if low < 0:
        return f"values down to {low:g} are no linear power: dB or normalised"
    if (mean := values.mean(dtype=np.float64)) > _BRIGHTEST:
        return f"a mean of {mean:g} is no backscatter in linear power"
    return None


def _index(values, low, high, modality) -> str | None:
    # Quotients of noise leave the range now and then.
    outside = np.mean((values < -1) | (values > 1))
    if outside > 0.01:
        return f"values from {low:g} to {high:g}, {outside:.0%} of them outside -1 to 1"
    return None


_IMPLAUSIBLE = {
    "reflectance x 10000": _reflectance,
    "reflectance": functools.partial(_reflectance, scale=10000.0),
    "dB": _backscatter,
    "linear power": _power,
    "index": _index,
    "none": lambda values, low, high, modality: None,
}
"""Says what is wrong with values, by their unit."""
