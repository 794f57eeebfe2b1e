"""Panoptic maps without a model: windows that see the truth, or something near it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pastis_jax.mapping.blocks import Block
from pastis_jax.mapping.found import Found
from pastis_jax.mapping.joining import Joined
from pastis_jax.mapping.pieces import packed, pieces_of
from pastis_jax.mapping.windows import WindowGrid

CLASSES = 5


def draw_parcels(rng, shape, parcels, *, gap=0.3):
    """Connected parcels of all sizes that tile a Region, some left out; (h, w), from 1.

    A pixel belongs to the nearest of random points, whose distances are stretched: long parcels,
    and large ones, lie among small ones.
    """
    y, x = np.mgrid[: shape[0], : shape[1]]
    centres = rng.uniform(0, 1, (parcels, 2)) * shape
    angle, stretch = rng.uniform(0, np.pi, parcels), rng.uniform(0.3, 1, parcels)
    dy, dx = y[..., None] - centres[:, 0], x[..., None] - centres[:, 1]
    along, across = dy * np.cos(angle) + dx * np.sin(angle), dx * np.cos(angle) - dy * np.sin(angle)
    reach = rng.lognormal(0, 0.7, parcels)
    nearest = np.argmin(np.hypot(along * stretch, across) / reach, axis=-1) + 1
    nearest[np.isin(nearest, 1 + np.flatnonzero(rng.uniform(size=parcels) < gap))] = 0
    return renumbered(nearest)


def renumbered(parcels):
    """Connected pixels of one number alone get one number, row by row."""
    out, count = np.zeros(parcels.shape, np.int64), 0
    for number in np.unique(parcels[parcels > 0]):
        labels, found = ndimage.label(parcels == number)
        out[labels > 0] = labels[labels > 0] + count
        count += found
    return out


def blocks_of(shape, size):
    """Blocks of a Region, row by row."""
    edges = [[*range(0, side, size), side] for side in shape]
    return tuple(
        Block(slice(top, bottom), slice(left, right))
        for top, bottom in zip(edges[0], edges[0][1:], strict=False)
        for left, right in zip(edges[1], edges[1][1:], strict=False)
    )


def classes_of(parcels):
    """Class of each parcel, 1 to 4, (parcels + 1,); 0 of none."""
    numbers = np.arange(parcels.max() + 1)
    return np.where(numbers > 0, 1 + numbers % (CLASSES - 1), 0)


def sees(truth, *, rng=None, jitter=0.0, bend=0):
    """What finds the parcels of a window: each cut by it, perfectly, or as a model would.

    Args:
      truth: Parcels of the Region, (h, w).
      rng: Draws errors; None for none.
      jitter: Share of the parcels of a window whose mask a pixel is added to or taken from, around.
      bend: Most pixels by which the outlines of a window are moved.

    Returns:
      A function of rows and columns: slot + 1 of each pixel, confidence and probabilities by slot.
    """
    label = classes_of(truth)

    def find(rows, columns):
        seen = truth[rows, columns]
        if rng is not None and bend:
            down, right = rng.integers(-bend, bend + 1, 2)
            h, w = seen.shape
            y, x = np.clip(np.arange(h) + down, 0, h - 1), np.clip(np.arange(w) + right, 0, w - 1)
            seen = seen[np.ix_(y, x)]
        numbers = np.unique(seen[seen > 0])
        on_map = np.zeros(seen.shape, np.int32)
        for slot, number in enumerate(numbers, 1):
            mask = seen == number
            if rng is not None and rng.uniform() < jitter:
                wider = np.pad(mask, 1, mode="edge")
                change = (ndimage.binary_erosion, ndimage.binary_dilation)[rng.integers(2)]
                mask = change(wider)[1:-1, 1:-1]
            on_map[mask & (on_map == 0)] = slot
        n = len(numbers)
        confidence = np.full(n, 0.9) if rng is None else rng.uniform(0.3, 1, n)
        probability = np.full((n, CLASSES), 0.1 / (CLASSES - 1))
        probability[np.arange(n), label[numbers]] = 0.9
        return on_map, confidence, probability

    return find


def found_in(shape, size, find, *, stride=None, block=1024, known=None):
    """What all windows of a Region find, in blocks of a size, or of several."""
    grid = WindowGrid.over(shape, size, stride)
    pieces = [
        piece
        for i in range(len(grid.rows.starts))
        for j in range(len(grid.columns.starts))
        for piece in pieces_of(grid, (i, j), *find(*grid.window((i, j))))
    ]
    if isinstance(block, int):
        return found_of(pieces, grid, block, known=known)
    return [found_of(pieces, grid, size, known=known) for size in block]


def found_of(pieces, grid, block, *, known=None):
    """The same pieces, window by window, in blocks of a size."""
    shape = grid.rows.length, grid.columns.length
    contents, blocks = {}, blocks_of(shape, block)
    for one in blocks:
        own = {*grid.owned(one.rows, one.columns)}
        part = np.ones(one.shape, bool) if known is None else known[one.rows, one.columns]
        content = packed([piece for piece in pieces if piece.window in own], CLASSES)
        contents[one.rows.start, one.columns.start] = content | {"known": part}

    def read(one, *names):
        content = contents[one.rows.start, one.columns.start]
        return {name: content[name] for name in names}

    return Found(blocks, grid, read)


def joined_map(found, *, min_remain=0.5):
    """The instances of a map, and the number of each pixel's."""
    joined = Joined(found, classes=CLASSES, background=0, min_remain=min_remain)
    last = found.blocks[-1]
    on_map = np.zeros((last.rows.stop, last.columns.stop), np.int64)
    for block in found.blocks:
        on_map[block.rows, block.columns] = joined.numbers(block)
    return joined, on_map


def same_parts(a, b):
    """Whether two maps tell the same instances apart, whatever their numbers."""
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
    one_to_one = len(pairs[0]) == len(np.unique(pairs[0])) == len(np.unique(pairs[1]))
    return one_to_one and ((pairs[0] == 0) == (pairs[1] == 0)).all()
