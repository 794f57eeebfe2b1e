"""Marks of what is missing, offsets, and channels that are not what they are called."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import numpy as np
import pytest
from patch_records import normalised

from pastis_jax.data.arrays import as_stored, check_series_values
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.declared import declare
from pastis_jax.data.modality import Modality
from pastis_jax.data.normalisation import normalise
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches.encoding import PatchEncoding
from pastis_jax.data.patches.folder import PatchFolder
from pastis_jax.data.pixel_sets.encoding import PixelSetEncoding
from pastis_jax.data.pixel_sets.folder import PixelSetFolder
from pastis_jax.data.statistics import StatisticsAccumulator, split_statistics
from pastis_jax.errors import DataError
from pastis_jax.types import Series

FILE = pathlib.Path("DATA_X", "X_7.npy")
OPTICAL, RADAR = PASTIS_R["S2"], PASTIS_R["S1A"]
DATES, PIXELS = 6, 20


def optical(dtype="i2"):
    return np.random.default_rng(0).integers(300, 4000, (DATES, 10, PIXELS)).astype(dtype)


def radar(dtype="f2"):
    rng = np.random.default_rng(0)
    one, other = (mean + rng.normal(0, 2, (DATES, PIXELS)) for mean in (-11, -18))
    return np.stack((one, other, one - other), 1).astype(dtype)


def refusal(values, modality):
    with pytest.raises(DataError) as caught:
        check_series_values(values, modality, FILE)
    text = str(caught.value)
    assert text.startswith(f"{FILE}: ")
    assert "\n" not in text
    return text


# Marks that are not declared


@pytest.mark.parametrize("mark", [-9999, -5536, -2001, 32768, 40000, 65535])
def test_a_mark_that_is_not_declared(mark):
    values = optical("i4")
    values[2] = mark
    text = refusal(values, OPTICAL)
    assert "are outside -2000 to 32767" in text
    assert f"declare the mark of what is missing by `nodata` S2={mark}" in text
    assert "write -10000, which marks what is missing" in text
    reflectance = Modality("R", OPTICAL.channels, "float32", "reflectance")
    assert "are outside -0.2 to 3.2767" in refusal(values.astype("f4") / 10000, reflectance)


def test_marks_are_named_as_they_are():
    """So that the remedy, typed, is the remedy."""
    wrapped = np.where(optical() > 3900, np.array(60000, np.uint16).astype(np.int16), optical())
    assert "(-5536 is what 16 bits with a sign make of 60000)" in refusal(wrapped, OPTICAL)
    lowest = float(np.finfo("f4").min)
    for mark in (2**31 - 1, -(2**31), lowest, -1e20):
        values = optical("f4" if abs(mark) > 1e10 else "i4")
        values[2] = mark
        text = refusal(values, OPTICAL).split("`nodata` S2=")[1].split(",")[0]
        assert (values == declare(PASTIS_R, (f"S2={text}",), ())["S2"].nodata)[2].all()


def test_declared_it_is_missing():
    values = optical()
    values[2], values[3, :, 0] = -9999, -9999
    modality = dataclasses.replace(OPTICAL, nodata=-9999)
    check_series_values(values, modality, FILE)
    values[0, 0, 0] = -10000  # another one's mark
    refusal(values, modality)


def test_what_is_not_a_number_names_the_mark():
    values = optical("f4")
    values[2] = np.nan
    text = refusal(values, OPTICAL)
    assert "NaN or infinite values" in text
    assert "write -10000" in text
    assert "`nodata` S2=nan" in text


LOWEST = float(np.finfo("f4").min)


@pytest.mark.parametrize(
    ("dtype", "stored", "mark", "held"),
    [
        ("float64", "f4", -3.4028235e38, LOWEST),  # as tools print it
        ("float32", "f8", -3.4028235e38, LOWEST),
        ("float64", "f4", -9999.9, -9999.9),
        ("float32", "f8", -9999.9, float(np.float32(-9999.9))),
        ("float32", "f2", -32768, -32768),
        ("float16", "f4", -32768, -32768),
        ("int32", "f4", 2**31 - 1, 2**31 - 1),
        ("int16", "f8", -10000, -10000),
        ("int32", "i2", -9999, -9999),
        ("float32", ">i2", -9999, -9999),
        ("float32", "f8", float("nan"), float("nan")),
    ],
)
def test_a_mark_stays_one_in_another_type(dtype, stored, mark, held):
    """What the check leaves out, training does not see either."""
    modality = Modality("X", ("a", "b"), dtype, "none", nodata=mark)
    values = np.random.default_rng(0).uniform(1, 200, (4, 2, 9)).astype(stored)
    values[1], values[2, :, 3] = held, held
    expected = np.zeros(values.shape, bool)
    expected[1] = expected[2, :, 3] = True
    check_series_values(values, modality, FILE)
    kept = as_stored(values, modality)
    assert kept.dtype == dtype
    np.testing.assert_array_equal(modality.missing(kept), expected)
    np.testing.assert_array_equal(modality.missing(kept.astype("f4")), expected)
    assert ((kept == modality.nodata) | np.isnan(kept)).sum() == expected.sum()


def test_no_measured_value_becomes_a_mark_of_floats():
    modality = Modality("X", ("a",), "float32", "index", nodata=0)
    values = np.array([0.5, 1e-60, 0.25])[:, None, None]
    assert "would be rounded to the nodata mark 0" in refusal(values, modality)


# What no sensor measures


def test_reflectance_of_zero_everywhere_is_missing():
    values = optical()
    values[1] = 0
    values[2, :, :5] = 0  # somewhere alone is another thing
    values[3, 4] = 0
    check_series_values(values, OPTICAL, FILE)
    missing = OPTICAL.missing(values, (1, 2))
    assert missing[1].all()
    assert not np.delete(missing, 1, 0).any()
    assert OPTICAL.missing(values).sum() == 0
    values[2] = -10000
    values[2, :, 3] = 0  # filled with two marks
    assert OPTICAL.missing(values, (1, 2))[2].all()


def test_a_ratio_of_nothing_is_missing():
    values = radar()
    values[1] = 0
    values[2, :, :4] = np.nan
    values[3, :, 5] = -np.inf
    check_series_values(values, RADAR, FILE)
    expected = np.zeros(values.shape, bool)
    expected[1] = expected[2, :, :4] = expected[3, :, 5] = True
    np.testing.assert_array_equal(RADAR.missing(values, (1, 2)), expected)
    values[4, 0, 0] = np.inf
    assert "NaN or infinite values" in refusal(values, RADAR)


def test_types_that_cannot_hold_nan():
    decibels = Modality("D", ("VV", "VH"), "int8", "dB")
    values = radar("f4")[:, :2]
    check_series_values(values, decibels, FILE)
    assert as_stored(values, decibels).dtype == np.int8
    values[0, 0, 0] = np.nan
    assert "NaN or infinite values do not fit in int8" in refusal(values, decibels)


def test_every_half_float_is_told_by_its_bits():
    """All 65,536 of them, also where they lie apart; and marks of integers beyond their type."""
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(2, -1)
    for values in (every, every[:, ::3], every.T):
        with np.errstate(invalid="ignore"):
            expected = np.isnan(values) | (values == -np.inf)
        np.testing.assert_array_equal(RADAR.missing(values), expected)
    for mark, values in ((-10000, np.arange(256, dtype="u1")), (200, np.arange(256, dtype="u1"))):
        modality = Modality("X", ("a",), "int16", "none", nodata=mark)
        np.testing.assert_array_equal(modality.marked(values), values.astype(float) == mark)


def test_units_in_which_zero_is_measured():
    for unit in ("index", "none"):
        modality = Modality("N", ("a",), "float32", unit)
        assert modality.missing(np.zeros((3, 1, 4), "f4"), (1, 2)) is None
    declared = dataclasses.replace(OPTICAL, nodata=0)
    assert not declared.blank(np.zeros((3, 10, 4), "i2"), (1, 2)).any()  # declared, not noticed
    assert not OPTICAL.blank(np.zeros((3, 10, 0), "i2"), (1, 2)).any()


@pytest.mark.parametrize("kind", ["reflectance", "dB"])
def test_nothing_measured_at_all(kind):
    """The series is absent, as of a satellite that failed; a channel alone is damaged."""
    values, modality = (optical(), OPTICAL) if kind == "reflectance" else (radar(), RADAR)
    assert check_series_values(values, modality, FILE)
    assert not check_series_values(np.zeros_like(values), modality, FILE)
    if kind == "dB":
        assert not check_series_values(np.full_like(values, np.nan), modality, FILE)
        values[:, 1] = np.nan
        assert "every value of VH is missing: a mark, or an ac" in refusal(values, modality)
        integers = Modality("D", ("VV", "VH"), "int8", "dB")
        nothing = np.full((3, 2, 5), np.nan, "f4")
        assert "NaN or infinite values do not fit in int8" in refusal(nothing, integers)


# What becomes of it


def encoded(values, modality, moments):
    """What the two encodings and a run's prediction make of a series: values and valid dates."""
    t, c, s = values.shape
    days = np.arange(t, dtype=np.int32) * 5
    dataset = dataclasses.replace(PASTIS_R, modalities=(modality,))
    shared = {
        "dataset": dataset,
        "lengths": {modality.name: t},
        "statistics": {modality.name: moments},
    }
    rng = np.random.default_rng(0)
    record = {modality.name: {"values": values, "days": days}, "number": 0}
    classes = ClassMapping.crops(dataset.nomenclature)
    parcel = PixelSetEncoding(**shared, classes=classes, pixels=s)(
        record | {"label": 1, "geometric_features": np.zeros(0, np.float32)}, rng
    ).series[modality.name]
    image = {modality.name: {"values": values.reshape(t, c, 4, s // 4), "days": days}}
    semantic = np.ones((4, s // 4), np.int32)
    classes = ClassMapping.of(dataset.nomenclature)
    encode = PatchEncoding(**shared, classes=classes, size=(4, s // 4))
    sample = encode(record | image | {"semantic": semantic, "patch": 1}, rng)
    patch = normalised(sample).series[modality.name]
    raw = Series(
        values=values.transpose(0, 2, 1)[None].astype(np.float32),
        days=days[None],
        valid=np.ones((1, t), bool),
        pixels=np.ones((1, s), bool),
    )
    seen = normalise(raw, modality, moments)
    return (
        (parcel.values, parcel.valid),
        (patch.values.reshape(t, s, c), patch.valid),
        (seen.values[0], seen.valid[0]),
    )


def moments_of(values):
    return values.mean((0, 2), dtype=np.float32), values.std((0, 2), dtype=np.float32)


@pytest.mark.parametrize("kind", ["reflectance", "dB", "NaN", "-inf"])
def test_a_missing_acquisition_is_as_good_as_absent(kind):
    modality, values = (OPTICAL, optical()) if kind == "reflectance" else (RADAR, radar())
    moments, holes = moments_of(values), values.copy()
    holes[2] = {"NaN": np.nan, "-inf": -np.inf}.get(kind, 0)
    for (whole, _), (got, valid) in zip(
        encoded(values, modality, moments), encoded(holes, modality, moments), strict=True
    ):
        assert valid.tolist() == [True, True, False, True, True, True]
        np.testing.assert_array_equal(got[valid], whole[valid])
        np.testing.assert_array_equal(got[2], 0)
    whole, gone = (StatisticsAccumulator(modality, (1, 2, 3)) for _ in range(2))
    np.testing.assert_array_equal(whole.moments(np.delete(holes, 2, 0))[2], 1)
    np.testing.assert_allclose(
        gone.moments(holes), whole.moments(np.delete(holes, 2, 0)), rtol=1e-5
    )


def test_an_offset_is_added_to_what_is_measured():
    values = optical()
    values[2], values[3, :, 0] = -10000, -10000
    later = np.where(values == -10000, values, values + 1000).astype(np.int16)
    declared = dataclasses.replace(OPTICAL, offset=-1000.0)
    check_series_values(later, declared, FILE)
    moments = moments_of(optical())
    for (wanted, _), (got, valid) in zip(
        encoded(values, OPTICAL, moments), encoded(later, declared, moments), strict=True
    ):
        assert valid.tolist() == [True, True, False, True, True, True]
        np.testing.assert_allclose(got, wanted, atol=1e-5)
    dark = np.full_like(values, 1)
    dark[:, 0] = 900
    check_series_values(dark, OPTICAL, FILE)
    low = dataclasses.replace(OPTICAL, offset=-3000.0)  # judged as it is used
    assert "values from -2999 to -2100 are outside -2000" in refusal(dark, low)


def test_statistics_of_stored_values_get_the_offset():
    mean, std = np.arange(10.0), np.ones(10)
    stored = {"S2": dict.fromkeys((1, 2, 3), (mean, std))}
    declared = dataclasses.replace(OPTICAL, offset=-1000.0)
    (got,) = split_statistics(stored, [declared], (1, 2), pathlib.Path(), {"S2": (1, 2)}).values()
    np.testing.assert_array_equal(got[0], mean - 1000)
    np.testing.assert_array_equal(got[1], std)


# Prediction


def given(values, modality=OPTICAL):
    """Normalises series as prediction does; the second of two is sound, and padded with a mark."""
    sound = values.copy()
    sound[2] = sound[1]
    both = np.stack([values, sound]).transpose(0, 1, 3, 2).astype(np.float32)
    both[1, -1], both[1, :, -1] = -9999, 65535
    series = Series(
        values=both,
        days=np.tile(np.arange(DATES) * 5, (2, 1)),
        valid=np.array([[True] * DATES, [True] * (DATES - 1) + [False]]),
        pixels=np.array([[True] * PIXELS, [True] * (PIXELS - 1) + [False]]),
    )
    seen = sound[:-1, :, :-1].astype(np.float32)
    return normalise(series, modality, moments_of(seen + modality.offset))


@pytest.mark.parametrize("mark", [-9999, -5536, -2001, 32768, 65535])
def test_a_mark_that_is_not_declared_is_not_predicted_from(mark):
    """Refused where a folder with it is, on a date, or at a pixel; not where nothing is valid."""
    values = optical("i4")
    given(values)
    for place in (2, (slice(2, 4), slice(None), 3), (2, 0, 0)):
        marked = values.copy()
        marked[place] = mark
        refusal(marked, OPTICAL)
        with pytest.raises(ValueError, match=r"S2 is not in .* outside -2000 to 32767") as caught:
            given(marked)
        assert "marked by -10000, or not valid" in str(caught.value)
    declared = dataclasses.replace(OPTICAL, dtype="int32", nodata=mark)
    values[2] = mark
    given(values, declared)
    reflectance = Modality("R", OPTICAL.channels, "float32", "reflectance")
    with pytest.raises(ValueError, match=r"R is not in .* outside -0\.2 to 3\.2767"):
        given(np.where(values == mark, mark, values) / 1e4, reflectance)
    later = dataclasses.replace(OPTICAL, offset=-1000.0)
    with pytest.raises(ValueError, match=r"outside -2000 to 32767|do not fit in int16"):
        given(np.where(values == mark, mark, values + 1000), later)


def test_what_one_sample_cannot_be_is_refused_among_others():
    """Values of each are judged by themselves, as those of a file are."""
    height = Modality("H", ("a",), "int16", "none", offset=-100.0)
    values = optical()[:, :1].astype(np.int32)
    given(values, height)
    values[2, 0, 0] = 40000
    with pytest.raises(ValueError, match=r"H is not in none: values from .* to 40000 do not fit"):
        given(values, height)
    linear = radar("f4").copy()
    linear[2] = 100.5
    with pytest.raises(ValueError, match="S1A is not in dB"):
        given(linear, RADAR)
    index = Modality("N", ("a",), "float32", "index")
    values = np.random.default_rng(0).uniform(-0.5, 0.9, (DATES, 1, PIXELS)).astype("f4")
    values[2, 0, :2] = -9999  # 2 of 120 values, and less than 1 % of both samples
    refusal(values, index)
    with pytest.raises(ValueError, match="N is not in index: values from -9999"):
        given(values, index)


def test_dark_pixels_may_be_predicted_from():
    values = optical()
    values[:, :, 1:], values[0, 0, 0] = 150, -447
    dark = Series(
        values=values.transpose(0, 2, 1)[None].astype(np.float32)[:, :, 1:],
        days=np.arange(DATES)[None],
        valid=np.ones((1, DATES), bool),
        pixels=np.ones((1, PIXELS - 1), bool),
    )
    normalise(dark, OPTICAL, moments_of(optical()))


# Channels

CHANNELS = {
    "two swapped": (lambda a: a[:, [1, 0, 2]], "VV-VH differs .* but is VH minus VV"),
    "all turned": (lambda a: np.stack((a[:, 1], a[:, 0], a[:, 1] - a[:, 0]), 1), "mean VV of -1"),
    "the last first": (lambda a: a[:, [2, 0, 1]], "VV-VH differs from VV minus VH"),
    "the last second": (lambda a: a[:, [0, 2, 1]], "mean VV of -1"),
    "a ratio of powers": (
        lambda a: np.stack((a[:, 0], a[:, 1], 10 ** (a[:, 2] / 10)), 1),
        "VV-VH differs from VV minus VH in",
    ),
    "a quotient of dB": (
        lambda a: np.stack((a[:, 0], a[:, 1], a[:, 0] / a[:, 1]), 1),
        "VV-VH differs from VV minus VH in",
    ),
}


@pytest.mark.parametrize("case", CHANNELS)
@pytest.mark.parametrize("dtype", ["f2", "f4"])
def test_channels_that_contradict_each_other(case, dtype):
    change, match = CHANNELS[case]
    values = change(radar("f4")).astype(dtype)
    with pytest.raises(DataError, match=match) as caught:
        check_series_values(values, RADAR, FILE)
    assert "store VV, VH, VV-VH in this order" in str(caught.value)
    holes = values.copy()
    holes[1], holes[2, :, 3] = 0, np.nan  # and what is missing counts for nothing
    with pytest.raises(DataError, match=match):
        check_series_values(holes, RADAR, FILE)
    raw = Series(
        values=values.transpose(0, 2, 1)[None].astype(np.float32),
        days=np.arange(DATES)[None],
        valid=np.ones((1, DATES), bool),
    )
    moments = moments_of(radar("f4"))
    with pytest.raises(ValueError, match=match):
        normalise(raw.replace(pixels=np.ones((1, PIXELS), bool)), RADAR, moments)


def test_channels_of_two_and_other_names():
    pair = Modality("P", ("VV", "VH"), "float32", "dB")
    check_series_values(radar("f4")[:, :2], pair, FILE)
    assert "mean VV of" in refusal(radar("f4")[:, [1, 0]], pair)
    power = dataclasses.replace(pair, unit="linear power")
    assert "mean VV of" in refusal(10 ** (radar("f4")[:, [1, 0]] / 10), power)
    turned = dataclasses.replace(pair, channels=("VH", "VV"))
    check_series_values(radar("f4")[:, [1, 0]], turned, FILE)
    check_series_values(
        radar("f4")[:, [1, 0]], dataclasses.replace(pair, channels=("a", "b")), FILE
    )
    index = Modality("I", ("a", "b", "a-b"), "float32", "index")  # a normalised one, perhaps
    assert index.differences == ()


# The official data


def real(kind):
    if kind == "parcels":
        folder = PixelSetFolder(os.environ["PASTIS_R_PIXELSET"])
        return folder, ((parcel, folder.read(parcel)) for parcel in folder.parcels)
    folder = PatchFolder(os.environ["PASTIS_R_PATCHES"])
    return folder, ((patch, folder.check(patch)[0]) for patch in folder.patches.values())


@pytest.mark.skipif("PASTIS_R_PIXELSET" not in os.environ, reason="needs PASTIS_R_PIXELSET")
@pytest.mark.skipif("PASTIS_R_PATCHES" not in os.environ, reason="needs PASTIS_R_PATCHES")
@pytest.mark.parametrize("kind", ["parcels", "patches"])
def test_nothing_of_the_real_samples_is_missing(kind):
    folder, items = real(kind)
    for _, series in items:
        for name, (values, _) in series.items():
            missing = folder.dataset[name].missing(values, range(1, values.ndim))
            assert missing is None or not missing.any()
