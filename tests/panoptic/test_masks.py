"""Masks on windows are the masks of whole boxes, one by one."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import correlate, map_coordinates

from pastis_jax.panoptic import masks
from pastis_jax.panoptic.masks import Truth, assemble_masks, windows

H, W, S = 20, 37, 4
BOXES = [
    [(3, 4, 9, 20), (0, 0, 1, 1), (7, 30, 8, 36), (-5, -8, 12, 6)],
    [(-9, -30, 50, 70), (15, 33, 22, 40), (2, 2, 18, 18), (0, 0, 0, 0)],
]
FOUND = np.array([[True, True, True, True], [True, True, True, False]])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def make_case(seed=0):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    network = [
        {"kernel": draw(3, 3, c, d) / 3, "bias": draw(d)} for c, d in ((1, 2), (2, 2), (2, 1))
    ]
    network[0] |= {"scale": draw(2), "offset": draw(2)}
    return {
        "shape": draw(2, 4, S, S),
        "saliency": draw(2, H, W),
        "network": network,
        "true": rng.integers(0, 5, (2, H, W)).astype(np.int32),
    }


def whole_box(shape, saliency, box, network):
    """One mask, in float64, of the box inside the image."""
    top, left, bottom, right = box
    rows, columns = np.arange(max(top, 0), min(bottom, H)), np.arange(max(left, 0), min(right, W))
    vertical = (rows - top + 0.5) * S / (bottom - top) - 0.5
    horizontal = (columns - left + 0.5) * S / (right - left) - 0.5
    grid = np.meshgrid(vertical, horizontal, indexing="ij")
    resampled = map_coordinates(shape.astype(np.float64), grid, order=1, mode="nearest")
    cut = saliency[np.ix_(rows, columns)]
    if not network:
        return rows, columns, sigmoid(resampled) * sigmoid(cut)
    x = resampled + cut
    features = [x]
    for i, layer in enumerate(network):
        features = [
            layer["bias"][d]
            + sum(
                correlate(one, layer["kernel"][:, :, c, d], mode="constant")
                for c, one in enumerate(features)
            )
            for d in range(len(layer["bias"]))
        ]
        if i == 0:
            mean, std = np.mean(features), np.sqrt(np.var(features) + 1e-5)
            features = [
                (one - mean) / std * layer["scale"][d] + layer["offset"][d]
                for d, one in enumerate(features)
            ]
        if i < 2:
            features = [np.maximum(one, 0) for one in features]
    return rows, columns, sigmoid(x) * sigmoid(features[0])


def assemble(case, *, refine=True, **options):
    return assemble_masks(
        case["shape"],
        case["saliency"],
        jnp.asarray(BOXES),
        jnp.asarray(FOUND),
        case["network"] if refine else (),
        threshold=0.3,
        truth=Truth(case["true"], jnp.broadcast_to(jnp.arange(1, 5), (2, 4))),
        **options,
    )


@pytest.mark.parametrize("refine", [True, False])
@pytest.mark.parametrize("group", [2, 8])
def test_windows_change_nothing(refine, group, monkeypatch):
    """Inside, on the border, larger than the image, of one pixel; and slots without instance."""
    monkeypatch.setattr(masks, "GROUP", group)
    case = make_case()
    found, sums = jax.jit(partial(assemble, refine=refine, paste=True))(case)
    seen = 0
    for b, i in np.ndindex(2, 4):
        if not FOUND[b, i]:
            assert not found[b, i].any()
            assert not any(part[b, i] for part in sums)
            continue
        rows, columns, expected = whole_box(
            case["shape"][b, i], case["saliency"][b], BOXES[b][i], case["network"] * refine
        )
        pasted = np.zeros((H, W), bool)
        pasted[np.ix_(rows, columns)] = expected > 0.3
        np.testing.assert_array_equal(found[b, i], pasted)
        true = case["true"][b][np.ix_(rows, columns)] == i + 1
        seen += pasted.sum()
        entropy = np.log1p(np.exp(np.where(true, 1 - 2 * expected, 2 * expected - 1)))
        np.testing.assert_allclose(sums.cross_entropy[b, i], entropy.sum(), rtol=1e-4)
        assert sums.both[b, i] == (true & (expected > 0.3)).sum()
        assert sums.predicted[b, i] == pasted.sum()
    assert seen > 20


def test_thin_boxes_of_the_published_loss():
    """One row or column, or the image's width: as if nothing in them were true."""
    case = make_case()
    case["true"][0, 7, 30:36] = 3
    empty = case | {"true": np.zeros_like(case["true"])}
    run = jax.jit(assemble, static_argnames="legacy_thin")
    ours, published = (run(case, legacy_thin=legacy)[1] for legacy in (False, True))
    thin = np.array([[False, True, True, False], [True, False, False, False]])
    expected = np.where(thin, run(empty, legacy_thin=False)[1].cross_entropy, ours.cross_entropy)
    np.testing.assert_allclose(published.cross_entropy, expected, rtol=1e-6)
    assert not np.allclose(published.cross_entropy, ours.cross_entropy, rtol=1e-3)
    np.testing.assert_array_equal(ours.both, published.both)


@pytest.mark.parametrize("size", [(5, 9), (16, 16), (17, 33), (128, 128), (300, 20)])
def test_the_last_window_is_the_image(size):
    found = windows(*size)
    assert found[-1] == size
    assert len(set(found)) == len(found)
    assert all(h <= size[0] and w <= size[1] for h, w in found)


def test_gradients_do_not_depend_on_the_window(monkeypatch):
    case = make_case(1)

    def objective(learned):
        return assemble({**case, **learned})[1].cross_entropy.sum()

    learned = {k: case[k] for k in ("shape", "saliency", "network")}
    ours = jax.jit(jax.grad(objective))(learned)
    monkeypatch.setattr(masks, "_SMALLEST", 64)
    whole = jax.jit(jax.grad(lambda x: objective(x)))(learned)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-4, rtol=1e-4), ours, whole)
    assert all(np.any(x) for x in jax.tree.leaves(ours))
    assert not np.any(ours["shape"][1, 3])
