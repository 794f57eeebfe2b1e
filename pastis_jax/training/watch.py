"""Watching a run: where its parameters are, TensorBoard events, a profile of a few steps."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import jax
from jaxtyping import Array, PyTree

from pastis_jax.errors import UserError


def parameter_table(params: PyTree[Array], *, depth: int = 2) -> dict[str, int]:
    """Counts scalars by module, down to `depth` names, in the order of the modules."""
    table: dict[str, int] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = "/".join(str(part.key) for part in path[:depth])
        table[name] = table.get(name, 0) + leaf.size
    return table


class Events:
    """Scalars as TensorBoard events, without TensorFlow.

    Args:
      folder: Where the events go.

    Raises:
      UserError: If tensorboardX is not installed.
    """

    def __init__(self, folder: pathlib.Path):
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            remedy = "pip install 'pastis-jax[tensorboard]', or leave it out"
            raise UserError("needs tensorboardX", where="--tensorboard", remedy=remedy) from None
        self._writer = SummaryWriter(str(folder))

    def write(self, step: int, groups: Mapping[str, Mapping[str, float]]) -> None:
        """Writes the scalars of `groups` (`train`, `val`, ...) as ``group/name`` at `step`."""
        for group, values in groups.items():
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)
        self._writer.flush()


class Profile:
    """Traces some steps with the JAX profiler, once; TensorBoard and Perfetto show the trace.

    Args:
      folder: Where the trace goes.
      first: Number of steps of this process to skip: those that compile and warm up.
      steps: Number of steps to trace.
    """

    def __init__(self, folder: pathlib.Path, *, first: int = 3, steps: int = 5):
        self.folder, self._first, self._steps, self._seen = folder, first, steps, 0

    def before(self) -> None:
        """Call before each step."""
        if self._seen == self._first:
            jax.profiler.start_trace(str(self.folder))
        self._seen += 1

    def after(self, result: PyTree[Array]) -> None:
        """Call after each step with what it returned, or at the end of training."""
        if self._seen == self._first + self._steps:
            jax.block_until_ready(result)  # the last traced step only
            jax.profiler.stop_trace()
