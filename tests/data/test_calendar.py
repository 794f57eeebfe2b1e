"""Days outside of those trained on, and dates that the other modalities do not enclose: a line."""

from __future__ import annotations

import numpy as np
import patch_factory
import pixel_set_factory
import pytest
from refusal import refused_in_a_line

from pastis_jax.data.calendar import TOLERANCE, Span, not_enclosed, not_trained_on, spans
from pastis_jax.data.patches.prepare import prepare_patches
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets
from pastis_jax.tasks import ParcelModel

RNG = np.random.default_rng(0)


def patches(first, last, count=4):
    """Days of some patches, five or so apart, in no order; radar begins ten days later."""

    def drawn(low):
        days = np.arange(low, last + 1, 5) + RNG.integers(-2, 3, len(np.arange(low, last + 1, 5)))
        days[[0, -1]] = low, last
        return RNG.permutation(days).astype(np.int32)

    return [{"S2": drawn(first), "S1A": drawn(first + 10)} for _ in range(count)]


TRAINED = spans(patches(20, 400), ("S2", "S1A"))


def test_spans():
    assert (TRAINED["S2"].first, TRAINED["S2"].last) == (20, 400)
    assert 20 < TRAINED["S2"].median < 400
    assert spans([{"S2": np.zeros(0, int)}], ("S2",)) == {}


@pytest.mark.parametrize(("first", "last"), [(20, 400), (20 - TOLERANCE, 400 + TOLERANCE)])
def test_days_that_are_those_of_training_are_not_told_of(first, last):
    assert not_trained_on(patches(first, last), TRAINED, name="test") is None


@pytest.mark.parametrize(
    ("years", "words"), [(1, "about a year later"), (-1, "a year earlier"), (3, "3 years later")]
)
@pytest.mark.parametrize("off", [-25, 0, 25])
def test_another_season_is_called_that(years, words, off):
    shift = years * 365 + off
    line = not_trained_on(patches(20 + shift, 400 + shift), TRAINED, name="test")
    assert line.startswith("test: ")
    assert words in line
    assert "season_start" in line
    assert f"by up to {abs(shift)} days; trained on 20 to 400" in line
    assert "\n" not in line


@pytest.mark.parametrize("shift", [90, -120, 180])
def test_other_days_are_counted(shift):
    observed = patches(20 + shift, 400 + shift)
    line = not_trained_on(observed, TRAINED, name="test")
    days = np.concatenate([one["S2"] for one in observed])
    outside = int(((days < 20 - TOLERANCE) | (days > 400 + TOLERANCE)).sum())
    assert f"{outside} of {len(days)} acquisitions of S2 (by up to {abs(shift)} days" in line
    assert "year" not in line


def test_one_modality_of_two():
    moved = [{**one, "S1A": one["S1A"] + 365} for one in patches(20, 400)]
    line = not_trained_on(moved, TRAINED, name="test")
    assert "acquisitions of S1A" in line
    assert "acquisitions of S2" not in line


def test_what_was_not_trained_on_by_days_is_not_judged():
    assert not_trained_on(patches(900, 1000), {}, name="test") is None


def test_dates_that_radar_does_not_enclose():
    """S1D ends in December; of the last patch it has nothing."""
    reference = np.arange(0, 400, 10)
    early, full = np.arange(5, 100, 6), np.arange(5, 395, 6)
    observed = [
        {"S2": reference, "S1A": full, "S1D": early},
        {"S2": reference, "S1A": full, "S1D": full},
        {"S2": reference, "S1A": full, "S1D": np.zeros(0, int)},
    ]
    line = not_enclosed(observed, "S2", ("S1A", "S1D"))
    outside = int((reference > early.max() + TOLERANCE).sum())
    assert line.startswith(f"{outside} of 120 dates of S2, in 1 of 3 patches")
    assert f"by up to {390 - early.max()} days (S1D)" in line
    assert not_enclosed(observed, "S2", ("S1A",)) is None
    assert not_enclosed(observed[1:], "S2", ("S1A", "S1D")) is None


def test_patches_that_a_mask_leaves_no_date():
    observed = [{"S2": np.arange(10), "S1A": np.array([12, 14])}, patches(0, 100)[0]]
    assert not_enclosed(observed, "S2", ("S1A",)) is None  # by less than the tolerance
    line = not_enclosed(observed, "S2", ("S1A",), masked=True)
    assert line == "1 of 2 patches keep no date of S2"


def test_a_mask_that_leaves_a_split_no_date_is_refused_before_training():
    bare = {"S2": np.arange(10), "S1A": np.array([12, 14])}
    observed = {"train": [bare, patches(0, 100)[0]], "val": [bare, bare], "test": []}
    models = {
        (fusion, outside): ParcelModel(fusion=fusion, modalities=("S2", "S1A"), outside=outside)
        for fusion, outside in (("early", "mask"), ("early", "hold"))
    }
    words = ("`outside`: no patch of val keeps a date of S2", "dates of S1A", "give hold")
    refused_in_a_line(lambda: models["early", "mask"].refuse_all_masked(observed), *words)
    models["early", "hold"].refuse_all_masked(observed)
    models["early", "mask"].refuse_all_masked({"train": observed["train"]})


@pytest.mark.parametrize("outside", ["extrapolate", "hold", "mask"])
def test_the_line_says_what_happens_there(outside):
    spec = ParcelModel(fusion="early", modalities=("S2", "S1A"), outside=outside)
    observed = [{"S2": np.arange(0, 300, 10), "S1A": np.arange(0, 100, 6)}]
    words = {"extrapolate": "without bound", "hold": "hold there", "mask": "are masked"}[outside]
    assert words in spec.not_enclosed(observed)
    assert ParcelModel(fusion="late").not_enclosed(observed) is None


def test_sources_know_the_days_of_their_patches(tmp_path):
    """From the metadata alone, of the patches that crop parcels lie in."""
    sets = pixel_set_factory.make_pixel_set(tmp_path / "sets")
    parcels = prepare_pixel_sets(sets, cache=tmp_path / "cache", progress=False)
    images = patch_factory.make_patches(tmp_path / "patches")
    whole = prepare_patches(images, cache=tmp_path / "cache", progress=False)
    for prepared in (parcels, whole):
        source = prepared.source((1, 4))
        expected = {
            record["patch"]: record for record in map(source.__getitem__, range(len(source)))
        }
        assert len(source.observed) == len(expected) == 2
        for days, record in zip(source.observed, expected.values(), strict=True):
            for name in days:
                np.testing.assert_array_equal(days[name], record[name]["days"])
    assert Span.of(parcels.source((1,)).observed[0]["S2"]).first >= 0
