"""Pooled pixels beside the plain order, in which every feature is stored: values and gradients."""

from __future__ import annotations

from functools import partial

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pastis_jax.models import PixelSetEncoder
from pastis_jax.nn import DenseBatchNorm
from pastis_jax.nn.pixels import LastLayer, PixelSets, normalised_and_pooled
from pastis_jax.types import Series

B, T, S, C = 5, 4, 6, 3


class Plain(nn.Module):
    """The encoder without geometric features, as one would write it down."""

    widths: tuple[int, ...]
    features: int

    @nn.compact
    def __call__(self, series, *, train):
        real = series.valid[:, :, None] & series.pixels[:, None, :]
        x = jnp.where(real[..., None], series.values, 0)
        for i, width in enumerate(self.widths):
            x = nn.relu(DenseBatchNorm(width, name=f"mlp1_{i}")(x, real, train=train))
        weight = series.pixels[:, None, :, None].astype(x.dtype)
        count = weight.sum(2)
        mean = (x * weight).sum(2) / jnp.maximum(count, 1)
        variance = (jnp.square(x - mean[:, :, None]) * weight).sum(2) / jnp.maximum(count - 1, 1)
        positive = variance > 1e-11 * jnp.square(mean)
        deviation = jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1)), 0)
        x = jnp.concatenate([mean, deviation], -1)
        x = DenseBatchNorm(self.features, name="mlp2")(x, series.valid, train=train)
        return series.replace(values=x)


def make_series(dtype=np.float64):
    """No pixel, one, equal ones, and any; masked dates, NaN at them and at absent pixels."""
    rng = np.random.default_rng(0)
    pixels = rng.random((B, S)) < 0.7
    pixels[0], pixels[1], pixels[1, 2], pixels[2] = False, False, True, True
    valid = rng.random((B, T)) < 0.7
    valid[:, 0] = True
    values = rng.normal(size=(B, T, S, C)).astype(dtype)
    values[2] = values[2, :, :1]
    values[~(valid[:, :, None] & pixels[:, None])] = np.nan
    return Series(values=values, days=np.zeros((B, T), np.int32), valid=valid, pixels=pixels)


def outcome(module, variables, series, train):
    """Features of valid dates, statistics, and the gradients of parameters and values."""
    weight = np.random.default_rng(1).normal(size=(B, T, module.features))

    def objective(params, values):
        encoded, updated = module.apply(
            {**variables, "params": params},
            series.replace(values=values),
            train=train,
            mutable=["batch_stats"],
        )
        features = jnp.where(series.valid[..., None], encoded.values, 0)
        return jnp.sum(weight * features), (features, updated)

    gradient = jax.jit(jax.grad(objective, (0, 1), has_aux=True))
    return gradient(variables["params"], series.values)


@pytest.mark.parametrize("scale", [1.0, 0.0], ids=["", "a scale of zero"])
@pytest.mark.parametrize("train", [True, False], ids=["train", "infer"])
@pytest.mark.parametrize("widths", [(7, 8), (8,), (4, 6, 8)], ids=str)
def test_the_order_changes_neither_values_nor_gradients(widths, train, scale):
    """In float64; whatever the number of layers, and with a scale that no division survives."""
    with jax.enable_x64(True):
        series = make_series()
        ours, plain = PixelSetEncoder(widths, 5), Plain(widths, 5)
        drawn = jax.jit(partial(ours.init, train=True))(jax.random.key(0), series)
        rng = np.random.default_rng(2)
        drawn = jax.tree.map(lambda x: np.abs(x + 0.3 * rng.normal(size=x.shape)), drawn)
        last = drawn["params"][f"mlp1_{len(widths) - 1}"]
        last["scale"][0] *= scale
        kept = [outcome(module, drawn, series, train) for module in (ours, plain)]
    chex.assert_tree_all_finite(kept[0])
    chex.assert_trees_all_close(*kept, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("pixels", [1, 5, 32])
def test_of_equal_pixels_the_deviation_is_zero(pixels):
    """And its gradient, in float32; not that of other sets."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 3, pixels, C + 1)).astype(np.float32)
    values[..., -1], values[:, :2] = 1, values[:, :2, :1]
    real, count = np.ones((2, 3, pixels), bool), np.full((2, 3, 1), pixels, np.float32)
    layer = rng.normal(size=(C, 7)).astype(np.float32), np.ones(7, np.float32)
    last = LastLayer(rng.normal(size=(7, 8)).astype(np.float32), jnp.ones(8), jnp.ones(8))

    @jax.jit
    @partial(jax.value_and_grad, has_aux=True)
    def equal(parameters):
        sets = PixelSets(values, real, count)
        deviation = normalised_and_pooled(None, *parameters, sets)[0][..., 8:]
        return deviation[:, :2].sum(), deviation[:, 2]

    (total, others), gradient = equal(((layer,), last))
    assert total == 0
    assert np.any(others) == (pixels > 1)
    assert not any(np.any(x) for x in jax.tree.leaves(gradient))
