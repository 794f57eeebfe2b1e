"""Schedules and optimisers by name, and the moving average of the weights."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from pastis_jax import training


def test_schedules():
    def rates(name):
        return [float(training.make_schedule(name, 0.01, steps=10)(i)) for i in (0, 4, 5, 9, 10)]

    assert rates("constant") == pytest.approx([0.01] * 5)
    assert rates("step") == pytest.approx([0.01, 0.01, 0.001, 0.001, 0.001])
    cosine = [0.01 * (1 + np.cos(np.pi * i / 10)) / 2 for i in (0, 4, 5, 9, 10)]
    assert rates("cosine") == pytest.approx(cosine, abs=1e-9)
    with pytest.raises(ValueError, match="no schedule is called 'linear'"):
        training.make_schedule("linear", 0.01, steps=10)


def test_only_kernels_decay():
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    gradient = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
    schedule = training.make_schedule("constant", 0.1, steps=1)

    def updates(name, **decay):
        optimizer = training.make_optimizer(name, schedule, **decay)
        return optimizer.update(gradient, optimizer.init(params), params)[0]

    decayed = updates("adamw", weight_decay=0.5)
    np.testing.assert_allclose(decayed["kernel"], -0.05)
    np.testing.assert_array_equal(decayed["bias"], 0)
    np.testing.assert_array_equal(updates("adam")["kernel"], 0)
    first = training.make_optimizer("adam", schedule)
    step, _ = first.update({"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}, first.init(params))
    np.testing.assert_allclose(step["bias"], -0.1, rtol=1e-5)
    with pytest.raises(ValueError, match="no optimiser is called 'sgd'"):
        training.make_optimizer("sgd", schedule)
