"""Dates reduced with attention: every order of the sum is the same function."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pastis_jax.models.utae import aggregate
from pastis_jax.nn import packing


@pytest.mark.parametrize("how", ["att_group", "att_mean", "mean"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_order_for_a_cpu_changes_nothing(how, packed, dtype, monkeypatch):
    """Maps and gradients; odd sizes, NaN at a masked date, and room left among packed ones."""
    rng = np.random.default_rng(0)
    valid = np.array([[True, True, False, True], [False, False, True, False]])
    x = rng.normal(size=(2, 4, 5, 7, 6))
    x[0, 2] = np.nan
    x, valid = jnp.asarray(x, dtype), jnp.asarray(valid)
    attention = jnp.asarray(rng.random((2, 4, 3, 4, 2)), jnp.float32)
    upstream = jnp.asarray(rng.normal(size=(2, 5, 7, 6)), jnp.float32)
    frames = packing.valid_frames(valid, 6) if packed else None
    x = packing.pack(x, frames) if packed else x

    def both(backend):
        monkeypatch.setattr(jax, "default_backend", lambda: backend)

        @jax.jit
        def run(x, attention):
            def reduce(x, attention):
                return aggregate(x, attention, valid, how, 2, frames)

            maps, pull_back = jax.vjp(reduce, x, attention)
            return maps, *pull_back(upstream)

        return run(x, attention)

    ours, plain = both("cpu"), both("gpu")
    chex.assert_trees_all_equal_dtypes(ours, plain)
    chex.assert_tree_all_finite(ours)
    tolerance = 1e-5 if dtype == jnp.float32 else 1e-2
    chex.assert_trees_all_close(ours, plain, atol=tolerance, rtol=tolerance)
