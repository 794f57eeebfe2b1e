"""Several ways to do the same work, timed in turn, so that a busy machine slows all alike."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LONG = 10
"""Times the least seconds of a turn, from which work is long: once is enough to warm up."""


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to do a piece of work.

    Attributes:
      start: Starts the work once; a device may still be at it afterwards.
      wait: Waits for what `start` returned, and all work before it.
      prepare: Comes before each turn, and is not timed.
    """

    start: Callable[[], Any]
    wait: Callable[[Any], Any] = lambda result: None
    prepare: Callable[[], Any] = lambda: None

    def seconds(self, times: int) -> float:
        """Does the work `times` times; returns the mean."""
        self.prepare()
        begin = time.perf_counter()
        for _ in range(times):
            result = self.start()
        self.wait(result)
        return (time.perf_counter() - begin) / times


def take_turns(ways: Mapping[str, Way], *, repeats: int, least: float) -> dict[str, list[float]]:
    """Times every way `repeats` times: A B A B. Before, each runs twice to warm up, long work once.

    Args:
      ways: By name.
      repeats: Turns of each.
      least: Seconds that a turn lasts at least: short work is done several times.

    Returns:
      Seconds of every turn.
    """
    times = {}
    for name, way in ways.items():
        seconds = way.seconds(1)
        if seconds < LONG * least:
            seconds = way.seconds(1)
        times[name] = max(1, math.ceil(least / max(seconds, 1e-9)))
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            measured[name].append(way.seconds(times[name]))
    return measured


@dataclasses.dataclass(frozen=True)
class Ratio:
    """How many times faster one way is than another.

    Attributes:
      median: Of one median to the other.
      least: Smallest of one turn.
      most: Largest of one turn.
    """

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, slow: Sequence[float], fast: Sequence[float]) -> Ratio:
        """Compares seconds of the same turns."""
        turns = [a / b for a, b in zip(slow, fast, strict=True)]
        median = statistics.median(slow) / statistics.median(fast)
        return cls(median, min(turns), max(turns))
