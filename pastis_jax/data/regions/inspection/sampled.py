"""The values of some chunks of a Region, or of all, at every date: what they are like."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from pastis_jax.data import arrays
from pastis_jax.data.inspection import BLUEST, count_bright
from pastis_jax.data.regions.cube import FOLDER
from pastis_jax.data.regions.grid import CHUNK
from pastis_jax.data.regions.inspection.integrity import fault
from pastis_jax.data.regions.store import Region
from pastis_jax.data.regions.table import ParcelTable
from pastis_jax.data.regions.writer import CLOUDED
from pastis_jax.data.survey import Survey, from_json
from pastis_jax.data.surveyed import Surveyed
from pastis_jax.errors import DataError

MOST = 32
"""Chunks that are looked at, where not all are."""
DARK = 5
"""Per cent of the pixels that are the dark ones."""
_WORKERS, _STEP = 2, 4
_PARCELS, _PIXELS, _FEWEST = 3, 256, 4
"""Parcels of each class that are shown, most pixels of one, and least."""

Place = tuple[int, int]
"""Row and column of a chunk."""
Series = tuple[np.ndarray, np.ndarray]
"""Values (t, c, s) and days (t,) of one modality."""


@dataclasses.dataclass(eq=False)
class Looked:
    """What the values of a modality are like in the chunks that were looked at.

    Attributes:
      damage: What is damaged or cannot have been measured, a line each.
      dark: Of the bluest channel of reflectance at each date, the median over chunks of what a
        twentieth of the clear pixels is below, in the unit, (t,); NaN where none is clear.
      means: Mean of each channel at each date, the median over chunks, as it is stored, (t, c); NaN
        where none was observed.
      alike: Dates of which every value is that of an earlier one, and these earlier ones.
      bright: Share of the images of a chunk that are mostly cloud or snow; None where unknown.
      partly: Share of those that are at least partly so; None likewise.
      observed: Pixels of each parcel that were observed at some date, (n,).
      clear: Pixels of each parcel that were observed without clouds at some date, (n,).
      series: What was observed of the parcels that are shown, clouds left out.
      surveyed: What values are like by fold.
    """

    damage: list[str]
    dark: np.ndarray
    means: np.ndarray
    alike: list[tuple[int, int]]
    bright: float | None
    partly: float | None
    observed: np.ndarray
    clear: np.ndarray
    series: Mapping[int, Series]
    surveyed: Surveyed


@dataclasses.dataclass(frozen=True, eq=False)
class _Seen:
    """What was found in one chunk."""

    fault: DataError | None
    recount: bool
    digests: list[bytes | None]
    dark: np.ndarray
    means: np.ndarray
    bright: np.ndarray
    pixels: tuple[np.ndarray, ...]
    series: dict[int, Series]
    moments: dict[str, Any]


def choose(chunks: Place, every: bool) -> list[Place]:
    """Chunks to look at: all where they are few, else `MOST` at most, evenly spread.

    Args:
      chunks: Rows and columns of chunks that there are.
      every: Whether to take all of them anyway.
    """
    ny, nx = chunks
    if every or ny * nx <= MOST:
        return [(y, x) for y in range(ny) for x in range(nx)]
    high = int(np.clip(round((MOST * ny / nx) ** 0.5), 1, min(ny, MOST)))
    wide = min(nx, MOST // high)
    rows, columns = (
        ((np.arange(few) + 0.5) * total / few).astype(int)
        for few, total in ((high, ny), (wide, nx))
    )
    return [(int(y), int(x)) for y in rows for x in columns]


def window(region: Region, place: Place) -> tuple[slice, slice]:
    """Rows and columns of pixels of a chunk."""
    rows, columns = (
        slice(n * CHUNK, min(n * CHUNK + CHUNK, side))
        for n, side in zip(place, (region.grid.height, region.grid.width), strict=True)
    )
    return rows, columns


def choose_parcels(
    region: Region, table: ParcelTable, places: Sequence[Place]
) -> tuple[dict[Place, list[int]], np.ndarray]:
    """Chooses the largest parcels of each class, and counts what there is of all.

    Args:
      region: The Region.
      table: Of its parcels.
      places: Chunks that are looked at.

    Returns:
      Numbers of parcels by chunk, and the pixels of each parcel in these chunks, (n,).

    Raises:
      DataError: If the raster cannot be read.
    """
    pixels = np.zeros(len(table) + 1, np.int64)
    largest: dict[int, list[tuple[int, Place, int]]] = collections.defaultdict(list)
    for place in places:
        numbers = region.numbers(*window(region, place))
        own = numbers[(numbers > 0) & (numbers <= len(table))]
        here, counted = np.unique(own, return_counts=True)
        pixels[here] += counted
        for number, size in zip(here.tolist(), counted.tolist(), strict=True):
            if size >= _FEWEST and table.fold[number - 1] >= 0:
                known = largest[int(table.label[number - 1])]
                known.append((size, place, number))
                known.sort(key=lambda parcel: (-parcel[0], parcel[2]))
                taken = list({parcel[2]: parcel for parcel in reversed(known)}.values())
                largest[int(table.label[number - 1])] = taken[::-1][:_PARCELS]
    chosen: dict[Place, list[int]] = collections.defaultdict(list)
    for some in largest.values():
        for _, place, number in some:
            chosen[place].append(number)
    return chosen, pixels[1:]


def look(
    region: Region,
    name: str,
    places: Sequence[Place],
    counts: tuple[np.ndarray, np.ndarray],
    table: ParcelTable | None,
    chosen: Mapping[Place, Sequence[int]],
    tell: Callable[[int], object],
) -> Looked:
    """Reads chunks of a modality at every date.

    Args:
      region: The Region.
      name: The modality.
      places: The chunks.
      counts: `observed` and `clouded` of it, (t, ny, nx), which are counted again.
      table: Of the parcels; None where it cannot be read.
      chosen: Parcels to keep, by chunk.
      tell: Called with the number of chunks that were read.
    """
    t, n = len(region.days(name)), 0 if table is None else len(table)
    modality, dataset = region.dataset[name], region.dataset
    c = len(modality.channels)
    hashes, known = [hashlib.blake2b(digest_size=16) for _ in range(t)], np.zeros(t, bool)
    dark, means, other, series = [], [], [], {}
    unreadable, faults, damage = [], [], []
    bright, pixels = np.zeros(5), np.zeros((2, n + 1), np.int64)
    survey = Survey([modality], dataset.folds)

    def read(place: Place) -> tuple[Place, _Seen | DataError]:
        try:
            return place, _read(region, name, place, counts, n, chosen.get(place, ()), survey)
        except DataError as error:
            return place, error

    with ThreadPoolExecutor(_WORKERS) as pool:
        for place, seen in pool.map(read, places):
            tell(1)
            if isinstance(seen, DataError):
                unreadable.append(seen)
                continue
            faults += [] if seen.fault is None else [seen.fault]
            other += [] if seen.recount else [place]
            for date, digest in enumerate(seen.digests):
                hashes[date].update(digest or b"none")
                known[date] |= digest is not None
            dark.append(seen.dark)
            means.append(seen.means.ravel())
            bright += seen.bright
            series |= seen.series
            for total, (here, counted) in zip(
                pixels, (seen.pixels[:2], seen.pixels[2:]), strict=True
            ):
                total[here] += counted
            if seen.moments and table is not None and (fold := _fold(region, place, table)) >= 0:
                survey.add(dataset.folds[fold], place, seen.moments)
    where = region.root / FOLDER / name / "values"
    for errors in filter(None, (unreadable, faults)):
        some = f" (so are {len(errors)} of {len(places)} chunks)" if len(places) > 1 else ""
        damage.append(fault(f"{errors[0].fault}{some}", errors[0].where, errors[0].remedy))
    if other:
        rows, columns = window(region, other[0])
        text = (
            f"{len(other)} of {len(places)} chunks that were read hold another number of observed "
        )
        text += f"or clouded pixels than is counted: rows {rows.start}, columns {columns.start} on"
        damage.append(fault(text, where))
    bright, partly, dates = bright[:3].tolist()
    tells = "reflectance" in modality.unit
    return Looked(
        damage=damage,
        dark=_median(np.array(dark).reshape(-1, t)),
        means=_median(np.array(means).reshape(-1, t * c)).reshape(t, c),
        alike=_alike([h.digest() for h in hashes], known),
        bright=bright / max(dates, 1) if tells else None,
        partly=partly / max(dates, 1) if tells else None,
        observed=pixels[0, 1:],
        clear=pixels[1, 1:],
        series=series,
        surveyed=from_json(survey.to_json(), dataset)[name],
    )


def _read(
    region: Region,
    name: str,
    place: Place,
    counts: tuple[np.ndarray, np.ndarray],
    n: int,
    chosen: Sequence[int],
    survey: Survey,
) -> _Seen:
    """Looks at one chunk; may run in any thread."""
    modality, (rows, columns) = region.dataset[name], window(region, place)
    values, mask = region.read(name, rows, columns), region.mask(name, rows, columns)
    numbers = region.numbers(rows, columns) if n else np.zeros(values.shape[2:], np.int32)
    missing, error = modality.missing(values), None
    seen = np.ones(values[:, 0].shape, bool) if missing is None else ~missing.any(1)
    clouded = np.zeros_like(seen) if mask is None else seen & (mask == CLOUDED)
    recount = all(
        np.array_equal(own.sum((1, 2)), counted[:, place[0], place[1]])
        for own, counted in zip((seen, clouded), counts, strict=True)
    )
    where = region.root / FOLDER / name / "values"
    try:
        arrays.check_series_values(values, modality, where)
    except DataError as refused:
        text = f"{refused.where}, rows {rows.start} to {rows.stop}, columns {columns.start} to "
        where = f"{text}{columns.stop}"
        error = DataError(refused.fault, where=where, remedy=refused.remedy)
    digests = [
        hashlib.blake2b(of.tobytes(), digest_size=16).digest() if any_seen else None
        for of, any_seen in zip(values, seen.any((1, 2)), strict=True)
    ]
    clear, known = seen & ~clouded, (numbers > 0) & (numbers <= n)
    days, series = region.days(name), {}
    for number in chosen:
        pixels = np.flatnonzero(numbers == number)[:_PIXELS]
        own = values.reshape(*values.shape[:2], -1)[..., pixels]
        kept = clear.reshape(len(days), -1)[:, pixels].mean(1) >= 0.5
        series[number] = own[kept], days[kept]
    tells = "reflectance" in modality.unit
    return _Seen(
        fault=error,
        recount=recount,
        digests=digests,
        dark=_dark(region, name, values, clear) if tells else np.full(len(days), np.nan),
        means=_means(values, seen),
        bright=count_bright(values, modality),
        pixels=(
            *np.unique(numbers[known & seen.any(0)], return_counts=True),
            *np.unique(numbers[known & clear.any(0)], return_counts=True),
        ),
        series=series,
        moments={} if error or not seen.any() else survey.measure({name: (values, days)}),
    )


def _dark(region: Region, name: str, values: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """What a twentieth of the clear pixels of each date is below, (t,), NaN where few are clear."""
    modality = region.dataset[name]
    blue = values[:, modality.channels.index(modality.shown.channels[BLUEST])]
    dark = np.full(len(values), np.nan)
    for date, (image, seen) in enumerate(zip(blue, clear, strict=True)):
        if seen.mean() >= 0.2:  # between clouds, shadows and haze are all that is left
            dark[date] = np.percentile(image[seen], DARK) + modality.offset
    return dark


def _means(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Mean of each channel at each date (t, c), of some of the observed pixels (t, h, w)."""
    few, seen = values[..., ::_STEP, ::_STEP].astype(np.float64), seen[:, None, ::_STEP, ::_STEP]
    total = np.where(seen, few, 0).sum((2, 3))
    number = seen.sum((2, 3))
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _fold(region: Region, place: Place, table: ParcelTable) -> int:
    """The fold of most pixels of parcels in a chunk; -1 without one."""
    numbers = region.numbers(*window(region, place))
    folds = table.fold[numbers[(numbers > 0) & (numbers <= len(table))] - 1]
    folds = folds[folds >= 0]
    return int(np.bincount(folds).argmax()) if folds.size else -1


def _median(values: np.ndarray) -> np.ndarray:
    """Median over chunks (k, n), NaN where there is none."""
    result = np.full(values.shape[1], np.nan)
    for place, column in enumerate(values.T):
        if (known := column[np.isfinite(column)]).size:
            result[place] = np.median(known)
    return result


def _alike(digests: Sequence[bytes], known: np.ndarray) -> list[tuple[int, int]]:
    first: dict[bytes, int] = {}
    pairs = []
    for date in np.flatnonzero(known).tolist():
        if (earlier := first.setdefault(digests[date], date)) != date:
            pairs.append((date, earlier))
    return pairs
