"""Early fusion at dates that the other modalities' own do not enclose: three rules."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st
from refusal import refused_in_a_line

from pastis_jax import fusion
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.interpolation import covered, resample
from pastis_jax.tasks import (
    PanopticModel,
    PanopticTask,
    ParcelModel,
    ParcelTask,
    SemanticModel,
    SemanticTask,
)
from pastis_jax.types import Series

B, T, U = 3, 6, 9
SHAPES = {"pixel sets": (4,), "images": (2, 3)}
OUTSIDE = ("extrapolate", "hold", "mask")

many = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 2**31))
shapes = pytest.mark.parametrize("space", SHAPES.values(), ids=SHAPES)


class Same(nn.Module):
    """Gives what it gets: what a fusion scheme hands to a part comes out."""

    @nn.compact
    def __call__(self, given, *, train=False):
        return given


def merged(series, outside):
    """What early fusion encodes."""
    model = fusion.early(tuple(series), Same(), Same(), Same(), outside=outside)
    return model.apply({}, series).output


def make(seed, space=(4,), channels=2):
    """A reference of 9 dates that begins before, and ends after, the two others; some are masked.

    Of the last sample the third modality has no date, of the one before a single one.
    """
    rng = np.random.default_rng(seed)

    def one(dates, low, high):
        days = np.stack([rng.permutation(np.arange(low, high))[:dates] for _ in range(B)])
        valid = rng.random((B, dates)) < 0.7
        valid[:, :2] = True
        values = rng.normal(size=(B, dates, *space, channels)).astype(np.float32)
        pixels = np.ones((B, *space), bool) if len(space) == 1 else None
        return Series(values=values, days=days.astype(np.int32), valid=valid, pixels=pixels)

    series = {"S2": one(U, 0, 100), "S1A": one(T, 30, 70), "S1D": one(T, 20, 60)}
    valid = series["S1D"].valid.copy()
    valid[-1], valid[-2] = False, np.arange(T) == 3
    return series | {"S1D": series["S1D"].replace(valid=valid)}


def ends(one):
    """First and last valid day of each sample; None where it has none."""
    samples = zip(one.days, one.valid, strict=True)
    return [
        (days[valid].min(), days[valid].max()) if valid.any() else None for days, valid in samples
    ]


@shapes
@many
@seeds
def test_held_values_are_those_of_the_nearest_observed_day(space, seed):
    series = make(seed, space)
    reference = series["S2"]
    held = merged(series, "hold")
    np.testing.assert_array_equal(held.valid, reference.valid)
    values = [reference.values]
    for name in ("S1A", "S1D"):
        days = reference.days.copy()
        for i, range_ in enumerate(ends(series[name])):
            days[i] = days[i] if range_ is None else np.clip(days[i], *range_)
        values.append(resample(series[name], reference.replace(days=days)).values)
    np.testing.assert_array_equal(held.values, np.concatenate(values, -1))


@shapes
@many
@seeds
def test_a_masked_date_is_one_outside_of_a_range(space, seed):
    """Inside, all three rules give the same bits; a modality without a date masks nothing."""
    series = make(seed, space)
    reference, found = series["S2"], {outside: merged(series, outside) for outside in OUTSIDE}
    expected = reference.valid.copy()
    for name in ("S1A", "S1D"):
        for i, range_ in enumerate(ends(series[name])):
            if range_ is not None:
                expected[i] &= (reference.days[i] >= range_[0]) & (reference.days[i] <= range_[1])
    np.testing.assert_array_equal(found["mask"].valid, expected)
    np.testing.assert_array_equal(found["extrapolate"].valid, reference.valid)
    for outside in ("hold", "mask"):
        inside = np.asarray(found[outside].values)[expected]
        np.testing.assert_array_equal(inside, np.asarray(found["extrapolate"].values)[expected])
    held = np.asarray(found["hold"].values)[..., 2:]
    most = max(np.abs(one.values).max() for one in series.values())
    assert np.abs(held).max() <= most * (1 + 1e-6)  # while lines go on without bound


@pytest.mark.parametrize("outside", OUTSIDE)
@settings(max_examples=5, deadline=None, derandomize=True)
@seeds
def test_gradients_are_finite_and_only_of_dates_that_count(outside, seed):
    series = make(seed)

    @jax.grad
    def gradient(values):
        changed = {m: series[m].replace(values=v) for m, v in values.items()}
        given = merged(changed, outside)
        return jnp.sum(jnp.where(given.valid[:, :, None, None], given.values, 0) ** 2)

    for name, of_values in gradient({m: one.values for m, one in series.items()}).items():
        assert np.isfinite(of_values).all()
        assert not np.any(np.asarray(of_values)[~series[name].valid])


def test_what_has_one_date_or_none():
    """One date is a constant, none is 0; of a single day, a mask leaves that day."""
    days = np.array([[5, 10, 15], [5, 10, 15]], np.int32)
    valid = np.array([[False, True, False], [False, False, False]])
    one = Series(values=np.full((2, 3, 1, 1), 7.0, np.float32), days=days, valid=valid)
    like = one.replace(valid=np.ones((2, 3), bool))
    for hold in (False, True):
        np.testing.assert_array_equal(
            resample(one, like, hold=hold).values[..., 0, 0], [[7, 7, 7], [0, 0, 0]]
        )
    np.testing.assert_array_equal(covered(one, days), [[False, True, False], [True, True, True]])


TASKS = {
    "parcel": (ParcelTask, ParcelModel, ClassMapping.crops),
    "semantic": (SemanticTask, SemanticModel, ClassMapping.of),
    "panoptic": (PanopticTask, PanopticModel, ClassMapping.of),
}


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_it(task):
    kind, spec, classes = TASKS[task]
    for outside in OUTSIDE:
        of = spec(fusion="early", outside=outside).of(PASTIS_R)
        model = kind(of, PASTIS_R, classes(PASTIS_R.nomenclature)).model()
        assert model.outside == outside
    assert spec(fusion="early").outside == "extrapolate"
    refused_in_a_line(lambda: spec(fusion="mid", outside="hold"), "`outside`", "resamples nothing")
