"""Reading the official folder: values, days, metadata; and channel statistics."""

from __future__ import annotations

import os

import numpy as np
import pixel_set_factory as factory
import pytest

from pastis_jax.data.metadata import parse_days
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.pixel_sets.folder import PixelSetFolder
from pastis_jax.data.statistics import (
    StatisticsAccumulator,
    average_over_folds,
    fold_statistics_from_norm,
)


@pytest.fixture
def root(tmp_path):
    return factory.make_pixel_set(tmp_path / "pixel_set")


def test_folder(root):
    folder = PixelSetFolder(root)
    assert folder.modalities == ("S2", "S1A", "S1D")
    assert [p.id for p in folder.parcels] == [int(row[0]) for row in factory.read_rows(root)]
    assert {p.label for p in folder.parcels} == {1, 3, 8, 19}
    assert {p.fold for p in folder.parcels} == {1, 2, 3, 4, 5}
    parcel = folder.parcels[4]
    expected = np.array(factory.read_rows(root)[4][4:], np.float32)
    np.testing.assert_array_equal(parcel.geometric_features, expected)
    assert folder.patches[parcel.patch].tile == "t31tfm"


def test_read_returns_what_is_stored(root):
    folder = PixelSetFolder(root)
    for parcel in folder.parcels:
        for modality, (values, days) in folder.read(parcel).items():
            stored = np.load(folder.file(parcel, modality))
            np.testing.assert_array_equal(values, stored, strict=True)
            assert days.dtype == np.int32
            assert len(days) == len(values)


def test_modalities_on_request(root):
    folder = PixelSetFolder(root, ["S1D", "S2"])
    assert folder.modalities == ("S2", "S1D")
    assert list(folder.read(folder.parcels[0])) == ["S2", "S1D"]


@pytest.mark.parametrize(
    ("modality", "dtype", "stored"),
    [("S2", "i4", "i2"), ("S2", "f4", "i2"), ("S2", ">i2", "i2"), ("S1A", "f8", "f2")],
)
def test_other_dtypes_are_cast(modality, dtype, stored, root):
    folder = PixelSetFolder(root)
    parcel = folder.parcels[0]
    expected = folder.read(parcel)[modality][0]
    np.save(folder.file(parcel, modality), expected.astype(dtype))
    np.testing.assert_array_equal(folder.read(parcel)[modality][0], expected, strict=True)
    assert expected.dtype == stored


def test_parcel_without_pixels(root):
    folder = PixelSetFolder(root)
    parcel = folder.parcels[0]
    for modality in folder.modalities:
        file = folder.file(parcel, modality)
        np.save(file, np.load(file)[:, :, :0])
    assert all(values.shape[2] == 0 for values, _ in folder.read(parcel).values())


def test_days():
    expected, start = np.array([0, 23, 121, 397], np.int32), PASTIS_R.season_start.toordinal()
    dates = {"0": 20180901, "1": 20180924, "2": 20181231, "10": 20191003}
    np.testing.assert_array_equal(parse_days(dates, start), expected, strict=True)
    np.testing.assert_array_equal(parse_days(str(dates), start), expected)
    np.testing.assert_array_equal(parse_days('{"0": "20180901", "1": 20180924.0}', start), [0, 23])
    np.testing.assert_array_equal(parse_days({"1": 20180924, "0": 20180901}, start + 1), [-1, 22])


def test_norm_file_and_average(root):
    file = root / "NORM_PARCEL_S1A_set.json"
    statistics = fold_statistics_from_norm(file, PASTIS_R["S1A"], PASTIS_R.folds)
    mean, std = average_over_folds(statistics, (4, 5, 1))
    np.testing.assert_allclose(mean, np.array([-11, -18, 7]) + 0.25 * 10 / 3, rtol=1e-6)
    np.testing.assert_allclose(std, np.full(3, 1 + 10 / 3 / 8), rtol=1e-6)
    assert mean.dtype == std.dtype == np.float32


def test_accumulator_is_the_mean_over_parcels():
    rng = np.random.default_rng(0)
    parcels = [rng.integers(0, 5000, (t, 10, s)).astype(np.int16) for t, s in ((4, 3), (7, 20))]
    accumulator = StatisticsAccumulator(PASTIS_R["S2"], PASTIS_R.folds)
    for values in parcels:
        accumulator.add(2, values)
    accumulator.add(2, np.zeros((4, 10, 0), np.int16))
    assert not np.any(accumulator.compute()[1])
    mean, std = accumulator.compute()[2]
    np.testing.assert_allclose(mean, np.mean([v.mean((0, 2)) for v in parcels], 0), rtol=1e-5)
    np.testing.assert_allclose(std, np.mean([v.std((0, 2)) for v in parcels], 0), rtol=1e-5)


def test_accumulator_leaves_nodata_out():
    values = np.random.default_rng(0).integers(0, 5000, (6, 10, 8)).astype(np.int16)
    holes = values.copy()
    holes[2] = -10000
    holes[:, 4] = -10000
    accumulator = StatisticsAccumulator(PASTIS_R["S2"], PASTIS_R.folds)
    accumulator.add(1, holes)
    accumulator.add(1, values)
    mean, std = accumulator.compute()[1]
    kept = np.delete(values, 2, 0)
    expected = (kept.mean((0, 2)) + values.mean((0, 2))) / 2
    expected[4] = values[:, 4].mean()
    np.testing.assert_allclose(mean, expected, rtol=1e-5)
    expected = (kept.std((0, 2)) + values.std((0, 2))) / 2
    expected[4] = values[:, 4].std()
    np.testing.assert_allclose(std, expected, rtol=1e-5)


@pytest.mark.skipif("PASTIS_R_PIXELSET" not in os.environ, reason="needs PASTIS_R_PIXELSET")
def test_real_sample():
    folder = PixelSetFolder(os.environ["PASTIS_R_PIXELSET"])
    assert folder.modalities == ("S2", "S1A", "S1D")
    for parcel in folder.parcels:
        series = folder.read(parcel)
        assert series["S2"][0].dtype == np.int16
        assert series["S1A"][0].dtype == np.float16
        assert series["S2"][0].shape[2] == parcel.geometric_features[1]
