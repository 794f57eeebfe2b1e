"""Resampling a series to other dates, on the device, with masks (paper, equation 1)."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pastis_jax.types import Series


def interpolation_weights(
    days: Int[Array, "b t"],
    valid: Bool[Array, "b t"],
    target_days: Int[Array, "b u"],
    *,
    hold: bool = False,
) -> Float[Array, "b u t"]:
    """Weights of linear interpolation in time: ``new = weights @ old``.

    Between the first and the last valid date: the line through the two neighbours. Outside: the
    line through the two nearest distinct days, or with `hold` the value of the nearest day. With a
    single distinct day: that day's value. With no valid date: zeros. Several acquisitions of one
    day count with their mean. Dates may stand in any order.

    Args:
      days: Days of the support points.
      valid: Support points that exist; others get weight 0.
      target_days: Days to interpolate to.
      hold: Whether the outermost values hold outside.
    """
    support = days[:, None, :].astype(jnp.float32)
    target = target_days[:, :, None].astype(jnp.float32)
    valid = valid[:, None, :]

    def latest(where: Array) -> Array:
        return jnp.max(jnp.where(where, support, -jnp.inf), -1, keepdims=True)

    def earliest(where: Array) -> Array:
        return jnp.min(jnp.where(where, support, jnp.inf), -1, keepdims=True)

    first, last = earliest(valid), latest(valid)
    if hold:
        target = jnp.where(first <= last, jnp.clip(target, first, last), target)
    too_early, too_late = target < first, target >= last
    left = latest(valid & (support <= target))
    right = earliest(valid & (support > target))
    # Outside the support the line goes through the two outermost days.
    left = jnp.where(too_early, first, jnp.where(too_late, latest(valid & (support < last)), left))
    right = jnp.where(
        too_early, earliest(valid & (support > first)), jnp.where(too_late, last, right)
    )
    # A single distinct day is both neighbours; no day at all has weight 0 whatever stands here.
    left = jnp.where(jnp.isfinite(left), left, right)
    right = jnp.where(jnp.isfinite(right), right, left)
    left, right = (jnp.where(jnp.isfinite(day), day, 0) for day in (left, right))

    span = right - left
    to_right = jnp.where(span > 0, (target - left) / jnp.where(span > 0, span, 1), 0)

    def share(day: Array) -> Array:
        same = (valid & (support == day)).astype(jnp.float32)
        return same / jnp.maximum(same.sum(-1, keepdims=True), 1)

    return (1 - to_right) * share(left) + to_right * share(right)


def resample(series: Series, like: Series, *, hold: bool = False) -> Series:
    """Interpolates `series` to the dates of `like`.

    The result is valid where `like` is. A masked date of `series` is no support point, and a series
    without valid dates becomes zeros.

    Args:
      series: Values ``b t ...``.
      like: The series whose days ``b u`` are taken.
      hold: Whether the outermost values hold before the first and after the last date of `series`;
        else the line through the two outermost days goes on.
    """
    weights = interpolation_weights(series.days, series.valid, like.days, hold=hold)
    valid = series.valid.reshape(*series.valid.shape, *(1,) * (series.values.ndim - 2))
    values = jnp.where(valid, series.values, 0)  # a product would let NaN through
    values = jnp.einsum("but,bt...->bu...", weights, values, precision=jax.lax.Precision.HIGHEST)
    return dataclasses.replace(series, values=values, days=like.days, valid=like.valid)


def covered(series: Series, target_days: Int[Array, "b u"]) -> Bool[Array, "b u"]:
    """Which days lie between the first and the last valid date of `series`, these included.

    A series without valid dates has no such range, and leaves out no day.
    """
    first = jnp.min(series.days, -1, where=series.valid, initial=jnp.iinfo(jnp.int32).max)
    last = jnp.max(series.days, -1, where=series.valid, initial=jnp.iinfo(jnp.int32).min)
    inside = (first[:, None] <= target_days) & (target_days <= last[:, None])
    return inside | ~series.valid.any(-1, keepdims=True)
