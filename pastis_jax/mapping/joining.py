"""Instances of a map: what windows found becomes one set of instances, of whatever windows.

1. **One parcel.** Pieces of two windows are of one parcel if their IoU, over the pixels that both
   windows see, exceeds 1/2; and so on from window to window. A parcel that is larger than a window
   is put together so, and one that two windows found is not there twice.
2. **Its pixels.** Of the windows that have a piece of it, each that sees a pixel has a vote, which
   weighs as that pixel does in a map of pixels (sin^2: little at a window's border). It is the
   parcel's if at least half of the votes say so.
3. **Its class.** Probabilities are means over its pieces, weighted by their pixels, and so is the
   confidence. If the most probable class is the background, it is left out.
4. **Overlaps.** Instances are laid on the map in falling order of confidence, those that are
   `central` in any window first; of equals that of the first window. What is taken stays taken; an
   instance that keeps no more than `min_remain` of its pixels is left out whole, and what it would
   have taken stays free.

Nothing of this depends on how the map is cut into blocks, and few blocks are in memory at once.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from pastis_jax.mapping.blocks import Block, read_block
from pastis_jax.mapping.found import Found
from pastis_jax.mapping.laying import Wholes, lay
from pastis_jax.mapping.pieces import Pieces, box_of, seen, within

if TYPE_CHECKING:
    from pastis_jax.mapping.made import Made

_FINE = 2**20
"""Parts of a probability: sums of whole numbers do not depend on the order of blocks."""


class Joined:
    """The instances of a map.

    Args:
      found: What the windows found.
      classes: Number of classes ``k``.
      background: Class of what is no parcel; None where there is none.
      min_remain: Share of an instance that must not be taken.

    Attributes:
      found: As given.
      probability: Of each class, by instance, (n, k) float32.
      confidence: Of each, (n,) float64.
      pixels: That each keeps, (n,) int64.
      counts: What happened, by name.
    """

    def __init__(self, found: Found, *, classes: int, background: int | None, min_remain: float):
        self.found = found
        whole, number = _wholes(found)
        size, share, confidence = (np.zeros(shape) for shape in (number, (number, classes), number))
        central = np.zeros(number, bool)
        for i in range(len(found.blocks)):
            of, pieces = whole[found.start[i] : found.start[i + 1]], found.pieces(i)
            pixels = np.array([np.count_nonzero(mask) for mask in pieces.masks], np.float64)
            np.add.at(size, of, pixels)
            np.add.at(share, of, np.rint(pixels[:, None] * pieces.probability * _FINE))
            np.add.at(confidence, of, np.rint(pixels * pieces.confidence * _FINE))
            np.logical_or.at(central, of, pieces.central)
        share /= np.maximum(share.sum(1), 1)[:, None]
        confidence /= size * _FINE
        is_parcel = np.ones(number, bool)
        if background is not None:
            is_parcel = share.argmax(1) != background
        order = np.lexsort((np.arange(number), -confidence, ~central))
        rank = np.empty(number, np.int64)
        rank[order] = np.arange(number)
        self._laid = lay(Wholes(found, whole, rank), is_parcel, min_remain)
        kept = self._laid.stays
        self.probability, self.confidence = share[kept].astype(np.float32), confidence[kept]
        self.pixels = self._laid.pixels
        self.counts = {
            "instances": int(kept.sum()),
            "found": len(found),
            "joined": len(found) - number,
            "background": int((~is_parcel).sum()),
            "covered": int((is_parcel & ~kept).sum()),
        }
        self._number = {block: i for i, block in enumerate(map(_corner, found.blocks))}

    def __len__(self) -> int:
        return len(self.pixels)

    def numbers(self, block: Block) -> np.ndarray:
        """Number of each pixel's instance, from 1, 0 for none, (h, w) int64."""
        return self._laid.numbers(self._number[_corner(block)])

    def known(self, block: Block) -> np.ndarray:
        """Where anything is known, (h, w) bool."""
        return self.found.known(self._number[_corner(block)])


def _corner(block: Block) -> tuple[int, int]:
    return block.rows.start, block.columns.start


@functools.lru_cache(maxsize=1)
def joined(made: Made) -> Joined:
    """The instances of a panoptic map; made once for all its files."""
    found = Found(made.blocks, made.mapper.grid, functools.partial(read_block, made.folder))
    classes = made.classes
    return Joined(
        found,
        classes=len(classes.names),
        background=classes.background,
        min_remain=made.run.task.spec.min_remain,
    )


def _wholes(found: Found) -> tuple[np.ndarray, int]:
    """Number of the whole that each piece belongs to, (n,), and how many there are.

    Wholes are numbered by their first piece, in the order of windows.
    """
    parent = np.arange(len(found))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in links(found):
        a, b = root(i), root(j)
        parent[max(a, b)] = min(a, b)
    roots = np.array([root(i) for i in range(len(found))], np.int64)
    # Pieces of a window stand in one block, in the window's own order.
    order = np.lexsort((np.arange(len(found)), found.window[:, 1], found.window[:, 0]))
    _, first, whole = np.unique(roots[order], return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    numbers = np.empty(len(found), np.int64)
    numbers[order] = rank[whole]
    return numbers, len(first)


def links(found: Found):
    """Gives pairs of pieces, numbers among all, that are of one parcel."""
    for number in range(len(found.blocks)):
        if not len(pieces := found.pieces(number)):
            continue
        for other in found.near(*found.reach(number)):
            if other >= number:
                offset = found.start[number], found.start[other]
                for i, j in _pairs(found, pieces, found.pieces(other), same=other == number):
                    yield int(offset[0] + i), int(offset[1] + j)


def _pairs(found: Found, ours: Pieces, theirs: Pieces, *, same: bool):
    grid = found.grid
    for i in range(len(ours)):
        box = ours.box[i]
        near = (theirs.box[:, :2] < box[2:]).all(1) & (theirs.box[:, 2:] > box[:2]).all(1)
        near &= (theirs.window != ours.window[i]).any(1)
        if same:
            near[: i + 1] = False
        window = grid.window(tuple(ours.window[i]))
        for j in np.flatnonzero(near).tolist():
            their_window = grid.window(tuple(theirs.window[j]))
            common = within(box_of(*window), *their_window)
            if common is not None and _one(ours, i, theirs, j, common):
                yield i, j


def _one(ours: Pieces, i: int, theirs: Pieces, j: int, common: tuple[slice, slice]) -> bool:
    """Whether the IoU of two pieces exceeds 1/2 over the pixels that both windows see."""
    first = within(ours.box[i], *common)
    second = within(theirs.box[j], *common)
    if first is None or second is None:
        return False
    # Both lie in the smallest rectangle around what is seen of them.
    rows, columns = (
        slice(min(a.start, b.start), max(a.stop, b.stop))
        for a, b in zip(first, second, strict=True)
    )
    a = seen(ours.box[i], ours.masks[i], rows, columns)
    b = seen(theirs.box[j], theirs.masks[j], rows, columns)
    both = np.count_nonzero(a & b)
    return 3 * both > np.count_nonzero(a) + np.count_nonzero(b)
