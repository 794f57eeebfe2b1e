"""Panoptic targets of one patch, made from its parcels as the published ones are."""

from __future__ import annotations

import numpy as np


def instances_from_parcels(parcels: np.ndarray, grown: np.ndarray) -> np.ndarray:
    """Numbers the parcels of one patch from 1, in the order of their identifiers.

    The published numbers follow `ParcelIDs`; the parcel numbers of `TARGET` give the same instances
    in another order.

    Args:
      parcels: Identifier of the parcel at each pixel, `(h, w)`.
      grown: Pixels that belong to a parcel, `(h, w)` bool.

    Returns:
      The instance of each pixel, 0 where there is no parcel, `(h, w)` int64.
    """
    ids = np.unique(parcels[grown])
    return np.where(grown, np.searchsorted(ids, parcels) + 1, 0)


def largest(instances: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """Keeps the largest instances of a patch.

    Args:
      instances: Instance of each pixel from 1, 0 on background, `(h, w)`.
      most: How many to keep; of two equally large ones, the one of the lower number.

    Returns:
      The instances that are left, numbered from 1 in the same order, `(h, w)` int64, and how many
      are not.
    """
    pixels = np.bincount(instances.ravel())
    pixels[0] = 0
    order = np.argsort(-pixels, kind="stable")[: np.count_nonzero(pixels)]
    number = np.zeros(len(pixels), np.int64)
    number[np.sort(order[:most])] = np.arange(1, min(most, len(order)) + 1)
    return number[instances], max(len(order) - most, 0)


def measure(
    instances: np.ndarray, semantic: np.ndarray, slots: int, void: int = -1
) -> tuple[np.ndarray, np.ndarray]:
    """Measures each instance.

    Args:
      instances: Instance of each pixel from 1 to at most `slots`, 0 on background, `(h, w)`.
      semantic: Label of each pixel, one for all pixels of an instance but those that are void,
        `(h, w)`.
      slots: Length ``i`` of the results.
      void: Label of void, which an instance has only if all of its pixels have.

    Returns:
      Occupied rows and columns of instance 1, 2, ..., `(i, 2)` float32, and its label, `(i,)`
      int32; 0 where there is no such instance.
    """
    size = np.stack([used.sum(1) for used in _occupied(instances, slots)], -1)
    label = np.zeros(slots + 1, np.int32)
    label[instances] = semantic
    known = semantic != void
    label[instances[known]] = semantic[known]
    return size.astype(np.float32), label[1:]


def centerness(instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Makes the heatmap and the zones of one patch from its instances.

    Each instance spreads a Gaussian around the middle of its box, enlarged by one pixel on each
    side that stays inside; its standard deviations are 0.3 / 1.7 / 3 of the box's sides. A pixel
    belongs to the zone of the instance whose Gaussian is highest there (the first on ties).

    Args:
      instances: Instance of each pixel from 1, 0 on background, `(h, w)`.

    Returns:
      Heatmap, highest Gaussian at each pixel, `(h, w)` float64, and zones, its instance, `(h, w)`
      int64. Both zero without instances.
    """
    heatmap, zones = np.zeros(instances.shape), np.zeros(instances.shape, np.int64)
    rows, columns = _occupied(instances, int(instances.max(initial=0)))
    numbers = np.flatnonzero(rows.any(1))
    if not len(numbers):
        return heatmap, zones
    zones[:] = numbers[0] + 1  # also where every Gaussian is 0 in float64
    for number, down, across in zip(
        numbers, _curves(rows[numbers]), _curves(columns[numbers]), strict=True
    ):
        window = tuple(_positive(curve) for curve in (down, across))
        peak = np.exp(-(down[window[0], None] + across[window[1]]))
        higher = peak > heatmap[window]
        np.copyto(heatmap[window], peak, where=higher)
        np.copyto(zones[window], number + 1, where=higher)
    return heatmap, zones


def _occupied(instances: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Which rows, `(most, h)` bool, and columns, `(most, w)` bool, each instance occupies."""
    h, w = instances.shape
    rows, columns = np.zeros((most + 1, h), bool), np.zeros((most + 1, w), bool)
    rows[instances, np.arange(h)[:, None]] = True
    columns[instances, np.arange(w)] = True
    return rows[1:], columns[1:]


def _curves(used: np.ndarray) -> np.ndarray:
    """Half the squared distance to each instance's centre in standard deviations, `(i, n)`."""
    extent = used.shape[1]
    low = np.maximum(used.argmax(1) - 1, 0)
    high = np.minimum(extent - used[:, ::-1].argmax(1), extent - 1)
    centre = low + (high - low) // 2
    sigma = (
        0.3 / 1.7 * np.maximum(high - low, 1) / 3
    )  # an image of one row has boxes without height
    return np.square(np.arange(extent) - centre[:, None]) / (2 * sigma[:, None] ** 2)


def _positive(curve: np.ndarray) -> slice:
    """Where exp(-curve) can exceed 0 in float64."""
    inside = np.flatnonzero(curve < 746)
    return slice(inside[0], inside[-1] + 1)
