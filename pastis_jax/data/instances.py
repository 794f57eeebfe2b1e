"""Panoptic targets of one patch, made from its parcels as the published ones are."""

from __future__ import annotations

import numpy as np

from pastis_jax.data.nomenclature import BACKGROUND


def instances_from_parcels(parcels: np.ndarray, semantic: np.ndarray) -> np.ndarray:
    """Numbers the parcels of one patch from 1, in the order of their identifiers.

    The published numbers follow `ParcelIDs`; the parcel numbers of `TARGET` give the same instances
    in another order.

    Args:
      parcels: Identifier of the parcel at each pixel, `(h, w)`.
      semantic: Official label of each pixel, `(h, w)`.

    Returns:
      The instance of each pixel, 0 where the label is background, `(h, w)` int64.
    """
    grown = semantic != BACKGROUND
    ids = np.unique(parcels[grown])
    return np.where(grown, np.searchsorted(ids, parcels) + 1, 0)


def centerness(
    instances: np.ndarray, semantic: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Makes the panoptic targets of one patch from its instances.

    Each instance spreads a Gaussian around the middle of its box, enlarged by one pixel on each
    side that stays inside; its standard deviations are 0.3 / 1.7 / 3 of the box's sides. A pixel
    belongs to the zone of the instance whose Gaussian is highest there (the first on ties).

    Args:
      instances: Instance of each pixel from 1, 0 on background, `(h, w)`.
      semantic: Label of each pixel, `(h, w)`.

    Returns:
      Heatmap, highest Gaussian at each pixel, `(h, w)` float64; zones, its instance, `(h, w)`
      int64; size, occupied rows and columns of the zone's instance, `(h, w, 2)` float64; its
      label, `(h, w)` int64. All zero without instances.
    """
    h, w = instances.shape
    heatmap = np.zeros((h, w))
    zones = np.zeros((h, w), np.int64)
    size = np.zeros((h, w, 2))
    label = np.zeros((h, w), np.int64)
    for one in np.unique(instances[instances > 0]):
        mask = instances == one
        curves, sides = [], []
        for axis, extent in ((1, h), (0, w)):
            used = np.flatnonzero(mask.any(axis))
            low, high = max(used[0] - 1, 0), min(used[-1] + 1, extent - 1)
            centre, sigma = low + (high - low) // 2, 0.3 / 1.7 * (high - low) / 3
            sides.append(len(used))
            curves.append(np.square(np.arange(extent) - centre) / (2 * sigma**2))
        peak = np.exp(-(curves[0][:, None] + curves[1]))
        higher = (peak > heatmap) | (zones == 0)
        heatmap = np.where(higher, peak, heatmap)
        zones[higher] = one
        size[higher] = sides
        label[higher] = semantic[mask][0]
    return heatmap, zones, size, label
