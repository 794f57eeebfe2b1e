"""Parcels found and missed: by hand, and as panoptic quality counts them."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from experiments.paper import pictures
from pastis_jax.panoptic import VoidRules

VOID = 4
TRUTH = pictures.ClassMap(
    np.array([[1, 1, 2, 2, VOID], [1, 1, 2, 2, VOID], [0, 0, 3, VOID, VOID]]),
    np.array([[1, 1, 2, 2, 3], [1, 1, 2, 2, 3], [0, 0, 4, 4, 3]]),
)


def right(classes, instances=None):
    instances = None if instances is None else np.array(instances)
    found = pictures.right_parcels(pictures.ClassMap(np.array(classes), instances), TRUTH, VOID)
    return np.flatnonzero(found).tolist()


def test_void_parcels_are_not_counted():
    assert pictures.counted_parcels(TRUTH, VOID).tolist() == [False, True, True, False, True]


def test_semantic_parcels_need_more_than_half_of_their_pixels():
    three_and_half = [[1, 1, 2, 2, 1], [1, 0, 1, 1, 1], [1, 1, 3, 0, 1]]
    assert right(three_and_half) == [1, 4]  # of parcel 4, half is void
    assert right(np.full((3, 5), VOID)) == []
    assert right(TRUTH.classes) == [1, 2, 4]


def test_panoptic_parcels_need_their_class_and_half_of_the_union():
    classes = np.array([[1, 1, 3, 3, 0], [1, 1, 3, 3, 0], [1, 1, 3, 0, 0]])
    instances = np.array([[5, 5, 1, 1, 0], [5, 5, 1, 1, 0], [5, 5, 2, 0, 0]])
    assert right(classes, instances) == [1, 4]  # 4 of 6 pixels; another class
    instances[2, :2], instances[0, :2] = 0, 0
    assert right(classes, instances) == [4]  # 2 of 4 are not more than half
    assert right(np.zeros((3, 5), int), np.zeros((3, 5), int)) == []


def test_predicted_parcels_that_match_a_void_one_find_nothing():
    instances = np.array([[0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 1, 1, 1]])
    truth = pictures.ClassMap(np.where(instances == 1, VOID, 0), instances.copy())
    truth.classes[2, 2], truth.instances[2, 2] = 3, 2
    predicted = pictures.ClassMap(np.where(instances, 3, 0), instances)
    assert not pictures.right_parcels(predicted, truth, VOID).any()


@pytest.fixture(scope="module")
def rules():
    kinds = {"classes": VOID, "most_predicted": 9, "most_true": 9}
    return jax.jit(lambda *maps: VoidRules.from_batch(*maps, **kinds).by_rule())


@pytest.mark.parametrize("seed", range(8))
def test_as_panoptic_quality_counts(rules, seed):
    rng = np.random.default_rng(seed)
    truth = np.sort(rng.integers(0, 10, (40, 40)), axis=seed % 2)
    moved = np.roll(truth, 1, seed % 2)
    predicted = np.where(rng.random((40, 40)) < 0.9, moved, truth)
    of_true, of_predicted = rng.integers(1, VOID + 1, 10), rng.integers(1, VOID, 10)
    of_predicted = np.where((of_true < VOID) & (rng.random(10) < 0.8), of_true, of_predicted)
    classes = [np.where(m > 0, of[m], 0) for m, of in ((predicted, of_predicted), (truth, of_true))]
    maps = (np.int32(one)[None] for one in (predicted, classes[0], truth, classes[1]))
    counted = rules(*maps, np.ones(1, bool))
    maps = pictures.ClassMap(classes[0], predicted), pictures.ClassMap(classes[1], truth)
    for rule, quality in counted.items():
        found = pictures.right_parcels(*maps, VOID, legacy_void=rule == "legacy")
        assert found.sum() == quality.true_positive.sum()
        assert found.any()


def test_parcels_are_judged_by_the_rule_of_their_scores():
    """One segment over two void parcels matches neither of them, but all void pixels together."""
    truth = pictures.ClassMap(
        np.array([[VOID, VOID, VOID, VOID, 1, 1]]), np.array([[1, 1, 2, 2, 3, 3]])
    )
    predicted = pictures.ClassMap(np.ones((1, 6), int), np.ones((1, 6), int))
    for legacy_void, right in ((False, [3]), (True, [])):
        judged = pictures.right_parcels(predicted, truth, VOID, legacy_void=legacy_void)
        assert np.flatnonzero(judged).tolist() == right


def test_differences_are_the_largest_of_each_kind():
    parcels = np.zeros((9, 9), int)
    parcels[0, :2], parcels[2, :4], parcels[4, :3] = 1, 2, 3
    parcels[6:9, 0:3] = 4
    parcels[7, 1:3] = 5  # 4 is around it
    one, other = np.zeros((2, 6), bool)
    one[[1, 2, 3, 5]] = True
    other[[4, 5]] = True
    got = pictures.differences(one, other, parcels, most=2)
    assert [(d.gained, parcels[d.row, d.column]) for d in got] == [(True, 2), (True, 3), (False, 4)]
    assert got[0].radius == pytest.approx(np.sqrt(4 / np.pi))
    assert pictures.differences(one, one, parcels, most=2) == []
