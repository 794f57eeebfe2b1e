"""What a map is made by, beside the run and the Region."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Mapping
from typing import Any

from pastis_jax.errors import refuse
from pastis_jax.runs.until import as_date
from pastis_jax.text import plain

ALLOWED = ("level", "season", "pixel_size")
"""Differences between a run and a Region that may be allowed by name."""


@dataclasses.dataclass(frozen=True)
class MapOptions:
    """Options of a map, beside the run and the Region.

    Attributes:
      until: Last day whose acquisitions are used, or its text YYYY-MM-DD; None for all.
      season: Day 0 of the season to map; None for that of the Region. With it, acquisitions of
        other seasons are left out.
      allow: Differences from what the run was trained on that are accepted: ``level``, ``season``,
        ``pixel_size``.
      max_cloud: Largest clouded share of the observed pixels of a window or parcel, 0 to 1: an
        acquisition with more counts as missing. None takes what the run was trained with.
      reject: Confidence below which pixels and parcels are unclassified, 0 to 1.
      stride: Pixels from one window to the next; None for half a window.
      parcels: Vector file of polygons, in place of the Region's own parcels.
      parcel_id: Column of their identifiers; None for the numbers that the file gives them.
      parcels_layer: Layer of the file; None for its only one.
      parcels_crs: Coordinate system in place of what the file says.
      probabilities: Whether the probabilities of all classes are written.
      batch_size: Windows or parcels that are predicted together; None for what suits the device.

    Raises:
      ArgumentError: If one is out of range.

    Examples:
      >>> MapOptions(until="2024-05-31", reject=0.5).until
      datetime.date(2024, 5, 31)
    """

    until: datetime.date | str | None = None
    season: datetime.date | str | None = None
    allow: tuple[str, ...] = ()
    max_cloud: float | None = None
    reject: float = 0.0
    stride: int | None = None
    parcels: pathlib.Path | None = None
    parcel_id: str | None = None
    parcels_layer: str | None = None
    parcels_crs: str | None = None
    probabilities: bool = False
    batch_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("until", "season"):
            if (day := getattr(self, name)) is not None:
                object.__setattr__(self, name, as_date(day, name))
        allow = (self.allow,) if isinstance(self.allow, str) else tuple(self.allow)
        object.__setattr__(self, "allow", allow)  # hashable: processes keep what they opened
        if self.parcels is not None:
            object.__setattr__(self, "parcels", pathlib.Path(self.parcels))
        for name in ("max_cloud", "reject"):
            share = 0 <= (getattr(self, name) or 0) <= 1
            refuse(name, not share, f"got {getattr(self, name)}", "give a share, 0 to 1")
        for name in ("stride", "batch_size"):
            value = getattr(self, name)
            refuse(name, value is not None and value < 1, f"got {value}", "give 1 or more")
        unknown = [str(name) for name in self.allow if name not in ALLOWED]
        given = plain(", ".join(unknown))
        refuse("allow", unknown, f"got {given}", f"give {' or '.join(ALLOWED)}")
        for name in ("parcel_id", "parcels_layer", "parcels_crs"):
            alone = getattr(self, name) is not None and self.parcels is None
            refuse(name, alone, "it is of a file of `parcels`, which is not given", "leave it out")

    def to_json(self) -> Mapping[str, Any]:
        """Returns what decides the map as plain JSON, but for the content of files."""
        return {
            "until": None if self.until is None else str(self.until),
            "season": None if self.season is None else str(self.season),
            "max_cloud": self.max_cloud,
            "reject": self.reject,
            "stride": self.stride,
            "parcel_id": self.parcel_id,
            "parcels_layer": self.parcels_layer,
            "parcels_crs": self.parcels_crs,
            "probabilities": self.probabilities,
            "batch_size": self.batch_size,
        }
