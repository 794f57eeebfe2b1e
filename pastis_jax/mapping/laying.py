"""Instances laid on a map: whose each pixel is, and which instances stay; see `joining`."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from pastis_jax.mapping.found import Found
from pastis_jax.mapping.pieces import box_of, seen, within

_OPEN, _STAYS, _LEFT_OUT = 0, 1, 2
Pixels = tuple[slice, slice]


@dataclasses.dataclass(frozen=True, eq=False)
class Wholes:
    """What pieces are joined to.

    Attributes:
      found: The pieces.
      of: Number of the whole of each piece, (n,).
      rank: Of each whole, (wholes,): what is laid first has 0.
    """

    found: Found
    of: np.ndarray
    rank: np.ndarray

    def __len__(self) -> int:
        return len(self.rank)

    def masks(self, number: int, wanted: np.ndarray) -> Iterator[tuple[int, Pixels, np.ndarray]]:
        """Gives what a block has of each whole that is wanted, in the order of their rank.

        Args:
          number: Of the block.
          wanted: Which wholes, (wholes,) bool.

        Returns:
          Of each its number, a rectangle in the block, and its pixels there, (h, w) bool: those
          that at least half of the votes give it, where anything is known.
        """
        block, known = self.found.blocks[number], self.found.known(number)
        here = []
        for other in self.found.near(block.rows, block.columns):
            pieces, start = self.found.pieces(other), self.found.start[other]
            of = self.of[start : start + len(pieces)]
            for i in np.flatnonzero(wanted[of]).tolist():
                place = tuple(pieces.window[i].tolist())
                here.append((int(self.rank[of[i]]), place, other, i, int(of[i])))
        here.sort()
        for _, group in itertools.groupby(here, key=lambda piece: piece[0]):
            # Also those that lie beyond the block: their windows may see it, and vote against it.
            members = [*group]
            boxes = (self.found.pieces(other).box[i] for _, _, other, i, _ in members)
            parts = [within(box, block.rows, block.columns) for box in boxes]
            inside = [part for part in parts if part is not None]
            if not inside:
                continue
            rows, columns = (
                slice(min(p[axis].start for p in inside), max(p[axis].stop for p in inside))
                for axis in (0, 1)
            )
            pixels = tuple(
                slice(side.start - whole.start, side.stop - whole.start)
                for side, whole in zip((rows, columns), (block.rows, block.columns), strict=True)
            )
            mask = self._voted([m[1:4] for m in members], rows, columns) & known[pixels]
            yield members[0][4], pixels, mask

    def _voted(self, members, rows: slice, columns: slice) -> np.ndarray:
        """The pixels of a rectangle that at least half of the votes give a whole."""
        grid = self.found.grid
        votes = []
        for place, number, i in members:
            pieces = self.found.pieces(number)
            votes.append((place, seen(pieces.box[i], pieces.masks[i], rows, columns)))
        if len(votes) == 1:
            return votes[0][1]
        ayes, all_of = (np.zeros(votes[0][1].shape) for _ in range(2))
        for place, of_window in itertools.groupby(votes, key=lambda vote: vote[0]):
            window = grid.window(place)
            if within(box_of(*window), rows, columns) is None:
                continue
            (down, right), (top, left) = (
                tuple(
                    slice(max(w.start, s.start) - o, min(w.stop, s.stop) - o)
                    for w, s, o in zip(window, (rows, columns), origin, strict=True)
                )
                for origin in ((rows.start, columns.start), (w.start for w in window))
            )
            weights = grid.weights[top, left]
            for _, mask in of_window:
                ayes[down, right] += weights * mask[down, right]
            all_of[down, right] += weights
        return (2 * ayes >= all_of) & (ayes > 0)


class Laid:
    """Wholes on a map.

    Args:
      wholes: What pieces are joined to.
      stays: Which of them stay, (wholes,) bool.

    Attributes:
      stays: As given. Instances are those that do, numbered from 1.
      pixels: That each instance has, (n,) int64.
    """

    def __init__(self, wholes: Wholes, stays: np.ndarray):
        self._wholes, self.stays = wholes, stays
        self._numbers = np.cumsum(stays)
        count = np.zeros(int(stays.sum()) + 1, np.int64)
        for number in range(len(wholes.found.blocks)):
            count += np.bincount(self.numbers(number).ravel(), minlength=len(count))
        self.pixels = count[1:]

    def numbers(self, number: int) -> np.ndarray:
        """Number of each pixel's instance in a block, 0 for none, (h, w) int64."""
        on_map = np.zeros(self._wholes.found.blocks[number].shape, np.int64)
        for whole, pixels, mask in self._wholes.masks(number, self.stays):
            part = on_map[pixels]
            part[mask & (part == 0)] = self._numbers[whole]
        return on_map


def lay(wholes: Wholes, parcels: np.ndarray, min_remain: float) -> Laid:
    """Lays wholes on a map, in the order of their rank.

    Whether one stays depends on those alone that are laid before it and overlap it. All blocks are
    gone through until each whole is settled: it stays if enough of it is left by all that could be
    laid before, and it is left out if too little is left by those that stay. Each time the first
    that is open is settled, at least.

    Args:
      wholes: What pieces are joined to.
      parcels: Which of them are laid at all, (wholes,) bool.
      min_remain: Share of a whole that must not be taken.
    """
    state = np.where(parcels, _OPEN, _LEFT_OUT)
    blocks = {*range(len(wholes.found.blocks))}
    while blocks:
        total, least, most = (np.zeros(len(wholes), np.int64) for _ in range(3))
        touched: dict[int, list[int]] = {}
        for number in sorted(blocks):
            taken, settled = (np.zeros(wholes.found.blocks[number].shape, bool) for _ in range(2))
            for whole, pixels, mask in wholes.masks(number, state != _LEFT_OUT):
                if state[whole] == _OPEN:
                    touched.setdefault(number, []).append(whole)
                    total[whole] += np.count_nonzero(mask)
                    least[whole] += np.count_nonzero(mask & ~taken[pixels])
                    most[whole] += np.count_nonzero(mask & ~settled[pixels])
                else:
                    settled[pixels] |= mask
                taken[pixels] |= mask
        is_open = state == _OPEN
        state[is_open & _enough(least, total, min_remain)] = _STAYS
        state[is_open & ~_enough(most, total, min_remain)] = _LEFT_OUT
        blocks = {n for n, open_there in touched.items() if (state[open_there] == _OPEN).any()}
    return Laid(wholes, state == _STAYS)


def _enough(left: np.ndarray, total: np.ndarray, min_remain: float) -> np.ndarray:
    """Whether as much is left as `panoptic_map` asks for."""
    return (left > 0) & ((left == total) | (left > min_remain * total))
