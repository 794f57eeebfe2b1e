"""The ground of a region: fields and the land between them, over kilometres.

Like the ground of a patch (`fields.py`), a warped and weighted Voronoi diagram; but a cell competes
with its nearest neighbours alone, so that thousands of fields take seconds, and fields are as large
as in France, about two hectares.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from pastis_jax.data.simulate.fields import BACKGROUND, LEAST, SIZE_SPREAD, Ground, smooth

FIELD_AREA = 200.0
"""Mean area of a Voronoi cell, pixels (before hedges and roads)."""
VOID = 0.06
"""Share of the parcels that grow nothing of the 18 crops by their code."""
ROAD_EVERY = 200
"""Pixels between roads, about."""
BOW = (9, 12)
"""Rows and columns of the rectangle that the bow-tie spans. No centre of a pixel is nearer to one
of its edges than a tenth of a pixel."""

_COVERS = ("forest", "urban", "water", "grass")
_NAMES = (*_COVERS, "hedge", "fallow")
_KINDS = (0.45, 0.2, 0.08, 0.27)
_RIVALS = 6
_STRIP = 128  # rows whose rivals are held at once
_BLOCK = 64  # pixels: hedges of one block are one region


@dataclasses.dataclass(frozen=True)
class Plots:
    """Where parcels were put by hand, for what is odd about their polygons.

    Attributes:
      bow: Row and column of the upper left corner of the bow-tie's rectangle.
      one: Row and column of the pixel whose parcel is smaller than it, and holds its centre.
      none: Row and column of the pixel whose parcel does not hold its centre.
      bow_parcel: Number of the bow-tie among the parcels, from 0.
      one_parcel: Number of the parcel at `one`, from 0.
    """

    bow: tuple[int, int]
    one: tuple[int, int]
    none: tuple[int, int]
    bow_parcel: int
    one_parcel: int


def lay_out_region(rng: np.random.Generator, size: int) -> tuple[Ground, Plots]:
    """Draws the parcels and the background of a region.

    Args:
      rng: Source of randomness.
      size: Side, pixels.
    """
    azimuth = rng.uniform(0, np.pi)
    cell, gap, fields, kinds = _cells(rng, size, azimuth)
    taken = gap < 0.9 * np.clip(0.6 + smooth(rng, (size, size), 8), 0, 1.4)  # hedges
    road = _roads(rng, size)
    cover = np.where(fields[cell], _NAMES.index("fallow"), kinds[cell])
    cover[taken] = _NAMES.index("hedge")
    cover[road] = _NAMES.index("urban")
    parcel = np.where(fields[cell] & ~taken & ~road, cell, -1)

    # A meadow's worth of fallow land for the plots put by hand.
    row, column = int(0.3 * size), int(0.2 * size)
    clearing = (slice(row, row + BOW[0] + 6), slice(column, column + BOW[1] + 4))
    parcel[clearing], cover[clearing] = -1, _NAMES.index("fallow")
    region, count = _keep(parcel)
    bow, below = (row + 2, column + 2), row + BOW[0] + 4
    region[bow[0] : bow[0] + BOW[0], bow[1] : bow[1] + BOW[1]][bow_tie()] = count
    region[below, column + 3] = count + 1
    plots = Plots(bow, (below, column + 3), (below, column + 8), count, count + 1)
    count += 2
    void = rng.random(count) < VOID
    void[-2:] = False

    # A piece of forest is itself; hedges, roads and fallow land are shared within a block.
    rows, columns = np.mgrid[:size, :size] // _BLOCK
    block = rows * -(-size // _BLOCK) + columns
    own = ~fields[cell] & ~taken & ~road
    piece = np.where(own, cell, len(fields) + block) * len(_NAMES) + cover
    pieces, index = np.unique(piece[region < 0], return_inverse=True)
    region[region < 0] = count + index
    covers = tuple(_NAMES[k % len(_NAMES)] for k in pieces)
    return Ground(region.astype(np.int32), count, void, covers, azimuth), plots


def bow_tie() -> np.ndarray:
    """Which pixels of its rectangle have their centre in the bow-tie, `BOW` bool.

    Its corners are visited upper left, lower right, upper right, lower left: the two triangles at
    the right and at the left.
    """
    y, x = (np.mgrid[: BOW[0], : BOW[1]] + 0.5) / np.reshape(BOW, (2, 1, 1))
    return (x < np.minimum(y, 1 - y)) | (x > np.maximum(y, 1 - y))


def _cells(rng, size, azimuth):
    """Returns the cell of each pixel, the distance to the next cell, and the cells' uses."""
    margin = 32
    side = size + 2 * margin
    count = int(side**2 / FIELD_AREA)
    seeds = rng.uniform(-margin, size + margin, (count, 2))
    weight = np.exp(SIZE_SPREAD * rng.standard_normal(count))
    turn = np.array([[np.cos(azimuth), np.sin(azimuth)], [-np.sin(azimuth), np.cos(azimuth)]])
    turn[1] *= rng.uniform(1.0, 1.9)  # long fields along one direction
    tree = cKDTree(seeds @ turn.T)
    grid = (2, size, size)
    warp = 8 * smooth(rng, grid, 40) + 2.0 * smooth(rng, grid, 5) + 0.5 * smooth(rng, grid, 1.5)
    nearest = np.empty((size, size), np.int32)
    gap = np.empty((size, size), np.float32)
    for start in range(0, size, _STRIP):
        rows = slice(start, min(start + _STRIP, size))
        points = np.mgrid[rows, :size] + warp[:, rows]
        distance, rivals = tree.query(points.reshape(2, -1).T @ turn.T, _RIVALS)
        distance = distance / weight[rivals]
        two = np.argpartition(distance, 1, axis=1)[:, :2]
        first, second = np.take_along_axis(distance, two, 1).T
        nearest[rows] = np.take_along_axis(rivals, two[:, :1], 1).reshape(-1, size)
        gap[rows] = (second - first).reshape(-1, size)

    # Forest, town, water and grass come in clusters.
    spot = tuple(np.clip(seeds, 0, size - 1).astype(int).T)
    rank = np.argsort(np.argsort(smooth(rng, (size, size), 24)[spot])) / count
    kinds = rng.choice(len(_COVERS), count, p=_KINDS)
    return nearest, gap, rank >= BACKGROUND, kinds


def _roads(rng, size):
    """Winding roads in all directions, `(size, size)` bool."""
    y, x = np.mgrid[:size, :size].astype(np.float32) - size / 2
    out = np.zeros((size, size), bool)
    for _ in range(-(-size // ROAD_EVERY)):
        turn, off = rng.uniform(0, np.pi), rng.uniform(-0.45, 0.45) * size
        bend = 4 * smooth(rng, (size, size), 20)
        out |= np.abs(np.cos(turn) * x + np.sin(turn) * y + bend - off) < 0.7
    return out


def _keep(parcel):
    """Numbers the parcels, -1 elsewhere; each is the largest connected piece of its cell."""
    region = np.full(parcel.shape, -1, np.int64)
    count = 0
    for cell, window in enumerate(ndimage.find_objects(parcel + 1)):
        if window is None:
            continue
        pieces, n = ndimage.label(parcel[window] == cell)
        sizes = np.bincount(pieces.flat, minlength=2)[1:]
        if n == 0 or sizes.max() < LEAST:
            continue
        region[window][pieces == 1 + np.argmax(sizes)] = count
        count += 1
    return region, count
