"""Patches from whatever holds them: a folder in the official layout, or a Region."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from pastis_jax.data.patches.folder import PatchFolder
from pastis_jax.data.regions.records.clouds import refuse_without_masks
from pastis_jax.data.regions.records.windows import RegionWindows
from pastis_jax.data.regions.store import is_region
from pastis_jax.errors import refuse


def open_patches(
    root: pathlib.Path,
    modalities: Sequence[str] | None = None,
    *,
    window: int = 0,
    max_cloud: float | None = None,
    **options: Any,
) -> PatchFolder:
    """Opens a folder of patches, or the windows of a Region.

    Args:
      root: The folder.
      modalities: Modalities that must be there; None takes those that are.
      window: Side of the windows of a Region, pixels; 0 for the default.
      max_cloud: Largest clouded share of a window, which needs masks.
      **options: Those of `PatchFolder`.

    Raises:
      ArgumentError: If a folder is to have windows, or there are no masks to go by.
      UserError: As the two readers say.
    """
    if is_region(root):
        return RegionWindows(root, modalities, window=window, max_cloud=max_cloud, **options)
    refuse("window", window, f"{root} holds patches of one size", "leave it out, or give a Region")
    refuse_without_masks(root, max_cloud)
    return PatchFolder(root, modalities, **options)
