"""What a map says of its parcels, or of the instances that it has found, as a table."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class ParcelResults:
    """Parcels of a map, in the order of their table.

    Attributes:
      id: Identifiers, text, (n,).
      label: Class of each; `UNCLASSIFIED` below the least confidence, `NODATA` where nothing is
        known, (n,) uint8.
      probability: Of each class, NaN where nothing is known, (n, k) float32.
      pixels: Of each, or what it covers of them, (n,) float64.
      dates: Valid dates by modality, (n, m) uint16.
      hectares: Area of each polygon, (n,) float64.
      truth: Class of each in the Region, -1 where it is void or not known, (n,) int32.
      held_out: Whether the run was neither trained nor validated on it, (n,) bool: its own test
        parcels, or all where the Region is not what it was trained on.
      geometry: Polygons in the coordinate system of the Region, (n,) shapely objects.
    """

    id: np.ndarray
    label: np.ndarray
    probability: np.ndarray
    pixels: np.ndarray
    dates: np.ndarray
    hectares: np.ndarray
    truth: np.ndarray
    held_out: np.ndarray
    geometry: np.ndarray

    def __len__(self) -> int:
        return len(self.id)
