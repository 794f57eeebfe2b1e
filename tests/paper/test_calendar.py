"""Bins of the calendar that attention is drawn over, in any season."""

from __future__ import annotations

import dataclasses
import datetime
import types

import numpy as np
import pytest

from experiments.paper import attention
from pastis_jax.data.pastis_r import PASTIS_R


@pytest.mark.parametrize("start", [PASTIS_R.season_start, datetime.date(2022, 9, 1)])
@pytest.mark.parametrize("days", [10, 30])
def test_a_season_of_2022_and_23(start, days):
    """Whether the dataset says when its season starts, or its days count from that of PASTIS-R."""
    dataset = dataclasses.replace(PASTIS_R, season_start=start)
    dates = [datetime.date(2022, 9, 5) + datetime.timedelta(5 * i) for i in range(72)]
    observed = np.array([dataset.day(date) for date in dates], np.int32)
    records = [{"S2": {"days": observed}}, {"S2": {"days": observed[10:40]}}]
    first, bins = attention.calendar(
        types.SimpleNamespace(sources={"test": records}), ("S2",), days
    )
    begin, end = dataset.date(days * first), dataset.date(days * (first + bins))
    assert begin <= dates[0] < begin + datetime.timedelta(days)
    assert end - datetime.timedelta(days) <= dates[-1] < end
