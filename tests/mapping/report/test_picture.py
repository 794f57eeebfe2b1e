"""What a page shows of a map: some of its pixels as they are, and sums over all."""

from __future__ import annotations

import numpy as np
import pytest
import report_maps

from pastis_jax.mapping.report.picture import Picture, picture_of, small_enough


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("picture")
    mapper = report_maps.opened(root, "semantic")
    return report_maps.pixels_made(mapper)


@pytest.mark.parametrize("longest", [100, 50, 33, 7])
def test_pixels_shown_are_those_of_the_map(made, longest):
    picture, _ = picture_of(made, longest)
    whole, step = made.whole, picture.step
    assert step == -(-100 // longest)
    assert max(picture.shape) <= longest
    # Each lies in the square that it stands for.
    assert (picture.rows // step).tolist() == [*range(len(picture.rows))]
    assert picture.shape == (len(range(step // 2, 70, step)), len(range(step // 2, 100, step)))
    some = np.ix_(picture.rows, picture.columns)
    for name, values in picture.layers.items():
        assert np.array_equal(values, whole[name][some])
    assert np.array_equal(picture.dates, whole["dates"][:, *some])


def test_totals_count_every_pixel(made):
    _, totals = picture_of(made, 7)
    whole = made.whole
    assert np.array_equal(totals.pixels, np.bincount(whole["crop"].ravel(), minlength=256))
    own = whole["confidence"][whole["crop"] == 3].astype(float)
    assert (own == 255).any()
    assert totals.mean_confidence(3) == pytest.approx(own[own != 255].mean() / 100)
    assert np.isnan(totals.mean_confidence(200))


def test_a_picture_becomes_coarser_until_it_fits(made):
    picture, _ = picture_of(made)
    most = 5_000
    small, packed = small_enough(picture, most)
    assert sum(len(layer["data"]) for layer in packed.values()) <= most
    assert small.step > 1
    assert small.step % picture.step == 0
    assert (small.rows // small.step).tolist() == [*range(len(small.rows))]
    some = np.ix_(small.rows, small.columns)
    assert np.array_equal(small.layers["crop"], made.whole["crop"][some])
    assert small.percent == 5


def test_shares_are_rounded_before_pixels_are_left_out(made):
    picture, _ = picture_of(made)
    exact = sum(len(layer["data"]) for layer in picture.packed().values())
    small, _ = small_enough(picture, exact - 1)
    assert (small.step, small.percent) == (picture.step, 5)
    whole, shown = made.whole["confidence"].astype(int), small.layers["confidence"].astype(int)
    assert np.array_equal(shown == 255, whole == 255)
    assert np.abs(shown - whole)[whole != 255].max() == 2
    assert not (shown % 5).any()


@pytest.mark.parametrize(("most", "dtype"), [(200, "uint8"), (300, "uint16")])
def test_dates_are_as_wide_as_they_need(most, dtype):
    layer = np.zeros((2, 2), np.uint8)
    one = Picture(
        1, np.arange(2), np.arange(2), {"crop": layer}, np.full((1, 2, 2), most, np.uint16)
    )
    assert one.packed()["dates"]["type"] == dtype
