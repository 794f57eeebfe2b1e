"""Centres, pseudo-NMS and the choice of the least confidence against plain loops."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import maximum_filter

from pastis_jax.panoptic import ConfidenceTuning, panoptic_map
from pastis_jax.panoptic.centres import boxes, local_maxima, zone_centres
from pastis_jax.types import InstancePrediction, MaskFit, PanopticPrediction

B, SLOTS, H, W = 3, 12, 9, 11


def prediction(seed, fit=None):
    rng = np.random.default_rng(seed)
    masks = np.zeros((B, SLOTS, H, W), bool)
    for b, i in np.ndindex(B, SLOTS):
        top, left = rng.integers(H), rng.integers(W)
        masks[b, i, top : top + rng.integers(7), left : left + rng.integers(7)] = True
    instances = InstancePrediction(
        centre=jnp.zeros((B, SLOTS, 2), jnp.int32),
        found=jnp.asarray(np.arange(SLOTS) < np.array([[SLOTS], [5], [0]])),
        confidence=jnp.asarray(-np.sort(-rng.uniform(size=(B, SLOTS)).astype(np.float32))),
        size=jnp.ones((B, SLOTS, 2)),
        logits=jnp.asarray(rng.normal(size=(B, SLOTS, 6)).astype(np.float32)),
        box=jnp.zeros((B, SLOTS, 4), jnp.int32),
        dropped=jnp.array([4, 0, 0]),
        masks=jnp.asarray(masks),
        fit=fit,
    )
    return PanopticPrediction(jnp.zeros((B, H, W)), None, instances)


def one_by_one(one, b, min_confidence, min_remain):
    placed, semantic, kept = np.zeros((H, W), int), np.zeros((H, W), int), np.zeros(SLOTS, bool)
    for i in range(SLOTS):
        if not one.found[b, i] or one.confidence[b, i] < min_confidence:
            break
        mask = np.asarray(one.masks[b, i])
        fresh = mask & (placed == 0)
        if not mask.any():
            continue
        if (mask & (placed != 0)).any() and not fresh.sum() / mask.sum() > min_remain:
            continue
        placed[fresh], semantic[fresh] = i + 1, np.argmax(one.logits[b, i])
        kept[i] = True
    return placed, semantic, kept


@pytest.mark.parametrize("settings", [(0.2, 0.5), (0.0, 0.0), (0.5, 0.8), (0.0, 1.0)])
def test_masks_are_placed_in_order(settings):
    rejected = 0
    place = jax.jit(panoptic_map)
    for seed in range(5):
        given = prediction(seed)
        found = place(given, min_confidence=settings[0], min_remain=settings[1])
        for b in range(B):
            placed, semantic, kept = one_by_one(given.instances, b, *settings)
            np.testing.assert_array_equal(found.instances[b], placed)
            np.testing.assert_array_equal(found.semantic[b], semantic)
            np.testing.assert_array_equal(found.kept[b], kept)
            rejected += (~kept).sum()
        np.testing.assert_array_equal(found.dropped, [4, 0, 0])
    assert rejected > 20
    assert place._cache_size() == 1


def test_zone_centres():
    rng = np.random.default_rng(0)
    heatmap = rng.uniform(size=(2, H, W)).astype(np.float32)
    zones = rng.integers(1, 7, (2, H, W)) * np.array([1, 0])[:, None, None]
    zones[zones == 4] = 9  # beyond the slots
    centre, found = jax.jit(zone_centres, static_argnums=2)(heatmap, zones, 7)
    np.testing.assert_array_equal(found, [[1, 1, 1, 0, 1, 1, 0], [0] * 7])
    for i in np.flatnonzero(found[0]):
        where = np.where(zones[0] == i + 1, heatmap[0], -1)
        assert tuple(centre[0, i]) == np.unravel_index(where.argmax(), (H, W))


@pytest.mark.parametrize("most", [3, 40, 200])
def test_local_maxima(most):
    """The most confident first, by each image's own mean; the others are counted."""
    rng = np.random.default_rng(0)
    heatmap = (rng.uniform(size=(2, H, W)) * [[[1]], [[0.1]]]).astype(np.float32)
    centre, found, dropped = jax.jit(local_maxima, static_argnums=1)(heatmap, most)
    assert found.shape == (2, most)
    for b, image in enumerate(heatmap):
        highest = maximum_filter(image, 3, mode="constant", cval=-1)
        expected = np.argwhere((image == highest) & (image > image.mean()))
        order = np.argsort([-image[tuple(place)] for place in expected])
        np.testing.assert_array_equal(centre[b][found[b]], expected[order][:most])
        assert found[b].sum() + dropped[b] == len(expected) > 3


def test_boxes():
    """Rounded to even, one pixel at least, the larger half after the centre."""
    size = jnp.array([[[0.2, 1.5], [2.5, 3.4], [4.0, 1e30]]])
    found = boxes(jnp.array([[[5, 5], [0, 0], [9, 2]]]), size)
    np.testing.assert_array_equal(found[0, :2], [[5, 4, 6, 6], [-1, -1, 1, 2]])
    np.testing.assert_array_equal(found[0, 2, [0, 2]], [7, 11])
    assert found[0, 2, 3] - found[0, 2, 1] == 2**20


def test_least_confidence():
    rng = np.random.default_rng(0)
    fit = MaskFit(
        instance=jnp.asarray(rng.integers(0, 3, (B, SLOTS))),
        cross_entropy=jnp.zeros((B, SLOTS)),
        pixels=jnp.ones((B, SLOTS)),
        iou=jnp.asarray(rng.uniform(0.4, 0.6, (B, SLOTS)).astype(np.float32)),
    )
    tuning, confidence, good = ConfidenceTuning.empty(), [], []
    for seed in range(3):
        given = prediction(seed, fit)
        counted = np.array([True, False, True])
        tuning = tuning.merge(jax.jit(ConfidenceTuning.from_batch)(given, counted))
        where = (np.asarray(fit.instance) > 0) & counted[:, None]
        confidence.append(np.asarray(given.instances.confidence)[where])
        good.append(np.asarray(fit.iou)[where] > 0.5)
    confidence, good = np.concatenate(confidence), np.concatenate(good)
    best = (0, 0.0)
    for threshold in np.arange(0, 1, 0.01):
        hit = ((confidence > threshold) & good).sum()
        wrong = ((confidence > threshold) & ~good).sum() + ((confidence < threshold) & good).sum()
        if (score := hit / max(hit + wrong / 2, 1)) > best[0]:
            best = (score, threshold)
    assert best[1] > 0
    assert tuning.compute() == {"min_confidence": best[1]}
    assert ConfidenceTuning.empty().compute() == {"min_confidence": 0}
