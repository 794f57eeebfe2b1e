"""What is worth telling about the scenes of a new Region."""

from __future__ import annotations

import collections
import datetime
from collections.abc import Iterator, Sequence
from typing import Any

from pastis_jax.data import calendar
from pastis_jax.data.modality import Modality
from pastis_jax.data.regions.findings import finding
from pastis_jax.data.regions.ingestion.plan import Acquisition, Plan
from pastis_jax.data.regions.ingestion.resample import Footprint, origin
from pastis_jax.text import named, word

Findings = Iterator[dict[str, Any]]
FIRST, LAST = -60, 430
"""Days since the start of the season between which the dates of one season lie: a year, and two
months on either side."""


def of_sources(left_out: Sequence[tuple[str, str]], notes: Sequence[str]) -> Findings:
    """Tells of files that are no scenes, and of what was read out of names.

    Args:
      left_out: Files and why they are none.
      notes: What else a reader should know.
    """
    reasons = collections.defaultdict(list)
    for name, reason in left_out:
        reasons[reason].append(name)
    for reason, names in reasons.items():
        text = f"{len(names):,} left out of the sources: {reason} ({named(names)})"
        yield finding("files left out", text, names)
    for note in notes:
        yield finding("sources", note)


def of_plan(plan: Plan, footprints: Sequence[tuple[str, Footprint]]) -> Findings:
    """Tells which acquisitions lie elsewhere, and which layers are resampled.

    Args:
      plan: What is ingested.
      footprints: Where each layer lies, with its modality.
    """
    if plan.outside:
        names = [one.name for one in plan.outside]
        text = f"{len(names):,} {word(len(names), 'acquisition shows', 'acquisitions show')} "
        text += f"nothing of the region: {named(names)}"
        yield finding("acquisitions outside", text, names)
    resampled = collections.defaultdict(collections.Counter)
    total = collections.Counter(name for name, _ in footprints)
    for name, where in footprints:
        if origin(where, plan.grid) is None:
            across, down = (f"{abs(where.transform[place]):.6g}" for place in (0, 4))
            resampled[name][f"{across} x {down} in {_crs(where.crs)}"] += 1
    for name, pixels in sorted(resampled.items()):
        number = pixels.total()
        text = f"{number:,} of {total[name]:,} layers of {name} {word(number, 'is', 'are')} "
        text += "resampled (bilinear, masks by the nearest pixel) from pixels of "
        sizes = [f"{size} ({count:,})" for size, count in sorted(pixels.items())]
        yield finding("resampled", text + named(sizes, most=8), sizes)


def of_dates(
    modality: Modality, acquisitions: Sequence[Acquisition], season_start: datetime.date
) -> Findings:
    """Tells of dates far from the season, and of months without any.

    Args:
      modality: The modality.
      acquisitions: Its own, by date.
      season_start: Day 0.
    """
    dates = [one.date for one in acquisitions]
    days = [(date - season_start).days for date in dates]
    far = [d.isoformat() for d, day in zip(dates, days, strict=True) if not FIRST <= day <= LAST]
    if far:
        text = f"{len(far):,} of {len(dates):,} acquisitions of {modality.name} "
        text += f"{word(len(far), 'lies', 'lie')} more than {-FIRST} days before or {LAST} after "
        text += f"the start of the season, {season_start}: {named(far)}"
        yield finding("dates far", text, far)
    elif days and min(days) > calendar.LATE:
        text = f"the first acquisition of {modality.name}, {dates[0]}, is {min(days)} days after "
        text += f"the start of the season, {season_start}: check `season_start`"
        yield finding("dates late", text)
    if modality.optical and (gaps := list(_without(dates))):
        text = f"{len(gaps)} {word(len(gaps), 'month', 'months')} between {dates[0]} and "
        text += f"{dates[-1]} {word(len(gaps), 'has', 'have')} no acquisition of "
        yield finding("months without dates", text + f"{modality.name}: {named(gaps)}", gaps)
    twice = [date for date, number in collections.Counter(dates).items() if number > 1]
    if twice:
        text = f"{len(twice):,} {word(len(twice), 'day', 'days')} of {modality.name} "
        text += f"{word(len(twice), 'has', 'have')} acquisitions of several orbits, which stay "
        text += f"apart: {named(twice)}"
        yield finding("days of several orbits", text, twice)


def of_broken(names: Sequence[str]) -> Findings:
    """Tells of scenes that are left out, as a file of theirs is damaged."""
    if names:
        scenes = word(len(names), "scene lacks a channel and is", "scenes lack a channel and are")
        text = f"{len(names):,} {scenes} left out: {named(names)}"
        yield finding("scenes incomplete", text, names)


def of_unobserved(names: Sequence[str]) -> Findings:
    """Tells of acquisitions without an observed pixel, which are left out."""
    if names:
        shows = word(len(names), "acquisition shows", "acquisitions show")
        text = f"{len(names):,} {shows} not one pixel of the region, and "
        text += f"{word(len(names), 'is', 'are')} left out: "
        yield finding("acquisitions empty", text + named(names), names)


def of_damaged(paths: Sequence[str]) -> Findings:
    """Tells of files that cannot be read, whose scenes are left out."""
    if paths:
        damaged = word(len(paths), "file is damaged, its scene", "files are damaged, their scenes")
        text = f"{len(paths):,} {damaged} left out: {named(paths)}"
        yield finding("files damaged", text, paths)


def _crs(text: str) -> str:
    return text if len(text) < 40 else "another coordinate system"


def _without(dates: Sequence[datetime.date]) -> Iterator[str]:
    """The months between the first and the last date that have none."""
    present = {(date.year, date.month) for date in dates}
    year, month = min(present)
    while (year, month) < max(present):
        if (year, month) not in present:
            yield f"{year}-{month:02d}"
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
