"""What a row of the comparison is: the same work done in several ways, checked to be the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.compare.reference import Reference
from benchmarks.compare.timing import Way

PUBLISHED, COMPILED, AUTOCAST = "published", "published, compiled", "published, bf16"
OURS, BF16 = "ours", "ours, bf16"


@dataclasses.dataclass(frozen=True)
class Setting:
    """How everything is compared.

    Attributes:
      reference: The published code.
      device: PyTorch's name of the device that both run on.
      short: Take small work, to try the command.
      compiled: Compare with the published code under `torch.compile` too.
      bf16: Compare both in bfloat16 too.
    """

    reference: Reference
    device: str
    short: bool = False
    compiled: bool = False
    bf16: bool = False

    def published(self, start: Callable[[], Any]) -> Way:
        """A way of PyTorch; `start` does the work once."""
        return Way(start, self.synchronise)

    def synchronise(self, result: Any = None) -> None:
        """Waits for PyTorch's device."""
        del result
        if self.device == "cuda":
            self.reference.torch.cuda.synchronize()


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far what ours gives is from what the published code gives.

    Attributes:
      what: What is compared.
      largest: The largest difference, as `what` measures it.
      allowed: The largest that counts as equal.
    """

    what: str
    largest: float
    allowed: float

    @property
    def small(self) -> bool:
        """Whether both are equal; NaN is not."""
        return self.largest <= self.allowed

    def __str__(self) -> str:
        return f"{self.what} {self.largest:.1e} (at most {self.allowed:.0e})"


@dataclasses.dataclass(frozen=True)
class Work:
    """A piece of work.

    Attributes:
      row: Name for `--only`.
      part: Which part of it, ``training step`` say.
      what: Its sizes.
      amount: How many of `unit` it handles.
      unit: In plural.
      ways: The published one first.
      differences: Between the results of the ways.
      least: Seconds that a turn lasts at least.
    """

    row: str
    part: str
    what: str
    amount: int
    unit: str
    ways: Mapping[str, Way]
    differences: Sequence[Difference]
    least: float = 0.2

    @property
    def equal(self) -> bool:
        """Whether all ways give the same."""
        return all(d.small for d in self.differences)


def largest(ours: Any, theirs: Any) -> float:
    """Largest difference of two arrays, relative to the largest of theirs or 1."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if ours.shape != theirs.shape:
        raise ValueError(f"shapes differ: {ours.shape}, published {theirs.shape}")
    return float(np.max(np.abs(ours - theirs)) / max(1.0, np.max(np.abs(theirs))))


def largest_of_gradients(ours: Mapping, theirs: Mapping) -> float:
    """Largest difference of a tensor's gradient, as norms, relative to that of its module's.

    A bias before a batch norm has gradient 0 but for rounding; beside the other tensors of its
    layer that is small, and beside itself it is not.

    Args:
      ours: Nested by module.
      theirs: The same.
    """
    if ours.keys() != theirs.keys():
        raise ValueError(f"names differ: {[*ours]}, published {[*theirs]}")
    inner = {name for name, value in theirs.items() if isinstance(value, Mapping)}
    found = [largest_of_gradients(ours[name], theirs[name]) for name in inner]
    leaves = {n: np.asarray(v, np.float64) for n, v in theirs.items() if n not in inner}
    scale = max((np.linalg.norm(v) for v in leaves.values()), default=0.0)
    for name, value in leaves.items():
        found.append(float(np.linalg.norm(np.asarray(ours[name]) - value) / max(scale, 1e-12)))
    return max(found)
