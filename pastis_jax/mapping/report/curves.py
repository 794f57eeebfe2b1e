"""What was observed of a parcel over the season: one number a date, by modality."""

from __future__ import annotations

import dataclasses

import numpy as np

from pastis_jax.data.modality import Modality
from pastis_jax.data.regions.records.clouds import hide_clouded
from pastis_jax.data.regions.sensors import vegetation_bands
from pastis_jax.data.regions.writer import CLOUDED
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.report.places import Place

_CLOUDED = 0.5
"""Share of a parcel's pixels under clouds from which a date is shown as clouded."""

_SHORT = 14
"""Characters that the side of a drawing has room for."""


@dataclasses.dataclass(frozen=True, eq=False)
class Observed:
    """The pixels of a parcel, as one modality saw them.

    Attributes:
      modality: What observed them.
      days: Of the acquisitions, since the start of the season, (t,) int32.
      values: As they are stored, (t, c, n).
      clouded: Share of the pixels of each acquisition that its mask calls clouded, (t,); None where
        it has none.
    """

    modality: Modality
    days: np.ndarray
    values: np.ndarray
    clouded: np.ndarray | None

    def curve(self) -> Curve:
        """The vegetation index where its channels give one, else the first channel."""
        values = self.values.astype(np.float64) + self.modality.offset
        missing = self.modality.missing(self.values, (1, 2))
        if missing is not None:
            values[missing] = np.nan
        channels, bands = self.modality.channels, vegetation_bands(self.modality.channels)
        if bands is not None and self.modality.optical and self.modality.unit != "index":
            infrared, red = (values[:, channels.index(name)] for name in bands)
            with np.errstate(invalid="ignore", divide="ignore"):
                shown = (infrared - red) / (infrared + red)
            title = "vegetation index (NDVI)"
        else:
            shown, unit = values[:, 0], self.modality.unit
            title = channels[0] if unit == "none" else f"{channels[0]}, {unit}"
        seen = np.isfinite(shown)
        count = seen.sum(1)
        mean = np.where(seen, shown, 0).sum(1) / np.where(count, count, np.nan)
        clouded = np.zeros(len(mean), bool) if self.clouded is None else self.clouded > _CLOUDED
        return Curve(self.modality.name, title, self.days, mean, clouded & np.isfinite(mean))


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """One number a date.

    Attributes:
      modality: Name of what observed it.
      title: What the numbers are.
      days: Since the start of the season, (t,) int32.
      values: Mean over the parcel, NaN where nothing was observed, (t,) float64.
      clouded: Where clouds hide much of it, (t,) bool.
    """

    modality: str
    title: str
    days: np.ndarray
    values: np.ndarray
    clouded: np.ndarray

    @property
    def axis(self) -> str:
        """What the numbers are, short enough to stand beside them: NDVI."""
        title, _, short = self.title.partition(" (")
        short = short.rstrip(")") or title
        return short if len(short) <= _SHORT else short.split(",")[0][:_SHORT]


def observe(made: Made, place: Place) -> dict[str, Observed]:
    """Reads the pixels of a parcel at the acquisitions of a map, by modality.

    Acquisitions with more clouds over the parcel than the map accepts are missing.
    """
    observed = {}
    for name, acquired in made.season.acquired.items():
        where = (name, place.rows, place.columns, acquired.numbers)
        values = np.asarray(made.region.read(*where))[..., place.covered]
        mask = made.region.mask(*where)
        mask = None if mask is None else np.asarray(mask)[:, place.covered]
        modality = made.region.dataset[name]
        limit = made.mapper.max_cloud
        hidden = hide_clouded(np.array(values), mask, modality, limit)
        clouded = None if mask is None else (mask == CLOUDED).mean(1)
        observed[name] = Observed(modality, acquired.days, hidden, clouded)
    return observed
