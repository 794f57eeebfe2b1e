"""The arrays of PASTIS-R on disk, series and annotations: read, and refused when implausible."""

from __future__ import annotations

import pathlib
import threading

import numpy as np

from pastis_jax.data.metadata import PATCH_METADATA
from pastis_jax.data.nomenclature import MODALITIES, Modality
from pastis_jax.errors import DataError

RESTORE = "copy the file again from the archive"
_RAW = "give the published values: reflectance x 10000 for S2, dB for S1A and S1D"

# NumPy parses headers by ast.literal_eval, which up to Python 3.11.7 fails now and then when two
# threads are in it (SystemError: AST constructor recursion depth mismatch).
_one_thread = threading.Lock()


def load_array(file: pathlib.Path, *, mapped: bool = False) -> np.ndarray:
    """Reads one `.npy` array, and nothing else: no pickle, no archive.

    Args:
      file: The file.
      mapped: Whether to map it into memory, so that only what is sliced out of it is read.

    Raises:
      DataError: If the file is missing, truncated or no array.
    """
    try:
        if mapped:
            with _one_thread:
                return np.lib.format.open_memmap(file, mode="r")
        with _one_thread, file.open("rb") as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)
    except FileNotFoundError:
        raise DataError("file not found", where=file, remedy=RESTORE) from None
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        what = f"not a readable .npy array, truncated perhaps ({error})"
        raise DataError(what, where=file, remedy=RESTORE) from error


def check_series_shape(
    values: np.ndarray, axes: tuple[str, ...], modality: Modality, dates: int, file: pathlib.Path
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
        what = f"shape {values.shape} where ({', '.join(axes)}) is expected"
        raise DataError(what, where=file, remedy=RESTORE)
    if values.dtype.kind not in "iuf":
        raise DataError(f"dtype {values.dtype} is not numeric", where=file, remedy=RESTORE)
    if values.shape[1] != len(modality.channels):
        what = f"{values.shape[1]} channels where {modality.name} has {len(modality.channels)}"
        remedy = f"store {', '.join(modality.channels)} on the second axis"
        raise DataError(what, where=file, remedy=remedy)
    if values.shape[0] != dates:
        what = (
            f"{values.shape[0]} dates where dates-{modality.name} of {PATCH_METADATA} lists {dates}"
        )
        raise DataError(what, where=file, remedy="use arrays and metadata of one release")


def check_series_values(values: np.ndarray, modality: Modality, file: pathlib.Path) -> None:
    """Refuses a series with values that no sensor measures.

    Args:
      values: Shape (t, c, ...), of any numeric dtype.
      modality: Its modality.
      file: Where it lies.

    Raises:
      DataError: If a value is not finite, or the values are normalised, scaled or all nodata.
    """
    if not values.size:
        return
    wide = values.astype(np.float32) if values.dtype == np.float16 else values
    low, high = wide.min(), wide.max()  # NaN where a value is NaN
    if not np.isfinite(low) or not np.isfinite(high):
        remedy = "replace them by measured values, or remove the item from the metadata"
        raise DataError("NaN or infinite values", where=file, remedy=remedy)
    implausible = _implausible_s2 if modality.name == "S2" else _implausible_s1
    what = implausible(wide, low, high)
    if what:
        raise DataError(what, where=file, remedy=_RAW)


def as_stored(values: np.ndarray, modality: Modality) -> np.ndarray:
    """Returns `values` in the modality's dtype; itself where it has that already."""
    if values.dtype == modality.dtype:
        return values
    if modality.dtype == "int16" and values.dtype.kind == "f":
        values = np.rint(values)
    return values.astype(modality.dtype)


# The bounds are loose on purpose: they judge a whole series of a parcel or patch, so that one odd
# but real pixel (metal roof, snow, water) passes and a wrong scale, which shows everywhere, does
# not.


def _implausible_s2(values: np.ndarray, low: float, high: float) -> str | None:
    nodata = MODALITIES["S2"].nodata
    if low == high == nodata:
        return f"every value is the nodata mark {low:g}"
    if low == nodata:
        dead = (values == nodata).all((0, *range(2, values.ndim)))
        if dead.any():
            bands = ", ".join(np.array(MODALITIES["S2"].channels)[dead])
            return f"every value of {bands} is the nodata mark {nodata}"
    if low < -10000 or high > np.iinfo(np.int16).max:
        return f"values from {low:g} to {high:g} are outside -10000 to 32767"
    if high < 256:
        return f"the largest value is {high:g}: already normalised or divided"
    return None


def _implausible_s1(values: np.ndarray, low: float, high: float) -> str | None:
    if max(-low, high) > 100:
        return f"values from {low:g} to {high:g} are not backscatter in dB"
    vh = values[:, 1].mean()
    if not -60 <= vh <= -1:
        return f"mean VH of {vh:g} is not in dB: linear power, normalised or divided"
    return None
