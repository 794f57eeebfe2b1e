"""Folds lie apart: no parcel reaches into another fold, and most of it is half the gap away."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import spatial

from pastis_jax.data.regions.folds import FoldBlocks, ParcelFolds, fold_of_parcels

EDGES = {"row_edges": (0, 32, 48, 80), "column_edges": (0, 16, 48, 64, 90)}
POSITIONS = ((0, 1, 1, 2), (0, 0, 1, 2), (2, 0, 1, 0))
FOLDS = FoldBlocks(**EDGES, positions=POSITIONS, gap=120.0, pixel_size=10.0)
ALL = (slice(0, 80), slice(0, 90))

positions = st.tuples(*[st.tuples(*[st.integers(0, 2)] * 4)] * 3)
gap = st.sampled_from([0.0, 20.0, 75.0, 120.0, 300.0])


def brute(folds):
    """Folds of all pixels, from the distance of each centre to each block of another fold."""
    height, width = folds.shape
    y, x = np.mgrid[:height, :width] + 0.5
    own, near = np.full((height, width), -9), np.zeros((height, width), bool)
    blocks = []
    for i, row in enumerate(folds.positions):
        for j, fold in enumerate(row):
            top, bottom = folds.row_edges[i : i + 2]
            left, right = folds.column_edges[j : j + 2]
            own[top:bottom, left:right] = fold
            blocks.append((fold, top, bottom, left, right))
    for fold, top, bottom, left, right in blocks:
        away = np.hypot(
            np.maximum(np.maximum(top - y, y - bottom), 0),
            np.maximum(np.maximum(left - x, x - right), 0),
        )
        near |= (own != fold) & (away < folds.gap / 2 / folds.pixel_size)
    return np.where(near, -1, own)


@settings(max_examples=40, deadline=None)
@given(positions, gap)
def test_pixels_near_another_fold_have_none(positions, gap):
    folds = FoldBlocks(**EDGES, positions=positions, gap=gap, pixel_size=10.0)
    actual = folds.fold_of_pixels(*ALL)
    assert actual.dtype == np.int8
    np.testing.assert_array_equal(actual, brute(folds))
    np.testing.assert_array_equal(folds.fold_grid(), actual)


@settings(max_examples=20, deadline=None)
@given(positions, gap)
def test_pixels_of_two_folds_are_a_gap_apart(positions, gap):
    folds = FoldBlocks(**EDGES, positions=positions, gap=gap, pixel_size=10.0)
    pixels = folds.fold_of_pixels(*ALL)
    trees = [spatial.cKDTree(where) for n in range(3) if len(where := np.argwhere(pixels == n))]
    for one in trees:
        for other in trees:
            if one is not other:
                assert one.query(other.data)[0].min() * 10 >= gap


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(slice(0, 1), slice(0, 1)), (slice(20, 60), slice(10, 70)), (slice(33, 80), slice(47, 49))],
)
def test_windows(rows, columns):
    window = FOLDS.fold_of_pixels(rows, columns)
    np.testing.assert_array_equal(window, FOLDS.fold_of_pixels(*ALL)[rows, columns])


def test_no_gap_beside_blocks_of_the_same_fold():
    one = FoldBlocks(**EDGES, positions=((1,) * 4,) * 3, gap=300.0, pixel_size=10.0)
    assert (one.fold_of_pixels(*ALL) == 1).all()
    assert (FOLDS.fold_of_pixels(slice(0, 20), slice(30, 64))[:, :28] == 1).all()


def test_picture_of_a_large_grid():
    edges = (0, 1280, 2560, 3200)
    folds = FoldBlocks(edges, edges, ((0, 1, 2),) * 3, gap=1000.0, pixel_size=10.0)
    picture = folds.fold_grid(most=64)
    assert picture.shape == (64, 64)
    whole = folds.fold_of_pixels(slice(0, 3200), slice(0, 3200))
    np.testing.assert_array_equal(picture, whole[25::50, 25::50])


NUMBERS = np.zeros((80, 90), np.int32)
NUMBERS[2:8, 0:9] = 1  # within block (0, 0), to the last column that has its fold
NUMBERS[2:8, 24:32] = 2  # within block (0, 1)
NUMBERS[12:18, 2:11] = 3  # into the zone by its last columns
NUMBERS[20:25, 10:30] = 4  # across it
NUMBERS[5, 58] = 5  # in the zone
NUMBERS[10:20, 40:56] = 6  # over two blocks of one fold
NUMBERS[16, 48:50] = -1
NUMBERS[70:79, 80:89] = 8  # and none of parcel 7
EXPECTED = [0, 1, 0, -1, -1, 1, -1, 0]


def test_parcels_have_the_fold_of_most_of_their_pixels():
    whole = fold_of_parcels(FOLDS, iter([(*ALL, NUMBERS)]), 8)
    assert whole.dtype == np.int32
    np.testing.assert_array_equal(whole, EXPECTED)


@pytest.mark.parametrize("size", [5, 32])
def test_blocks_in_any_order(size):
    parts = [
        (slice(row, min(row + size, 80)), slice(column, min(column + size, 90)))
        for row in range(0, 80, size)
        for column in range(0, 90, size)
    ]
    found = ParcelFolds(FOLDS, 8)
    for place in np.random.default_rng(0).permutation(len(parts)):
        found.add(*parts[place], NUMBERS[parts[place]])
    np.testing.assert_array_equal(found.positions, EXPECTED)


def test_what_lies_between_folds_is_told():
    found = ParcelFolds(FOLDS, 8)
    found.add(*ALL, NUMBERS)
    (entry,) = found.findings([f"p{number}" for number in range(1, 9)])
    assert entry["ids"] == ["p4", "p5"]
    lost = 5 * 20 + 1
    share = lost / (NUMBERS > 0).sum()
    assert entry["text"].startswith(f"2 of 8 parcels ({share:.1%} of all pixels of parcels) lie")
    alone = ParcelFolds(FOLDS, 8)
    alone.add(*ALL, np.where(NUMBERS == 1, 1, 0))
    assert [*alone.findings(["p"] * 8)] == []


def test_json():
    content = json.loads(json.dumps(FOLDS.to_json()))
    assert FoldBlocks.from_json(content) == FOLDS
    assert FOLDS.shape == (80, 90)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"row_edges": [0, 32, 32, 80]}, "row_edges"),
        ({"row_edges": [1, 32, 48, 80]}, "row_edges"),
        ({"row_edges": [0, 32, 80]}, "positions"),
        ({"column_edges": [0]}, "column_edges"),
        ({"column_edges": [0, 16.5, 48, 64, 90]}, "column_edges"),
        ({"column_edges": None}, "column_edges"),
        ({"positions": None}, "positions"),
        ({"positions": [[0, 1, 1, 2], [0, 0, 1, 2], [2, 0, 1]]}, "positions"),
        ({"positions": [[0, 1, 1, 2], [0, 0, 1, 2], [2, 0, 1, -1]]}, "positions"),
        ({"positions": [[0, 1, 1, 2], [0, 0, 1, True], [2, 0, 1, 1]]}, "positions"),
        ({"gap": -1}, "gap"),
        ({"gap": "1"}, "gap"),
        ({"gap": 1000}, "gap"),
        ({"pixel_size": 0}, "pixel_size"),
        ({"pixel_size": None}, "pixel_size"),
    ],
)
def test_damaged(change, field):
    with pytest.raises(ValueError, match=f"^{field}: "):
        FoldBlocks.from_json(FOLDS.to_json() | change)
    with pytest.raises(ValueError, match="folds"):
        FoldBlocks.from_json(None)
