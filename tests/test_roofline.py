"""Floors are what they are by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import roofline
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


def test_the_machine_is_measured():
    rates = roofline.measure_machine(short=True)
    assert rates.multiply_adds["float32"] > 1e8
    assert rates.copied > 1e7


def test_a_row_has_the_floor_and_what_xla_says(monkeypatch):
    monkeypatch.setattr(roofline, "take_turns", lambda ways, **_: {"": [3.0, 1.0, 2.0]})
    config = roofline.Config(short=True, repeats=3)
    train, infer = roofline.rows("parcels", config, Machine({"float32": 1e9}, 1e8))
    assert train["multiply_adds"] == 3 * infer["multiply_adds"]
    assert infer["median"] == 2.0
    assert infer["times_floor"] == pytest.approx(2.0 / max(infer["floor"].values()))
    # Of 8 parcels, 185 dates of 32 pixels: the encoders' two layers alone.
    pixels = 8 * 32 * (45 * (10 * 32 + 32 * 64) + 140 * (3 * 32 + 32 * 64))
    assert pixels < infer["multiply_adds"] < 1.5 * pixels
    assert train["xla"]["multiply_adds"] > infer["xla"]["multiply_adds"] > 0
    assert roofline.line(train).startswith("| parcels | training step | float32 |")
