"""Folds of samples: blocks of ground dealt to the folds, or their identifiers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from pastis_jax.data.regions.parcels.dealing import ENOUGH, deal

FOLDS = (1, 2, 3, 4, 5)
_EARTH = 6_371_000.0
"""Radius, metres."""
_SMALLEST = 500.0
"""Least side of a block, metres."""


def by_name(ids: Sequence[str]) -> np.ndarray:
    """Positions in `FOLDS`, (n,), that follow from identifiers alone, whatever others there are."""
    digests = [hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest() for name in ids]
    return np.array([int.from_bytes(d[:8], "big") % len(FOLDS) for d in digests], np.int64)


def by_place(
    places: np.ndarray, classes: np.ndarray, *, block: float
) -> tuple[np.ndarray, float] | None:
    """Deals blocks of ground to the folds so that each has its share of every class.

    Args:
      places: Longitude and latitude, (n, 2) degrees.
      classes: Number of each sample's class, (n,); below 0 for samples that are not counted.
      block: Side of the blocks, metres; halved until there are enough of them.

    Returns:
      Positions in `FOLDS`, (n,), and the side of the blocks; None where even small blocks are
      fewer than the folds.
    """
    while True:
        blocks = np.unique(_squares(places, block), axis=0, return_inverse=True)[1].ravel()
        number = blocks.max() + 1
        if number >= ENOUGH * len(FOLDS) or block / 2 < _SMALLEST:
            break
        block /= 2
    if number < len(FOLDS):
        return None
    return deal_samples(blocks, classes)[blocks], block


def _squares(places: np.ndarray, side: float) -> np.ndarray:
    """Row and column of each place, (n, 2): squares of this side, counted along each parallel."""
    longitude, latitude = np.deg2rad(places).T
    row = np.floor(latitude * _EARTH / side)
    middle = np.clip((row + 0.5) * side / _EARTH, -np.pi / 2, np.pi / 2)
    column = np.floor(longitude * np.cos(middle) * _EARTH / side)
    return np.stack((row, column), 1).astype(np.int64)


def deal_samples(blocks: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Gives each block to a fold, so that each fold has its share of every class.

    Args:
      blocks: Number of each sample's block, (n,), from 0.
      classes: Number of each sample's class, (n,); below 0 for those that are not counted.

    Returns:
      Position of the fold of each block, (b,).
    """
    _, which = np.unique(classes, return_inverse=True)
    counts = np.zeros((blocks.max() + 1, which.max() + 2))
    np.add.at(counts, (blocks, which), 1)
    counts[:, -1] = counts.sum(1)
    counted = np.append(np.unique(classes) >= 0, True)
    return deal(counts[:, counted], len(FOLDS), np.random.default_rng(0))


def too_near(places: np.ndarray, folds: np.ndarray, gap: float) -> np.ndarray:
    """Which samples lie within `gap` metres of one in another fold, (n,) bool.

    Args:
      places: Longitude and latitude, (n, 2) degrees.
      folds: Position of each sample's fold, (n,).
      gap: Metres.
    """
    from scipy.spatial import cKDTree

    longitude, latitude = np.deg2rad(places).T
    points = _EARTH * np.stack(
        (
            np.cos(latitude) * np.cos(longitude),
            np.cos(latitude) * np.sin(longitude),
            np.sin(latitude),
        ),
        1,
    )
    near = np.zeros(len(places), bool)
    for fold in np.unique(folds):
        own = folds == fold
        if not own.all():
            near[own] = cKDTree(points[~own]).query(points[own])[0] < gap
    return near
