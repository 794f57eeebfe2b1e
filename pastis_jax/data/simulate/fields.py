"""Where things are: parcels with irregular borders and many sizes, and the land between them.

The ground is a warped, weighted Voronoi diagram on a canvas wider than the patch, so that parcels
are cut by its border as real ones are. Cells are fields or pieces of forest, town, water or grass;
hedges grow along some borders and a road may cross.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage

FIELD_AREA = 54.0
"""Mean area of a Voronoi cell, pixels (before hedges and roads)."""
SIZE_SPREAD = 0.45
"""Spread of the cells' weights (log scale): 0 gives fields of one size."""
BACKGROUND = 0.22
"""Share of the cells that are no fields."""
VOID_KEPT = 0.45
"""Share of the parcels lying mostly outside the patch that stay, as void; others turn fallow."""
PLOTS = 0.8
"""Mean number of one-pixel plots in a scene of 64 x 64 pixels."""
LEAST = 3
"""Smallest parcel that is no such plot, pixels; smaller leftovers turn fallow."""

_MARGIN = 16
_CHUNK = 8192  # pixels whose distances to all cells are held at once
_COVERS = ("forest", "urban", "water", "grass")


@dataclasses.dataclass(frozen=True)
class Ground:
    """A partition of the patch in regions.

    Attributes:
      region: Region of each pixel, `(h, w)` int32, 0 to n - 1. Regions 0 to `parcels` - 1 are the
        parcels; the others are background.
      parcels: Number of parcels.
      void: Which parcels lie mostly outside the patch, `(parcels,)` bool.
      covers: Name of each background region, in order.
      azimuth: Main direction of the fields, radians.
    """

    region: np.ndarray
    parcels: int
    void: np.ndarray
    covers: tuple[str, ...]
    azimuth: float


def smooth(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> np.ndarray:
    """Draws a smooth random field over the last two axes: mean 0, standard deviation about 1.

    Args:
      rng: Source of randomness.
      shape: Shape of the field, `(..., h, w)`.
      scale: Correlation length, pixels.
    """
    # Blurred on a coarse grid where the field is smooth anyway, then enlarged.
    step = max(1, int(scale // 2))
    *lead, h, w = shape
    coarse = [-(-n // step) + 8 for n in (h, w)]
    sigma = scale / step
    field = rng.standard_normal((*lead, *coarse), dtype=np.float32)
    field = ndimage.gaussian_filter(field, (0.0,) * len(lead) + (sigma, sigma), mode="wrap")
    field *= 2 * np.sqrt(np.pi) * sigma
    if step > 1:
        field = ndimage.zoom(field, (1,) * len(lead) + (step, step), order=1)
    return field[..., :h, :w]


def lay_out(rng: np.random.Generator, size: int) -> Ground:
    """Draws the parcels and the background of one scene.

    Args:
      rng: Source of randomness.
      size: Side of the patch, pixels.
    """
    canvas = size + 2 * _MARGIN
    azimuth = rng.uniform(0, np.pi)
    cell, gap, fields, kinds = _cells(rng, canvas, azimuth)
    taken = gap < 0.9 * np.clip(0.6 + smooth(rng, (canvas, canvas), 8), 0, 1.4)  # hedges
    if rng.random() < 0.7:
        y, x = np.mgrid[:canvas, :canvas] - canvas / 2
        turn = rng.uniform(0, np.pi)
        bend = 4 * smooth(rng, (canvas, canvas), 20)
        line = np.cos(turn) * x + np.sin(turn) * y + bend
        road = np.abs(line - rng.uniform(-0.4, 0.4) * size) < 0.7
    else:
        road = np.zeros_like(taken)

    inside = (slice(_MARGIN, _MARGIN + size),) * 2
    names = [*_COVERS, "hedge", "fallow"]
    cover = np.full((canvas, canvas), names.index("fallow"))
    parcel = np.where(fields[cell] & ~taken & ~road, cell, -1)
    cover[~fields[cell]] = kinds[cell][~fields[cell]]
    cover[taken] = names.index("hedge")
    cover[road] = names.index("urban")
    region, void = _keep(rng, parcel, inside)
    cover = cover[inside]

    # One-pixel plots, on ground that is no parcel.
    plots = min(rng.poisson(PLOTS * (size / 64) ** 2), int((region < 0).sum()))
    spots = rng.choice(np.flatnonzero(region < 0), plots, replace=False)
    region.flat[spots] = len(void) + np.arange(plots)
    void = np.concatenate([void, np.zeros(plots, bool)])

    # Background regions: one per cell and cover, so that each piece of forest is itself.
    code = cell[inside] * len(names) + cover
    pieces, index = np.unique(code[region < 0], return_inverse=True)
    region[region < 0] = len(void) + index
    covers = tuple(names[code % len(names)] for code in pieces)
    return Ground(region.astype(np.int32), len(void), void, covers, azimuth)


def _cells(rng, canvas, azimuth):
    """Returns the cell of each pixel, the distance to the next cell, and the cells' uses."""
    count = max(8, int(canvas**2 / FIELD_AREA))
    seeds = rng.uniform(0, canvas, (count, 2))
    weight = np.exp(SIZE_SPREAD * rng.standard_normal(count))
    grid = np.stack(np.mgrid[:canvas, :canvas].astype(np.float32))
    warped = grid + 2.0 * smooth(rng, grid.shape, 5) + 0.5 * smooth(rng, grid.shape, 1.5)
    # Long fields along the scene's main direction.
    turn = np.array([[np.cos(azimuth), np.sin(azimuth)], [-np.sin(azimuth), np.cos(azimuth)]])
    turn[1] *= rng.uniform(1.0, 1.9)
    points = np.tensordot(turn, warped, 1).reshape(2, -1).astype(np.float32)
    centres = (turn @ seeds.T).astype(np.float32)
    nearest = np.empty(canvas**2, int)
    gap = np.empty(canvas**2, np.float32)
    for start in range(0, canvas**2, _CHUNK):
        y, x = points[:, start : start + _CHUNK, None]
        distance = np.square(y - centres[0]) + np.square(x - centres[1])
        distance = np.sqrt(distance) / weight.astype(np.float32)
        two = np.argpartition(distance, 1, axis=1)[:, :2]
        first, second = np.take_along_axis(distance, two, 1).T
        nearest[start : start + _CHUNK] = two[:, 0]
        gap[start : start + _CHUNK] = second - first
    gap = gap.reshape(canvas, canvas)

    # Forest, town, water and grass come in clusters.
    spot = tuple(seeds.astype(int).T)
    rank = np.argsort(np.argsort(smooth(rng, (canvas, canvas), 12)[spot])) / count
    kinds = rng.choice(len(_COVERS), count, p=(0.45, 0.2, 0.08, 0.27))
    return nearest.reshape(canvas, canvas), gap, rank >= BACKGROUND, kinds


def _keep(rng, parcel, inside):
    """Numbers the parcels of the patch; -1 elsewhere. A parcel is one connected piece."""
    region = np.full(parcel[inside].shape, -1)
    window = parcel[inside]
    void = []
    for cell in np.unique(window[window >= 0]):
        whole = parcel == cell
        pieces, n = ndimage.label(whole)
        if n > 1:
            whole = pieces == 1 + np.argmax(np.bincount(pieces.flat)[1:])
        part = whole[inside]
        if part.sum() == 0 or whole.sum() < LEAST:
            continue
        outside = part.sum() < 0.5 * whole.sum()
        if outside and rng.random() > VOID_KEPT:
            continue
        region[part] = len(void)
        void.append(outside)
    return region, np.array(void, bool)


def neighbours(ground: Ground) -> np.ndarray:
    """Returns the pairs of parcels that touch, the lower number first, `(pairs, 2)`."""
    region = ground.region
    sides = ((region[:-1], region[1:]), (region[:, :-1], region[:, 1:]))
    pairs = np.concatenate([np.stack([a.ravel(), b.ravel()], -1) for a, b in sides])
    pairs = np.sort(pairs[(pairs < ground.parcels).all(1) & (pairs[:, 0] != pairs[:, 1])], axis=1)
    return np.unique(pairs, axis=0)
