"""Looks at a Region: what is in it, what is damaged, and what is odd about it."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Collection, Iterator, Mapping

import numpy as np
import tqdm

from pastis_jax.data.dataset import Fold
from pastis_jax.data.inspection import Finding, odd_days
from pastis_jax.data.reading import read_json
from pastis_jax.data.regions.grid import SHARD
from pastis_jax.data.regions.inspection import integrity, oddities, sampled
from pastis_jax.data.regions.inspection.parcel_map import ParcelMap, read_map
from pastis_jax.data.regions.store import Region
from pastis_jax.data.regions.table import NO_FOLD, ParcelTable
from pastis_jax.errors import DataError

FINDINGS = "findings.json"
"""What was noticed when the Region was made."""
_NOTED = (
    *("resampled", "sources", "files left out", "acquisitions outside", "acquisitions empty"),
    *("days of several orbits", "parcels outside", "parcels crs", "parcels repaired"),
    *("parcels beyond", "parcels overlap", "parcels between folds", "folds", "codes void"),
)
"""Kinds of findings that tell what was done, and need no look."""


@dataclasses.dataclass(frozen=True, eq=False)
class RegionSensed:
    """What a modality has observed of a Region.

    Attributes:
      days: Of its acquisitions, (t,).
      orbits: Number of acquisitions by relative orbit; nothing stands for an unknown one.
      months: Number of acquisitions by month, ``2023-09`` say.
      seen: Observations of a pixel by month, mean of all pixels.
      clouds: Share of the observed pixels of a month that are clouded; nothing without masks.
      dates: Number of acquisitions that observed any pixel of a chunk, (ny, nx).
      observed: Observations of a pixel, mean of each chunk, (ny, nx).
      clear: Those of them without clouds.
      missing: Share of the pixels of all acquisitions that were not observed.
      cloud: Share of the observed ones that are clouded; None without masks.
      bright: Of the images of chunks that were read, share that is mostly cloud or snow; None where
        it cannot be told.
      partly: Share that is at least partly so; None likewise.
    """

    days: np.ndarray
    orbits: Mapping[str, int]
    months: Mapping[str, int]
    seen: Mapping[str, float]
    clouds: Mapping[str, float]
    dates: np.ndarray
    observed: np.ndarray
    clear: np.ndarray
    missing: float
    cloud: float | None
    bright: float | None
    partly: float | None


@dataclasses.dataclass(frozen=True, eq=False)
class RegionInspection:
    """What is in a Region.

    Attributes:
      region: The Region.
      table: Of its parcels; None where it cannot be read.
      map: What its raster of parcels holds.
      areas: Square kilometres by fold, without the gaps between them; nothing where not known.
      parcels: Number of parcels by fold, None for those in none, and number of the class.
      hectares: What their pixels cover, likewise.
      sensed: By modality.
      read: Number of chunks of which the values were read.
      findings: What is wrong or odd, damage first.
      examples: What was observed of some parcels of each class, by its number.
    """

    region: Region
    table: ParcelTable | None
    map: ParcelMap
    areas: Mapping[Fold, float]
    parcels: Mapping[Fold | None, Mapping[int, int]]
    hectares: Mapping[Fold | None, Mapping[int, float]]
    sensed: Mapping[str, RegionSensed]
    read: int
    findings: tuple[Finding, ...]
    examples: Mapping[int, list[Mapping[str, sampled.Series]]]

    @property
    def damaged(self) -> bool:
        """Whether something is damaged or missing."""
        return any(finding.damage for finding in self.findings)

    @property
    def chunks(self) -> int:
        """Number of chunks that there are."""
        ny, nx = self.region.grid.chunks
        return ny * nx


def inspect_region(
    root: str | os.PathLike[str], *, every: bool = False, progress: bool = True
) -> RegionInspection:
    """Looks at a Region.

    Every file is opened and a part of it read, and all parcels are. Of the values, those of 32
    chunks spread over the Region are looked at, at every date; of a Region without more, all.

    Args:
      root: The folder.
      every: Whether to look at all values.
      progress: Whether to draw a progress bar.

    Raises:
      DataError: If it is no Region, or its metadata cannot be read.
      UserError: Without the extra `geo`.
    """
    region = Region(root)
    damage, odd = [*integrity.check_grid(region)], []
    table = None
    try:
        table = integrity.check_table(region)
    except DataError as error:
        damage.append(str(error))
    counts, sound = {}, {}
    for name in region.dataset.names:
        try:
            damage += (wrong := [*integrity.check_modality(region, name)])
            counts[name], lost = _counts(region, name)
            damage += lost
            sound[name] = not wrong
        except DataError as error:
            damage.append(str(error))
    places = sampled.choose(region.grid.chunks, every)
    files = [
        integrity.expect_files(region, name, array, chunks)
        for name in sound
        if sound[name]
        for array, chunks in _held(region, name, counts[name]).items()
    ]
    with tqdm.tqdm(total=sum(map(len, files)), desc="Files", disable=not progress) as bar:
        for some in files:
            damage += integrity.check_files(region, some, bar.update)
    shards = sum(1 for _ in region.grid.blocks(SHARD))
    steps = shards + len(places) * sum(sound.values())
    with tqdm.tqdm(total=steps, desc="Looking", unit=" blocks", disable=not progress) as bar:
        seen = {name: observed.any(0) for name, (observed, _) in counts.items()}
        covered = read_map(region, table, seen, bar.update)
        damage += covered.damage
        # Where the two disagree, what numbers mean is not known.
        known = None if covered.damage else table
        chosen, pixels = {}, np.zeros(0, np.int64)
        if known is not None:
            chosen, pixels = sampled.choose_parcels(region, known, places)
        looked = {}
        for name in (name for name in sound if sound[name]):
            looked[name] = sampled.look(
                region, name, places, counts[name], known, chosen, bar.update
            )
            damage += looked[name].damage
    sensed = {name: _sensed(region, name, of, looked.get(name)) for name, of in counts.items()}
    odd += _odd(region, counts, looked)
    if known is not None:
        odd += oddities.odd_parcels(region.dataset, known, covered)
        observed = {name: own.observed for name, own in looked.items()}
        clear = {name: own.clear for name, own in looked.items()}
        odd += oddities.unseen_parcels(known, covered.unseen, pixels, observed, clear)
    findings = [Finding(True, text) for text in damage] + [Finding(False, text) for text in odd]
    every_day = {name: [own.days] for name, own in sensed.items()}
    findings += odd_days(every_day, None, region.dataset)
    # These were looked for anew.
    again = {"months without dates", *([] if known is None else ["parcels without pixels"])}
    findings += sorted(_noticed(region, again), key=lambda finding: finding.noted)
    return RegionInspection(
        region=region,
        table=table,
        map=covered,
        areas=_areas(region, covered),
        parcels=_by_class(region, table, None),
        hectares=_by_class(region, table, region.grid.pixel_size**2 / 1e4),
        sensed=sensed,
        read=len(places),
        findings=tuple(findings),
        examples=_examples(looked, known, chosen),
    )


def _counts(region: Region, name: str) -> tuple[tuple[np.ndarray, np.ndarray], list[str]]:
    """Observed and clouded pixels of chunks, (t, ny, nx), and what is wrong with them."""
    observed, wrong = integrity.read_counts(region, name, "observed")
    clouded = np.zeros_like(observed)
    if region.masked(name):
        clouded, more = integrity.read_counts(region, name, "clouded")
        wrong += more
    return (observed, clouded), wrong


def _held(
    region: Region, name: str, counts: tuple[np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    """Chunks that the arrays of a modality must have, (t, ny, nx)."""
    held = {"values": counts[0] > 0}
    return held | {"mask": counts[1] > 0} if region.masked(name) else held


def _sensed(
    region: Region,
    name: str,
    counts: tuple[np.ndarray, np.ndarray],
    looked: sampled.Looked | None,
) -> RegionSensed:
    days, (observed, clouded) = region.days(name), counts
    months = [f"{region.dataset.date(day):%Y-%m}" for day in days]
    seen, hidden = observed.sum((1, 2), dtype=np.int64), clouded.sum((1, 2), dtype=np.int64)
    size, total = integrity.chunk_pixels(region), max(int(seen.sum()), 1)
    by_month, clouds = {}, {}
    for month in dict.fromkeys(months):
        own = [place for place, other in enumerate(months) if other == month]
        by_month[month] = float(seen[own].sum() / size.sum())
        if region.masked(name) and seen[own].sum():
            clouds[month] = float(hidden[own].sum() / seen[own].sum())
    return RegionSensed(
        days=days,
        orbits=collections.Counter(region.orbits(name)),
        months=collections.Counter(months),
        seen=by_month,
        clouds=clouds,
        dates=(observed > 0).sum(0),
        observed=observed.sum(0) / size,
        clear=(observed - clouded).sum(0) / size,
        missing=1 - int(seen.sum()) / max(len(days) * int(size.sum()), 1),
        cloud=int(hidden.sum()) / total if region.masked(name) else None,
        bright=None if looked is None else looked.bright,
        partly=None if looked is None else looked.partly,
    )


def _odd(
    region: Region,
    counts: Mapping[str, tuple[np.ndarray, np.ndarray]],
    looked: Mapping[str, sampled.Looked],
) -> Iterator[str]:
    dataset = region.dataset
    every = np.concatenate([np.zeros(0, np.int32), *(region.days(name) for name in counts)])
    months = []
    if every.size:
        first, last = dataset.date(every.min()), dataset.date(every.max())
        months = oddities.months_between(first, last)
    for name, (observed, _) in counts.items():
        yield from oddities.odd_dates(name, dataset, region.days(name), observed, months)
    for name, own in looked.items():
        dates = [dataset.date(day) for day in region.days(name)]
        yield from oddities.odd_reflectance(dataset[name], dates, own.dark)
        yield from oddities.odd_units(dataset[name], dates, own.means)
        yield from oddities.alike(name, dates, own.alike)
        yield from own.surveyed.notes()


def _noticed(region: Region, known: Collection[str]) -> Iterator[Finding]:
    """What was noticed when the Region was made, without the kinds that are known already."""
    file, remedy = region.root / FINDINGS, "it is not needed; ingest the Region again to have it"
    try:
        for entry in read_json(file, kind="findings of an ingestion", remedy=remedy):
            kind, text = entry["kind"], entry["text"]
            if kind in _NOTED:
                yield Finding(False, text, noted=True)
            elif kind not in known:
                yield Finding(False, f"when it was made: {text}")
    except DataError as error:
        yield Finding(False, str(error))
    except (KeyError, TypeError, IndexError):
        yield Finding(False, integrity.fault("not findings of an ingestion", file, remedy))


def _areas(region: Region, covered: ParcelMap) -> dict[Fold, float]:
    if covered.folds is None:
        return {}
    areas = covered.areas * region.grid.pixel_size**2 / 1e6
    return dict(zip(region.dataset.folds, areas.tolist(), strict=True))


def _by_class(region: Region, table: ParcelTable | None, area: float | None) -> dict:
    """Parcels by fold and class, or what they cover where the area of a pixel is given."""
    counted: dict[Fold | None, dict[int, float]] = {fold: {} for fold in region.dataset.folds}
    if table is None:
        return counted
    names = {place: fold for place, fold in enumerate(region.dataset.folds)} | {NO_FOLD: None}
    for place, fold in names.items():
        own = table.fold == place
        labels, numbers = np.unique(table.label[own], return_counts=True)
        if area is not None:
            sums = np.bincount(table.label[own], table.pixels[own] * area)
            numbers = sums[labels]
        counted[fold] = dict(zip(labels.tolist(), numbers.tolist(), strict=True))
    return counted


def _examples(
    looked: Mapping[str, sampled.Looked],
    table: ParcelTable | None,
    chosen: Mapping[sampled.Place, list[int]],
) -> dict[int, list[Mapping[str, sampled.Series]]]:
    examples = collections.defaultdict(list)
    for numbers in chosen.values():
        for number in numbers:
            series = {
                name: own.series[number] for name, own in looked.items() if number in own.series
            }
            if len(series) == len(looked) and table is not None:
                examples[int(table.label[number - 1])].append(series)
    return dict(examples)
