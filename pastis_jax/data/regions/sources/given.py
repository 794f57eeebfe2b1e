"""What a user says of sources that do not say it themselves."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping

from pastis_jax.data.regions import sensors
from pastis_jax.data.regions.manifest import MASK, VALUE_UNITS
from pastis_jax.errors import refuse


@dataclasses.dataclass(frozen=True)
class Given:
    """What `ingest` takes where the files do not say it. What they say comes first.

    Attributes:
      unit: Unit of the numbers, by modality.
      offset: What is added to the numbers to have them in the unit, by modality.
      nodata: Number that marks missing data, by modality.
      direction: The pass of Sentinel-1, ``ascending`` or ``descending``; empty if not known.
      dates: Dates of a series in one file, in its order; of one image if there is one.
      channels: What bands show, by the name or number that the file gives them: ``B4``, or
        ``MODALITY.CHANNEL``.
      source_crs: Coordinate system of files that do not say theirs.
      season: First and last day of what is wanted; None for all.
      skip_damaged: Whether files that cannot be read are left out, rather than refused.

    Raises:
      ArgumentError: If a value is impossible.

    Examples:
      >>> Given(unit={"S2": "reflectance x 10000"}, offset={"S2": -1000}).offset["S2"]
      -1000
    """

    unit: Mapping[str, str] = dataclasses.field(default_factory=dict)
    offset: Mapping[str, float] = dataclasses.field(default_factory=dict)
    nodata: Mapping[str, float] = dataclasses.field(default_factory=dict)
    direction: str = ""
    dates: tuple[datetime.date, ...] = ()
    channels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    source_crs: str = ""
    season: tuple[datetime.date, datetime.date] | None = None
    skip_damaged: bool = False

    def __post_init__(self) -> None:
        for modality, unit in self.unit.items():
            remedy = f"choose among {', '.join(VALUE_UNITS)}"
            refuse("unit", unit not in VALUE_UNITS, f"{unit!r} of {modality} is no unit", remedy)
        known = ("", *sensors.PASSES)
        remedy = f"choose among {', '.join(sensors.PASSES)}"
        refuse("direction", self.direction not in known, f"got {self.direction!r}", remedy)
        rising = list(self.dates) == sorted(set(self.dates))
        refuse("dates", not rising, "they do not rise", "give each date once, in order")
        if self.season is not None:
            first, last = self.season
            refuse("season", first > last, "it ends before it starts", "give its first day first")
        for band, channel in self.channels.items():
            remedy = "give B4, VV or SCL, or MODALITY.CHANNEL"
            fault = f"{channel!r} for {band} is no channel"
            meant = self._meaning(channel)
            refuse("channels", meant is None, fault, remedy)
            if meant and (wrong := sensors.fault_of_channel(meant.modality, meant.channel)):
                refuse("channels", True, f"{meant.channel} for {band} {wrong}", remedy)

    def of(self, argument: str, modality: str) -> str | float | None:
        """The unit, offset or mark of a modality; what is given for S1 is meant for both passes.

        Args:
          argument: ``unit``, ``offset`` or ``nodata``.
          modality: The modality.
        """
        given = getattr(self, argument)
        if modality in sensors.RADARS and modality not in given:
            return given.get(sensors.RADAR)
        return given.get(modality)

    def meaning(self, *names: str) -> sensors.Meaning | None:
        """What a band shows by `channels`; None if they do not say.

        Args:
          *names: What the file calls it.
        """
        for name in names:
            if name in self.channels:
                return self._meaning(self.channels[name])
        return None

    @staticmethod
    def _meaning(channel: str) -> sensors.Meaning | None:
        modality, _, name = channel.rpartition(".")
        if not modality:
            return sensors.meaning(name)
        known = sensors.meaning(name)
        if known is not None and known.channel == MASK:
            return dataclasses.replace(known, modality=modality)
        return sensors.Meaning(modality, name) if name else None
