"""What is odd about a Region, though nothing is damaged, a line each."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping

import numpy as np

from pastis_jax.data.dataset import Dataset
from pastis_jax.data.modality import Modality
from pastis_jax.data.regions.inspection.parcel_map import ParcelMap
from pastis_jax.data.regions.table import ParcelTable
from pastis_jax.text import named, word

BASELINE = datetime.date(2022, 1, 25)
"""From this day on, products of level 2A of processing baseline 04.00 have an offset of 1000."""
_UNSHIFTED, _TWICE, _STEP = 1000, -500, (700, 1300)
"""Reflectance x 10000 of dark pixels: above the first, the offset was left in perhaps; below the
second, it was taken away twice; between two spans of time, the step that one with it makes."""
_LOUDEST, _DIVIDED = -1, 20
"""Mean of the weaker polarisation above which it is hardly in dB, and mean reflectance x 10000 of
the brightest channel below which nothing on land is."""
_FEW_PARCELS, _MOST_CONTESTED, _MOST_WITHOUT = 10, 0.05, 0.3
_EDIT = "correct the offset in the manifest, and ingest anew"


def months_between(first: datetime.date, last: datetime.date) -> list[str]:
    """All months from one date to another, ``2023-09`` say."""
    months, month = [], first.replace(day=1)
    while month <= last:
        months.append(f"{month:%Y-%m}")
        month = (month + datetime.timedelta(days=31)).replace(day=1)
    return months


def odd_dates(
    name: str, dataset: Dataset, days: np.ndarray, observed: np.ndarray, months: list[str]
) -> Iterator[str]:
    """Dates that show nothing, and months without any.

    Args:
      name: The modality.
      dataset: What it is part of.
      days: Of its acquisitions, (t,).
      observed: Pixels of each chunk that were observed, (t, ny, nx).
      months: From the first to the last acquisition of any modality.
    """
    dates = [dataset.date(day) for day in days]
    empty = [d for d, seen in zip(dates, observed.any((1, 2)), strict=True) if not seen]
    if empty:
        yield (
            f"{len(empty)} of {len(dates)} acquisitions of {name} show nothing of the Region: "
            f"{named(empty, most=3)}"
        )
    if not dates:
        yield f"there is no acquisition of {name}: name the other modalities to train"
        return
    had = {f"{date:%Y-%m}" for date in dates}
    if dataset[name].optical and (lacking := [month for month in months if month not in had]):
        yield f"{len(lacking)} of {len(months)} months have no {name}: {named(lacking, most=12)}"


def odd_reflectance(modality: Modality, dates: list[datetime.date], dark: np.ndarray) -> list[str]:
    """Dates at which an offset seems to be left in, or to be taken away twice.

    Args:
      modality: The modality.
      dates: Of its acquisitions.
      dark: Reflectance of their dark pixels in the bluest channel, (t,), NaN where not known.
    """
    lines, blue = [], modality.shown.channels[-1]
    dark = dark * (1 if modality.unit == "reflectance x 10000" else 10000)
    if (twice := np.flatnonzero(dark < _TWICE)).size:
        some = named([dates[i] for i in twice[:3]], twice.size, most=3)
        lines.append(
            f"{modality.name}: at {twice.size} of {len(dates)} dates a twentieth of {blue} is "
            f"below {np.min(dark[twice]) / 10000:.2f} ({some}): an offset of -1000 was added twice "
            f"perhaps; {_EDIT}"
        )
    late = np.array([date >= BASELINE for date in dates], bool)
    before, after = (of[np.isfinite(of)] for of in (dark[~late], dark[late]))
    known = dark[np.isfinite(dark)]
    step = np.median(after) - np.median(before) if min(len(before), len(after)) >= 3 else 0
    if _STEP[0] <= abs(step) <= _STEP[1]:
        side = "above" if step > 0 else "below"
        lines.append(
            f"{modality.name}: from {BASELINE} on, dark pixels of {blue} lie "
            f"{abs(step) / 10000:.2f} {side} those before, as by the offset of Sentinel-2 products "
            f"since baseline 04.00; {_EDIT}"
        )
    elif known.size and np.percentile(known, 25) > _UNSHIFTED:
        lines.append(
            f"{modality.name}: even dark pixels of {blue} are bright, {np.median(known) / 1e4:.2f} "
            "at half of the dates, as where the offset of -1000 of Sentinel-2 products since "
            f"baseline 04.00 was not added; {_EDIT}"
        )
    return lines


def odd_units(modality: Modality, dates: list[datetime.date], means: np.ndarray) -> Iterator[str]:
    """Dates that seem to be in another unit than the others.

    Args:
      modality: The modality.
      dates: Of its acquisitions.
      means: Of each channel, as it is stored, (t, c), NaN where not known.
    """
    known = np.isfinite(means).all(1)
    means = np.where(known[:, None], means, 0) + modality.offset
    if modality.unit == "dB":
        power = known & (means.min(1) > _LOUDEST)
        yield from _told(modality.name, dates, power, "look like linear power, not like dB")
        for like, crossed in modality.polarisations:
            names = modality.channels[crossed], modality.channels[like]
            above = known & ~power & (means[:, crossed] > means[:, like] + 1)
            text = f"have a stronger {names[0]} than {names[1]}: are they in each other's place?"
            yield from _told(modality.name, dates, above, text)
    elif "reflectance" in modality.unit:
        scale = 1 if modality.unit == "reflectance x 10000" else 1e-4
        divided = known & (means.max(1) < _DIVIDED * scale)
        yield from _told(modality.name, dates, divided, "are as dark as if they had been divided")


def _told(name: str, dates: list[datetime.date], odd: np.ndarray, what: str) -> Iterator[str]:
    if odd.any():
        some = named([dates[i] for i in np.flatnonzero(odd)[:3]], int(odd.sum()), most=3)
        yield f"{odd.sum()} of {len(dates)} acquisitions of {name} ({some}) {what}"


def alike(name: str, dates: list[datetime.date], pairs: list[tuple[int, int]]) -> Iterator[str]:
    """Dates with the values of other ones."""
    if pairs:
        some = [f"{dates[one]} and {dates[other]}" for one, other in pairs[:3]]
        yield (
            f"{len(pairs)} of {len(dates)} acquisitions of {name} "
            f"{word(len(pairs), 'has', 'have')} the same values as another: "
            f"{named(some, len(pairs), most=3)}: is one file given twice?"
        )


def odd_parcels(dataset: Dataset, table: ParcelTable, covered: ParcelMap) -> Iterator[str]:
    """Classes that cannot be learned or tested, and parcels that are of no use."""
    if not len(table):
        yield "there are no parcels: it can be predicted, but not trained on"
        return
    nomenclature = dataset.nomenclature
    train = {dataset.folds.index(fold) for fold in dataset.split()["train"]}
    useful = ~nomenclature.is_void(table.label) & ~nomenclature.is_background(table.label)
    few, alone, untrained = [], [], []
    for number, entry in enumerate(nomenclature.classes):
        own = useful & (table.label == number)
        if not own.any():
            continue
        folds = {*table.fold[own].tolist()} - {-1}
        if own.sum() < _FEW_PARCELS:
            few.append(f"{entry.name} ({own.sum()})")
        if len(folds) == 1:
            alone.append(f"{entry.name} ({dataset.folds[folds.pop()]})")
        elif not folds or (dataset.splits is not None and not folds & train):
            untrained.append(entry.name)
    for found, what in (
        (few, f"fewer than {_FEW_PARCELS} parcels"),
        (alone, "parcels in one fold alone, so that they are trained or tested, never both"),
        (untrained, "no parcel in a fold that is trained on"),
    ):
        if found:
            have = word(len(found), "class has", "classes have")
            yield f"{len(found)} {have} {what}: {named(found, most=8)}"
    for place, fold in enumerate(dataset.folds):
        if not (useful & (table.fold == place)).any():
            yield f"fold {fold} has no parcel: runs that need it are refused"
    if covered.contested > _MOST_CONTESTED * covered.covered:
        share = covered.contested / covered.covered
        yield f"{share:.0%} of the pixels of parcels are claimed by several, and count for none"
    void, loose = nomenclature.is_void(table.label), table.fold < 0
    if (void | loose).mean() > _MOST_WITHOUT:
        yield (
            f"{(void | loose).mean():.0%} of {len(table):,} parcels count for nothing: "
            f"{void.sum():,} are void, {(loose & ~void).sum():,} of the others in no fold"
        )


def unseen_parcels(
    table: ParcelTable,
    unseen: Mapping[str, np.ndarray],
    sampled: np.ndarray,
    observed: Mapping[str, np.ndarray],
    clear: Mapping[str, np.ndarray],
) -> Iterator[str]:
    """Parcels without any observation, as far as is known from what was read.

    Args:
      table: The parcels.
      unseen: By modality, pixels in chunks that were never observed, (n,).
      sampled: Pixels in chunks that were read, (n,).
      observed: By modality, those of them that were observed at some date.
      clear: By modality, those of them that were observed without clouds at some date.
    """
    held, whole = table.pixels > 0, sampled == table.pixels
    if (without := ~held).any():
        yield (
            f"{without.sum():,} of {len(table):,} parcels hold no pixel, being small or claimed by "
            f"others as well, and count for nothing: "
            f"{named([*table.id[without][:3]], int(without.sum()), most=3)}"
        )
    for name, seen in observed.items():
        blind = held & ((unseen[name] == table.pixels) | (whole & (seen == 0)))
        hidden = held & ~blind & whole & (clear[name] == 0)
        least = "" if whole.all() else "at least "
        for some, what in ((blind, "at any date"), (hidden, "without clouds at any date")):
            if some.any():
                yield (
                    f"{least}{some.sum():,} of {len(table):,} parcels were not observed by {name} "
                    f"{what}: "
                    f"{named([*table.id[some][:3]], int(some.sum()), most=3)}"
                )
