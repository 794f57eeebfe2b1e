"""Small pictures of a large Region: the median of its clearest dates, and where scenes lie."""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import tqdm

from pastis_jax.data.regions.grid import CHUNK
from pastis_jax.data.regions.inspection import integrity
from pastis_jax.data.regions.store import Region
from pastis_jax.data.regions.writer import CLOUDED
from pastis_jax.errors import DataError

_READ = 20_000
"""About the most chunks that are read."""
_LEAST, _MOST = 3, 9
"""Dates of each chunk."""
_OF_ORBIT = 3
"""Acquisitions of an orbit that are looked at for where it reaches."""


def median(region: Region, modality: str, step: int, *, progress: bool = True) -> np.ndarray:
    """Returns the median of the clearest dates, at one of every `step` pixels.

    The dates that are clearest over the whole Region come first, and at each chunk those that show
    it; so neighbours are mostly of the same dates.

    Args:
      region: The Region.
      modality: Its modality.
      step: Pixels from one to the next.
      progress: Whether to draw a progress bar.

    Returns:
      float32 (h, w, c) in the stored unit, NaN where nothing is clear.

    Raises:
      DataError: If something cannot be read.
    """
    grid, sensor = region.grid, region.dataset[modality]
    shape = -(-grid.height // step), -(-grid.width // step), len(sensor.channels)
    picture = np.full(shape, np.nan, np.float32)
    observed = region.observed(modality)
    clear = observed - region.clouded(modality)
    number = int(np.clip(_READ // max(observed[:1].size, 1), _LEAST, _MOST))
    order = np.argsort(-clear.sum((1, 2)), kind="stable")
    blocks = [*grid.blocks(CHUNK)]
    for rows, columns in tqdm.tqdm(blocks, desc=f"Median of {modality}", disable=not progress):
        top, left = -rows.start % step, -columns.start % step
        here = clear[:, rows.start // CHUNK, columns.start // CHUNK]
        good = order[here[order] > 0.5 * max(here.max(initial=0), 1)][:number]
        if not good.size:
            continue
        dates = np.sort(good)
        values = region.read(modality, rows, columns, dates)[..., top::step, left::step]
        lost, values = sensor.missing(values), values.astype(np.float32)
        if lost is not None:
            values[lost] = np.nan
        if (mask := region.mask(modality, rows, columns, dates)) is not None:
            clouded = mask[:, top::step, left::step] == CLOUDED
            values[np.broadcast_to(clouded[:, None], values.shape)] = np.nan
        y, x = (rows.start + top) // step, (columns.start + left) // step
        _, _, h, w = values.shape
        picture[y : y + h, x : x + w] = _median(values).transpose(1, 2, 0)
    return picture


def footprint(region: Region, names: Collection[str], step: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns which pixels any of some modalities ever observed.

    A chunk that one acquisition observed as a whole needs no reading. Of the others, the fullest
    acquisitions of each modality and orbit are read, as those of an orbit mostly end alike.

    Args:
      region: The Region.
      names: The modalities, whose counts can be read, if not all of them.
      step: Pixels from one to the next of those that are returned.

    Returns:
      Whether each of them was observed, (h, w) bool, and the number in each chunk, of all pixels,
      (ny, nx).

    Raises:
      DataError: If no counts of a modality can be read.
    """
    grid, dataset = region.grid, region.dataset
    seen = np.zeros((-(-grid.height // step), -(-grid.width // step)), bool)
    number = np.zeros(grid.chunks, np.int64)
    counts = {
        name: integrity.read_counts(region, name, "observed")[0]
        for name in names
        if len(region.days(name))
    }
    for rows, columns in grid.blocks(CHUNK):
        y, x = rows.start // CHUNK, columns.start // CHUNK
        here = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
        most = max((int(of[:, y, x].max()) for of in counts.values()), default=0)
        if most >= here.size:
            here[:] = True
        for name, of in counts.items() if most else ():
            for dates in _fullest(of[:, y, x], region.orbits(name)):
                if here.all():
                    break
                try:
                    values = region.read(name, rows, columns, dates)
                except DataError:  # which is told as damage: as if all of it had been observed
                    here[:] = True
                    break
                lost = dataset[name].missing(values)
                here |= True if lost is None else ~lost.any(1).all(0)
        number[y, x] = here.sum()
        top, left = -rows.start % step, -columns.start % step
        few = here[top::step, left::step]
        row, column = (rows.start + top) // step, (columns.start + left) // step
        seen[row : row + few.shape[0], column : column + few.shape[1]] = few
    return seen, number


def _fullest(counts: np.ndarray, orbits: Sequence[str]) -> Iterator[np.ndarray]:
    """Dates (1,) with the most pixels of counts (t,), some of each orbit, the fullest first."""
    order = [date for date in np.argsort(-counts, kind="stable").tolist() if counts[date]]
    taken: collections.Counter[str] = collections.Counter()
    for date in order:
        taken[orbits[date]] += 1
        if taken[orbits[date]] <= _OF_ORBIT:
            yield np.array([date])


def _median(values: np.ndarray) -> np.ndarray:
    """Median over the first axis of what is no NaN, NaN where there is nothing."""
    ordered = np.sort(values, axis=0)  # NaN come last
    known = np.isfinite(ordered).sum(0, keepdims=True)
    low, high = (np.maximum(known - 1, 0) // 2, np.minimum(known // 2, len(values) - 1))
    middle = [np.take_along_axis(ordered, place, 0)[0] for place in (low, high)]
    return np.where(known[0] > 0, (middle[0] + middle[1]) / 2, np.nan)
