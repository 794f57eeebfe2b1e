"""Which dates are removed: how many, in which order, and what the order depends on."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.paper import date_removal
from experiments.paper.date_removal import remaining

RATIOS = [i / 10 for i in range(11)]


@pytest.fixture
def valid():
    """Samples of 23, 10, 1 and no date, some masked among them."""
    valid = np.zeros((4, 30), bool)
    valid[0, :23] = True
    valid[1, 1:21:2] = True
    valid[2, 4] = True
    return valid


IDS = np.array([40, 7, 10_000_003, 0])


def removal_rank(valid, identifiers, **options):
    """Of dates that stand in the order of the calendar."""
    days = np.broadcast_to(np.arange(valid.shape[1]) * 5, valid.shape)
    return date_removal.removal_rank(valid, days, identifiers, **options)


@pytest.mark.parametrize("spell", [1, 6, 100])
def test_numbers_are_exact_and_removals_nested(valid, spell):
    rank = removal_rank(valid, IDS, spell=spell)
    before = valid
    for ratio in RATIOS:
        left = remaining(valid, rank, ratio)
        counts = valid.sum(1)
        np.testing.assert_array_equal(counts - left.sum(1), [round(ratio * n) for n in counts])
        assert not np.any(left & ~before)
        before = left
    np.testing.assert_array_equal(remaining(valid, rank, 0), valid)
    assert not remaining(valid, rank, 1).any()


@pytest.mark.parametrize("draw", range(5))
def test_spells_are_removed_as_a_whole(valid, draw):
    """Only the first and the last block of the season are shorter; masked dates are not counted."""
    rank = removal_rank(valid, IDS, spell=6, draw=draw)
    for i in (0, 1):
        order = rank[i, valid[i]]
        assert sorted(order) == list(range(len(order)))
        starts = np.flatnonzero(np.diff(order, prepend=-2) != 1)
        spells = np.diff([*starts, len(order)])
        # Two blocks can come to follow each other by chance.
        assert all(length % 6 == 0 for length in spells[1:-1])
        assert len(spells) <= 1 + -(-len(order) // 6)


def test_blocks_begin_anywhere_and_come_in_any_order(valid):
    ranks = [removal_rank(valid, IDS, spell=6, draw=draw)[0, :23] for draw in range(60)]
    firsts = {int(np.flatnonzero(np.diff(rank) != 1)[0]) % 6 for rank in ranks}
    assert firsts == set(range(6))
    assert len({int(np.argmin(rank)) // 6 for rank in ranks}) == 4


def test_single_dates_are_removed_alike():
    """Each of ten dates is the first in about a tenth of 2,000 samples."""
    rank = removal_rank(np.ones((2000, 10), bool), np.arange(2000))
    assert np.all(np.abs(np.bincount(np.argmin(rank, 1), minlength=10) - 200) < 60)


def test_the_order_is_that_of_the_sample(valid):
    """Not of its place in a batch; other draws and seeds give others."""
    rank = removal_rank(valid, IDS, spell=2)
    turned = removal_rank(valid[::-1], IDS[::-1], spell=2)[::-1]
    np.testing.assert_array_equal(rank[valid], turned[valid])
    for other in ({"draw": 1}, {"seed": 1}):
        assert np.any(removal_rank(valid, IDS, spell=2, **other)[valid] != rank[valid])
    same = removal_rank(valid[[0, 0]], np.array([1, 2]), spell=2)
    assert np.any(same[0] != same[1])


def test_orders_are_those_of_the_published_figures():
    """They follow from the identifier of PASTIS-R, as ever."""
    rank = removal_rank(np.ones((2, 8), bool), np.array([10_000_003, 40]), seed=1, draw=2)
    assert rank.tolist() == [[7, 0, 6, 3, 4, 1, 2, 5], [4, 3, 5, 2, 7, 0, 6, 1]]


def test_any_identifier_has_an_order_of_its_own(valid):
    """Text, numbers below 0 and beyond 32 bits; the same in every process."""
    names = ["P-07", "P-08", -3, 2**40 + 3, "7", 7]
    ranks = removal_rank(np.ones((len(names), 30), bool), names)
    assert len({tuple(rank) for rank in ranks}) == len(names)
    assert ranks[0][:6].tolist() == [21, 5, 1, 0, 28, 8]


def test_series_of_a_sample_have_orders_of_their_own():
    valid = np.ones((1, 30), bool)
    first, second = (removal_rank(valid, [40], series=number) for number in (0, 1))
    assert np.any(first != second)


@pytest.mark.parametrize("spell", [1, 4])
def test_spells_follow_the_calendar_whatever_the_order_of_the_file(spell):
    """The same dates go, wherever they stand."""
    rng = np.random.default_rng(0)
    valid, days = rng.random((3, 20)) < 0.7, np.sort(rng.choice(400, (3, 20), replace=False), 1)
    moved = np.stack([rng.permutation(20) for _ in range(3)])
    shuffled_days, shuffled = (np.take_along_axis(x, moved, 1) for x in (days, valid))
    ids = ["a", "b", 3]
    rank = date_removal.removal_rank(valid, days, ids, spell=spell)
    other = date_removal.removal_rank(shuffled, shuffled_days, ids, spell=spell)
    np.testing.assert_array_equal(np.take_along_axis(rank, moved, 1)[shuffled], other[shuffled])
