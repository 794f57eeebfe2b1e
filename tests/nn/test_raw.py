"""What becomes of stored values on the device: the same that NumPy makes of them on the host."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from tiers import all_but

from pastis_jax.data.modality import UNITS, Modality
from pastis_jax.data.normalisation import fill_missing, marks_of, showing, travelling
from pastis_jax.nn.raw import as_series, missing
from pastis_jax.types import Series, Stored

B, T, C = 2, 5, 3


def drawn(modality, space, seed=0):
    """Values with every kind of hole that the modality can have, ``b t c ...``."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(20, 120, (B, T, C, *space)).astype(modality.dtype)
    holes = rng.random(values.shape) < 0.2
    marks = [] if modality.nodata is None else [modality.nodata]
    if np.dtype(modality.dtype).kind == "f" and modality.unit == "dB":
        marks += [np.nan, -np.inf]
    for mark in marks:
        values[holes & (rng.random(values.shape) < 0.7)] = mark
        values[0, 0, 1] = mark  # nowhere observed
        values[1, 0, 1, ..., 1:] = mark
    values[0, 1] = 0
    values[1, 1, :, ..., 1:] = 0
    if marks:
        values[1, 2] = 0  # filled with two marks
        values[1, 2, 0, ..., :2] = marks[0]
    return values


def stored(values, modality, moments, *, pixels=None):
    mean, std = moments
    return Stored(
        values=values.astype(travelling(modality)),
        days=np.zeros((B, T), np.int32),
        valid=np.arange(B * T).reshape(B, T) != T - 1,
        mean=np.tile(mean - np.float32(modality.offset), (B, 1)),
        deviation=np.tile(std, (B, 1)),
        pixels=pixels,
        marks=marks_of(modality),
    )


def by_numpy(values, modality, moments, valid, pixels):
    """The same by other means: in the order of a definition, sample by sample, in float64."""
    mean, std = (x.astype(np.float64)[:, None] for x in moments)
    out, shown = np.zeros((*values.shape[:2], *values.shape[3:], C)), valid.copy()
    for b, t in np.ndindex(B, T):
        gone = modality.missing(values[b, t], range(values.ndim - 2))
        frame = values[b, t].astype(np.float64).reshape(C, -1)
        gone = np.zeros(frame.shape, bool) if gone is None else gone.reshape(C, -1)
        real = np.ones(frame.shape[1], bool) if pixels is None else pixels[b]
        seen = ~gone & real
        shown[b, t] &= seen.any(1).all()
        if not shown[b, t]:
            continue
        for c in range(C):
            frame[c, gone[c]] = frame[c, seen[c]].mean()
        frame = np.where(real, (frame + modality.offset - mean) / std, 0)
        out[b, t] = np.moveaxis(frame.reshape(values.shape[2:]), 0, -1)
    return out, shown


CASES = [
    ("int16", "reflectance x 10000", -10000, -30.0),
    ("float16", "dB", None, 0.0),
    ("float32", "dB", -9999.0, 0.0),
    ("float32", "reflectance", float("nan"), 0.0),
    ("uint16", "reflectance x 10000", None, -100.0),
    ("int16", "reflectance x 10000", 0, 0.0),
    ("float64", "none", 1e-3, 0.0),
    ("int32", "none", -(2**31), 5.0),
    ("uint8", "none", 255, 0.0),
    ("float32", "index", None, 0.0),
    ("float16", "dB", float("nan"), 2.0),
    (">i2", "reflectance x 10000", -1, 0.0),
]


@pytest.mark.parametrize("space", [(4, 6), (7,)], ids=["images", "pixel sets"])
@pytest.mark.parametrize("case", all_but(5, CASES), ids=str)
def test_the_device_does_what_the_definition_says(case, space):
    dtype, unit, nodata, offset = case
    modality = Modality("X", ("a", "b", "c"), dtype, unit, nodata=nodata, offset=offset)
    values = drawn(modality, space)
    moments = np.float32([60, 70, 80]), np.float32([7, 30, 11])
    pixels = None
    if len(space) == 1:
        pixels = np.arange(space[0]) < np.array([[space[0]], [4]])
    given = stored(values, modality, moments, pixels=pixels)
    got = jax.jit(as_series)(given)
    expected, shown = by_numpy(values, modality, moments, given.valid, pixels)
    np.testing.assert_array_equal(got.valid, shown)
    np.testing.assert_allclose(got.values, expected, rtol=2e-6, atol=2e-6)
    if pixels is None:
        for b in range(B):
            np.testing.assert_array_equal(
                got.valid[b], given.valid[b] & showing(values[b], modality)
            )


def test_nothing_missing_is_what_numpy_makes_to_the_last_bit():
    """XLA may multiply by the reciprocal of the deviation: one unit in the last place."""
    modality = Modality("X", ("a", "b", "c"), "int16", "reflectance x 10000", nodata=-10000)
    rng = np.random.default_rng(0)
    values = rng.integers(1, 9000, (B, T, C, 8, 8)).astype("i2")
    moments = rng.uniform(500, 900, 3).astype("f4"), rng.uniform(100, 900, 3).astype("f4")
    given = stored(values, modality, moments)
    got = np.asarray(jax.jit(as_series)(given).values)
    mean, std = (x[:, None, None] for x in moments)
    expected = ((values.astype(np.float32) - mean) / std).transpose(0, 1, 3, 4, 2)
    np.testing.assert_array_max_ulp(got[given.valid], expected[given.valid], maxulp=1)


@pytest.mark.parametrize("unit", UNITS)
def test_marks_are_those_of_the_modality(unit):
    """In every unit, of frames with a mark, with zeros, with both, and with NaN."""
    for nodata in (None, 0, -9999.0, float("nan")):
        modality = Modality("X", ("a", "b", "c"), "float32", unit, nodata=nodata)
        values = drawn(modality, (3, 3))
        expected = modality.missing(values, (2, 3, 4))
        got = missing(values, marks_of(modality))
        assert (got is None) == (expected is None)
        if got is not None:
            np.testing.assert_array_equal(got, expected)


def test_what_is_not_valid_never_passes():
    """NaN on a masked date or pixel, or a blank sample, is 0; nothing is divided by nothing."""
    modality = Modality("X", ("a", "b", "c"), "float32", "none")
    values = np.full((B, T, C, 6), 3, np.float32)
    values[0, T - 1], values[..., 4:] = np.nan, np.inf
    pixels = np.tile(np.arange(6) < 4, (B, 1))
    moments = np.ones(C, np.float32), np.zeros(C, np.float32)
    with jax.debug_nans(True):
        blank = as_series(stored(np.zeros_like(values), modality, moments))
    np.testing.assert_array_equal(blank.values[0, T - 1], 0)
    assert np.isfinite(blank.values).all()
    moments = np.ones(C, np.float32), np.full(C, 2, np.float32)
    got = as_series(stored(values, modality, moments, pixels=pixels))
    np.testing.assert_array_equal(got.values[0, T - 1], 0)
    np.testing.assert_array_equal(got.values[:, : T - 1, :4], 1)
    np.testing.assert_array_equal(got.values[:, :, 4:], 0)


def test_a_series_stays_as_it_is():
    series = Series(np.ones((1, 2, 3)), np.zeros((1, 2), int), np.ones((1, 2), bool))
    assert as_series(series) is series


def test_a_fill_is_the_one_of_records():
    """The mean of what was observed, to rounding, as `fill_missing` makes it on the host."""
    modality = Modality("X", ("a", "b", "c"), "int16", "none", nodata=-1)
    values = np.random.default_rng(1).integers(0, 30000, (B, T, C, 50)).astype("i2")
    values[:, :, :, ::3] = -1
    moments = np.float32([9000, 15000, 20000]), np.float32([1000, 5000, 300])
    given = stored(values, modality, moments, pixels=np.ones((B, 50), bool))
    got = jax.jit(as_series)(given).values
    filled, _ = fill_missing(
        values.reshape(B * T, C, 50).astype(np.float32), values.reshape(B * T, C, 50) == -1
    )
    expected = (filled - moments[0][:, None]) / moments[1][:, None]
    expected = expected.reshape(B, T, C, 50).transpose(0, 1, 3, 2)
    where = given.valid[:, :, None, None]
    np.testing.assert_allclose(got, np.where(where, expected, 0), rtol=3e-6, atol=3e-6)


def test_marks_that_are_alike_share_a_program():
    one, other = (Modality("X", ("a",), "float32", "none", nodata=float("nan")) for _ in range(2))
    assert hash(marks_of(one)) == hash(marks_of(other))
    assert marks_of(one) == marks_of(other)
    assert marks_of(dataclasses.replace(one, nodata=1)) != marks_of(other)
