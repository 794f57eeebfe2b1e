"""Deals blocks of a Region to folds, so that each fold has its share of every class."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pastis_jax.data.regions.findings import finding
from pastis_jax.data.regions.folds import MOST_FOLDS, FoldBlocks
from pastis_jax.data.regions.grid import CHUNK, Grid
from pastis_jax.errors import ArgumentError, refuse

ENOUGH = 4
"""Blocks with parcels that each fold should have."""
_SMALL = (CHUNK // 2, CHUNK // 4, CHUNK // 8)
"""Sides of blocks in a region of too few chunks, pixels."""
_ORDERS = 8
"""Orders in which blocks are dealt, of which the best is taken."""
_ROUNDED = 0.25
"""Share of a block by which whole chunks may miss what was asked for."""


def make_folds(
    grid: Grid,
    *,
    points: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    areas: np.ndarray | None = None,
    folds: int = 5,
    block: float = 5000.0,
    gap: float = 1000.0,
    seed: int = 0,
) -> FoldBlocks:
    """Cuts a grid into blocks and deals them to folds.

    Blocks are of whole chunks, nearly square. They become smaller than `block`, and the gap with
    them, half as wide in proportion since more of their ground is near a border, until each fold
    can have `ENOUGH` of those that hold parcels, down to a chunk. Where not even each fold could
    have one such chunk, blocks are 64, 32 or 16 pixels wide, the largest of which each fold can
    have one: smaller ones would cut most parcels. The blocks with the largest shares of classes
    come first, each to the fold that then has its shares of all classes most evenly; those without
    parcels go with the nearest that has some.

    Args:
      grid: The grid.
      points: A point in each parcel that has a class, metres, (n, 2); None or none to deal blocks
        by their size alone.
      labels: Numbers of their classes, (n,).
      areas: Of the parcels, square metres, (n,).
      folds: How many, three or more.
      block: Side of a block, metres.
      gap: Width of the zone between blocks of different folds, metres; half a block at most.
      seed: Of the order in which blocks are dealt.

    Raises:
      ArgumentError: If there are fewer blocks with parcels than folds, or an argument is wrong.
    """
    folds_wrong = not 3 <= folds <= MOST_FOLDS
    remedy = "give 3 or more: to train on, to validate on and to test on"
    refuse("folds", folds_wrong, f"{folds} is not 3 to {MOST_FOLDS}", remedy)
    refuse("block", not 0 < block < math.inf, f"{block:g} is no side of a block", "give metres")
    wrong, remedy = not 0 <= gap <= block / 2, "give metres, at most half of `block`"
    refuse("gap", wrong, f"{gap:g} is no gap between blocks of {block:g} m", remedy)
    pixels = None if points is None or not len(points) else _pixels(grid, points)
    side, edges = _cut(grid, pixels, folds, block)
    if pixels is None:
        shares = np.outer(np.diff(edges[0]), np.diff(edges[1])).reshape(-1, 1).astype(float)
    else:
        shares = _shares(edges, pixels, labels, areas)
    dealt = deal(shares, folds, np.random.default_rng(seed))
    positions = _fill(dealt.reshape(len(edges[0]) - 1, len(edges[1]) - 1))
    shrunk = side * grid.pixel_size / block
    return FoldBlocks(
        row_edges=tuple(edges[0].tolist()),
        column_edges=tuple(edges[1].tolist()),
        positions=tuple(map(tuple, positions.tolist())),
        gap=gap if shrunk > 1 - _ROUNDED else gap * shrunk / 2,
        pixel_size=grid.pixel_size,
    )


def of_folds(folds: FoldBlocks, block: float, gap: float) -> dict[str, Any]:
    """Tells which blocks came out, as a finding.

    Args:
      folds: What `make_folds` gave.
      block: Side of a block as it was asked for, metres.
      gap: The gap as it was asked for, metres.
    """
    positions = np.array(folds.positions)
    blocks = np.bincount(positions.ravel())
    sides = (np.diff(edges).mean() for edges in (folds.row_edges, folds.column_edges))
    metres = " x ".join(f"{side * folds.pixel_size:,.0f}" for side in sides)
    text = f"{len(blocks)} folds of {', '.join(map(str, blocks))} blocks, each about {metres} m, "
    text += f"{folds.gap:g} m apart; {block:g} m and {gap:g} m were wanted"
    return finding("folds", text)


def _pixels(grid: Grid, points: np.ndarray) -> np.ndarray:
    """Rows and columns of points, the nearest ones of those beyond the grid, (2, n) int64."""
    column, row = (points - (grid.left, grid.top)).T / grid.pixel_size * [[1], [-1]]
    most = [[grid.height - 1], [grid.width - 1]]
    return np.clip(np.floor([row, column]), 0, most).astype(np.int64)


def _cut(
    grid: Grid, pixels: np.ndarray | None, folds: int, block: float
) -> tuple[int, tuple[np.ndarray, np.ndarray]]:
    """Returns the side of blocks, pixels, and where they begin and end on both axes."""
    asked = max(1, round(block / (CHUNK * grid.pixel_size)))
    largest = min(asked, max(grid.chunks))
    sides = [CHUNK * chunks for chunks in range(largest, 0, -1)]
    for side in (*sides, *_SMALL):
        edges = tuple(_edges(n, side) for n in (grid.height, grid.width))
        if pixels is None:
            held = (len(edges[0]) - 1) * (len(edges[1]) - 1)
        else:
            held = len(np.unique(_block_of(edges, pixels)))
        if held >= (ENOUGH * folds if side > CHUNK else folds):
            break
    if held < folds:
        what = "the region has" if pixels is None else "parcels with a class lie in"
        fault = f"{what} only {held} blocks of {side} x {side} pixels, fewer than folds ({folds})"
        remedy = "give fewer" if held >= 3 else "take a larger region or more parcels"
        raise ArgumentError(fault, argument="folds", remedy=remedy)
    return side, edges


def _edges(length: int, side: int) -> np.ndarray:
    """Where blocks begin and end, evenly spread over an axis; whole chunks, or sides below one."""
    unit = min(side, CHUNK)
    number = max(1, round(length / side))
    edges = np.round(np.arange(number + 1) * (length / number / unit)).astype(np.int64) * unit
    edges[-1] = length
    return edges


def _block_of(edges: tuple[np.ndarray, np.ndarray], pixels: np.ndarray) -> np.ndarray:
    """Numbers of the blocks in which pixels (2, n) lie, row by row, (n,)."""
    row, column = (
        np.searchsorted(of, where, side="right") - 1
        for of, where in zip(edges, pixels, strict=True)
    )
    return row * (len(edges[1]) - 1) + column


def _shares(
    edges: tuple[np.ndarray, np.ndarray],
    pixels: np.ndarray,
    labels: np.ndarray,
    areas: np.ndarray,
) -> np.ndarray:
    """Area of each class in each block, and of all classes, (blocks, classes + 1)."""
    classes, which = np.unique(labels, return_inverse=True)
    shares = np.zeros(((len(edges[0]) - 1) * (len(edges[1]) - 1), len(classes) + 1))
    np.add.at(shares, (_block_of(edges, pixels), which), areas)
    shares[:, -1] = shares.sum(1)
    return shares


def deal(shares: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Deals blocks that hold something, at least as many as folds, to folds.

    Of some orders of the blocks, those with the largest shares first, that is taken whose folds
    deviate least from their even shares of the classes, by squares.

    Args:
      shares: What each block holds of each class and of all, (blocks, classes + 1).
      folds: How many.
      rng: Of the orders.

    Returns:
      Position of the fold of each block, -1 for those that hold nothing, (blocks,).
    """
    shares = shares / shares.sum(0)
    some = np.flatnonzero(shares.any(1))
    best, least = None, math.inf
    for attempt in range(_ORDERS):
        spread = 0.2 * attempt / _ORDERS
        size = shares[some].sum(1) * rng.uniform(1 - spread, 1 + spread, len(some))
        dealt, held = _in_order(shares, some[np.argsort(-size, kind="stable")], folds, rng)
        deviation = ((held - 1 / folds) ** 2).sum()
        if deviation < least - 1e-12:
            best, least = dealt, deviation
    return best


def _in_order(shares, order, folds, rng) -> tuple[np.ndarray, np.ndarray]:
    """Deals blocks in an order; returns their folds and what each fold then holds."""
    dealt = np.full(len(shares), -1)
    held, blocks = np.zeros((folds, shares.shape[1])), np.zeros(folds, np.int64)
    turn = rng.permutation(folds)
    for place, block in enumerate(order):
        # How the sum of squares grows: of all that a fold holds, only what the block holds counts.
        growth = held @ shares[block]
        if len(order) - place <= (blocks == 0).sum():
            growth[blocks > 0] = math.inf
        fold = np.lexsort((turn, blocks, growth))[0]
        dealt[block] = fold
        held[fold] += shares[block]
        blocks[fold] += 1
    return dealt, held


def _fill(positions: np.ndarray) -> np.ndarray:
    """Gives blocks without parcels the fold of the nearest that has some, (by, bx)."""
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(
        positions < 0, return_distances=False, return_indices=True
    )
    return positions[tuple(nearest)]
