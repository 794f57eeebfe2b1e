"""Whole modalities dropped by masking them, and chosen by name: satellites fail."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from pastis_jax.rng import fold_in_name, sample_keys
from pastis_jax.types import Series

_ALL_SUBSETS = 4
"""Most modalities of which every subset is looked at: 15."""


def modality_dropout(
    key: Array,
    series: Mapping[str, Series],
    rate: float,
    keep: Sequence[str] = (),
    axis_name: str | None = None,
) -> dict[str, Series]:
    """Masks whole modalities of samples while training, so that a model learns to do without them.

    Each modality that a sample has is dropped with probability `rate`, but never its last one.

    Args:
      key: PRNG key.
      series: Series by modality.
      rate: Probability, 0 to 1.
      keep: Modalities that always stay, as a model cannot do without them.
      axis_name: Mapped device axis, under `pmap`.
    """
    observed = jnp.stack([part.valid.any(1) for part in series.values()], 1)
    b, m = observed.shape
    keys = sample_keys(fold_in_name(key, "modalities"), b, axis_name)
    draw = jax.vmap(lambda key: jax.random.uniform(key, (m,)))(keys)
    draw = jnp.where(jnp.array([name in keep for name in series]), 2.0, draw)
    draw = jnp.where(observed, draw, -1.0)
    luckiest = jnp.arange(m) == jnp.argmax(draw, axis=1)[:, None]
    kept = (draw >= rate) | luckiest
    return only(dict(zip(series, kept.T, strict=True)), series)


def only(
    kept: Mapping[str, Bool[Array, " b"] | Bool[Array, ""]], series: Mapping[str, Series]
) -> dict[str, Series]:
    """Masks every date of the modalities that are not `kept`, of all samples or some."""
    return {
        name: part.replace(valid=part.valid & jnp.reshape(kept[name], (-1, 1)))
        for name, part in series.items()
    }


def subsets(modalities: Sequence[str], read: Sequence[str]) -> list[tuple[str, ...]]:
    """Which modalities might be left, one of `read` at least: all, then fewer and fewer.

    Of more than four modalities, not every subset: all but one, and each alone.

    Args:
      modalities: Those of a model.
      read: Those whose dates it reads, without which it can tell nothing.
    """
    number = len(modalities)
    sizes = range(number, 0, -1) if number <= _ALL_SUBSETS else (number, number - 1, 1)
    every = itertools.chain(*(itertools.combinations(modalities, size) for size in sizes))
    return [names for names in every if {*names} & {*read}]
