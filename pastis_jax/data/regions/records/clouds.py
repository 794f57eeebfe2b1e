"""Acquisitions that clouds hide too much of: they count as missing, and are never filled."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

import numpy as np

from pastis_jax.data.modality import Modality
from pastis_jax.data.regions.store import Region
from pastis_jax.data.regions.writer import CLOUDED, missing_value
from pastis_jax.errors import ArgumentError


def check_masks(region: Region, modalities: Iterable[str], max_cloud: float | None) -> None:
    """Refuses a bound on clouds where no modality has masks.

    Raises:
      ArgumentError: Naming the argument.
    """
    if max_cloud is not None and not any(map(region.masked, modalities)):
        fault = f"{region.root} holds no masks of {', '.join(modalities)}"
        remedy = "leave it out, or ingest the scenes with their masks"
        raise ArgumentError(fault, argument="max_cloud", remedy=remedy)


def refuse_without_masks(root: pathlib.Path, max_cloud: float | None) -> None:
    """Refuses a bound on clouds for a folder in the official layouts, which hold no masks.

    Raises:
      ArgumentError: Naming the argument.
    """
    if max_cloud is not None:
        fault, remedy = f"{root} holds no masks of clouds", "leave it out, or give a Region"
        raise ArgumentError(fault, argument="max_cloud", remedy=remedy)


def hide_clouded(
    values: np.ndarray, mask: np.ndarray | None, modality: Modality, max_cloud: float | None
) -> np.ndarray:
    """Marks acquisitions as missing of which more than a share is clouded.

    Args:
      values: As they are stored, (t, c, ...); they may be written to.
      mask: 1 where clouded, (t, ...); None where that is not known.
      modality: What observed them.
      max_cloud: The share of the observed pixels, 0 to 1; None hides nothing.

    Returns:
      The values, (t, c, ...).
    """
    if max_cloud is None or mask is None or not values.size:
        return values
    gone = modality.missing(values)
    seen = np.ones(mask.shape, bool) if gone is None else ~gone.any(1)
    space = tuple(range(1, mask.ndim))
    clouded, observed = (seen & (mask == CLOUDED)).sum(space), seen.sum(space)
    values[clouded > max_cloud * observed] = missing_value(modality)
    return values
