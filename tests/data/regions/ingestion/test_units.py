"""Numbers of files as a Region stores them."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from refusal import refused_in_a_line

from pastis_jax.data.modality import Modality
from pastis_jax.data.regions.ingestion import units
from pastis_jax.data.regions.manifest import Layer
from pastis_jax.errors import DataError

NAN = np.nan
OPTICAL = Modality("optical", ("red", "nir"), "int16", "reflectance x 10000", nodata=-10000)
RADAR = Modality("radar", ("VV", "VH", "VV-VH"), "float16", "dB")


def layer(unit, offset=0.0, channel="red"):
    return Layer("scene.tif", "1", "m", channel, datetime.date(2024, 5, 1), "", unit, offset)


def through(numbers, unit, into, *, offset=0.0, nodata=None):
    own = layer(unit, offset)
    return units.converted(units.measured(np.array(numbers), own, nodata), own, into)


@pytest.mark.parametrize(
    ("numbers", "nodata", "missing"),
    [
        (np.array([0, 1, 2], np.uint16), 0, [True, False, False]),
        (np.array([65535, 1, 2], np.uint16), 65535, [True, False, False]),
        (np.array([-9999, 1, 2], np.int16), -9999, [True, False, False]),
        (np.array([32767, 1, 2], np.int16), 32767, [True, False, False]),
        (np.array([NAN, np.inf, -np.inf], np.float32), None, [True, True, True]),
        (np.array([NAN, 0, 1], np.float64), NAN, [True, False, False]),
        (np.array([-3.4028234663852886e38, 0, 1], np.float32), -3.40282346639e38, [1, 0, 0]),
        (np.array([0, 1, 2], np.uint16), None, [False, False, False]),
    ],
)
def test_what_is_missing_is_nan(numbers, nodata, missing):
    values = units.measured(numbers, layer("none"), nodata)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(values), missing)
    kept = ~np.array(missing, bool)
    np.testing.assert_array_equal(values[kept], numbers[kept].astype(np.float32))


@pytest.mark.parametrize(
    ("numbers", "unit", "into", "offset", "expected"),
    [
        ([1234, 0, 20000], "reflectance x 10000", "reflectance x 10000", 0, [1234, 0, 20000]),
        ([1234, 900], "reflectance x 10000", "reflectance x 10000", -1000, [234, -100]),
        ([0.1234, -0.01, 1.5], "reflectance", "reflectance x 10000", 0, [1234, -100, 15000]),
        ([1234], "reflectance x 10000", "reflectance", 0, [0.1234]),
        ([1, 10, 0.001], "linear power", "dB", 0, [0, 10, -30]),
        ([14125, 1], "worldcereal", "dB", 0, [0, -83]),
        ([-12.5], "dB", "dB", 0, [-12.5]),
        ([273.25], "none", "none", 0, [273.25]),
    ],
)
def test_units(numbers, unit, into, offset, expected):
    np.testing.assert_allclose(through(numbers, unit, into, offset=offset), expected, atol=1e-3)


@pytest.mark.parametrize("unit", ["linear power", "worldcereal"])
def test_no_power_is_missing(unit):
    values = through([0.0] + [5.0] * 30 + [-1e-5], unit, "dB")
    np.testing.assert_array_equal(np.isnan(values), [True] + [False] * 30 + [True])


def test_decibels_are_no_power():
    with pytest.raises(DataError, match=r"scene.tif: 3 negative values of red .* dB perhaps"):
        through([-12.0, -8.0, -20.0], "linear power", "dB")


@pytest.mark.parametrize(
    ("unit", "into"), [("dB", "reflectance"), ("", "dB"), ("reflectance", "dB"), ("dB", "none")]
)
def test_units_that_do_not_become_each_other(unit, into):
    refused_in_a_line(lambda: through([1.0], unit, into), "scene.tif", into)


def test_a_unit_with_a_mark_of_its_own_has_it_whether_named_or_not():
    assert np.isnan(through([65535], "worldcereal", "dB"))
    assert through([65535], "worldcereal", "dB", nodata=0) == pytest.approx(13.33, abs=0.01)


@pytest.mark.parametrize("offset", [0.0, -1000.0])
@pytest.mark.parametrize(("blank", "refused"), [(101, True), (100, False)])
def test_pixels_that_are_0_in_all_channels_need_a_mark(offset, blank, refused):
    numbers = np.full((2, 100, 100), 1500, np.uint16)
    numbers[:, 0], numbers[:, 1, : blank - 100] = 0, 0
    numbers[0, 50:] = 0  # dark in one channel
    layers = [layer("reflectance x 10000", offset, channel) for channel in OPTICAL.channels]
    values = np.stack(
        [
            units.converted(units.measured(own, one, None), one, OPTICAL.unit)
            for own, one in zip(numbers, layers, strict=True)
        ]
    )
    if not refused:
        units.check_unmarked(values, layers, OPTICAL, "a/scene.tif")
        return
    words = ("a/scene.tif", "1.0%", "no mark", "`nodata` optical=0")
    refused_in_a_line(lambda: units.check_unmarked(values, layers, OPTICAL, "a/scene.tif"), *words)


def test_integers_are_rounded_and_marked():
    values = np.array([[[0.4, 0.6, NAN]], [[-3.2, 32767, 5]]], np.float32)
    made = units.stored(values, OPTICAL, "scene")
    assert made.dtype == np.int16
    np.testing.assert_array_equal(made, [[[0, 1, -10000]], [[-3, 32767, 5]]])


def test_floats_keep_nan():
    values = np.array([[[1.5, NAN]], [[-20, -21]], [[3, NAN]]], np.float32)
    made = units.stored(values, RADAR, "scene")
    assert made.dtype == np.float16
    np.testing.assert_array_equal(made, values)


@pytest.mark.parametrize("value", [40000.0, -40000.0, -10000.0, -9999.6])
def test_what_does_not_fit_is_refused(value):
    values = np.array([[[1.0, 2]], [[value, 5]]], np.float32)
    refused_in_a_line(lambda: units.stored(values, OPTICAL, "a scene"), "a scene", "manifest")


def test_differences():
    values = np.array([[[-10.0]], [[-17.0]], [[NAN]]], np.float32)
    units.fill_differences(values, RADAR, {"VV", "VH"})
    np.testing.assert_array_equal(values[:, 0, 0], [-10, -17, 7])
    values[2] = 6
    units.fill_differences(values, RADAR, {"VV", "VH", "VV-VH"})
    assert values[2, 0, 0] == 6


def image(*means, size=80, spread=0.1):
    rng = np.random.default_rng(0)
    return np.stack([rng.normal(m, abs(m) * spread + 1e-3, (size, size)) for m in means]).astype(
        np.float32
    )


@pytest.mark.parametrize(
    ("values", "modality", "says"),
    [
        (image(0.08, 0.3), OPTICAL, "normalised or divided"),
        (image(-700, 2000), OPTICAL, "the mean of red is -7"),
        (image(500, -9000), OPTICAL, "nir: values from"),
        (image(0.08, 0.02, 0.06), RADAR, "is not in dB"),
        (image(-17, -10, -7, spread=0.001), RADAR, "the weaker one"),
        (image(-10, -17, 12), RADAR, "differs from VV minus VH"),
    ],
)
def test_implausible_values_are_refused(values, modality, says):
    refused_in_a_line(
        lambda: units.check(values, modality, "this scene"),
        *("this scene", says, "the usual cause", modality.unit),
    )


def test_plausible_values_pass():
    radar = image(-10, -17, 7)
    units.fill_differences(radar, RADAR, {"VV", "VH"})
    units.check(radar, RADAR, "scene")
    units.check(image(800, 3000), OPTICAL, "scene")
    units.check(np.full((2, 80, 80), NAN, np.float32), OPTICAL, "scene")
    # What is usual cannot be told of a few pixels, that of a dark lake in a corner say.
    few = np.full((2, 80, 80), NAN, np.float32)
    few[:, :10, :10] = 50
    units.check(few, OPTICAL, "scene")
