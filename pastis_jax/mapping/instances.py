"""Panoptic maps: what the windows of a block found, and what is made of it at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from pastis_jax.mapping.blocks import NODATA, UNCLASSIFIED, Block, Content, percent
from pastis_jax.mapping.instance_results import results_of
from pastis_jax.mapping.joining import Joined, joined
from pastis_jax.mapping.parcel_results import ParcelResults
from pastis_jax.mapping.pieces import packed, pieces_of
from pastis_jax.mapping.semantic import overlap, predicted
from pastis_jax.types import Series

if TYPE_CHECKING:
    from pastis_jax.mapping.made import Made
    from pastis_jax.mapping.mapper import Mapper


class InstanceBlocks:
    """Predicts blocks of a panoptic map.

    A block holds what the windows found whose central cell begins in it, so that every window is
    predicted once; see `pieces`. They are joined when all blocks are there. Beside these it holds
    `dates`, and `known`, (h, w) bool: where any window that was predicted has a valid date of a
    modality whose dates are read.

    Args:
      mapper: What it is predicted with.
    """

    def __init__(self, mapper: Mapper):
        self._mapper = mapper
        spec = mapper.run.task.spec
        self._read = [spec.modalities.index(name) for name in spec.read]
        self._answer = answer_of(mapper)

    def __call__(self, block: Block) -> Content:
        """Predicts a block."""
        mapper, grid = self._mapper, self._mapper.grid
        dates = np.zeros((len(mapper.run.modalities), *block.shape), np.uint16)
        known = np.zeros(block.shape, bool)
        own = [*grid.owned(block.rows, block.columns)]
        pieces = []

        def count(window, counts, usable):
            if all(w.start < b.stop and b.start < w.stop for w, b in _sides(window, block)):
                inside, part = overlap(window, block)
                dates[:, *inside] = np.maximum(dates[:, *inside], counts[:, *part])
                if usable:
                    known[inside] |= counts[self._read][:, *part].any(0)

        for place, (window, counts, found) in zip(
            own, predicted(mapper, own, self._answer), strict=True
        ):
            count(window, counts, found is not None)
            if found is not None:
                pieces += pieces_of(grid, place, *found)
        owned = {*own}
        for place in grid.touching(block.rows, block.columns):
            if place not in owned:
                count(*self._seen(place))
        return {"dates": dates, "known": known, **packed(pieces, len(mapper.run.classes.names))}

    def _seen(self, place: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray, bool]:
        """Pixels of a window, their valid dates, and whether it can be predicted."""
        mapper, grid = self._mapper, self._mapper.grid
        window = grid.window(place)
        frames = mapper.inputs.read(*window)
        counts = mapper.inputs.counts(frames, grid.size)
        usable = counts.any() and mapper.run.usable(mapper.inputs.stack([frames], 1, grid.size))[0]
        return window, counts, bool(usable)


def _sides(window, block):
    return zip(window, (block.rows, block.columns), strict=True)


def answer_of(mapper: Mapper) -> Callable[[Mapping[str, Series]], tuple[np.ndarray, ...]]:
    """What predicts a batch of windows.

    Returns:
      A function of the series: slot + 1 of each pixel's instance, (b, h, w) int32, the confidence
      of each slot, (b, i), and the probabilities of its classes, (b, i, k).
    """

    def answer(series: Mapping[str, Series]) -> tuple[np.ndarray, ...]:
        found = mapper.run.answer(series)
        return found.instances, found.confidence, found.probability

    return answer


# At the end


def numbered(made: Made) -> Iterator[tuple[Block, Content]]:
    """Gives `instances` of each block: the number of each pixel's, 0 for none, (h, w) uint32."""
    whole = joined(made)
    for block in made.blocks:
        yield block, {"instances": whole.numbers(block).astype(np.uint32)}


def painted(made: Made) -> Iterator[tuple[Block, Content]]:
    """Gives `crop`, `confidence` and `margin` of each block, (h, w) uint8.

    Confidence and margin are those of the instance's class. Pixels of no instance are background,
    of which a model that finds parcels tells no probability.
    """
    whole = joined(made)
    background = made.classes.background
    crop = np.append(UNCLASSIFIED if background is None else background, labels(made, whole))
    best, margin = certainty(whole.probability)
    layers = {
        "crop": crop.astype(np.uint8),
        "confidence": np.append(NODATA, percent(best)).astype(np.uint8),
        "margin": np.append(NODATA, percent(margin)).astype(np.uint8),
    }
    for block in made.blocks:
        numbers, known = whole.numbers(block), whole.known(block)
        yield (
            block,
            {name: np.where(known, of[numbers], NODATA) for name, of in layers.items()},
        )


def labels(made: Made, whole: Joined) -> np.ndarray:
    """Class of each instance, (n,) uint8; `UNCLASSIFIED` below the least confidence."""
    best, _ = certainty(whole.probability)
    crop = np.where(best < made.options.reject, UNCLASSIFIED, whole.probability.argmax(1))
    return crop.astype(np.uint8)


def certainty(probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probability of the most probable class of each, and how far the next lies below, (n,)."""
    ordered = np.sort(probability, axis=1)
    best = ordered[:, -1]
    return best, best - (ordered[:, -2] if ordered.shape[1] > 1 else 0)


def results(made: Made) -> ParcelResults:
    """The instances as a table, in the order of their numbers; see `ParcelResults`."""
    whole = joined(made)
    return results_of(made, whole, labels(made, whole))


def notes(made: Made) -> Iterator[str]:
    """What became of what the windows found, a line each."""
    counts = joined(made).counts
    yield (
        f"{counts['instances']:,} instances, of {counts['found']:,} that windows found; "
        f"{counts['joined']:,} of these are parts of others, or others found again"
    )
    for name, fault in (
        ("covered", "lie under more confident ones, and are left out"),
        ("background", "are background, and are left out"),
    ):
        if counts[name]:
            yield f"{counts[name]:,} instances {fault}"
