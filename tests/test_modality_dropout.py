"""Modalities that fail: dropped in training, and left out when a run is scored."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pastis_jax.modality_dropout import modality_dropout, only, subsets
from pastis_jax.types import Series

NAMES = ("S2", "S1A", "S1D")


def series_of(observed):
    """Series of one pixel; a sample has a modality's dates where ``b m`` tells so."""
    return {
        name: Series(
            values=jnp.ones((len(observed), 3, 1, 1)),
            days=jnp.zeros((len(observed), 3), jnp.int32),
            valid=jnp.asarray(observed)[:, place, None] & jnp.array([True, True, False]),
        )
        for place, name in enumerate(NAMES)
    }


def present(series):
    return np.stack([np.asarray(part.valid).any(1) for part in series.values()], 1)


@pytest.fixture(scope="module")
def dropped():
    observed = np.tile([[1, 1, 1], [1, 1, 0], [0, 0, 1], [0, 0, 0]], (3000, 1)).astype(bool)
    return observed, present(modality_dropout(jax.random.key(1), series_of(observed), 0.4))


def test_a_sample_never_loses_its_last_modality(dropped):
    observed, left = dropped
    assert np.array_equal(left.any(1), observed.any(1))
    assert not (left & ~observed).any()


def test_each_modality_is_dropped_at_the_rate(dropped):
    _, left = dropped
    whole = left[::4]
    # All three at once would be dropped in 0.4 ** 3 of the samples; one of them stays then.
    for column in whole.T:
        assert column.mean() == pytest.approx(0.6 + 0.4**3 / 3, abs=0.03)
    assert (whole.sum(1) == 3).mean() == pytest.approx(0.6**3, abs=0.03)


def test_dates_that_were_masked_stay_masked(dropped):
    observed, _ = dropped
    after = modality_dropout(jax.random.key(1), series_of(observed), 0.4)
    assert not any(np.asarray(part.valid)[:, 2].any() for part in after.values())


def test_what_a_model_cannot_do_without_stays():
    observed = np.ones((4000, 3), bool)
    left = present(modality_dropout(jax.random.key(2), series_of(observed), 0.4, keep=("S2",)))
    assert left[:, 0].all()
    assert left[:, 1:].mean(0) == pytest.approx([0.6, 0.6], abs=0.03)


def test_a_sample_draws_the_same_in_any_batch():
    key, observed = jax.random.key(3), np.ones((8, 3), bool)
    whole = present(modality_dropout(key, series_of(observed), 0.5))
    assert np.array_equal(whole[:3], present(modality_dropout(key, series_of(observed[:3]), 0.5)))


def test_nothing_is_dropped_at_rate_0_and_all_but_one_at_1():
    series = series_of(np.ones((6, 3), bool))
    chex.assert_trees_all_equal(modality_dropout(jax.random.key(0), series, 0.0), series)
    assert (present(modality_dropout(jax.random.key(0), series, 1.0)).sum(1) == 1).all()


def test_only_masks_the_others():
    series = series_of(np.ones((2, 3), bool))
    left = only({"S2": jnp.bool_(True), "S1A": jnp.bool_(False), "S1D": jnp.bool_(True)}, series)
    assert np.array_equal(present(left), [[True, False, True]] * 2)


def test_subsets_begin_with_all_and_are_readable():
    assert subsets(("S2",), ("S2",)) == [("S2",)]
    assert subsets(NAMES, NAMES) == [
        NAMES,
        *(("S2", "S1A"), ("S2", "S1D"), ("S1A", "S1D")),
        *(("S2",), ("S1A",), ("S1D",)),
    ]
    assert subsets(NAMES, ("S2",)) == [NAMES, ("S2", "S1A"), ("S2", "S1D"), ("S2",)]


def test_of_many_modalities_not_every_subset():
    names = tuple("abcdef")
    chosen = subsets(names, names)
    assert chosen[0] == names
    assert sorted(map(len, chosen)) == [1] * 6 + [5] * 6 + [6]
