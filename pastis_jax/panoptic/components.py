"""Parcels without a panoptic model: the connected components of a semantic map."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from scipy import ndimage


def connected_components(
    semantic: Int[np.ndarray, "h w"], *, least_area: int = 1
) -> Int[np.ndarray, "h w"]:
    """Numbers the components of each class from 1; pixels that share an edge are connected.

    Args:
      semantic: Class of each pixel; 0, the background, belongs to no parcel.
      least_area: Pixels; smaller components are left out.

    Returns:
      The component of each pixel, 0 for none, int32.

    Examples:
      >>> semantic = np.array([[1, 0, 1], [1, 2, 2]])
      >>> connected_components(semantic).tolist()
      [[1, 0, 2], [1, 3, 3]]
    """
    instances, total = np.zeros(semantic.shape, np.int32), 0
    for label in np.unique(semantic[semantic != 0]):
        components, _ = ndimage.label(semantic == label)
        area = np.bincount(components.ravel())
        kept = area >= least_area
        kept[0] = False
        number = np.where(kept, total + np.cumsum(kept), 0)
        instances += number[components].astype(np.int32)
        total += int(kept.sum())
    return instances
