"""Numbers of files as a Region stores them: marks of what is missing, offsets, units."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from pastis_jax.data import arrays
from pastis_jax.data.modality import Modality
from pastis_jax.data.regions.manifest import Layer
from pastis_jax.data.regions.sensors import SCALED, WORLDCEREAL, WORLDCEREAL_NODATA
from pastis_jax.errors import DataError

POWERS = ("linear power", WORLDCEREAL)
"""Units of which a logarithm is taken: what is not above 0 was not measured."""
_NEGATIVE = 0.05
"""Share of negative powers up to which they are what the removal of noise left."""
_ENOUGH = 4096
"""Observed pixels, of a shard of one acquisition, from which on what is usual can be told."""
_LOOKED_AT = 1 << 16
"""About the most pixels that are looked at for that."""
BLANK = 0.01
"""Share of pixels that are 0 in all channels from which on 0 is a mark that nobody named."""
_EDIT = "correct its unit, offset or nodata in the manifest that `dry_run` writes"


def measured(numbers: np.ndarray, layer: Layer, nodata: float | None) -> np.ndarray:
    """The numbers of a file, NaN where nothing was measured.

    Args:
      numbers: As they were read, of any shape.
      layer: Where they are from.
      nodata: The mark of what is missing; None for none, or the own one of the unit.

    Returns:
      float32, of the same shape, in the numbers of the file still.

    Raises:
      DataError: If many powers are negative, which are dB then.
    """
    values = numbers.astype(np.float32)
    if nodata is None and layer.unit == WORLDCEREAL:
        nodata = WORLDCEREAL_NODATA
    if nodata is not None and np.isfinite(nodata):
        # Compared before it is rounded, and after for marks that the file's floats do not hold.
        values[(numbers == nodata) | (values == np.float32(nodata))] = np.nan
    values[~np.isfinite(values)] = np.nan
    if layer.unit in POWERS:
        negative = int((values < 0).sum())
        if negative > _NEGATIVE * np.isfinite(values).sum():
            fault = f"{negative:,} negative values of {layer.channel} are no {layer.unit}"
            raise DataError(f"{fault}, but dB perhaps", where=layer.path, remedy=_EDIT)
        values[values <= 0] = np.nan
    return values


def converted(values: np.ndarray, layer: Layer, unit: str) -> np.ndarray:
    """Values in the unit of a Region.

    Args:
      values: What `measured` gave, resampled perhaps, float32.
      layer: Where they are from; its unit and offset are known.
      unit: What they become.

    Returns:
      float32, NaN where it was.

    Raises:
      DataError: If one does not become the other.
    """
    values = values + np.float32(layer.offset) if layer.offset else values
    made = in_unit(values, layer.unit, unit)
    if made is None:
        fault = f"{layer.channel} in {layer.unit or 'an unknown unit'} cannot become {unit}"
        raise DataError(fault, where=layer.path, remedy=_EDIT)
    return made


def in_unit(values: np.ndarray, own: str, unit: str) -> np.ndarray | None:
    """Values of one unit in another, of the same shape and type; None if they have none in it.

    Args:
      values: Floats, NaN where missing; powers above 0.
      own: Their unit.
      unit: What they become.
    """
    if own == unit:
        return values
    if (own, unit) == ("reflectance", SCALED):
        return values * 10000.0
    if (own, unit) == (SCALED, "reflectance"):
        return values / 10000.0
    if (own, unit) == ("linear power", "dB"):
        return 10.0 * np.log10(values)
    if (own, unit) == (WORLDCEREAL, "dB"):
        return 20.0 * np.log10(values) - 83.0
    return None


def stored(values: np.ndarray, modality: Modality, where: str) -> np.ndarray:
    """Values as a Region holds them; refused where they do not fit, and never cut or wrapped.

    Args:
      values: In the modality's unit, NaN where missing, float32 (c, h, w).
      modality: What they are of.
      where: The scene, for messages.

    Returns:
      The same in the modality's type, its mark of nodata where missing.

    Raises:
      DataError: If a value does not fit in the type, or would become the mark.
    """
    integers = np.dtype(modality.dtype).kind in "iu"
    values = np.rint(values) if integers else values
    for channel, value in zip(modality.channels, values, strict=True):
        low, high = _ends(value)
        if low <= high and (fault := arrays.not_held(low, high, modality)):
            raise DataError(f"{channel} has {fault}", where=where, remedy=_EDIT)
    if modality.nodata is None or np.isnan(modality.nodata):
        return values.astype(modality.dtype)
    mark = np.float32(modality.nodata)
    if (values == mark).any():
        fault = f"a value of {modality.name} is {mark:g}, which marks what is missing"
        raise DataError(fault, where=where, remedy=_EDIT)
    return np.where(np.isnan(values), mark, values).astype(modality.dtype)


def check_unmarked(values: np.ndarray, layers: Sequence[Layer], modality: Modality, where: str):
    """Refuses reflectances without a mark of what is missing where 0 must be one.

    What measured nothing is 0 in all channels; what is dark is so in some of them.

    Args:
      values: In the modality's unit, float32 (c, h, w).
      layers: Where each channel is from; none of them has a mark.
      modality: What they are of.
      where: The scene, for messages.

    Raises:
      DataError: If more than a hundredth of the pixels is 0 in the file in all channels.
    """
    if "reflectance" not in modality.unit or not layers:
        return
    blank = np.ones(values.shape[1:], bool)
    for layer in layers:
        zero = converted(np.zeros(1, np.float32), layer, modality.unit)
        blank &= values[modality.channels.index(layer.channel)] == zero
    share = blank.mean()
    if share > BLANK:
        fault = f"{share:.1%} of what is read of it at once is 0 in all channels, and no mark of "
        remedy = f"give `nodata` {modality.name}=0, or {modality.name}=nan if 0 was measured there"
        raise DataError(f"{fault}what is missing is known", where=where, remedy=remedy)


def fill_differences(values: np.ndarray, modality: Modality, given: Collection[str]) -> None:
    """Fills in the channels that are the difference of two others, where no file gives them.

    Args:
      values: In dB, float32 (c, h, w), changed in place.
      modality: What they are of.
      given: Channels that files gave.
    """
    for difference, first, second in modality.differences:
        if modality.channels[difference] not in given:
            np.subtract(values[first], values[second], out=values[difference])


def check(values: np.ndarray, modality: Modality, where: str) -> None:
    """Refuses values that cannot have been measured in the modality's unit.

    Bounds that hold for each value are always asked for, what is usual only of pixels enough.

    Args:
      values: In the modality's unit, NaN where missing, float32 (c, h, w).
      modality: What they are of.
      where: The scene, for messages.

    Raises:
      DataError: Naming the channel; a wrong unit or offset is the usual cause.
    """
    ends = [_ends(value) for value in values]
    for channel, (low, high) in zip(modality.channels, ends, strict=True):
        if low <= high and (fault := arrays.outside(low, high, modality)):
            raise _implausible(f"{channel}: {fault}", modality, where)
    every = max(1, values[0].size // _LOOKED_AT) | 1  # odd, so that rows begin elsewhere
    some = values.reshape(len(values), -1)[:, ::every]
    seen = some[:, ~np.isnan(some).any(0)]
    if modality.plausible is not None or seen.shape[1] * every < _ENOUGH:
        return
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    fault = arrays.implausible(seen[None], low, high, modality)
    fault = fault or arrays.contradiction(seen[None], modality)
    if fault is None and "reflectance" in modality.unit:
        means = seen.mean(1, dtype=np.float64)
        if means.min() < 0:
            name = modality.channels[int(means.argmin())]
            fault = f"the mean of {name} is {means.min():.4g}, below 0"
    if fault:
        raise _implausible(fault, modality, where)


def _ends(values: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest of the values that are not NaN; the former above if all are."""
    low, high = np.fmin.reduce(values, None), np.fmax.reduce(values, None)
    return (np.inf, -np.inf) if np.isnan(low) else (float(low), float(high))


def _implausible(fault: str, modality: Modality, where: str) -> DataError:
    fault = f"{fault}, taken for {modality.name} in {modality.unit}"
    return DataError(
        fault,
        where=where,
        remedy=f"a wrong unit, offset or mark of nodata is the usual cause, {_EDIT}",
    )
