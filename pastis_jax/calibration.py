"""How far confidences can be trusted, and the temperature that makes them so (Guo et al. 2017).

Logits are divided by one temperature, fitted on samples that nothing was learned of: the order of
the classes stays, so that no prediction changes, and what is said with 80 % is right as often.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

BINS = 15
"""Bins of equal width that confidences are counted in."""
COOLEST, HOTTEST = 0.05, 20.0
"""Temperatures between which the best one is looked for."""
LEAST = 100
"""Samples below which no temperature is fitted."""
_NODES = np.geomspace(1 / HOTTEST, 1 / COOLEST, 33)
"""Inverse temperatures at which the likelihood is looked at; the one in the middle is 1."""


@struct.dataclass
class TemperatureFit:
    """Derivatives of the negative log-likelihood by the inverse temperature s, at 33 values.

    The likelihood is convex in s: the best temperature is where the slope changes its sign.

    Attributes:
      slope: ``33``, sum of the first derivatives.
      curvature: ``33``, sum of the second ones.
      count: int32, samples.
    """

    slope: Float[Array, " 33"]
    curvature: Float[Array, " 33"]
    count: Int[Array, ""]

    @classmethod
    def empty(cls) -> TemperatureFit:
        """Returns the fit of no sample."""
        return cls(jnp.zeros(len(_NODES)), jnp.zeros(len(_NODES)), jnp.zeros((), jnp.int32))

    @classmethod
    def from_batch(
        cls, logits: Float[Array, "... k"], label: Int[Array, "..."], where: Bool[Array, "..."]
    ) -> TemperatureFit:
        """Counts the samples (parcels or pixels) where `where`; elsewhere anything may stand."""
        logits, label = _clean(logits, label, where)
        logits -= logits.max(-1, keepdims=True)
        true = jnp.take_along_axis(logits, label[..., None], -1)[..., 0]

        def at(inverse: Array) -> tuple[Array, Array]:
            share = jax.nn.softmax(logits * inverse)
            mean = (share * logits).sum(-1)
            spread = (share * (logits - mean[..., None]) ** 2).sum(-1)
            return (
                jnp.where(where, mean - true, 0).sum(),
                jnp.where(where, spread, 0).sum(),
            )

        # One after another: all at once would be 33 times the memory.
        slope, curvature = jax.lax.map(at, jnp.asarray(_NODES, jnp.float32))
        return cls(slope, curvature, where.sum(dtype=jnp.int32))

    def merge(self, other: TemperatureFit) -> TemperatureFit:
        """Joins two disjoint sets of samples."""
        return jax.tree.map(jnp.add, self, other)

    def temperature(self, samples: str = "samples") -> tuple[float, str | None]:
        """Finds the best temperature.

        Args:
          samples: What was counted, in plural.

        Returns:
          The temperature, and None; or 1, and why there is no better one.
        """
        count = int(self.count)
        if count < LEAST:
            return 1.0, f"only {count} {samples} of validation count, fewer than {LEAST}"
        slope, curvature = (np.asarray(x, np.float64) for x in (self.slope, self.curvature))
        beyond = f"no temperature from {COOLEST:g} to {HOTTEST:g} is best for the {count:,} "
        beyond += f"{samples} of validation"
        if not np.isfinite(slope).all() or slope[0] >= 0:
            return 1.0, f"{beyond}: their probabilities tell nothing of their classes"
        if slope[-1] <= 0:
            return 1.0, f"{beyond}: almost none of them is told wrong"
        before = int(np.flatnonzero(slope < 0)[-1])
        after = before + 1
        # The cubic through both slopes, with their derivatives by the logarithm of s.
        width = np.log(_NODES[after] / _NODES[before])
        rise = width * _NODES[[before, after]] * curvature[[before, after]]
        low, high = 0.0, 1.0
        for _ in range(60):
            x = (low + high) / 2
            if _cubic(x, slope[[before, after]], rise) < 0:
                low = x
            else:
                high = x
        return float(np.exp(-low * width) / _NODES[before]), None


def _cubic(x: float, values: np.ndarray, rise: np.ndarray) -> float:
    """Hermite's cubic on 0 to 1."""
    first = (1 + 2 * x) * (1 - x) ** 2 * values[0] + x * (1 - x) ** 2 * rise[0]
    return first + x**2 * (3 - 2 * x) * values[1] + x**2 * (x - 1) * rise[1]


@struct.dataclass
class Reliability:
    """How often predictions are right, by their confidence.

    The confidence is the probability of the most probable class. Bin i of n holds confidences above
    i/n, up to (i+1)/n.

    Attributes:
      count: ``15``, int32, samples of each bin.
      correct: ``15``, int32, samples that were classified correctly.
      confidence: ``15``, sum of the confidences.
      log_loss: Sum of the negative log-likelihoods.
      brier: Sum of the squared differences of the probabilities of all classes from 0 or 1.

    Examples:
      Two samples with a confidence of 0.75 each, of which one is right:

      >>> logits = jnp.log(jnp.array([[0.75, 0.25], [0.75, 0.25]]))
      >>> told = Reliability.from_batch(logits, jnp.array([0, 1]), jnp.array([True, True]))
      >>> round(told.compute()["ECE"], 3)
      0.25
    """

    count: Int[Array, " 15"]
    correct: Int[Array, " 15"]
    confidence: Float[Array, " 15"]
    log_loss: Float[Array, ""]
    brier: Float[Array, ""]

    @classmethod
    def empty(cls) -> Reliability:
        """Returns that of no sample."""
        none = (jnp.zeros(BINS, jnp.int32) for _ in range(2))  # apart: states are donated
        return cls(*none, jnp.zeros(BINS), jnp.zeros(()), jnp.zeros(()))

    @classmethod
    def from_batch(
        cls,
        logits: Float[Array, "... k"],
        label: Int[Array, "..."],
        where: Bool[Array, "..."],
        temperature: ArrayLike = 1.0,
    ) -> Reliability:
        """Counts the samples where `where`, at a temperature that may be traced."""
        logits, label = _clean(logits, label, where)
        logs = jax.nn.log_softmax(logits / temperature)
        shares = jnp.exp(logs)
        true = jnp.take_along_axis(logs, label[..., None], -1)[..., 0]
        confidence, correct = shares.max(-1), jnp.argmax(logits, -1) == label
        number = jnp.clip(jnp.ceil(confidence * BINS).astype(jnp.int32) - 1, 0, BINS - 1)
        within = (number[..., None] == jnp.arange(BINS)) & where[..., None]
        axes = tuple(range(within.ndim - 1))
        squared = (shares**2).sum(-1) - 2 * jnp.exp(true) + 1
        return cls(
            count=within.sum(axes, dtype=jnp.int32),
            correct=(within & correct[..., None]).sum(axes, dtype=jnp.int32),
            confidence=jnp.where(within, confidence[..., None], 0).sum(axes),
            log_loss=-jnp.where(where, true, 0).sum(),
            brier=jnp.where(where, squared, 0).sum(),
        )

    def merge(self, other: Reliability) -> Reliability:
        """Joins two disjoint sets of samples."""
        return jax.tree.map(jnp.add, self, other)

    def compute(self) -> dict[str, Any]:
        """Returns the expected calibration error `ECE`, `NLL` and `Brier`, and of the bins `count`,
        `confidence` (mean) and `accuracy`; NaN for what has nothing to count."""
        count, correct, confidence = (
            np.asarray(x, np.float64) for x in (self.count, self.correct, self.confidence)
        )
        total = count.sum()
        each, every = (np.where(x > 0, x, np.nan) for x in (count, total))
        return {
            "ECE": float(np.abs(correct - confidence).sum() / every),
            "NLL": float(self.log_loss / every),
            "Brier": float(self.brier / every),
            "count": np.asarray(self.count).astype(int),
            "confidence": confidence / each,
            "accuracy": correct / each,
        }


def _clean(logits, label, where):
    """Logits in 32 bits and labels, with something harmless where nothing counts."""
    logits = jnp.where(where[..., None], logits.astype(jnp.float32), 0)
    return logits, jnp.where(where, label, 0)


@struct.dataclass
class Scored:
    """The metric of a test, and what its confidences are worth.

    Attributes:
      metric: The task's.
      before: Reliability of the model's own probabilities.
      after: Reliability of the probabilities at the temperature of the run.
      fit: What finds the temperature.
    """

    metric: Any
    before: Reliability
    after: Reliability
    fit: TemperatureFit

    @classmethod
    def empty(cls, metric: Any) -> Scored:
        """Returns that of no batch; `metric` is the task's empty one."""
        return cls(metric, Reliability.empty(), Reliability.empty(), TemperatureFit.empty())

    @classmethod
    def from_batch(
        cls,
        metric: Any,
        logits: Float[Array, "... k"],
        label: Int[Array, "..."],
        where: Bool[Array, "..."],
        *,
        temperature: ArrayLike = 0.0,
        fit: ArrayLike = 0.0,
    ) -> Scored:
        """Joins the task's metric of a batch with what is asked for; both may be traced.

        One program serves validation, which asks for nothing, the fit, and the test.

        Args:
          metric: The task's.
          logits: Of the classes.
          label: True classes.
          where: Samples that count.
          temperature: Of the run; 0 where reliability is not asked for.
          fit: Other than 0 where a temperature is to be found.
        """
        shown, none = (logits, label, where), Scored.empty(metric)
        heat = jnp.maximum(temperature, COOLEST)
        before, after = jax.lax.cond(
            temperature > 0,
            lambda: (Reliability.from_batch(*shown), Reliability.from_batch(*shown, heat)),
            lambda: (none.before, none.after),
        )
        fitted = jax.lax.cond(fit > 0, lambda: TemperatureFit.from_batch(*shown), lambda: none.fit)
        return cls(metric, before, after, fitted)

    def merge(self, other: Scored) -> Scored:
        """Joins two disjoint sets of samples."""
        return Scored(
            self.metric.merge(other.metric),
            self.before.merge(other.before),
            self.after.merge(other.after),
            self.fit.merge(other.fit),
        )

    def compute(self) -> dict[str, Any]:
        """Returns what the task's metric does; and `ECE`, `NLL` and `Brier`, if asked for."""
        scores = self.metric.compute()
        if np.sum(self.after.count):
            after = self.after.compute()
            scores = {**scores, **{name: after[name] for name in ("ECE", "NLL", "Brier")}}
        return scores

    def reliability(self) -> dict[str, Any]:
        """Returns what `Reliability.compute` does, `before` and `after` the temperature."""
        return {"before": self.before.compute(), "after": self.after.compute()}
