"""What the annotations of one patch hold, and what their arrays must be."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np

from pastis_jax.data.reading import restore
from pastis_jax.errors import DataError

ANNOTATIONS, INSTANCES = "ANNOTATIONS", "INSTANCE_ANNOTATIONS"
"""Names of their folders."""


@dataclasses.dataclass(frozen=True, eq=False)
class Annotations:
    """What grows where in one patch.

    Attributes:
      semantic: Number of the class of each pixel in the nomenclature, (h, w) int32.
      parcels: Number of the pixel's parcel within the patch, 0 for none, (h, w) int64.
      fine: Fine crop code, (h, w) int64.
      parcel_ids: ID_PARCEL, 0 for none, (h, w) int64; None where the folder has no such file.
    """

    semantic: np.ndarray
    parcels: np.ndarray
    fine: np.ndarray
    parcel_ids: np.ndarray | None


@dataclasses.dataclass(frozen=True, eq=False)
class Instances:
    """Panoptic targets of one patch.

    Attributes:
      instances: Instance of each pixel from 1, 0 on background, (h, w) int32.
      zones: Instance whose centre each pixel counts for, (h, w) int32.
      heatmap: Centerness, 0 to 1, exactly 1 at each centre, (h, w) float32.
    """

    instances: np.ndarray
    zones: np.ndarray
    heatmap: np.ndarray


def recompute(file: pathlib.Path) -> str:
    """Says what to do about panoptic targets that are missing or damaged."""
    return f"{restore(file)}, or remove {INSTANCES} to have it computed"


def integers(
    values: np.ndarray, file: pathlib.Path, *, remedy: Callable[[pathlib.Path], str] = restore
) -> np.ndarray:
    """Returns numbers as integers with a sign.

    Args:
      values: What `file` holds.
      file: Where it lies.
      remedy: Says what to do about the file.

    Raises:
      DataError: If they are none, or beyond 64 bits.
    """
    if values.dtype.kind not in "iu":
        fault = f"dtype {values.dtype} where integers are expected"
        raise DataError(fault, where=file, remedy=remedy(file))
    if values.dtype == np.uint64 and values.size and values.max() > np.iinfo(np.int64).max:
        fault = f"the number {values.max()} is beyond those of 64 bits with a sign"
        raise DataError(fault, where=file, remedy=remedy(file))
    return values.astype(np.int64) if values.dtype == np.uint64 else values


def sized(
    values: np.ndarray,
    size: tuple[int, ...],
    file: pathlib.Path,
    *,
    remedy: Callable[[pathlib.Path], str] = restore,
) -> np.ndarray:
    """Returns `values` of `file`, which have the size of their patch.

    Raises:
      DataError: If they have another.
    """
    if values.shape != size:
        fault = f"{by(values.shape)} pixels where the patch has {by(size)}"
        raise DataError(fault, where=file, remedy=remedy(file))
    return values


def by(size: tuple[int, ...]) -> str:
    """A size for a message: rows x columns."""
    return " x ".join(map(str, size))
