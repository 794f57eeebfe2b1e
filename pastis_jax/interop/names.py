"""Published parameter names and layouts -> Flax variables. NumPy in, NumPy out.

A `Rule` maps one published name to one of ours; a part (encoder, decoder) is a list of rules. The
same rules convert weights, running statistics and gradients. Names that no rule knows, and names
that a rule misses, are an error: nothing is ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from flax import traverse_util


class Rule(NamedTuple):
    """One published tensor and where it goes.

    Attributes:
      theirs: Name in the published state_dict.
      ours: Path below the collection.
      collection: `params` or `batch_stats`.
      layout: Function from their layout to ours.
    """

    theirs: str
    ours: tuple[str, ...]
    collection: str = "params"
    layout: Callable[[np.ndarray], np.ndarray] = np.asarray

    @property
    def path(self) -> tuple[str, ...]:
        """Path below the variables."""
        return (self.collection, *self.ours)


def transposed(weight: np.ndarray) -> np.ndarray:
    """A linear layer's (or 1x1 convolution's) ``out in [1]`` to ``in out``."""
    return np.reshape(weight, weight.shape[:2]).T


def linear(theirs: str, ours: tuple[str, ...]) -> list[Rule]:
    """Rules of a linear layer."""
    return [
        Rule(f"{theirs}.weight", (*ours, "kernel"), layout=transposed),
        Rule(f"{theirs}.bias", (*ours, "bias")),
    ]


def linear_batch_norm(linear_name: str, norm_name: str, ours: tuple[str, ...]) -> list[Rule]:
    """Rules of a linear layer and its batch norm, one module here."""
    return [
        *linear(linear_name, ours),
        Rule(f"{norm_name}.weight", (*ours, "scale")),
        Rule(f"{norm_name}.bias", (*ours, "offset")),
        Rule(f"{norm_name}.running_mean", (*ours, "mean"), "batch_stats"),
        Rule(f"{norm_name}.running_var", (*ours, "var"), "batch_stats"),
    ]


def group_norm(theirs: str, ours: tuple[str, ...]) -> list[Rule]:
    """Rules of a group norm."""
    return [Rule(f"{theirs}.weight", (*ours, "scale")), Rule(f"{theirs}.bias", (*ours, "offset"))]


def convert(
    tensors: Mapping[str, np.ndarray],
    rules: Iterable[Rule],
    *,
    collections: tuple[str, ...] = ("params", "batch_stats"),
) -> dict[str, dict]:
    """Renames and transposes published tensors.

    Args:
      tensors: Published names and values: a state_dict, or gradients by parameter name.
        `num_batches_tracked` counters carry no information and may stand among them.
      rules: Where each goes.
      collections: What to convert; give ``("params",)`` for gradients.

    Returns:
      Nested variables by collection.

    Raises:
      ValueError: Listing missing and unexpected names (twelve of each at most), or naming a tensor
        with another number of axes than its rule's.
    """
    rules = [rule for rule in rules if rule.collection in collections]
    given = {name for name in tensors if not name.endswith("num_batches_tracked")}
    expected = {rule.theirs for rule in rules}
    missing, unexpected = sorted(expected - given), sorted(given - expected)
    if missing or unexpected:
        raise ValueError(f"missing tensors: {listed(missing)}; unexpected: {listed(unexpected)}")
    flat = {}
    for rule in rules:
        tensor = np.asarray(tensors[rule.theirs])
        try:
            flat[rule.path] = rule.layout(tensor)
        except (ValueError, IndexError) as error:
            raise ValueError(f"{rule.theirs} has the impossible shape {tensor.shape}") from error
    return traverse_util.unflatten_dict(flat)


def listed(names: Sequence[str], *, most: int = 12) -> str:
    """At most `most` of `names` and the number of the others, or `none`."""
    others = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *others]) or "none"
