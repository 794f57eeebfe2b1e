"""The reliability diagram and the early-season curve, where bins, classes and days are empty."""

from __future__ import annotations

import datetime

import drawn
import numpy as np
import pytest

from pastis_jax import viz
from pastis_jax.viz import confidence, season

diagram = drawn.fixture(confidence)
curve = drawn.fixture(season)


def bins(full):
    """Those of a result, where some have samples."""
    confidence = [(i + 0.5) / 15 if i in full else None for i in range(15)]
    accuracy = [None if x is None else 0.9 * x for x in confidence]
    count = [100 if i in full else 0 for i in range(15)]
    scores = {"ECE": 0.05, "NLL": 0.3} if full else {"ECE": None, "NLL": None}
    return {**scores, "count": count, "confidence": confidence, "accuracy": accuracy}


@pytest.mark.parametrize("full", [range(15), (3, 14), ()], ids=["all", "two", "none"])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_diagram(diagram, full, temperature):
    both = {"before": bins(full), "after": bins(full)}
    figure = diagram(viz.reliability, {"temperature": temperature, "of": "pixels", **both})
    columns = 1 if temperature == 1 else 2
    assert len(figure.axes) == 2 * columns
    heights = [bar.get_height() for bar in figure.axes[0].patches[:15]]
    assert np.isfinite(heights).sum() == len(full)
    upper, lower = figure.axes[0], figure.axes[-1]
    assert ("ECE 0.050" if full else "nothing to count") in upper.get_title()
    assert lower.get_xlabel().startswith("confidence")
    assert [text.get_text() for text in lower.texts] == [f"{100 * len(full):,}"]


def test_curve(curve):
    dates = [datetime.date(2019, month, 28) for month in (1, 2, 3)]
    values = np.array([[np.nan] * 3, [0.2, np.nan, 0.4], [0.3, np.nan, 0.8]])
    options = {"score": "IoU", "mean_name": "mIoU", "title": "$x$"}
    mean, colours = [None, 0.3, 0.55], [(0, 0, 0)] * 3
    names = ["Corn", "never there", "Beet"]
    figure = curve(viz.by_date, dates, values, mean, names, colours, **options)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "mIoU 0.55",
        "Beet 0.80",
        "Corn 0.30",
    ]
    thick = max(line.get_linewidth() for line in figure.axes[0].lines)
    assert figure.axes[0].lines[-1].get_linewidth() == thick
    assert legend.get_window_extent().x0 > figure.axes[0].get_window_extent().x1


def test_curve_of_nothing(curve):
    options = {"score": "PQ", "mean_name": "PQ", "title": "a season"}
    values = np.full((1, 1), np.nan)
    figure = curve(
        viz.by_date, [datetime.date(2019, 1, 31)], values, [None], ["Corn"], [(1, 2, 3)], **options
    )
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["PQ"]
