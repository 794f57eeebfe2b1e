"""Which acquisitions of a Region a map is made of, and on which day of the season each was."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping

import numpy as np

from pastis_jax.data.calendar import TOLERANCE, Span, not_trained_on
from pastis_jax.data.normalisation import SEASON
from pastis_jax.data.regions.store import Region
from pastis_jax.errors import DataError
from pastis_jax.mapping.options import MapOptions


@dataclasses.dataclass(frozen=True, eq=False)
class Acquired:
    """Acquisitions of one modality.

    Attributes:
      numbers: Theirs in the Region, rising, (t,).
      days: Of each, since the start of the season that is mapped, (t,) int32.
    """

    numbers: np.ndarray
    days: np.ndarray

    def among(self, chosen: np.ndarray) -> Acquired:
        """Those of them that are in `chosen`, numbers of the Region."""
        kept = np.isin(self.numbers, chosen)
        return Acquired(self.numbers[kept], self.days[kept])


@dataclasses.dataclass(frozen=True, eq=False)
class Season:
    """The acquisitions that a map is made of.

    Attributes:
      start: Day 0.
      acquired: By modality, of those that the Region has.
      notes: What was left out, and what is odd about the days, a line each.
    """

    start: datetime.date
    acquired: Mapping[str, Acquired]
    notes: tuple[str, ...]

    def date(self, day: int) -> datetime.date:
        """The date of a day of the season."""
        return self.start + datetime.timedelta(days=int(day))


def season_of(
    region: Region,
    modalities: tuple[str, ...],
    trained: Mapping[str, Span],
    options: MapOptions,
    *,
    needed: tuple[str, ...] = (),
) -> Season:
    """Chooses the acquisitions of a map.

    Args:
      region: The Region.
      modalities: Those that the run takes and the Region has.
      trained: Days that the run was trained on, by modality.
      options: Of the map.
      needed: Modalities that the run cannot do without.

    Raises:
      DataError: If there is no acquisition, or none of a modality that is needed.
    """
    start = options.season or region.dataset.season_start
    shift, acquired, notes = (start - region.dataset.season_start).days, {}, []
    for name in modalities:
        days = region.days(name) - np.int32(shift)
        kept = np.ones(len(days), bool)
        if options.season is not None:
            span = trained.get(name)
            low, high = SEASON if span is None else (span.first - TOLERANCE, span.last + TOLERANCE)
            kept = (days >= low) & (days <= high)
            if gone := int((~kept).sum()):
                notes.append(
                    f"{gone:,} of {len(days):,} acquisitions of {name} are of other seasons"
                )
        if options.until is not None:
            kept &= days <= (options.until - start).days
        acquired[name] = Acquired(np.flatnonzero(kept), days[kept])
    lacking = [name for name, one in acquired.items() if not len(one.numbers)]
    until = "" if options.until is None else f" until {options.until}"
    none = f"has no acquisition of {', '.join(lacking)} in the season from {start}{until}"
    if len(lacking) == len(acquired) or {*lacking} & {*needed}:
        fault = f"{none}, which the run needs" if len(lacking) < len(acquired) else none
        raise DataError(fault, where=region.root, remedy="give another `season` or `until`")
    if lacking:
        notes.append(f"the Region {none}: masked everywhere")
    days = {name: one.days for name, one in acquired.items()}
    spans = {name: span for name, span in trained.items() if name in days}
    notes += filter(None, [not_trained_on([days], spans, name="the Region")])
    return Season(start, acquired, tuple(notes))
