"""Watching a run: where its parameters are, TensorBoard events, a profile of a few steps."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
from jaxtyping import Array, PyTree

from pastis_jax.errors import UserError
from pastis_jax.files import naming


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
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event, SessionLog
            from tensorboardX.summary import scalar
        except ImportError:
            remedy = "pip install 'pastis-jax[tensorboard]', or leave it out"
            raise UserError("needs tensorboardX", where="`tensorboard`", remedy=remedy) from None
        self._folder, self._writer, self._scalar = folder, None, scalar
        # Hides what an earlier part of the run wrote, which is written again.
        again = SessionLog(status=SessionLog.START)
        self._make, self._first = EventsWriter, Event(step=0, session_log=again)
        self._event = Event

    def write(self, step: int, groups: Mapping[str, Any]) -> None:
        """Writes scalars, and mappings of scalars as ``group/name``, as of `step`.

        Raises:
          OSError: If they cannot be written.
        """
        with naming(self._folder):
            self._write(step, groups)

    def _write(self, step: int, groups: Mapping[str, Any]) -> None:
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._writer = self._make(str(self._folder / "events"))
            self._writer.write_event(self._first)
        for group, values in groups.items():
            for name, value in values.items() if isinstance(values, Mapping) else [("", values)]:
                summary = self._scalar(f"{group}/{name}".rstrip("/"), value)
                event = self._event(step=step, wall_time=time.time(), summary=summary)
                self._writer.write_event(event)
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class Profile:
    """Traces some steps by the JAX profiler; TensorBoard and Perfetto show the trace.

    Args:
      folder: Where the trace goes.
      first: Number of steps of this process to let pass before.
      steps: Number of steps to trace.
    """

    def __init__(self, folder: pathlib.Path, *, first: int = 3, steps: int = 5):
        self.folder, self._first, self._last, self._done = folder, first, first + steps, 0
        self._tracing = False

    def before_step(self) -> None:
        """To be called before each step."""
        if self._done == self._first:
            jax.profiler.start_trace(str(self.folder))
            self._tracing = True
        self._done += 1

    def after_step(self, result: PyTree[Array]) -> None:
        """To be called with what each step gave."""
        if self._done == self._last:
            self.close(result)

    def close(self, result: PyTree[Array]) -> None:
        """Ends the trace, if it is on, when `result` is there."""
        if self._tracing:
            jax.block_until_ready(result)
            jax.profiler.stop_trace()
            self._tracing = False
