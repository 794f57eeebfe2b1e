"""A small picture of a large Region: the median of its clearest dates."""

from __future__ import annotations

import numpy as np
import tqdm

from pastis_jax.data.regions.grid import CHUNK
from pastis_jax.data.regions.store import Region
from pastis_jax.data.regions.writer import CLOUDED

_READ = 20_000
"""About the most chunks that are read."""
_LEAST, _MOST = 3, 9
"""Dates of each chunk."""


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


def _median(values: np.ndarray) -> np.ndarray:
    """Median over the first axis of what is no NaN, NaN where there is nothing."""
    ordered = np.sort(values, axis=0)  # NaN come last
    known = np.isfinite(ordered).sum(0, keepdims=True)
    low, high = (np.maximum(known - 1, 0) // 2, np.minimum(known // 2, len(values) - 1))
    middle = [np.take_along_axis(ordered, place, 0)[0] for place in (low, high)]
    return np.where(known[0] > 0, (middle[0] + middle[1]) / 2, np.nan)
