"""Masks that come with scenes, in one form: clear, clouded, or not known."""

from __future__ import annotations

import numpy as np

from pastis_jax.data.regions.manifest import Layer
from pastis_jax.data.regions.writer import CLEAR, CLOUDED, UNKNOWN
from pastis_jax.errors import DataError

PROBABILITY = 40.0
"""Per cent of cloud probability above which a pixel is clouded, as s2cloudless has it."""

_SCL = np.full(256, UNKNOWN, np.uint8)
_SCL[[2, 4, 5, 6, 7, 11]] = CLEAR  # dark, vegetation, bare, water, unclassified, snow
_SCL[[1, 3, 8, 9, 10]] = CLOUDED  # defective, shadow of clouds, likely and sure cloud, cirrus
_CLASSES = 12
"""Classes of Sen2Cor: 0 is no data."""


def as_mask(numbers: np.ndarray, layer: Layer, nodata: float | None) -> np.ndarray:
    """What a mask of a file says.

    Args:
      numbers: As they were read, (h, w).
      layer: Where they are from; its unit tells what they mean.
      nodata: The mark of what is missing; None for none. 0 is none, as it has a meaning in masks.

    Returns:
      uint8, (h, w): 0 clear, 1 clouded (what is not valid too), 255 not known.

    Raises:
      DataError: If a number has no meaning in the unit.
    """
    gone = np.zeros(numbers.shape, bool)
    if numbers.dtype.kind == "f":
        gone |= ~np.isfinite(numbers)
    if nodata:
        gone |= numbers == nodata
    seen = np.where(gone, 0, numbers)
    if layer.unit == "scl":
        _refuse(
            layer, (seen < 0) | (seen >= _CLASSES) | (seen != np.rint(seen)), seen, "of Sen2Cor"
        )
        mask = _SCL[seen.astype(np.uint8)]
    elif layer.unit == "cloud probability":
        _refuse(layer, (seen < 0) | (seen > 100), seen, "in per cent")
        high = seen.max(initial=0)
        if seen.dtype.kind == "f" and 0.5 < high <= 1 and (seen != np.rint(seen)).any():
            fault = f"cloud probability from 0 to {high:.3g} is no per cent"
            raise _wrong(layer, fault)
        mask = np.where(seen > PROBABILITY, CLOUDED, CLEAR)
    elif layer.unit == "cloud":
        mask = np.where(seen != 0, CLOUDED, CLEAR)
    elif layer.unit == "valid":
        mask = np.where(seen != 0, CLEAR, CLOUDED)
    else:
        raise _wrong(layer, f"{layer.unit or 'an unknown unit'} is no unit of a mask")
    return np.where(gone, UNKNOWN, mask).astype(np.uint8)


def together(masks: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Several masks of one scene as one: clouded where one says so, clear where another does.

    Args:
      masks: What `as_mask` gave, each (h, w).
      shape: Rows and columns, where there is no mask.

    Returns:
      uint8, (h, w).
    """
    mask = np.full(shape, UNKNOWN, np.uint8)
    for one in masks:
        mask[(one == CLEAR) & (mask == UNKNOWN)] = CLEAR
        mask[one == CLOUDED] = CLOUDED
    return mask


def _refuse(layer: Layer, wrong: np.ndarray, numbers: np.ndarray, meaning: str) -> None:
    if wrong.any():
        raise _wrong(layer, f"{numbers[wrong].flat[0]:g} in a mask {meaning} means nothing")


def _wrong(layer: Layer, fault: str) -> DataError:
    remedy = "correct its unit or nodata in the manifest, or leave the mask out of it"
    return DataError(fault, where=layer.path, remedy=remedy)
