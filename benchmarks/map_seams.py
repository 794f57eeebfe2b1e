"""Seams of a map: whether windows show at their borders.

    python -m benchmarks.map_seams --run RUN --data REGION [--size 640] [--out seams.json]

Two statistics, of the upper left part of a Region, with bootstrap intervals over blocks of pixels:

(a) disagreement: the share of pixels whose class differs from that of a map whose windows lie a
    quarter of a window further down and right, near the borders of either map's windows and
    elsewhere;
(b) jumps: the mean absolute difference of probabilities of two pixels that lie side by side, where
    a window ends between them and elsewhere. Fields end somewhere, too: the same pairs of pixels
    are also compared between the two maps, where a window ends in one of them alone; and with the
    jump inside the one window in whose middle they lie.

Half a window away from its border, a map is the mean of two windows, and so a little smoother than
any one of them; at a border it is one window alone. Only the last comparison is free of that.
Neither statistic must be larger at borders. Differences are those at borders minus the others.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import time

import numpy as np
import tyro

from pastis_jax.data.regions.store import Region
from pastis_jax.mapping import MapOptions
from pastis_jax.mapping.blocks import Block
from pastis_jax.mapping.mapper import Mapper
from pastis_jax.mapping.semantic import SemanticBlocks
from pastis_jax.mapping.windows import Axis, WindowGrid
from pastis_jax.runs import Run

NEAR = 4
"""Pixels at either side of a border that are near it."""
DRAWN = 2000
"""Bootstrap samples."""


@dataclasses.dataclass(frozen=True)
class Shifted(Axis):
    """Windows that begin some pixels later; the first one stays where it was.

    Attributes:
      by: Pixels.
    """

    by: int = 0

    @property
    def starts(self) -> np.ndarray:
        """First pixel of each window, (n,)."""
        last = self.length - self.size
        return np.unique([0, *np.arange(self.by, last, self.stride), last])


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measures seams of a map of pixels."""

    run: pathlib.Path
    """A semantic run."""
    data: pathlib.Path
    """A Region."""
    size: int = 640
    """Side of the part that is measured, pixels."""
    stride: int | None = None
    """Pixels from one window to the next. Default: half a window."""
    out: pathlib.Path | None = None
    """Where numbers are written, JSON."""


def borders(axis: Axis) -> np.ndarray:
    """Pixels that begin or follow a window within the map, rising."""
    ends = np.concatenate([axis.starts, axis.starts + axis.size])
    return np.unique(ends[(ends > 0) & (ends < axis.length)])


def near(axis: Axis) -> np.ndarray:
    """Which pixels lie within `NEAR` pixels of a border, (length,) bool."""
    pixels = np.arange(axis.length)[:, None]
    return ((pixels >= borders(axis) - NEAR) & (pixels < borders(axis) + NEAR)).any(1)


def compared(values: np.ndarray, where: np.ndarray, side: int, seed: int = 0) -> dict[str, float]:
    """Mean where and elsewhere, and their difference with its 95 % interval.

    Args:
      values: (h, w), NaN where nothing is known.
      where: At borders, (h, w) bool.
      side: Of the blocks of pixels that are drawn anew, so that neighbours stay together.
      seed: Of the bootstrap.
    """
    rng, sums = np.random.default_rng(seed), []
    for top in range(0, values.shape[0], side):
        for left in range(0, values.shape[1], side):
            part = np.s_[top : top + side, left : left + side]
            known = np.isfinite(values[part])
            for at in (known & where[part], known & ~where[part]):
                sums += [values[part][at].sum(), at.sum()]
    table = np.array(sums, np.float64).reshape(-1, 4)
    drawn = table[rng.integers(len(table), size=(DRAWN, len(table)))].sum(1)
    with np.errstate(invalid="ignore"):  # where all that is drawn lies at borders
        differences = drawn[:, 0] / drawn[:, 1] - drawn[:, 2] / drawn[:, 3]
    whole = table.sum(0)
    at, inside = whole[0] / whole[1], whole[2] / whole[3]
    low, high = np.nanpercentile(differences, (2.5, 97.5))
    return {
        "at borders": float(at),
        "elsewhere": float(inside),
        "difference": float(at - inside),
        "low": float(low),
        "high": float(high),
        "blocks": len(table),
    }


def paired(own: np.ndarray, other: np.ndarray, side: int, seed: int = 0) -> dict[str, float]:
    """Mean difference of the same pixels in two maps, with its 95 % interval.

    Args:
      own: Where a window ends in this map, (h, w), NaN elsewhere.
      other: The same pixels in another one, where none ends.
      side: Of the blocks of pixels that are drawn anew.
      seed: Of the bootstrap.
    """
    rng, sums, differences = np.random.default_rng(seed), [], own - other
    for top in range(0, own.shape[0], side):
        for left in range(0, own.shape[1], side):
            part = differences[top : top + side, left : left + side]
            sums.append((np.nansum(part), np.isfinite(part).sum()))
    table = np.array(sums, np.float64)
    drawn = table[rng.integers(len(table), size=(DRAWN, len(table)))].sum(1)
    with np.errstate(invalid="ignore"):  # where nothing of what is drawn is known
        low, high = np.nanpercentile(drawn[:, 0] / drawn[:, 1], (2.5, 97.5))
    known = np.isfinite(differences)
    return {
        "at borders": float(own[known].mean()),
        "inside": float(other[known].mean()),
        "difference": float(differences[known].mean()),
        "low": float(low),
        "high": float(high),
        "blocks": len(table),
    }


def one_border(own, other, ends, others) -> tuple[np.ndarray, np.ndarray]:
    """Jumps where a window ends in one of two maps alone: in that one, and in the other."""
    alone = ends != others
    at = np.where(alone, np.where(ends, own, other), np.nan)
    return at, np.where(alone, np.where(ends, other, own), np.nan)


def one_window(grid: WindowGrid, along: int) -> WindowGrid:
    """Windows side by side along an axis, in whose middle every second border of `grid` lies."""
    axes = [grid.rows, grid.columns]
    axis = axes[along]
    axes[along] = Shifted(axis.length, axis.size, axis.size, by=axis.stride)
    return WindowGrid(*axes)


def middles(axis: Axis) -> np.ndarray:
    """Which pixels begin the second half of a window of `one_window`, (length,) bool."""
    first = np.arange(2 * axis.stride, axis.length - axis.stride, 2 * axis.stride)
    return np.isin(np.arange(axis.length), first)


def jumps(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Total absolute difference of the probabilities of neighbours, halved.

    Args:
      shares: Probabilities, (k, h, w).

    Returns:
      From each pixel to the one above, and to the one at its left, (h, w), NaN at the edge.
    """
    down, right = (np.full(shares.shape[1:], np.nan) for _ in range(2))
    down[1:] = np.abs(np.diff(shares, axis=1)).sum(0) / 2
    right[:, 1:] = np.abs(np.diff(shares, axis=2)).sum(0) / 2
    return down, right


def measure(run: Run, region: Region, *, size: int = 640, stride: int | None = None) -> dict:
    """Measures both statistics.

    Args:
      run: A semantic run.
      region: A Region.
      size: Side of the part that is measured, pixels.
      stride: Pixels from one window to the next; None for half a window.
    """
    mapper = Mapper(run, region, MapOptions(stride=stride))
    assert mapper.grid is not None
    h, w = (min(side, size) for side in (region.grid.height, region.grid.width))
    block, window = Block(slice(0, h), slice(0, w)), mapper.run.saved.window
    mapper.grid = grid = WindowGrid.over((h, w), window or (128, 128), stride)
    begun = time.perf_counter()
    shares, dates = SemanticBlocks(mapper).blend(block)
    seconds = time.perf_counter() - begun
    axes = (grid.rows, grid.columns)
    moved = [Shifted(x.length, x.size, x.stride, by=max(x.size // 4, 1)) for x in axes]
    mapper.grid = WindowGrid(*moved)
    other, _ = SemanticBlocks(mapper).blend(block)
    known = dates.any(0) & np.isfinite(shares).all(0) & np.isfinite(other).all(0)
    differ = np.where(known, shares.argmax(0) != other.argmax(0), np.nan)
    shares = np.where(known, shares, np.nan)
    side = max(grid.size)
    rows, columns = (near(x) | near(y) for x, y in zip(axes, moved, strict=True))
    of_map, of_other = jumps(shares), jumps(np.where(known, other, np.nan))
    ends = [_ends(x, (h, w), i) for i, x in enumerate(axes)]
    others = [_ends(x, (h, w), i) for i, x in enumerate(moved)]
    of_one = []
    for along in (0, 1):
        mapper.grid = one_window(grid, along)
        alone, _ = SemanticBlocks(mapper).blend(block)
        at = middles(axes[along])
        at = at[:, None] if along == 0 else at[None]
        inside = jumps(np.where(known, alone, np.nan))[along]
        of_one.append([np.where(at, of, np.nan) for of in (of_map[along], inside)])
    same = [one_border(*of) for of in zip(of_map, of_other, ends, others, strict=True)]
    return {
        "window": list(grid.size),
        "stride": [x.stride for x in axes],
        "pixels": [h, w],
        "windows": len([*grid.touching(block.rows, block.columns)]),
        "seconds": round(seconds, 1),
        "disagreement": compared(differ, rows[:, None] | columns, side),
        "mean probability of other classes": float(np.nanmean(1 - shares.max(0))),
        "jumps between rows": compared(of_map[0], ends[0], side),
        "jumps between columns": compared(of_map[1], ends[1], side),
        "the same pixels, rows": paired(*same[0], side),
        "the same pixels, columns": paired(*same[1], side),
        "inside one window, rows": paired(*of_one[0], side),
        "inside one window, columns": paired(*of_one[1], side),
    }


def _ends(axis: Axis, shape: tuple[int, int], along: int) -> np.ndarray:
    """Which pixels have a border before them, (h, w) bool."""
    at = np.isin(np.arange(axis.length), borders(axis))
    return np.broadcast_to(at[:, None] if along == 0 else at, shape)


def main() -> None:
    """Measures, and prints the numbers."""
    given = tyro.cli(Arguments)
    numbers = measure(Run(given.run), Region(given.data), size=given.size, stride=given.stride)
    text = json.dumps(numbers, indent=1)
    print(text)
    if given.out is not None:
        given.out.write_text(text)


if __name__ == "__main__":
    main()
