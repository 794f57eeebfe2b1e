"""Building blocks that know nothing of PASTIS: masked reductions and norms, day code."""

from pastis_jax.nn.dropout import Dropout
from pastis_jax.nn.initialisation import reference_initialisation
from pastis_jax.nn.masked import masked_mean, masked_softmax, sum_and_count
from pastis_jax.nn.norm import DenseBatchNorm, GroupNorm, group_norm
from pastis_jax.nn.positional import sinusoidal_day_code
from pastis_jax.nn.raw import all_series, as_series

__all__ = [
    "DenseBatchNorm",
    "Dropout",
    "GroupNorm",
    "all_series",
    "as_series",
    "group_norm",
    "masked_mean",
    "masked_softmax",
    "reference_initialisation",
    "sinusoidal_day_code",
    "sum_and_count",
]
