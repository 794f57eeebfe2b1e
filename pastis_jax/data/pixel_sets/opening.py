"""Pixel sets from whatever holds parcels: a folder in the official layout, or a Region."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from pastis_jax.data.cache import Fingerprint
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.metadata import Identifier, Parcel, Patch
from pastis_jax.data.pixel_sets.folder import PixelSetFolder
from pastis_jax.data.regions.records.clouds import refuse_without_masks
from pastis_jax.data.regions.records.pixel_sets import RegionPixelSets
from pastis_jax.data.regions.store import is_region


class PixelSets(Protocol):
    """Parcels that can be read; see `PixelSetFolder` and `RegionPixelSets`."""

    METADATA: str
    root: pathlib.Path
    dataset: Dataset
    modalities: tuple[str, ...]
    parcels: tuple[Parcel, ...]
    patches: Mapping[Identifier, Patch]
    norms: Mapping[str, str]
    others: tuple[str, ...]
    notes: tuple[str, ...]

    def identity(self) -> Fingerprint: ...

    def is_void(self, parcel: Parcel) -> bool: ...

    def read(self, parcel: Parcel) -> dict[str, tuple[np.ndarray, np.ndarray]]: ...


def open_pixel_sets(
    root: pathlib.Path,
    modalities: Sequence[str] | None = None,
    *,
    max_cloud: float | None = None,
    **options: Any,
) -> PixelSets:
    """Opens a folder of pixel sets, or a Region.

    Args:
      root: The folder.
      modalities: Modalities that must be there; None takes those that are.
      max_cloud: Largest clouded share of a parcel, which needs masks.
      **options: Those of `PixelSetFolder`.

    Raises:
      ArgumentError: If there are no masks to go by.
      UserError: As the two readers say.
    """
    if is_region(root):
        return RegionPixelSets(root, modalities, max_cloud=max_cloud, **options)
    refuse_without_masks(root, max_cloud)
    return PixelSetFolder(root, modalities, **options)
