"""When samples were observed: the days that a model was trained on, and what lies outside."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

Days = Mapping[str, np.ndarray]
"""Acquisition days (t,) since the start of the season by modality, of one patch and all in it."""

TOLERANCE = 30
"""Days outside of a range that are not told of: five revisits of Sentinel-1 or -2. Between tiles of
one season, the first and last acquisitions differ by up to three weeks."""
YEAR, _ABOUT = 365, 45
LATE = 200
"""Days after the start of the season by which it has been observed: a first acquisition after that
is of the next season, or the start is of another year."""


@dataclasses.dataclass(frozen=True)
class Span:
    """The days of a modality's acquisitions.

    Attributes:
      first: The first day.
      last: The last day.
      median: Half of the acquisitions lie before it.
    """

    first: int
    last: int
    median: float

    @classmethod
    def of(cls, days: np.ndarray) -> Span:
        """That of at least one day."""
        return cls(int(days.min()), int(days.max()), float(np.median(days)))


def spans(observed: Iterable[Days], modalities: Iterable[str]) -> dict[str, Span]:
    """Returns the span of each modality; those without any acquisition are left out."""
    observed = list(observed)
    together = {name: _together(observed, name) for name in modalities}
    return {name: Span.of(days) for name, days in together.items() if len(days)}


def not_trained_on(
    observed: Sequence[Days], trained: Mapping[str, Span], *, name: str
) -> str | None:
    """Tells in a line which acquisitions lie outside of the days that a model was trained on.

    Args:
      observed: Days of each patch.
      trained: Of the model, by modality; one that is not here is not looked at.
      name: What the acquisitions are of.

    Returns:
      The line; None where none lies more than `TOLERANCE` days outside.
    """
    parts, shifts = [], []
    for modality, span in trained.items():
        days = _together(observed, modality)
        beyond = _beyond(days, span)
        if count := int((beyond > TOLERANCE).sum()):
            parts.append(
                f"{count:,} of {len(days):,} acquisitions of {modality} (by up to "
                f"{beyond.max()} days; trained on {span.first} to {span.last})"
            )
            shifts.append(float(np.median(days)) - span.median)
    if not parts:
        return None
    remedy = "check their dates, and season_start in dataset.json, which days count from"
    if years := _years(float(np.median(shifts))):
        far = "a year" if abs(years) == 1 else f"{abs(years)} years"
        when = "later" if years > 0 else "earlier"
        remedy = (
            f"they are about {far} {when} than in training: days count from season_start in "
            "dataset.json, give these data that of their own season"
        )
    outside = f"more than {TOLERANCE} days outside of the days trained on"
    return f"{name}: {', '.join(parts)} lie {outside}; {remedy}"


def not_enclosed(
    observed: Sequence[Days], reference: str, others: Sequence[str], *, masked: bool = False
) -> str | None:
    """Tells in a line how far a modality's dates outlast those of others.

    Args:
      observed: Days of each patch.
      reference: The modality whose dates the others are resampled to.
      others: These; of a patch that has no acquisition of one, it does not count.
      masked: Whether dates outside of the others' own are masked: patches without any other are
        told of too.

    Returns:
      The line; None where no date lies more than `TOLERANCE` days outside of the others' dates.
    """
    patches, dates, bare, most, by = 0, 0, 0, 0, None
    for days in observed:
        own, present = days[reference], [name for name in others if len(days[name])]
        if not present or not len(own):
            continue
        beyond = np.stack([_beyond(own, Span.of(days[name])) for name in present])
        far = beyond.max(0) > TOLERANCE
        patches, dates = patches + bool(far.any()), dates + int(far.sum())
        bare += masked and keeps_none(days, reference, others)
        if beyond.max() > most:
            most, by = int(beyond.max()), present[int(beyond.max(1).argmax())]
    left = [f"{bare:,} of {len(observed):,} patches keep no date of {reference}"] * bool(bare)
    if dates:
        total = sum(len(days[reference]) for days in observed)
        where = f"in {patches:,} of {len(observed):,} patches, lie more than {TOLERANCE} days"
        ends = f"before the first or after the last date of {' or '.join(others)}"
        left.insert(
            0,
            f"{dates:,} of {total:,} dates of {reference}, {where} {ends}, by up to {most} days "
            f"({by})",
        )
    return "; ".join(left) or None


def keeps_none(days: Days, reference: str, others: Sequence[str]) -> bool:
    """Whether a patch loses every date of `reference`, those outside of the others' being masked.

    Args:
      days: Of the patch.
      reference: The modality whose dates the others are resampled to.
      others: These; one that the patch has no acquisition of masks nothing.
    """
    own, present = days[reference], [name for name in others if len(days[name])]
    if not present or not len(own):
        return False
    return bool(np.any([_beyond(own, Span.of(days[name])) for name in present], axis=0).all())


def _together(observed: Iterable[Days], modality: str) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int64), *(days[modality] for days in observed)])


def _beyond(days: np.ndarray, span: Span) -> np.ndarray:
    """By how many days each lies outside of a span."""
    return np.maximum(np.maximum(span.first - days, days - span.last), 0)


def _years(shift: float) -> int:
    """The number of years that a shift (days) is about; 0 for none."""
    years = round(shift / YEAR)
    return years if abs(shift - years * YEAR) <= _ABOUT else 0
