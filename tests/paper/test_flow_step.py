"""Gradient flow is the decrease of the objective to first order, module by module."""

from __future__ import annotations

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.paper import gradient_flow
from experiments.paper.flow_step import GradientFlow, make_flow_step
from pastis_jax import fusion, training
from pastis_jax.losses import supervised_loss
from pastis_jax.models import LTAE, MLPDecoder, PixelSetEncoder
from pastis_jax.types import Batch, Series

B, T, S, CLASSES = 6, 4, 3, 5
CHANNELS = {"S2": 10, "S1A": 3}
LEARNING_RATE = 1e-5
KEY = jax.random.key(0)
by_module = partial(gradient_flow.by_module, tuple(CHANNELS))


def batch():
    rng = np.random.default_rng(0)
    return Batch(
        series={
            m: Series(
                values=rng.normal(size=(B, T, S, c)).astype(np.float32),
                days=np.tile(np.arange(T, dtype=np.int32) * 40, (B, 1)),
                valid=np.ones((B, T), bool),
                pixels=np.ones((B, S), bool),
            )
            for m, c in CHANNELS.items()
        },
        label=np.arange(B, dtype=np.int32) % CLASSES,
        real=np.arange(B) < B - 1,
        number=np.arange(B, dtype=np.int32),
    )


def build(auxiliary):
    """Without dropout, so that each step sees the same function."""

    def each(part):
        return {m: part() for m in CHANNELS}

    decoder = partial(MLPDecoder, CLASSES, widths=(8,))
    temporal = partial(
        LTAE, features=8, model_features=8, heads=2, dropout=0.0, attention_dropout=0.0
    )
    spatial = partial(PixelSetEncoder, widths=(8, 8), features=8)
    heads = each(decoder) if auxiliary else None
    return fusion.late(each(spatial), each(temporal), decoder(), auxiliary=heads)


def loss(prediction, batch):
    return supervised_loss(prediction, batch.label, batch.real)


@cache
def one_step(auxiliary):
    """Parameters before and after a step, statistics before it, and what it recorded."""
    model, optimizer = build(auxiliary), optax.sgd(LEARNING_RATE)
    state = training.create_state(model, optimizer, batch(), KEY)
    before = jax.device_get(state)
    placement = training.Placement()
    step = make_flow_step(
        model=model,
        loss=loss,
        by_module=by_module,
        optimizer=optimizer,
        key=KEY,
        placement=placement,
    )
    flow = GradientFlow.empty(jax.eval_shape(by_module, state.params))
    metrics = training.EpochMetrics.empty(flow, B)
    state, metrics = step(*placement.whole((state, metrics)), placement.batch(batch()))
    return before, jax.device_get(state.params), jax.device_get(metrics).task


@cache
def losses(auxiliary):
    """L and L_obj of the batch as a function of parameters and statistics, written out again."""

    @jax.jit
    def both(params, batch_stats):
        variables = {"params": params, "batch_stats": batch_stats}
        given = batch()
        prediction, _ = build(auxiliary).apply(
            variables, given.series, train=True, mutable=["batch_stats"]
        )

        def mean(one):
            found = optax.softmax_cross_entropy_with_integer_labels(one.output, given.label)
            return jnp.mean(found, where=given.real)

        objective = mean(prediction)
        return objective + 0.5 * sum(map(mean, prediction.auxiliary.values())), objective

    return both


@pytest.mark.parametrize("auxiliary", [False, True], ids=["base", "auxiliary"])
def test_flow_is_the_decrease_of_the_objective(auxiliary):
    before, after, recorded = one_step(auxiliary)
    first, last = (losses(auxiliary)(p, before.batch_stats)[1] for p in (before.params, after))
    np.testing.assert_allclose(recorded.objective, first, rtol=1e-5)
    np.testing.assert_allclose(recorded.decrease, first - last, rtol=5e-3)
    total = sum(jax.tree.leaves(recorded.flow))
    assert total > 0
    np.testing.assert_allclose((first - last) / LEARNING_RATE, total, rtol=0.02)


@pytest.mark.parametrize("auxiliary", [False, True], ids=["base", "auxiliary"])
def test_flow_of_each_module_is_that_of_two_separate_gradients(auxiliary):
    before, _, recorded = one_step(auxiliary)
    gradient, slope = jax.jit(jax.jacrev(losses(auxiliary)))(before.params, before.batch_stats)
    products = jax.device_get(jax.tree.map(jnp.multiply, gradient, slope))
    whole = sum(leaf.sum() for leaf in jax.tree.leaves(products))
    np.testing.assert_allclose(sum(jax.tree.leaves(recorded.flow)), whole, rtol=1e-3)
    for m in CHANNELS:
        parts = {"PSE": products[f"spatial_{m}"], "L-TAE": products[f"temporal_{m}"]}
        for part, leaves in parts.items():
            expected = sum(leaf.sum() for leaf in jax.tree.leaves(leaves))
            np.testing.assert_allclose(recorded.flow[m][part], expected, rtol=1e-3, atol=1e-6)
    decoder = sum(leaf.sum() for leaf in jax.tree.leaves(products["decoder"]))
    parts = [parts["decoder"] for parts in recorded.flow.values()]
    np.testing.assert_allclose(sum(parts), decoder, rtol=1e-3)
    rows = products["decoder"]["hidden_0"]["kernel"][:8]  # of the first modality's embedding
    np.testing.assert_allclose(recorded.flow["S2"]["decoder"], rows.sum(), rtol=1e-3)
    if auxiliary:
        assert all(recorded.flow[m]["auxiliary decoder"] == 0 for m in CHANNELS)
    else:
        assert min(jax.tree.leaves(recorded.flow)) > 0  # squared norms
