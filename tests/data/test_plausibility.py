"""Values are judged by their unit: what a sensor measures passes, another scale does not."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest

from pastis_jax.data.arrays import as_stored, check_series_values
from pastis_jax.data.modality import UNITS, Modality
from pastis_jax.errors import DataError

FILE = pathlib.Path("DATA_X", "X_7.npy")
SHAPE = (6, 2, 50)
"""Dates, channels, pixels."""


def uniform(low, high, dtype="f4"):
    return np.random.default_rng(0).uniform(low, high, SHAPE).astype(dtype)


def backscatter(first, second, dtype="f4"):
    """Two polarisations of these means, dB."""
    noise = np.random.default_rng(0).normal(0, 2, SHAPE)
    return (np.array([first, second])[:, None] + noise).astype(dtype)


def power(first, second):
    return 10 ** (backscatter(first, second) / 10)


def odd(values, *replaced):
    """A copy in which single pixels have these values."""
    values = values.copy()
    values[-1, -1, : len(replaced)] = replaced
    return values


SOUND = {
    "reflectance x 10000": [
        uniform(200, 4000, "i2"),
        uniform(200, 4000, "u2"),
        uniform(200, 4000),
        odd(uniform(20, 900, "i2"), -900, 16000),  # shade, snow
        uniform(100, 400, "i2"),  # water
    ],
    "reflectance": [
        uniform(0.02, 0.4),
        uniform(0.02, 0.4, "f2"),
        odd(uniform(0.002, 0.09), -0.09, 1.6),
        uniform(0.01, 0.04),
    ],
    "dB": [
        backscatter(-11, -18, "f2"),
        backscatter(-18, -11),
        odd(backscatter(-11, -18), 12, -45),
        backscatter(-20, -26),  # water
        backscatter(-18, 7),  # a ratio beside a polarisation
        backscatter(-2, -6),  # a town
        backscatter(-11, -18).round().astype("i1"),
    ],
    "linear power": [
        power(-11, -18),
        power(-20, -26),
        odd(power(-11, -18), 0, 40),
        power(-2, -6),
        power(-11, 7),
    ],
    "index": [
        uniform(-0.2, 0.9),
        uniform(-0.2, 0.9, "f2"),
        odd(uniform(-0.2, 0.9), 1.7, -3),
        uniform(0, 0.001),
        np.zeros(SHAPE, "f4"),
    ],
    "none": [uniform(-1e6, 1e6), np.zeros(SHAPE, "u1"), uniform(0, 1), uniform(250, 310)],
}

WRONG = {
    "reflectance x 10000": [
        (uniform(0.02, 0.4), "the largest value is 0.39.*: already normalised or divided"),
        (uniform(-2, 2), "already normalised or divided"),
        (uniform(2, 60, "u1"), "already normalised or divided"),
        (backscatter(-11, -18), "already normalised or divided"),
        (odd(uniform(200, 4000), 40000), "to 40000 are outside -2000 to 32767"),
        (odd(uniform(200, 4000), -2001), "from -2001 to .* are outside -2000 to 32767"),
    ],
    "reflectance": [
        (uniform(200, 4000, "i2"), "are outside -0.2 to 3.2767"),
        (uniform(2, 40), "are outside -0.2 to 3.2767"),  # percent
        (uniform(-2, 2), "are outside -0.2 to 3.2767"),
        (uniform(0.02, 0.4) / 255, "the largest value is 0.00.*: already normalised or divided"),
        (backscatter(-11, -18), "are outside -0.2 to 3.2767"),
    ],
    "dB": [
        (power(-11, -18), "is not in dB: linear power, normalised or divided"),
        (power(-2, -6), "is not in dB: linear power, normalised or divided"),
        (backscatter(-11, -18) / 255, "is not in dB"),
        (backscatter(0, 0) / 2, "is not in dB"),
        (backscatter(-11, -18) * 100, "are not backscatter in dB"),
        (backscatter(-11, -18) - 50, "mean b of -6.* is not in dB"),
        (uniform(200, 4000, "i2"), "are not backscatter in dB"),
    ],
    "linear power": [
        (backscatter(-11, -18), "values down to -2.* are no linear power: dB or normalised"),
        (backscatter(-2, -6), "are no linear power"),
        (backscatter(0, 0), "are no linear power"),
        (uniform(200, 4000, "u2"), "a mean of 2.* is no backscatter in linear power"),
    ],
    "index": [
        (uniform(-2000, 9000, "i2"), "of them outside -1 to 1"),
        (uniform(0, 200, "u1"), "of them outside -1 to 1"),
        (uniform(-0.2, 1.3), "of them outside -1 to 1"),
        (backscatter(-11, -18), "values from -2.*, 100% of them outside -1 to 1"),
    ],
    "none": [],
}


def modality(unit, dtype="float32", **arguments):
    return Modality("X", ("a", "b"), dtype, unit, **arguments)


def refused(values, sensor, match):
    with pytest.raises(DataError, match=match) as caught:
        check_series_values(values, sensor, FILE)
    assert str(caught.value).startswith(f"{FILE}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_unit_is_tested():
    assert SOUND.keys() == WRONG.keys() == {*UNITS}


@pytest.mark.parametrize(("unit", "number"), [(u, i) for u in UNITS for i in range(len(SOUND[u]))])
def test_sound_values(unit, number):
    values = SOUND[unit][number]
    check_series_values(values, modality(unit), FILE)
    check_series_values(np.repeat(values[..., None], 3, -1), modality(unit), FILE)  # a patch


@pytest.mark.parametrize(("unit", "number"), [(u, i) for u in UNITS for i in range(len(WRONG[u]))])
def test_another_scale(unit, number):
    values, match = WRONG[unit][number]
    for shaped in (values, np.repeat(values[..., None], 3, -1)):
        assert f"give X in its unit, {unit}" in refused(shaped, modality(unit), match)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(unit, value):
    sound = SOUND[unit][0].astype("f4")
    if unit == "dB" and not value > 0:  # the logarithm of nothing: missing (test_marks.py)
        assert check_series_values(odd(sound, value), modality(unit), FILE)
        return
    for nodata in (None, -9999.0):
        sensor = modality(unit, nodata=nodata)
        refused(odd(sound, value), sensor, "NaN or infinite values")
        refused(odd(sound, value, -9999.0), sensor, "NaN or infinite values")


def test_no_pixel():
    check_series_values(np.zeros((6, 2, 0)), modality("reflectance"), FILE)


# Bounds of the dataset's own


def test_plausible_bounds_take_the_place_of_the_unit():
    lidar = modality("none", plausible=(0.0, 60.0))
    check_series_values(uniform(0, 60), lidar, FILE)
    match = "values from 0.* to 61 are outside 0 to 60; .*`plausible` of X in the dataset"
    refused(odd(uniform(0, 60), 61), lidar, match)
    refused(odd(uniform(0, 60), -1), lidar, "are outside 0 to 60")
    sonar = modality("dB", plausible=(-150.0, -70.0))
    check_series_values(backscatter(-100, -120), sonar, FILE)
    refused(backscatter(-11, -18), sonar, "are outside -150 to -70")
    refused(backscatter(-100, -120), modality("dB"), "are not backscatter in dB")


def test_nodata_lies_outside_the_bounds():
    lidar = modality("none", nodata=-9999, plausible=(0.0, 60.0))
    check_series_values(odd(uniform(0, 60), -9999), lidar, FILE)


# What is not measured

MARKS = {
    "nan": ("reflectance", "float32", np.nan, uniform(0.02, 0.4)),
    "nan in float16": ("dB", "float16", np.nan, backscatter(-11, -18, "f2")),
    "0 in uint16": ("reflectance x 10000", "uint16", 0, uniform(200, 4000, "u2")),
    "65535 in uint16": ("reflectance x 10000", "uint16", 65535, uniform(200, 4000, "u2")),
    "-10000 in int16": ("reflectance x 10000", "int16", -10000, uniform(200, 4000, "i2")),
    "-9999 in dB": ("dB", "float32", -9999, backscatter(-11, -18)),
    "-32768 in float16": ("dB", "float16", -32768, backscatter(-11, -18, "f2")),
    "0 in power": ("linear power", "float32", 0, power(-11, -18)),
    "-1 in power": ("linear power", "float32", -1, power(-11, -18)),
    "255 in an index": ("index", "float32", 255, uniform(-0.2, 0.9)),
    "lowest of float32": ("none", "float32", float(np.finfo("f4").min), uniform(0, 1)),
}


@pytest.mark.parametrize("case", MARKS)
def test_nodata_is_left_out(case):
    unit, dtype, mark, values = MARKS[case]
    sensor = modality(unit, dtype, nodata=mark)
    holes = values.copy()
    holes[2] = mark
    holes[:, :, 7:40] = mark
    check_series_values(holes, sensor, FILE)
    np.testing.assert_array_equal(as_stored(holes, sensor), holes, strict=True)
    expected = np.zeros(SHAPE, bool)
    expected[2] = expected[:, :, 7:40] = True
    np.testing.assert_array_equal(sensor.missing(holes), expected)
    np.testing.assert_array_equal(sensor.missing(holes.astype("f4")), expected)


@pytest.mark.parametrize("case", MARKS)
def test_all_nodata(case):
    unit, dtype, mark, values = MARKS[case]
    sensor = modality(unit, dtype, nodata=mark)
    assert not check_series_values(np.full_like(values, mark), sensor, FILE)
    half = values.copy()
    half[:, 1] = mark
    match = f"every value of b is the nodata mark {mark:g}; .*leave it out".replace("+", r"\+")
    refused(half, sensor, match)


@pytest.mark.parametrize("case", MARKS)
def test_nodata_does_not_hide_another_scale(case):
    unit, dtype, mark, _ = MARKS[case]
    for values, match in WRONG[unit]:
        values = values.astype("f4")
        values[0, :, :5] = mark
        refused(values, modality(unit, dtype, nodata=mark), match.split(" are ")[-1])


def test_without_a_mark_nothing_is_missing():
    assert modality("index").missing(np.zeros(3)) is None


@pytest.mark.parametrize(
    ("dtype", "mark"),
    [
        ("int16", 40000),
        ("uint16", -10000),
        ("uint8", 0.5),
        ("int16", float("nan")),
        ("float16", -9999),  # rounded to -10000
        ("float16", 1e6),
        ("float32", 1e39),
        ("float32", float("inf")),
    ],
)
def test_a_mark_that_the_type_cannot_hold(dtype, mark):
    with pytest.raises(ValueError, match=f"^nodata: {dtype} cannot hold"):
        modality("none", dtype, nodata=mark)


# The type on disk and that of the dataset


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("dtype", ["int16", "uint8", "int64"])
def test_fractions_need_floats(unit, dtype):
    """Rounded to integers, nothing would be left of them."""
    if unit in ("reflectance", "linear power", "index"):
        with pytest.raises(ValueError, match=f"^dtype: {dtype} keeps nothing of {unit}, which"):
            modality(unit, dtype)
    else:
        assert modality(unit, dtype).dtype == dtype
    assert modality(unit, "float16").dtype == "float16"


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("int16", odd(uniform(0, 100), 40000)),
        ("int16", odd(uniform(0, 100), 40000).astype("i4")),
        ("int16", odd(uniform(0, 100), 40000).astype("u2")),
        ("uint8", odd(uniform(0, 100), -1)),
        ("uint8", odd(uniform(0, 100), -1).astype("i1")),
        ("uint8", odd(uniform(0, 100), 256)),
        ("float16", odd(uniform(0, 100), 1e6)),
        ("float32", odd(uniform(0, 100).astype("f8"), -1e300)),
    ],
)
def test_values_that_do_not_fit(dtype, values):
    match = f"do not fit in {dtype}; correct them, or the dataset's dtype"
    refused(values, modality("none", dtype), match)


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("int16", [-2.6, 0.4, 32767.0], [-3, 0, 32767]),
        ("uint8", [0.0, 254.6], [0, 255]),
        ("int32", np.array([1, 255], "u1"), [1, 255]),
        ("float32", np.array([1, 255], "u1"), [1, 255]),
    ],
)
def test_values_that_fit_are_rounded(dtype, values, expected):
    sensor, values = modality("none", dtype), np.array(values)[:, None, None]
    check_series_values(values, sensor, FILE)
    stored = as_stored(values, sensor)
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored.ravel(), expected)


def test_no_value_is_rounded_to_the_mark_of_what_is_missing():
    sensor = dataclasses.replace(modality("none", "uint8"), nodata=0)
    check_series_values(np.array([0.0, 0.6, 3.0])[:, None, None], sensor, FILE)
    with pytest.raises(DataError, match="rounded to the nodata mark 0"):
        check_series_values(np.array([0.0, 0.4, 3.0])[:, None, None], sensor, FILE)
