"""Maps of pixels: overlapping windows, blended by their weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import PyTree

from pastis_jax.mapping import coverage
from pastis_jax.mapping.ahead import ahead
from pastis_jax.mapping.blocks import NODATA, UNCLASSIFIED, Block, Content, percent
from pastis_jax.types import Series

if TYPE_CHECKING:
    from pastis_jax.mapping.mapper import Mapper


class SemanticBlocks:
    """Predicts blocks of a map of pixels.

    Every window that touches a block is predicted, and blended with sin^2 weights: what a pixel
    gets does not feel how the Region is cut into blocks. A pixel that no modality which the scheme
    reads has observed is nodata.

    Args:
      mapper: What it is predicted with.
    """

    def __init__(self, mapper: Mapper):
        self._mapper = mapper
        spec = mapper.run.task.spec
        self._read = [spec.modalities.index(name) for name in spec.read]
        self._parcels = coverage.Coverage.of(mapper)

    def __call__(self, block: Block) -> Content:
        """Predicts a block."""
        options = self._mapper.options
        shares, dates = self.blend(block)
        known = dates[self._read].any(0) & np.isfinite(shares).all(0)
        shares[:, ~known] = np.nan
        content: Content = {"dates": dates, **classes_of(shares, known, options.reject)}
        if options.probabilities:
            content["probabilities"] = percent(shares)
        if self._parcels is not None:
            content |= self._parcels(block, shares, dates)
        return content

    def blend(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """Blends the windows that touch a block.

        Returns:
          Probabilities, (k, h, w) float32, NaN where no window could be predicted; and valid dates
          by modality, (m, h, w) uint16.
        """
        mapper, grid = self._mapper, self._mapper.grid
        k, m = len(mapper.run.classes.names), len(mapper.run.modalities)
        total = np.zeros((k, *block.shape), np.float32)
        weight = np.zeros(block.shape, np.float32)
        dates = np.zeros((m, *block.shape), np.uint16)
        places = [*grid.touching(block.rows, block.columns)]
        for window, counts, shares in predicted(mapper, places):
            inside, part = overlap(window, block)
            dates[:, *inside] = np.maximum(dates[:, *inside], counts[:, *part])
            # NaN where resampling has masked every date.
            if shares is not None and np.isfinite(shares[..., 0]).all():
                weights = grid.weights[part]
                total[:, *inside] += weights * np.moveaxis(shares[part], -1, 0)
                weight[inside] += weights
        with np.errstate(invalid="ignore"):
            return total / weight, dates


def predicted(
    mapper: Mapper,
    places: Sequence[tuple[int, int]],
    answer: Callable[[Mapping[str, Series]], PyTree[np.ndarray]] | None = None,
) -> Iterator[tuple[tuple[slice, slice], np.ndarray, Any]]:
    """Predicts windows, a batch at a time; the next one is read meanwhile.

    Args:
      mapper: What they are predicted with.
      places: Of the windows, among all.
      answer: Predicts a batch, ``b ...``; None for what the run answers.

    Returns:
      For each window its rows and columns, the valid dates of its pixels by modality, (m, h, w)
      uint16, and what is predicted; None where it has no valid date, or none of a modality that
      the scheme cannot do without.
    """
    inputs, grid, size = mapper.inputs, mapper.grid, mapper.batch_size
    answer = answer or mapper.run.answer
    batches = [places[i : i + size] for i in range(0, len(places), size)]

    def read(batch):
        windows = [grid.window(place) for place in batch]
        frames = [inputs.read(*window) for window in windows]
        counts = [inputs.counts(one, grid.size) for one in frames]
        series = inputs.stack(frames, size, grid.size) if any(c.any() for c in counts) else None
        return windows, counts, series

    for windows, counts, series in ahead(read, batches):
        usable = np.zeros(size, bool) if series is None else mapper.run.usable(series)
        predictions = answer(series) if usable.any() else None
        for i, (window, count) in enumerate(zip(windows, counts, strict=True)):
            one = jax.tree.map(lambda x, i=i: x[i], predictions) if usable[i] else None
            yield window, count, one


def overlap(window: tuple[slice, slice], block: Block):
    """Where a window lies in a block, and the same pixels in the window."""
    inside, part = [], []
    for own, whole in zip(window, (block.rows, block.columns), strict=True):
        start, stop = max(own.start, whole.start), min(own.stop, whole.stop)
        inside.append(slice(start - whole.start, stop - whole.start))
        part.append(slice(start - own.start, stop - own.start))
    return tuple(inside), tuple(part)


def classes_of(shares: np.ndarray, known: np.ndarray, reject: float) -> Content:
    """Most probable class, its probability, and how far the next one lies below.

    Args:
      shares: Probabilities, (k, ...), NaN where nothing is known.
      known: Where something is, (...).
      reject: Confidence below which nothing is classified.

    Returns:
      `crop`, `confidence` and `margin`, (...) uint8.
    """
    filled = np.where(known, shares, 0)
    crop = filled.argmax(0).astype(np.uint8)
    best = filled.max(0)
    second = np.partition(filled, -2, axis=0)[-2] if len(filled) > 1 else np.zeros_like(best)
    crop[best < reject] = UNCLASSIFIED
    crop[~known] = NODATA
    return {
        "crop": crop,
        "confidence": percent(np.where(known, best, np.nan)),
        "margin": percent(np.where(known, best - second, np.nan)),
    }
