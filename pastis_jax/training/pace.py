"""How training steps follow each other: one by one, or many in one program."""

from __future__ import annotations

import time
from typing import Any

import jax
import numpy as np

from pastis_jax.nn.ragged import PixelTable, Rows
from pastis_jax.training.feed import Batches, OnDevice, place
from pastis_jax.training.progress import Progress
from pastis_jax.training.sharding import Placement
from pastis_jax.training.state import TrainState
from pastis_jax.training.step import EpochMetrics, TrainStep


def pace_of(
    batches: Batches, placement: Placement, most: int, *, singly: bool = False
) -> OneByOne | AtOnce:
    """How steps with these batches follow each other, no more than `most` at once.

    Args:
      batches: The batches.
      placement: The devices.
      most: Most steps in one program.
      singly: Whether each must be a program of its own: a profile counts them.
    """
    if isinstance(batches, OnDevice) and batches.at_once and not singly:
        return AtOnce(batches, placement, most)
    return OneByOne(batches, placement)


class OneByOne:
    """Takes training steps one by one: the device computes while the host makes the next batch.

    Args:
      batches: The batches.
      placement: The devices.
    """

    def __init__(self, batches: Batches, placement: Placement):
        self._batches, self._placement = batches, placement
        self._batch = place(next(batches), batches, placement)

    def compile(self, step: TrainStep, state: TrainState, metrics: EpochMetrics) -> TrainStep:
        """Compiles a step for these batches."""
        return step.lower(state, metrics, self._batch).compile()

    def advance(
        self,
        step: TrainStep,
        state: TrainState,
        metrics: EpochMetrics,
        done: int,
        stop: int,
        progress: Progress,
    ) -> tuple[TrainState, EpochMetrics, int]:
        """Takes steps of an epoch of which `done` are done, and no more than up to `stop`.

        Args:
          step: What `compile` gave.
          state: Donated.
          metrics: Donated.
          done: Steps of the epoch that are done.
          stop: Steps of it after which it must come back.
          progress: Gets the state of the batches, and what was waited for.

        Returns:
          State, metrics, and how many steps are done now.
        """
        del stop
        state, metrics = step(state, metrics, self._batch)
        # Before the next batch is taken, or a resumed run would leave it out.
        progress.batches = self._batches.get_state()
        asked = time.perf_counter()
        self._batch = place(next(self._batches), self._batches, self._placement)
        if metrics.samples.is_ready():  # The step was over first.
            progress.waited += time.perf_counter() - asked
        return state, metrics, done + 1


class AtOnce:
    """Takes many training steps in one program, which makes their batches too.

    Args:
      batches: The batches.
      placement: The devices, by `jit`.
      most: Most steps that are asked for.
    """

    def __init__(self, batches: OnDevice, placement: Placement, most: int):
        self._batches, self._placement, self._most = batches, placement, most

    def compile(self, step: TrainStep, state: TrainState, metrics: EpochMetrics) -> Any:
        """Compiles many steps; the number of them is told when they are taken."""
        make = self._batches.make

        def steps(state, metrics, table: PixelTable, rows: Rows, number):
            def one(i, carry):
                return step(*carry, make(table, jax.tree.map(lambda x: x[i], rows)))

            return jax.lax.fori_loop(0, number, one, (state, metrics))

        kinds = ("whole", "whole", "whole", "batches", "whole")
        compiled = self._placement.compiled(steps, kinds, donate=(0, 1))
        rows = self._batches.like(self._most)
        return compiled.lower(state, metrics, self._batches.table, rows, np.int32(0)).compile()

    def advance(
        self,
        step: Any,
        state: TrainState,
        metrics: EpochMetrics,
        done: int,
        stop: int,
        progress: Progress,
    ) -> tuple[TrainState, EpochMetrics, int]:
        """Takes all steps up to `stop`; see `OneByOne`."""
        asked = time.perf_counter()
        rows = self._batches.take(stop - done, self._most)
        progress.batches = self._batches.get_state()
        number = self._placement.whole(np.int32(stop - done))
        progress.waited += time.perf_counter() - asked  # The device has nothing else to do.
        return *step(state, metrics, self._batches.table, rows, number), stop
