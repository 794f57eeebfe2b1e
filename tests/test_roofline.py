"""Floors are what they are by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.roofline import Floor, Machine, least_bytes, size_of

RATES = Machine({"float32": 1e9, "bfloat16": 4e9}, 1e8)


def test_a_floor_is_the_longer_of_the_two():
    assert Floor.of(2e9, 1e8, RATES, "float32") == Floor(compute=2.0, move=1.0)
    assert Floor.of(2e9, 1e8, RATES, "float32").seconds == 2.0
    assert Floor.of(2e9, 1e8, RATES, "bfloat16").seconds == 1.0


def test_least_bytes_of_inference_are_read_and_written_once():
    variables = {"params": {"w": jnp.zeros((3, 5))}, "batch_stats": {"m": jnp.zeros(5)}}
    given, result = jnp.zeros((7, 3)), jax.ShapeDtypeStruct((7,), jnp.int8)
    assert size_of(variables) == 4 * 20
    assert least_bytes(variables, given, result, train=False) == 4 * 20 + 4 * 21 + 7


def test_training_moves_the_parameters_their_gradient_and_two_moments():
    variables = {"params": {"w": jnp.zeros((3, 5))}, "batch_stats": {"m": jnp.zeros(5)}}
    given = np.zeros((7, 3), np.float16)
    assert least_bytes(variables, given, (), train=True) == 4 * 20 + 2 * 21 + 6 * 4 * 15
