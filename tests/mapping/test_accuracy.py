"""Accuracy and areas of a map: the worked example of Olofsson et al. 2014, and odd samples."""

from __future__ import annotations

import numpy as np
import pytest

from pastis_jax.mapping import accuracy
from pastis_jax.mapping.blocks import NODATA, UNCLASSIFIED
from pastis_jax.mapping.parcel_results import ParcelResults

COUNTS = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
"""Table 8 of the paper: deforestation, forest gain, stable forest, stable non-forest."""
MAPPED = [200_000, 150_000, 3_200_000, 6_450_000]
"""Pixels of 0.09 ha."""


@pytest.fixture(scope="module")
def example():
    return accuracy.estimate(np.array(COUNTS), np.array(MAPPED))


def half_widths(values):
    return np.round(accuracy.WIDTH * values[1], 2).tolist()


def test_accuracies_are_those_of_the_paper(example):
    assert np.round(example.overall[0], 2) == 0.95
    assert np.round(accuracy.WIDTH * example.overall[1], 2) == 0.02
    assert np.round(example.users[0], 2).tolist() == [0.88, 0.73, 0.93, 0.96]
    assert half_widths(example.users) == [0.07, 0.10, 0.04, 0.02]
    assert np.round(example.producers[0], 2).tolist() == [0.75, 0.85, 0.93, 0.96]
    assert half_widths(example.producers) == [0.21, 0.25, 0.03, 0.02]
    assert example.samples == 640


def test_areas_are_those_of_the_paper(example):
    assert round(example.areas[0, 0]) == 235_086
    assert round(accuracy.WIDTH * example.areas[1, 0]) == 68_418
    hectares = 0.09 * example.areas
    assert np.round(hectares[0]).tolist() == [21158, 11686, 285770, 581386]
    assert np.round(accuracy.WIDTH * hectares[1]).tolist() == [6158, 3756, 15510, 16282]


def test_shares_are_those_of_the_paper(example):
    assert np.round(example.shares[0], 4).tolist() == [0.0176, 0, 0.0013, 0.0011]
    assert example.shares.sum() == pytest.approx(1)
    assert np.allclose(example.shares.sum(1), np.array(MAPPED) / sum(MAPPED))


@pytest.mark.parametrize("number", [0, 1])
def test_classes_with_too_few_samples_are_left_out(example, number):
    counts = np.zeros((5, 5), int)
    counts[:4, :4], counts[4, 4] = COUNTS, number
    told = accuracy.estimate(counts, np.array([*MAPPED, 999_999]))
    assert told.used.tolist() == [True] * 4 + [False]
    assert told.overall == example.overall
    assert np.array_equal(told.areas[:, :4], example.areas)
    assert np.isnan(told.users[:, 4]).all()
    assert np.isnan(told.producers[:, 4]).all()
    assert told.areas[0, 4] == 0


def test_a_class_that_is_never_mapped_gets_the_area_of_its_errors():
    told = accuracy.estimate(np.array([[6, 2], [0, 0]]), np.array([80.0, 0.0]))
    assert told.areas[0].tolist() == [60, 20]
    assert told.producers[0].tolist() == [1, 0]
    assert told.users[0, 0] == 0.75
    assert told.users[1, 0] == pytest.approx(np.sqrt(0.75 * 0.25 / 7))


@pytest.mark.parametrize(("counts", "mapped"), [(np.eye(3), [1, 1, 1]), (9 * np.eye(2), [0, 0])])
def test_nothing_is_said_of_too_little(counts, mapped):
    assert accuracy.estimate(counts, np.array(mapped)) is None


def results(label, truth, held_out, hectares, confidence=None):
    n = len(label)
    probability = np.zeros((n, 3), np.float32)
    share = np.full(n, 1.0) if confidence is None else np.array(confidence)
    probability[:] = (1 - share)[:, None] / 2
    told = np.array(label)
    probability[np.arange(n), np.where(told < 3, told, 0)] = share
    probability[told == NODATA] = np.nan
    return ParcelResults(
        id=np.arange(n).astype(str),
        label=told.astype(np.uint8),
        probability=probability,
        pixels=100.0 * np.array(hectares, float),
        dates=np.ones((n, 1), np.uint16),
        hectares=np.full(n, 1e6),  # polygons reach far beyond the Region
        truth=np.array(truth, np.int32),
        held_out=np.array(held_out, bool),
        geometry=np.full(n, None),
    )


def test_held_out_parcels_are_the_sample_and_all_classified_ones_of_known_class_the_whole():
    told = accuracy.of_parcels(
        results(
            label=[0, 0, 0, 1, 1, 0, 1, UNCLASSIFIED, NODATA],
            truth=[0, 0, 1, 1, 1, 1, -1, 0, 0],
            held_out=[1, 1, 1, 1, 1, 0, 1, 1, 1],
            hectares=[1, 2, 3, 4, 5, 10, 20, 100, 100],
        ),
        0.01,
    )
    assert told.counts.tolist() == [[2, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert told.mapped.tolist() == pytest.approx([16, 9, 0])
    assert told.samples == 5
    assert told.areas[0].tolist() == pytest.approx([16 * 2 / 3, 9 + 16 / 3, 0])


def test_classified_parcels_of_no_known_class_are_left_out():
    found = results([0, 1, UNCLASSIFIED, NODATA], [-1, 1, -1, -1], np.ones(4), np.ones(4))
    assert accuracy.left_out(found).tolist() == [True, False, False, False]
    assert accuracy.population(found).tolist() == [False, True, False, False]


def test_reliability_compares_confidence_with_what_is_right():
    told = accuracy.reliability_of(
        results(
            label=[0, 0, 1, 1, 2, NODATA, UNCLASSIFIED],
            truth=[0, 1, 1, 1, 2, 0, 0],
            held_out=[1, 1, 1, 1, 0, 1, 1],
            hectares=np.ones(7),
            confidence=[0.85, 0.85, 0.65, 0.65, 0.85, 0.85, 0.65],
        )
    )
    # Fifteen bins: 0.65 lies in the tenth, 0.85 in the thirteenth.
    assert np.flatnonzero(told["count"]).tolist() == [9, 12]
    assert told["count"][[9, 12]].tolist() == [3, 2]
    assert told["accuracy"][[9, 12]] == pytest.approx([1, 0.5])
    assert told["confidence"][[9, 12]] == pytest.approx([0.65, 0.85])
    assert told["ECE"] == pytest.approx((3 * 0.35 + 2 * 0.35) / 5)


def test_reliability_of_nothing_is_none():
    assert accuracy.reliability_of(results([0], [-1], [1], [1])) is None
