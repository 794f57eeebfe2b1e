"""The temperature, and what is told of confidences: against cases whose answer is known."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from pastis_jax.calibration import BINS, LEAST, Reliability, Scored, TemperatureFit

CLASSES = 6


@functools.cache
def calibrated(number=4000):
    """Logits, and labels that are drawn by their probabilities: a temperature of 1 is right."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(number, CLASSES))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (shares.cumsum(1) < rng.uniform(size=(number, 1))).sum(1)
    return logits, labels.clip(0, CLASSES - 1)


def fitted(logits, labels, where=None):
    where = np.ones(len(labels), bool) if where is None else where
    return TemperatureFit.from_batch(jnp.asarray(logits, jnp.float32), labels, where)


def best(logits, labels):
    """The temperature by another method, in float64."""

    def loss(logarithm):
        scaled = logits / np.exp(logarithm)
        top = scaled.max(1)
        total = np.log(np.exp(scaled - top[:, None]).sum(1)) + top
        return (total - scaled[np.arange(len(labels)), labels]).mean()

    found = optimize.minimize_scalar(
        loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-9}
    )
    return np.exp(found.x)


@pytest.mark.parametrize("factor", [3.0, 1.0, 0.4, 0.06, 18.0])
def test_a_known_miscalibration_is_found(factor):
    logits, labels = calibrated()
    temperature, kept = fitted(factor * logits, labels).temperature()
    assert kept is None
    assert temperature == pytest.approx(best(factor * logits, labels), rel=2e-5)
    assert temperature == pytest.approx(factor, rel=0.05)


def test_what_cannot_be_fitted_is_left_at_one():
    logits, labels = calibrated()
    few = slice(LEAST - 1)
    for fit, words in (
        (fitted(logits[few], labels[few]), f"only {LEAST - 1} pixels of validation count"),
        (TemperatureFit.empty(), "only 0 pixels"),
        (fitted(logits, logits.argmax(1)), "almost none of them is told wrong"),
        (fitted(logits, logits.argmin(1)), "tell nothing of their classes"),
        (fitted(np.full_like(logits, np.nan), labels), "tell nothing of their classes"),
    ):
        temperature, kept = fit.temperature("pixels")
        assert temperature == 1
        assert words in kept
        assert "\n" not in kept
    assert fitted(logits[:LEAST], labels[:LEAST]).temperature()[1] is None


def test_expected_calibration_error_by_hand():
    """Five of two classes: confidences 0.9, 0.9, 0.6, 0.6 and 0.95, the second and third wrong."""
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.05, 0.95]])
    labels, where = np.array([0, 1, 0, 1, 1]), np.ones(5, bool)
    found = Reliability.from_batch(jnp.log(shares), labels, where).compute()
    counts = dict(zip((13, 8, 14), (2, 2, 1), strict=True))  # bins (0.867, 0.933], (0.533, 0.6] ...
    assert {i: n for i, n in enumerate(found["count"].tolist()) if n} == counts
    assert found["accuracy"][[8, 13, 14]].tolist() == [0.5, 0.5, 1]
    np.testing.assert_allclose(found["confidence"][[8, 13, 14]], [0.6, 0.9, 0.95], rtol=1e-6)
    assert np.isnan(found["accuracy"]).sum() == BINS - 3
    # 2/5 of 0.4, 2/5 of 0.1, 1/5 of 0.05
    assert found["ECE"] == pytest.approx(0.16 + 0.04 + 0.01)
    right = np.array([0.9, 0.1, 0.4, 0.6, 0.95])
    assert found["NLL"] == pytest.approx(-np.log(right).mean(), rel=1e-6)
    assert found["Brier"] == pytest.approx((2 * (1 - right) ** 2).mean(), rel=1e-6)


def test_of_nothing_nothing_is_told():
    found = Reliability.empty().compute()
    assert all(np.isnan(found[name]) for name in ("ECE", "NLL", "Brier"))
    assert found["count"].tolist() == [0] * BINS


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_temperature_divides_logits(temperature):
    logits, labels = calibrated()
    where = np.ones(len(labels), bool)
    asked = Reliability.from_batch(logits, labels, where, temperature).compute()
    scaled = Reliability.from_batch(logits / temperature, labels, where).compute()
    for name, value in asked.items():
        np.testing.assert_allclose(value, scaled[name], rtol=2e-5)
    plain = Reliability.from_batch(logits, labels, where)
    assert plain.correct.sum() == np.sum(logits.argmax(1) == labels)


def test_the_best_temperature_lowers_the_error():
    logits, labels = calibrated()
    where = np.ones(len(labels), bool)
    temperature, _ = fitted(3 * logits, labels).temperature()
    before = Reliability.from_batch(3 * logits, labels, where).compute()
    after = Reliability.from_batch(3 * logits, labels, where, temperature).compute()
    assert after["ECE"] < 0.03 < 0.1 < before["ECE"]
    assert after["NLL"] < before["NLL"]
    assert after["Brier"] < before["Brier"]


@pytest.mark.parametrize("size", [7, 512])
def test_padding_and_the_size_of_batches_change_nothing(size):
    """What does not count may be anything; counts are the same, sums but for rounding."""
    logits, labels = calibrated(1000)
    whole = counted(logits, labels, np.ones(1000, bool))
    parts = Scored.empty(Nothing())
    for start in range(0, 1000, size):
        own, these = logits[start : start + size], labels[start : start + size]
        blank = size + 3 - len(own)
        own = np.concatenate([own, np.full((blank, CLASSES), np.nan)])
        these = np.concatenate([these, np.full(blank, CLASSES)])  # void
        parts = parts.merge(counted(own, these, np.arange(size + 3) < size + 3 - blank))
    for name in ("before", "after"):
        one, other = getattr(whole, name), getattr(parts, name)
        np.testing.assert_array_equal(one.count, other.count)
        np.testing.assert_array_equal(one.correct, other.correct)
        np.testing.assert_allclose(one.confidence, other.confidence, rtol=1e-5)
    assert whole.fit.count == parts.fit.count == 1000
    assert whole.fit.temperature()[0] == pytest.approx(parts.fit.temperature()[0], rel=1e-5)


class Nothing:
    """A metric that counts nothing."""

    def merge(self, other):
        return self


jax.tree_util.register_pytree_node(Nothing, lambda _: ((), None), lambda *_: Nothing())


@functools.partial(jax.jit, static_argnames=("temperature", "fit"))
def counted(logits, labels, where, temperature=2.0, fit=1.0):
    options = {"temperature": temperature, "fit": fit}
    return Scored.from_batch(Nothing(), logits, labels, where, **options)


def test_what_is_not_asked_for_is_not_counted():
    logits, labels = calibrated(500)
    where = np.ones(500, bool)
    plain = counted(logits, labels, where, temperature=0.0, fit=0.0)
    assert not any(np.any(x) for x in jax.tree.leaves(plain))
    fit = counted(logits, labels, where, temperature=0.0).fit
    np.testing.assert_array_equal(fit.slope, fitted(logits, labels).slope)
