"""Whether a run can map a Region: what differs is refused in a line, or allowed by name."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Sequence

from pastis_jax.data.dataset import Dataset
from pastis_jax.data.regions.store import Region
from pastis_jax.errors import DataError
from pastis_jax.mapping.options import MapOptions
from pastis_jax.runs import Run

_YEAR = 365.25
SHIFT = 45
"""Days by which starts of seasons may differ over the year."""
_LEAP = 1
"""Of these, what leap years make."""


def check_fit(run: Run, region: Region, options: MapOptions) -> tuple[str, ...]:
    """Refuses a Region that is not like what a run was trained on.

    Args:
      run: The run.
      region: The Region.
      options: Of the map.

    Returns:
      What is odd, a line each.

    Raises:
      DataError: Naming what differs: modalities that the scheme cannot do without, channels, unit,
        level, start of the season, size of pixels.
    """
    notes = check_modalities(run, region.dataset, region.root, region.dataset.names)
    for name in (name for name in run.modalities if name in region.dataset.names):
        notes += _check_level(run, region, name, options)
    notes += _check_season(run, region, options)
    date = getattr(run.saved.record_options(), "date", None)
    if isinstance(date, int):
        fault = f"takes acquisition number {date} of each patch alone, windows of a Region differ "
        remedy = "train with `date` YYYY-MM-DD, or on all"
        raise DataError(fault + "in their dates", where=run.folder, remedy=remedy)
    size, trained = region.grid.pixel_size, run.dataset.pixel_size
    if size != trained and "pixel_size" not in options.allow:
        fault = f"its pixels are {size:g} m wide, those that the run was trained on {trained:g} m"
        remedy = f"ingest with `pixel_size` {trained:g}, or allow it by `allow` pixel_size"
        raise DataError(fault, where=region.root, remedy=remedy)
    return tuple(notes)


def check_modalities(
    run: Run, dataset: Dataset, root: pathlib.Path, there: Sequence[str]
) -> list[str]:
    """Refuses data whose modalities are not those of a run.

    Args:
      run: The run.
      dataset: What the data are.
      root: Where they lie.
      there: Names of the modalities that are there.

    Returns:
      What is odd, a line each.

    Raises:
      DataError: Naming modalities that the scheme cannot do without, channels or unit.
    """
    notes = []
    if lacking := [name for name in run.modalities if name not in there]:
        missing, spec = ", ".join(lacking), run.task.spec
        if not spec.scheme.masks or len(lacking) == len(run.modalities):
            fault = f"has no {missing}, which the run needs: {spec.fusion} fusion of "
            fault += ", ".join(run.modalities)
            raise DataError(fault, where=root, remedy="add it, or take another run")
        notes.append(f"{missing} is missing: masked everywhere")
    for name in (name for name in run.modalities if name in there):
        own, other = run.dataset[name], dataset[name]
        if (own.channels, own.unit) != (other.channels, other.unit):
            fault = f"its {name} is {', '.join(other.channels)} in {other.unit}, the run takes "
            fault += f"{', '.join(own.channels)} in {own.unit}"
            remedy = "give scenes that are so, or take a run that was trained on such"
            raise DataError(fault, where=root, remedy=remedy)
    return notes


def _check_level(run: Run, region: Region, name: str, options: MapOptions) -> list[str]:
    trained, here = run.saved.levels.get(name, ""), region.level(name)
    if trained == here:
        return []
    if not trained or not here:
        known = f"{here} here" if here else f"{trained} in training"
        unknown = "in training" if here else "here"
        return [f"{name} is {known}; what it is {unknown} is not known: it must be the same"]
    difference = f"its {name} is {here}, the run was trained on {trained}"
    if "level" in options.allow:
        return [f"{difference}: allowed"]
    remedy = f"ingest {trained} scenes, or allow it by `allow` level"
    raise DataError(difference, where=region.root, remedy=remedy)


def _check_season(run: Run, region: Region, options: MapOptions) -> list[str]:
    start, trained = options.season or region.dataset.season_start, run.dataset.season_start
    if "season" in options.allow:
        return []
    if _apart(start, trained) <= SHIFT:
        return [f"{n}; `season` {_near(start, trained)} mends that" for n in days_off(run, start)]
    fault = f"the season starts on {start:%d %B}, that of the run on {trained:%d %B}: days of the "
    fault += "year would be taken for others"
    remedy = f"give `season` {_near(start, trained)}, or allow it by `allow` season"
    raise DataError(fault, where=region.root, remedy=remedy)


def days_off(run: Run, start: datetime.date) -> list[str]:
    """Tells, in a line, of days that a run takes for others of the year; nothing if it does not.

    Args:
      run: The run.
      start: Day 0 of what is mapped.
    """
    trained = run.dataset.season_start
    if (apart := _apart(start, trained)) <= _LEAP:
        return []
    told = f"days count from {start:%d %B}, those of the run from {trained:%d %B}"
    return [f"{told}: each stands for one {apart:.0f} days off"]


def _apart(start: datetime.date, trained: datetime.date) -> float:
    """Days between two starts of seasons over the year."""
    apart = abs(_day_of_year(start) - _day_of_year(trained))
    return min(apart, _YEAR - apart)


def _day_of_year(date: datetime.date) -> int:
    return date.timetuple().tm_yday


def _near(start: datetime.date, trained: datetime.date) -> datetime.date:
    """The day of `trained` in the year that is closest to `start`."""
    day = min(trained.day, 28) if trained.month == 2 else trained.day
    years = (start.year - 1, start.year, start.year + 1)
    return min((datetime.date(y, trained.month, day) for y in years), key=lambda d: abs(d - start))
