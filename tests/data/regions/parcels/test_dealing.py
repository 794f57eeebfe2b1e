"""Blocks are dealt so that each fold has its share of every class."""

from __future__ import annotations

import numpy as np
import pytest
from refusal import refused_in_a_line

from pastis_jax.data.regions.grid import Grid
from pastis_jax.data.regions.parcels.dealing import make_folds, of_folds


def grid(height, width, pixel_size=10.0):
    return Grid("EPSG:32631", 500_000.0, 5_000_000.0, pixel_size, height, width)


def scattered(of, number, *, seed=0, classes=6):
    """Points, classes of which the last is rare, and areas of parcels all over a grid."""
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(0, 1, (number, 2)) * (of.width, of.height)
    points = (of.left, of.top) + pixels * (of.pixel_size, -of.pixel_size)
    labels = 1 + np.minimum(rng.geometric(0.5, number), classes)
    return {"points": points, "labels": labels, "areas": rng.uniform(1e3, 1e5, number)}


def fold_of(folds, of, points):
    row, column = folds.block_of(
        ((of.top - points[:, 1]) // of.pixel_size).astype(int),
        ((points[:, 0] - of.left) // of.pixel_size).astype(int),
    )
    return np.array(folds.positions)[row, column]


@pytest.mark.parametrize("number", [3, 5, 7])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_fold_has_its_share_of_every_class(number, seed):
    of = grid(4000, 3500)
    parcels = scattered(of, 20_000)
    folds = make_folds(of, **parcels, folds=number, seed=seed)
    assert folds.shape == (4000, 3500)
    fold = fold_of(folds, of, parcels["points"])
    for label in np.unique(parcels["labels"]):
        weights = parcels["areas"] * (parcels["labels"] == label)
        shares = np.bincount(fold, weights, number) / weights.sum()
        np.testing.assert_allclose(shares, 1 / number, atol=0.05)


def test_a_rare_class_is_spread_though_it_lies_in_few_places():
    """Ten blocks of fifty hold it, as much each; the common class is everywhere."""
    of = grid(640, 1280)
    rows, columns = np.divmod(np.arange(50), 10)
    points = np.stack([of.left + columns * 1280 + 640, of.top - rows * 1280 - 640], 1)
    rare = np.arange(50) % 5 == 0
    folds = make_folds(
        of,
        points=np.concatenate([points, points[rare]]),
        labels=np.array([1] * 50 + [2] * 10),
        areas=np.array([1e5] * 50 + [10.0] * 10),
    )
    assert (len(folds.row_edges), len(folds.column_edges)) == (6, 11)
    fold = fold_of(folds, of, points)
    np.testing.assert_array_equal(np.bincount(fold[rare]), [2] * 5)
    np.testing.assert_array_equal(np.bincount(fold), [10] * 5)


@pytest.mark.parametrize(
    ("height", "width", "number", "side", "gap"),
    [
        (4000, 4000, 5000, 512, 1000.0),  # 5 km
        (1024, 1024, 3000, 128, 128.0),  # a chunk, since 16 blocks of two were too few
        (300, 300, 400, 64, 64.0),  # four chunks would not give each fold one
        (101, 102, 200, 32, 32.0),
        (50, 60, 200, 16, 16.0),
        (384, 384, 300, 128, 128.0),  # each fold has a chunk or two
        (90, 4000, 5000, 128, 128.0),
    ],
)
def test_blocks_are_smaller_in_smaller_regions(height, width, number, side, gap):
    of = grid(height, width)
    folds = make_folds(of, **scattered(of, number))
    assert folds.gap == gap
    assert np.bincount(np.ravel(folds.positions)).min() >= 1
    for edges in (folds.row_edges, folds.column_edges):
        assert all(edge % min(side, 128) == 0 for edge in edges[:-1])
        steps = np.diff(edges)
        assert len(steps) == 1 or (steps >= side / 2).all()
        assert (steps <= 1.5 * side).all()


def test_options():
    of = grid(1000, 1000, 20.0)
    parcels = scattered(of, 3000)
    folds = make_folds(of, **parcels, folds=4, block=2560.0, gap=0.0)
    assert folds.column_edges == (0, 128, 256, 384, 512, 640, 768, 896, 1000)
    assert folds.gap == 0
    assert (folds.fold_of_pixels(slice(0, 1000), slice(0, 1000)) >= 0).all()
    assert make_folds(of, **parcels) == make_folds(of, **parcels)
    assert make_folds(of, **parcels).positions != make_folds(of, **parcels, seed=3).positions
    text = of_folds(folds, 2560.0, 0.0)["text"]
    assert text.startswith("4 folds of 16, 16, 16, 16 blocks, each about 2,500 x 2,500 m, 0 m")


def test_regions_without_parcels():
    of = grid(1500, 1500)
    for parcels in ({}, scattered(of, 0)):
        folds = make_folds(of, **parcels)
        counts = np.bincount(np.ravel(folds.positions))
        assert len(counts) == 5
        assert counts.max() - counts.min() <= 1


def test_blocks_without_parcels_go_with_a_neighbour():
    of = grid(1280, 2560)
    parcels = scattered(grid(1280, 1280), 3000)
    folds = make_folds(of, **parcels)
    positions = np.array(folds.positions)
    assert (positions[:, 10:] == positions[:, 9:10]).all()
    beyond = parcels["points"] + (-1e5, 1e5)
    assert len(make_folds(of, **scattered(of, 3000)).positions)
    refused_in_a_line(
        lambda: make_folds(of, points=beyond, labels=parcels["labels"], areas=parcels["areas"]),
        "`folds`",
    )


@pytest.mark.parametrize(
    ("size", "number", "arguments", "words"),
    [
        ((40, 30), 50, {}, ("`folds`", "only 4 blocks of 16 x 16", "folds (5)", "give fewer")),
        ((30, 20), 50, {}, ("`folds`", "only 2 blocks", "larger region")),
        ((1000, 1000), 2, {}, ("`folds`", "only 2 blocks", "larger region")),
        ((40, 30), 0, {}, ("`folds`", "the region has only 4 blocks")),
        ((1000, 1000), 50, {"folds": 2}, ("`folds`", "2 is not 3 to 100")),
        ((1000, 1000), 50, {"folds": 101}, ("`folds`", "101")),
        ((1000, 1000), 50, {"block": 0.0}, ("`block`",)),
        ((1000, 1000), 50, {"block": float("nan")}, ("`block`",)),
        ((1000, 1000), 50, {"gap": 2501.0}, ("`gap`", "2501", "half of `block`")),
        ((1000, 1000), 50, {"gap": -1.0}, ("`gap`",)),
        ((1000, 1000), 50, {"gap": float("nan")}, ("`gap`",)),
    ],
)
def test_refused(size, number, arguments, words):
    of = grid(*size)
    refused_in_a_line(lambda: make_folds(of, **scattered(of, number), **arguments), *words)
