"""Temporal dropout: dates dropped by masking them (paper, section 3.3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from pastis_jax.rng import fold_in_name, sample_keys
from pastis_jax.types import Series


def drop_dates(
    key: Array,
    valid: Bool[Array, "b t"],
    rate: float,
    most: int | None = None,
    axis_name: str | None = None,
) -> Bool[Array, "b t"]:
    """Drops each valid date with probability `rate`, but never the last one of a series.

    Args:
      key: PRNG key.
      valid: Valid dates.
      rate: Probability, 0 to 1.
      most: Most dates that the batch may keep, at least one for each series: if chance leaves more,
        which a model may have no room for, those that barely stayed are dropped too.
      axis_name: Mapped device axis, under `pmap`; `most` is then each device's.

    Returns:
      The mask of what is left.
    """
    b, t = valid.shape
    draw = jax.vmap(lambda key: jax.random.uniform(key, (t,)))(sample_keys(key, b, axis_name))
    draw = jnp.where(valid, draw, -1.0)
    luckiest = jnp.arange(t) == jnp.argmax(draw, axis=1)[:, None]
    kept = valid & ((draw >= rate) | luckiest)
    if most is None or most >= kept.size:
        return kept
    # Ranks are all different, also of equal draws.
    order = jnp.argsort(jnp.where(kept, -draw - luckiest, 1.0), axis=None)
    rank = jnp.zeros(kept.size, jnp.int32).at[order].set(jnp.arange(kept.size))
    return kept & (rank.reshape(kept.shape) < most)


def temporal_dropout(
    key: Array,
    series: Mapping[str, Series],
    rates: Mapping[str, float],
    most: Mapping[str, int | None] | None = None,
    axis_name: str | None = None,
) -> dict[str, Series]:
    """Applies `drop_dates` to each modality with its own rate and its own random stream.

    Args:
      key: PRNG key.
      series: Series by modality.
      rates: Rate by modality; a modality without one loses nothing.
      most: By modality, see `drop_dates`.
      axis_name: See `drop_dates`.

    Returns:
      The series, with fewer valid dates.

    Examples:
      A rate near 1 leaves one date of each series, and a modality without a rate keeps all:

      >>> days = valid = jnp.ones((2, 5), bool)
      >>> series = {name: Series(jnp.zeros((2, 5, 1)), days, valid) for name in ("S2", "S1A")}
      >>> left = temporal_dropout(jax.random.key(0), series, rates={"S2": 0.999999})
      >>> left["S2"].valid.sum(1).tolist(), left["S1A"].valid.sum(1).tolist()
      ([1, 1], [5, 5])
    """
    return {
        name: dataclasses.replace(
            part,
            valid=drop_dates(
                fold_in_name(key, name), part.valid, rates[name], (most or {}).get(name), axis_name
            ),
        )
        if rates.get(name)
        else part
        for name, part in series.items()
    }
