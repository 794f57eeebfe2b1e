"""Scores by what had been observed up to a day: what a season has shown so far."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array

from pastis_jax.data.calendar import Days
from pastis_jax.data.dataset import Dataset
from pastis_jax.errors import ArgumentError, refuse
from pastis_jax.metrics import Mean
from pastis_jax.training import Metric, Outcome
from pastis_jax.types import Batch, Prediction, Series

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Until:
    """What was known up to a day, that one included, and how well it did.

    Attributes:
      date: The day.
      dates: Valid dates of a sample, on average, by modality.
      outcome: The scores; None where nothing that counts had been observed.
    """

    date: datetime.date
    dates: Mapping[str, float]
    outcome: Outcome | None


def as_date(until: datetime.date | str, argument: str = "until") -> datetime.date:
    """Reads a day.

    Args:
      until: The day, or its text YYYY-MM-DD.
      argument: Which argument it was given as.

    Raises:
      ArgumentError: If it is none.
    """
    if isinstance(until, datetime.datetime):
        return until.date()
    if isinstance(until, datetime.date):
        return until
    try:
        if isinstance(until, str) and _DAY.fullmatch(until):
            return datetime.date.fromisoformat(until)
    except ValueError:
        pass
    remedy = "write it as YYYY-MM-DD"
    raise ArgumentError(f"{until!r} is not a day", argument=argument, remedy=remedy)


def check_observed(
    until: datetime.date, dataset: Dataset, observed: Iterable[Days], names: Sequence[str]
) -> None:
    """Refuses a day before anything was observed.

    Args:
      until: The day.
      dataset: Whose season days count from.
      observed: Days of each patch.
      names: The modalities that are read.

    Raises:
      ArgumentError: If nothing was.
    """
    firsts = [int(days[name].min()) for days in observed for name in names if len(days[name])]
    if firsts:
        first = dataset.date(min(firsts))
        fault = f"nothing of {' or '.join(names)} had been observed up to {until}"
        refuse("until", until < first, fault, f"give {first}, the first day, or a later one")


def month_ends(dataset: Dataset, observed: Iterable[Days]) -> list[datetime.date]:
    """The last day of each month of a season, from its start to the last acquisition.

    Args:
      dataset: Whose season it is.
      observed: Days of each patch; those before the start of the season belong to it too.
    """
    every = [days for patch in observed for days in patch.values() if len(days)]
    first = dataset.date(min([0, *(int(days.min()) for days in every)]))
    last = dataset.date(max([0, *(int(days.max()) for days in every)]))
    ends, year, month = [], first.year, first.month
    while (year, month) <= (last.year, last.month):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        ends.append(datetime.date(year, month, 1) - datetime.timedelta(days=1))
    return ends


def cut(
    until: Array, series: Mapping[str, Series], *, needed: Sequence[str] = ()
) -> dict[str, Series]:
    """Masks the dates after a day; they stay where they are.

    Args:
      until: Day since the start of the season.
      series: By modality.
      needed: Modalities that a model takes for observed: a sample that has no date of one of them
        yet loses all its dates.
    """
    left = {name: one.valid & (one.days <= until) for name, one in series.items()}
    if needed:
        whole = functools.reduce(jnp.logical_and, [left[name].any(1) for name in needed])
        left = {name: valid & whole[:, None] for name, valid in left.items()}
    return {name: one.replace(valid=left[name]) for name, one in series.items()}


@struct.dataclass
class Dated:
    """A metric, and the valid dates that it was made with.

    Attributes:
      metric: The metric.
      dates: Valid dates of a sample, by modality.
    """

    metric: Metric
    dates: Mapping[str, Mean]

    def merge(self, other: Dated) -> Dated:
        """Joins two disjoint sets of samples."""
        dates = {name: mean.merge(other.dates[name]) for name, mean in self.dates.items()}
        return Dated(self.metric.merge(other.metric), dates)

    def compute(self) -> dict[str, Any]:
        """What the metric computes."""
        return self.metric.compute()


def dated(metric: Any, empty: Any, names: Sequence[str]) -> tuple[Any, Any]:
    """A metric of a batch and that of none, which count dates too.

    Args:
      metric: Of a batch.
      empty: Of none.
      names: Modalities.
    """

    def count(prediction: Prediction, batch: Batch, **context: Array) -> Dated:
        real = batch.real.astype(jnp.float32)
        valid = {name: batch.series[name].valid.sum(1).astype(jnp.float32) for name in names}
        dates = {name: Mean.from_batch(number, real) for name, number in valid.items()}
        return Dated(metric(prediction, batch, **context), dates)

    return count, lambda: Dated(empty(), {name: Mean.empty() for name in names})
