"""Pixels that are drawn on the device, and what is gathered of a table of parcels."""

from __future__ import annotations

import collections
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from pastis_jax.nn.ragged import PixelTable, RaggedSeries, Rows, draw_pixels, make_batch
from pastis_jax.types import Marks


def keys(number, seed=0):
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(number))


draw = jax.jit(draw_pixels, static_argnums=2)


@pytest.mark.parametrize(("count", "size"), [(5, 2), (6, 4), (5, 4), (3, 1), (9, 8)])
def test_every_set_of_pixels_is_equally_likely(count, size):
    """Chi-square over all sets, and over the pixels, of a fixed seed."""
    number = 6000
    found = np.sort(np.asarray(draw(keys(number), jnp.full(number, count), size)), axis=1)
    sets = collections.Counter(map(tuple, found.tolist()))
    every = [*itertools.combinations(range(count), size)]
    assert sets.keys() <= {*every}, "no pixel twice, none of another parcel"
    assert stats.chisquare([sets[one] for one in every]).pvalue > 1e-3
    assert stats.chisquare(np.bincount(found.ravel(), minlength=count)).pvalue > 1e-3


@pytest.mark.parametrize("size", [1, 2, 32, 100])
def test_all_drawn_pixels_are_different_and_of_the_parcel(size):
    counts = np.array([size + 1, size + 2, 2 * size, 10 * size, 50_000, 2**30] * 40)
    found = np.asarray(draw(keys(len(counts)), jnp.asarray(counts), size))
    assert ((found >= 0) & (found < counts[:, None])).all()
    assert all(len(set(one)) == size for one in found.tolist())


@pytest.mark.parametrize(
    ("count", "expected"), [(4, [0, 1, 2, 3]), (3, [0, 1, 2, 2]), (1, [0] * 4), (0, [0] * 4)]
)
def test_small_parcels_give_all_their_pixels(count, expected):
    assert draw(keys(1), jnp.array([count]), 4).tolist() == [expected]


def test_what_is_drawn_follows_from_the_key_of_the_sample_alone():
    counts = jnp.array([100, 50, 7, 100])
    whole = np.asarray(draw(keys(4), counts, 8))
    for number in range(4):
        one = draw(keys(4)[number : number + 1], counts[number : number + 1], 8)
        np.testing.assert_array_equal(one[0], whole[number])
    assert (whole[0] != whole[3]).any()


PIXELS, DATES = (9, 0, 3, 2), (5, 2, 7, 0)


def table(dtype, **options):
    """Four parcels whose every value tells its parcel, pixel, date and channel."""
    rows, first = [], []
    for parcel, (n, t) in enumerate(zip(PIXELS, DATES, strict=True)):
        first.append(sum(map(len, rows)))
        pixel = np.zeros((n, -(-t // 4) * 4, 2))
        place = np.arange(n)[:, None, None], np.arange(t)[:, None], np.arange(2)
        pixel[:, :t] = 1 + 200 * parcel + 20 * place[0] + 2 * place[1] + place[2]
        rows.append(pixel.reshape(-1, 4, 2).astype(dtype))
    series = RaggedSeries(
        values=jnp.asarray(np.concatenate(rows)),
        first=jnp.asarray(first, jnp.int32),
        dates=jnp.asarray(DATES, jnp.int32),
        days=jnp.arange(28, dtype=jnp.int32).reshape(4, 7),
        mean=jnp.zeros(2),
        deviation=jnp.ones(2),
        holes=jnp.asarray([False, True, False, False]),
        marks=options.pop("marks", Marks()),
    )
    pixels = jnp.asarray(PIXELS, jnp.int32)
    return PixelTable(series={"A": series}, pixels=pixels, label=jnp.arange(4) + 10, **options)


def rows(*numbers, blank=0):
    number = np.array([*numbers, *[0] * blank], np.int32)
    real = np.arange(len(number)) < len(numbers)
    return Rows(number=number, real=real, place=np.arange(len(number), dtype=np.uint32))


batch_of = jax.jit(make_batch, static_argnums=3)


@pytest.mark.parametrize("dtype", ["int16", "float16", "float32"])
def test_every_value_is_of_its_parcel_pixel_date_and_channel(dtype):
    batch = batch_of(table(dtype), rows(2, 0, 3, 1, 0, blank=2), jax.random.key(3), 4)
    series = batch.series["A"]
    assert batch.number.tolist() == [2, 0, 3, 1, 0, 0, 0]
    assert batch.real.tolist() == [True] * 5 + [False] * 2
    assert batch.label.tolist() == [12, 10, 13, 11, 10, 0, 0]
    assert series.valid.sum(1).tolist() == [7, 5, 0, 2, 5, 0, 0]
    assert series.pixels.sum(1).tolist() == [3, 4, 2, 1, 4, 0, 0]
    chosen = []
    for place, number in enumerate([2, 0, 3, 1, 0]):
        n, t = PIXELS[number], DATES[number]
        values = np.asarray(series.values[place])
        real = np.asarray(series.pixels[place])
        assert not values[t:].any()
        assert not values[:, ~real].any()
        assert series.days[place, :t].tolist() == list(range(7 * number, 7 * number + t))
        if not n or not t:
            assert not values.any()
            continue
        pixel = (values[0, real, 0] - 1 - 200 * number) / 20
        expected = 1 + 200 * number + 20 * pixel[:, None]
        expected = expected + 2 * np.arange(t)[:, None, None] + np.arange(2)
        np.testing.assert_array_equal(values[:t, real], expected)
        assert len({*pixel}) == min(n, 4)
        assert {*pixel} <= {*range(n)}
        chosen.append({*pixel})
    assert not series.days[5:].any()
    assert chosen[1] != chosen[2], "the same parcel at another place is drawn anew"


def test_given_pixels_are_taken():
    given = jnp.array([[8, 3], [0, 0], [2, 0], [1, 1]])
    batch = batch_of(table("int16", drawn=given), rows(0, 2), jax.random.key(0), 4)
    values = batch.series["A"].values[:, 0, :, 0]
    assert values.tolist() == [[1 + 160, 1 + 60], [401 + 40, 401]]


def test_an_empty_parcel_is_one_zero_pixel_on_each_date():
    """Also where a date of zeros shows nothing."""
    batch = batch_of(table("int16", marks=Marks(zero=True)), rows(1), jax.random.key(0), 4)
    series = batch.series["A"]
    assert series.valid.sum() == 2
    assert series.pixels.tolist() == [[True, False, False, False]]
    assert not series.values.any()


def test_outlines_go_with_their_parcels():
    outline = jnp.arange(8.0).reshape(4, 2)
    batch = batch_of(table("int16", geometric=outline), rows(3, 1, blank=1), jax.random.key(0), 2)
    assert batch.series["A"].geometric.tolist() == [[6, 7], [2, 3], [0, 0]]


@pytest.mark.parametrize("few", [0, 1, 2, 9, 16])
def test_looking_for_holes_only_where_they_may_be_changes_nothing(few):
    """None, some by themselves, all: on a CPU there are three ways, elsewhere one."""
    rng = np.random.default_rng(few)
    number, dates = 16, 3
    values = rng.integers(100, 200, (number * 4, 4, 2)).astype(np.int16)
    values[:, dates:] = 0
    holes = np.arange(number) < few
    for parcel in np.flatnonzero(holes):
        values[4 * parcel, rng.integers(dates)] = -9  # of one pixel
        values[4 * parcel : 4 * parcel + 4, rng.integers(dates)] = 0
    series = RaggedSeries(
        values=values,
        first=4 * np.arange(number, dtype=np.int32),
        dates=np.full(number, dates, np.int32),
        days=np.zeros((number, dates), np.int32),
        mean=np.full(2, 150, np.float32),
        deviation=np.full(2, 30, np.float32),
        holes=holes,
        marks=Marks(value=-9, zero=True),
    )
    shared = {"pixels": np.full(number, 4, np.int32), "label": np.zeros(number, np.int32)}
    own, all_searched = (
        PixelTable(series={"A": one}, **shared)
        for one in (series, series.replace(holes=np.ones(number, bool)))
    )
    order = rows(*rng.permutation(number))
    batch, expected = (batch_of(x, order, jax.random.key(0), 3) for x in (own, all_searched))
    chex.assert_trees_all_equal(batch, expected)
    assert batch.series["A"].valid.sum() == dates * number - few
