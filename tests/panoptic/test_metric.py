"""Panoptic quality: against its definition, spelt out over sets of pixels, for both void rules."""

from __future__ import annotations

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pastis_jax.panoptic import PanopticQuality, VoidRules

CLASSES, MOST = 6, 9  # void is class 6


@functools.partial(jax.jit, static_argnames="legacy")
def measured(predicted, predicted_class, truth, true_class, real, legacy=False):
    return PanopticQuality.from_batch(
        *(predicted, predicted_class, truth, true_class, real),
        classes=CLASSES,
        most_predicted=MOST,
        most_true=MOST,
        legacy_void=legacy,
    )


def count(*maps):
    """Counts one batch, of which every image is real."""
    return measured(*maps, np.ones(len(maps[0]), bool))


def scene(rng, size=16):
    """An image of blocks, some void, and a prediction that is displaced, renumbered and wrong."""
    shape = (size, size)
    side = rng.choice([3, 5, 8, 16])
    blocks = np.add.outer(np.arange(size) // side * 3, np.arange(size) // side)
    number = rng.permutation(MOST + 1)
    truth = np.where(rng.random(100)[blocks] < 0.8, number[blocks % (MOST + 1)], 0)
    label = np.r_[0, rng.choice([0, 1, 2, 5, 6], MOST, p=[0.05, 0.25, 0.2, 0.05, 0.45])]
    predicted = rng.permutation(MOST + 1)[np.roll(truth, rng.integers(-1, 2, 2), (0, 1))]
    if rng.random() < 0.3:  # one segment over much of the image
        predicted[: rng.integers(2, size + 1)] = 1
    background = np.bincount(predicted.ravel()).argmax() if rng.random() < 0.5 else 0
    predicted = np.where(predicted == background, 0, predicted)
    guess = rng.integers(0, CLASSES + 2, MOST + 1)
    for one in range(1, MOST + 1):  # most are right, and some of no class
        below = label[truth][predicted == one]
        if len(below) and rng.random() < 0.7:
            guess[one] = np.bincount(below).argmax()
    lonely = rng.random(shape) < 0.02  # void pixels of no parcel
    return predicted, guess[predicted], truth, np.where(lonely & (truth == 0), 6, label[truth])


def defined(predicted, predicted_class, truth, true_class, legacy):
    """Pairs, unpaired predicted and true segments, and sum of IoUs by class, of one image."""

    def segments(instances, where):
        flat, kept = instances.ravel(), where.ravel()
        return {i: set(np.flatnonzero((flat == i) & kept)) for i in set(flat[kept]) - {0}}

    def iou(one, other):
        return len(one & other) / len(one | other)

    void = true_class == CLASSES
    found = segments(predicted, np.ones_like(void))
    if legacy:
        masks = (void, ~void) if void.any() else ()
        regions = [set(np.flatnonzero(mask)) for mask in masks]
    else:
        regions = segments(truth, void).values()
    nobody = set(np.flatnonzero(void))
    found = {
        i: pixels - nobody
        for i, pixels in found.items()
        if not any(region and iou(pixels, region) > 0.5 for region in regions) and pixels - nobody
    }
    wanted = segments(truth, ~void)
    totals = np.zeros((4, CLASSES))
    for k in range(1, CLASSES):
        mine = [p for i, p in found.items() if predicted_class[predicted == i][0] == k]
        theirs = [p for i, p in wanted.items() if true_class[truth == i][0] == k]
        pairs = [iou(p, q) for p in mine for q in theirs if iou(p, q) > 0.5]
        totals[:, k] = len(pairs), len(mine) - len(pairs), len(theirs) - len(pairs), sum(pairs)
    return totals


@pytest.mark.parametrize("legacy", [False, True])
def test_equals_its_definition(legacy):
    rules_differ = pairs = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        images = [scene(rng) for _ in range(3)]
        real = rng.random(3) < 0.8
        quality = measured(*(np.stack(maps) for maps in zip(*images, strict=True)), real, legacy)
        expected, other = (
            sum((defined(*image, rule) for image in np.array(images)[real]), np.zeros((4, CLASSES)))
            for rule in (legacy, not legacy)
        )
        got = (quality.true_positive, quality.false_positive, quality.false_negative)
        np.testing.assert_array_equal(np.stack(got), expected[:3], f"seed {seed}")
        np.testing.assert_allclose(quality.iou, expected[3], rtol=1e-6)
        rules_differ += (expected != other).any()
        pairs += expected[0].sum()
    assert rules_differ > 30
    assert pairs > 300


def test_both_rules_are_counted_in_one_pass():
    scenes = (scene(np.random.default_rng(seed)) for seed in range(60))
    maps = [np.stack(same) for same in zip(*scenes, strict=True)]
    real, most = np.arange(60) < 50, {"classes": CLASSES, "most_predicted": MOST, "most_true": MOST}
    alone = {rule: measured(*maps, real, rule == "legacy") for rule in ("corrected", "legacy")}
    both = jax.jit(functools.partial(VoidRules.from_batch, **most))(*maps, real)
    chex.assert_trees_all_equal(both.by_rule(), alone)
    for legacy, chosen in ((False, "corrected"), (True, "legacy")):
        same = VoidRules.empty(CLASSES, legacy_void=legacy)
        same = same.merge(both.replace(legacy_void=legacy))
        scores = same.compute()
        assert scores["void_rules"]["corrected"] != scores["void_rules"]["legacy"]
        assert scores["PQ"] == scores["void_rules"][chosen]["PQ"] == alone[chosen].compute()["PQ"]


def rows(*lines):
    """A batch of one image."""
    return np.array([lines])


def test_by_hand():
    truth = rows([1, 1, 1, 1, 2, 2, 0, 0], [3, 3, 3, 4, 4, 4, 0, 0])
    label = rows([1, 1, 1, 1, 2, 2, 0, 0], [1, 1, 1, 6, 6, 6, 0, 0])
    found = rows([1, 1, 1, 0, 2, 2, 3, 3], [4, 4, 0, 5, 5, 5, 0, 0])
    guess = rows([1, 1, 1, 0, 1, 1, 2, 2], [1, 1, 0, 3, 3, 3, 0, 0])
    scores = count(found, guess, truth, label).compute()
    # Class 1: IoU 3/4 and 2/3, one false positive; 2: one of each; 3 only on a void parcel.
    sq, rq = (3 / 4 + 2 / 3) / 2, 2 / 2.5
    np.testing.assert_allclose(
        scores["per_class"]["PQ"], [np.nan, sq * rq, 0, np.nan, np.nan, np.nan]
    )
    for name, value in (("SQ", sq), ("RQ", rq), ("PQ", sq * rq)):
        assert scores[name] == pytest.approx(value / 2)


def test_void_pixels_of_no_parcel_remove_no_segment():
    truth, label = rows([0, 0, 0, 1]), rows([6, 6, 0, 2])
    found, guess = rows([1, 1, 1, 2]), rows([1, 1, 1, 2])
    quality = count(found, guess, truth, label)
    np.testing.assert_array_equal(quality.false_positive, [0, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(quality.true_positive, [0, 0, 1, 0, 0, 0])


def test_a_parcel_that_is_partly_void_counts_by_the_rest():
    truth, label = rows([1, 1, 1, 1, 0]), rows([6, 2, 2, 2, 0])
    found, guess = rows([0, 1, 1, 1, 1]), rows([0, 2, 2, 2, 2])
    quality = count(found, guess, truth, label)
    np.testing.assert_array_equal(quality.true_positive, [0, 0, 1, 0, 0, 0])
    assert quality.iou[2] == 0.75


def test_half_is_no_match():
    truth, found = rows([1, 1, 1, 0]), rows([0, 1, 1, 1])
    assert count(found, found, truth, truth).compute()["PQ"] == 0


def test_a_segment_that_covers_the_image_counts():
    whole = np.ones((1, 4, 4), int)
    assert count(whole, whole, whole, whole).compute()["PQ"] == 1


def test_nothing_and_nothing_but_void():
    nothing, void = np.zeros((2, 4, 4), int), np.full((2, 4, 4), 6)
    for maps in ([nothing] * 4, [nothing + 1, nothing + 2, nothing + 1, void]):
        scores = count(*maps).compute()
        assert (scores["SQ"], scores["RQ"], scores["PQ"]) == (0, 0, 0)
        assert np.isnan(scores["per_class"]["PQ"]).all()


def test_merge_is_the_joint_set():
    rng = np.random.default_rng(1)
    maps = [np.stack(one) for one in zip(*(scene(rng) for _ in range(4)), strict=True)]
    parts = [count(*(one[[i]] for one in maps)) for i in range(4)]
    merged = functools.reduce(PanopticQuality.merge, parts, PanopticQuality.empty(CLASSES))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), merged, count(*maps))


@pytest.mark.parametrize("which", [0, 2], ids=["predicted", "true"])
@pytest.mark.parametrize("wrong", [MOST + 1, -1])
def test_more_instances_than_the_maximum_are_not_silent(which, wrong):
    maps = [np.ones((1, 4, 4), int) for _ in range(4)]
    maps[which][0, 0, :3] = wrong
    with pytest.raises(ValueError, match="3 pixels of instances beyond the maximum"):
        count(*maps).compute()
    assert measured(*maps, np.zeros(1, bool)).compute()["PQ"] == 0


def test_summing_thousands_of_batches_is_safe():
    values = np.random.default_rng(0).uniform(0.5, 1, 30_000).astype(np.float32)
    one = jnp.ones(1, jnp.int32)
    states = PanopticQuality(one, 0 * one, 0 * one, jnp.zeros(1), jnp.zeros((), jnp.int32))

    def add(total, value):
        return total.merge(states.replace(iou=value[None])), None

    total, _ = jax.lax.scan(add, PanopticQuality.empty(1), jnp.asarray(values))
    assert total.compute()["SQ"] == pytest.approx(values.astype(np.float64).mean(), abs=1e-5)
