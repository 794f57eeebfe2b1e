"""Interpolation, temporal dropout, day code, masked norms, losses, metrics: tiny known answers."""

from __future__ import annotations

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pastis_jax import nn
from pastis_jax.interpolation import interpolation_weights
from pastis_jax.losses import supervised_loss
from pastis_jax.metrics import ConfusionMatrix, Mean
from pastis_jax.models import PixelSetEncoder, pse
from pastis_jax.temporal_dropout import drop_dates, temporal_dropout
from pastis_jax.types import Prediction, Series


def weights(days, valid, target):
    arrays = (jnp.asarray(days)[None], jnp.asarray(valid)[None], jnp.asarray(target)[None])
    return np.asarray(interpolation_weights(*arrays))[0]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    days=st.lists(st.integers(-30, 500), min_size=6, max_size=6, unique=True),
    valid=st.lists(st.booleans(), min_size=6, max_size=6),
    target=st.lists(st.integers(-60, 600), min_size=4, max_size=4),
)
def test_a_line_stays_a_line(days, valid, target):
    """Interpolating, and extrapolating, a linear function of time gives the function."""
    days, target = np.array(days), np.array(target)
    result = weights(days, valid, target) @ (2.0 * days - 7)
    match sum(valid):
        case 0:
            expected = np.zeros(4)
        case 1:
            expected = np.full(4, (2.0 * days - 7)[valid][0])
        case _:
            expected = 2.0 * target - 7
    np.testing.assert_allclose(result, expected, atol=1e-2, rtol=1e-4)


def test_two_acquisitions_of_one_day_count_with_their_mean():
    result = weights([10, 10, 20], [True, True, True], [10, 15])
    np.testing.assert_allclose(result, [[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]])


def test_masked_acquisition_is_no_support_point():
    result = weights([0, 5, 10], [True, False, True], [5])
    np.testing.assert_allclose(result, [[0.5, 0.0, 0.5]])


def test_dropout_rate_and_at_least_one_date():
    valid = jnp.arange(20) < 15
    valid = jnp.broadcast_to(valid, (4000, 20))
    kept = drop_dates(jax.random.key(0), valid, 0.4)
    assert not np.any(kept & ~valid)
    np.testing.assert_allclose(kept.sum() / valid.sum(), 0.6, atol=0.01)
    alone = drop_dates(jax.random.key(0), valid, 1.0)
    np.testing.assert_array_equal(alone.sum(1), 1)
    none = drop_dates(jax.random.key(0), jnp.zeros((2, 3), bool), 0.5)
    assert not np.any(none)


def test_dropout_streams_are_independent_of_other_modalities():
    one = Series(
        values=jnp.zeros((8, 30, 1)), days=jnp.zeros((8, 30), int), valid=jnp.ones((8, 30), bool)
    )
    key, rates = jax.random.key(3), {"S2": 0.5, "S1A": 0.5}
    both = temporal_dropout(key, {"S2": one, "S1A": one, "S1D": one}, rates)
    alone = temporal_dropout(key, {"S1A": one}, rates)
    np.testing.assert_array_equal(both["S1A"].valid, alone["S1A"].valid)
    assert np.any(both["S1A"].valid != both["S2"].valid)
    np.testing.assert_array_equal(both["S1D"].valid, one.valid)


@pytest.mark.parametrize("day", [-400, 0, 1, 200, 365, 5000])
def test_day_code_of_any_day(day):
    code = nn.sinusoidal_day_code(jnp.array([day]), 6)[0]
    angle = [day / 1000 ** (2 * (j // 2) / 6) for j in range(6)]
    expected = [np.cos(a) if j % 2 else np.sin(a) for j, a in enumerate(angle)]
    np.testing.assert_allclose(code, expected, atol=5e-4)


@pytest.mark.parametrize(("channels", "features"), [(3, 8), (8, 3)], ids=["widens", "narrows"])
def test_dense_batch_norm_equals_the_direct_order(channels, features):
    """Both ways to the moments normalise over unmasked rows, with torch's running statistics."""
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (5, 6, channels)).astype(np.float32)
    mask = rng.random((5, 6)) < 0.7
    layer = nn.DenseBatchNorm(features)
    variables = layer.init(jax.random.key(0), x, mask, train=True)
    out, updated = layer.apply(variables, x, mask, train=True, mutable=["batch_stats"])
    rows = x[mask] @ np.asarray(variables["params"]["kernel"])
    expected = (rows - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5)
    np.testing.assert_allclose(np.asarray(out)[mask], expected, atol=2e-4)
    statistics = updated["batch_stats"]
    np.testing.assert_allclose(statistics["mean"], 0.1 * rows.mean(0), rtol=1e-3)
    np.testing.assert_allclose(statistics["var"], 0.9 + 0.1 * rows.var(0, ddof=1), rtol=1e-3)


def test_batch_norm_without_rows_keeps_its_statistics():
    layer, x = nn.DenseBatchNorm(4), jnp.ones((3, 2))
    nothing = jnp.zeros(3, bool)
    variables = layer.init(jax.random.key(0), x, nothing, train=True)
    out, updated = layer.apply(variables, x, nothing, train=True, mutable=["batch_stats"])
    chex.assert_tree_all_finite(out)
    chex.assert_trees_all_equal(updated["batch_stats"], variables["batch_stats"])


def test_statistics_over_mapped_devices_are_those_of_the_whole_batch():
    """Two halves with different numbers of real rows, as under `pmap`."""
    rng = np.random.default_rng(0)
    x, mask = rng.normal(1, 2, (2, 6, 3)).astype(np.float32), np.arange(6) < np.array([[6], [2]])
    for features in (8, 2):
        layer, mapped = nn.DenseBatchNorm(features), nn.DenseBatchNorm(features, axis_name="data")
        variables = layer.init(jax.random.key(0), x, mask, train=True)

        def apply(layer, x, mask, variables=variables):
            return layer.apply(variables, x, mask, train=True, mutable=["batch_stats"])

        expected, statistics = apply(layer, x, mask)
        halves = jax.vmap(lambda x, m, layer=mapped: apply(layer, x, m), axis_name="data")
        actual, each = jax.device_get(jax.jit(halves)(x, mask))
        chex.assert_trees_all_close(actual, expected, atol=1e-5)
        for half in range(2):
            one = jax.tree.map(lambda s, half=half: s[half], each)
            chex.assert_trees_all_close(one, statistics, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pse_does_not_depend_on_the_chunk(monkeypatch, size):
    """The number of dates taken at a time is a matter of speed alone."""
    rng = np.random.default_rng(0)
    series = Series(
        values=rng.normal(size=(4, 7, 5, 3)).astype(np.float32),
        days=np.zeros((4, 7), np.int32),
        valid=rng.random((4, 7)) < 0.7,
        pixels=np.arange(5) < np.array([[5], [3], [1], [2]]),
    )
    encoder = PixelSetEncoder(widths=(6, 8), features=4)
    variables = jax.jit(partial(encoder.init, train=True))(jax.random.key(0), series)

    def objective(params):
        encoded, updated = encoder.apply(
            {**variables, "params": params}, series, train=True, mutable=["batch_stats"]
        )
        return jnp.sum(jnp.square(encoded.values)), updated

    def evaluate():
        compiled = jax.jit(jax.value_and_grad(lambda p: objective(p), has_aux=True))
        return compiled(variables["params"])

    expected = evaluate()
    monkeypatch.setattr(pse, "dates_per_chunk", lambda *_: size)
    actual = evaluate()
    chex.assert_trees_all_close(actual, expected, atol=2e-4, rtol=1e-4)


def test_deviation_of_one_pixel_is_zero_with_finite_gradient():
    x = jnp.ones((1, 1, 3, 2))
    pixels = jnp.array([[True, False, False]])
    out, gradient = jax.value_and_grad(lambda x: pse.mean_and_std(x, pixels).sum())(x)
    assert out == 2.0
    chex.assert_tree_all_finite(gradient)


def test_auxiliary_loss_counts_half_and_only_where_the_modality_is():
    def prediction(valid, **auxiliary):
        return Prediction(output=jnp.zeros((2, 4)), valid=jnp.array(valid), auxiliary=auxiliary)

    one = prediction([True, True], S2=prediction([True, False]))
    losses, _ = supervised_loss(one, jnp.array([0, 1]), jnp.array([True, True]))
    np.testing.assert_allclose(losses, np.log(4) * np.array([1.5, 1.0]), rtol=1e-6)
    masked, weights = supervised_loss(one, jnp.array([0, 1]), jnp.array([False, True]))
    np.testing.assert_array_equal(weights, [0, 1])
    np.testing.assert_allclose(masked, np.log(4) * np.array([0.0, 1.0]), rtol=1e-6)


def test_pixels_weigh_alike_whatever_patch_they_are_in():
    """The mean over a batch is the mean over its labelled pixels; void ones count nothing."""
    logits = jax.random.normal(jax.random.key(0), (2, 2, 3, 4))
    label = jnp.array([[[0, 1, 4], [2, 3, 0]], [[4, 4, 4], [4, 4, 1]]])
    counted = label < 4
    loss, weight = supervised_loss(Prediction(logits, jnp.array([True, True])), label, counted)
    picked = -jnp.take_along_axis(jax.nn.log_softmax(logits), label[..., None] % 4, -1)[..., 0]
    np.testing.assert_allclose(
        Mean.from_batch(loss, weight).compute(), picked[counted].mean(), rtol=1e-6
    )


def test_confusion_matrix_by_hand():
    label, predicted = jnp.array([0, 0, 1, 2, 2]), jnp.array([0, 1, 1, 0, 0])
    where = jnp.array([True, True, True, True, False])
    matrix = ConfusionMatrix.from_batch(label, predicted, where, classes=4)
    scores = matrix.compute()
    assert scores["OA"] == 0.5
    np.testing.assert_allclose(scores["IoU"], [1 / 3, 1 / 2, 0, np.nan])
    assert scores["mIoU"] == pytest.approx((1 / 3 + 1 / 2) / 3)
    merged = matrix.merge(ConfusionMatrix.empty(4))
    chex.assert_trees_all_equal(merged, matrix)


def test_means_merge_by_their_counts():
    one = Mean.from_batch(jnp.array([2.0, jnp.nan]), jnp.array([0.5, 0.0]))
    other = Mean.from_batch(jnp.array([5.0, 8.0]), jnp.array([0.5, 0.5]))
    assert one.merge(other).compute() == 5.0
    assert Mean.empty().compute() == 0.0


def test_dropout_keeps_no_more_than_there_is_room_for():
    """What is left is part of what would be, one date of each series among it."""
    valid = jnp.arange(20) < jnp.array([[20], [13], [1], [0]])
    key = jax.random.key(3)
    free = drop_dates(key, valid, 0.4)
    bound = drop_dates(key, valid, 0.4, most=8)
    assert free.sum() > 8
    assert bound.sum() == 8
    assert not np.any(bound & ~free)
    np.testing.assert_array_equal(bound.any(1), valid.any(1))
    np.testing.assert_array_equal(drop_dates(key, valid, 0.4, most=70), free)
