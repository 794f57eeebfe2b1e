"""The published code's way to draw initial weights."""

from __future__ import annotations

import jax
from flax import linen as nn
from flax import traverse_util
from jaxtyping import Array, PyTree

# `nn.initializers.xavier_normal` cuts the tails off; the published normal distribution has them.
_WEIGHT = nn.initializers.variance_scaling(1.0, "fan_avg", "normal")
_UNIT = nn.initializers.normal(1.0)
_DRAW = {
    "kernel": _WEIGHT,
    "in_kernel": _UNIT,
    "key_kernel": _WEIGHT,
    "bias": _UNIT,
    "in_bias": _UNIT,
    "key_bias": _UNIT,
    "scale": _UNIT,
    "offset": nn.initializers.zeros,
}
"""By name. Group norms, which also have a `scale` and `offset`, have no running statistics."""


def reference_initialisation(
    key: Array, params: PyTree[Array], batch_stats: PyTree[Array]
) -> PyTree[Array]:
    """Draws parameters anew as the published training scripts do, all by one rule.

    Xavier-normal kernels of linear layers and two-dimensional convolutions, keys of L-TAE among
    them, N(0, 1) kernels of one-dimensional convolutions, which the input projection of L-TAE is
    one of, N(0, 1) biases of all of them, N(0, 1) scales and zero offsets of batch norms; group
    norms and queries, N(0, sqrt(2 / d_k)), stay as they are. Attention starts from almost single
    dates that way: the projection's outputs vary by sqrt(128), not by 1. Ours are He-normal
    kernels, zero biases and unit scales, but for what `PaPs` starts its centerness and sizes from.

    Source: `src/learning/weight_init.py` of utae-paps, applied to the whole model by
    `train_semantic.py` and `train_panoptic.py`; the parcel scripts have the same function.

    Args:
      key: PRNG key.
      params: Parameters to replace; only names and shapes matter.
      batch_stats: Running statistics, which tell what is a batch norm.
    """
    flat = traverse_util.flatten_dict(params)
    keys = jax.random.split(key, len(flat))
    batch_norms = {path[:-1] for path in traverse_util.flatten_dict(batch_stats)}
    drawn = {
        path: _DRAW[path[-1]](k, value.shape, value.dtype)
        if path[-1] in _DRAW and (path[-1] not in ("scale", "offset") or path[:-1] in batch_norms)
        else value
        for k, (path, value) in zip(keys, flat.items(), strict=True)
    }
    return traverse_util.unflatten_dict(drawn)
