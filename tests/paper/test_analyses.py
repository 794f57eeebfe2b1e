"""Pictures of gradient flow and attention show the numbers that they are given."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from experiments.paper import pictures
from experiments.paper.pictures import calendar, flow


@pytest.fixture
def figure_of(monkeypatch):
    def draw(module, function, *args, **kwargs):
        figures = []
        monkeypatch.setattr(module, "save", lambda figure, path: figures.append(figure))
        function(*args, **kwargs)
        FigureCanvasAgg(figures[0]).draw()
        return figures[0]

    return draw


def test_flow_is_stacked_to_the_whole_and_hangs_where_it_is_negative(figure_of):
    plain = {
        "S2": {"PSE": np.array([3.0, 1.0]), "auxiliary decoder": np.zeros(2)},
        "shared": {"decoder": np.array([1.0, 1.0])},
    }
    opposed = {"S2": {"PSE": np.array([3.0])}, "S1A": {"PSE": np.array([-1.0])}}
    panels = [("without", plain), ("with", opposed)]
    figure = figure_of(flow, pictures.gradient_flow, panels, "picture.png")
    top, bottom = figure.axes
    assert len(top.collections) == 2  # what has no flow is not drawn
    heights = [c.get_paths()[0].vertices[:, 1].max() for c in top.collections]
    np.testing.assert_allclose(heights, [0.75, 1])
    assert top.get_ylim() == (0, 1)
    np.testing.assert_allclose(bottom.get_ylim(), (-0.25, 0.75))
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["decoder, shared", "PSE S2", "PSE S1A"]


def test_calendar_shows_bins_rows_and_absent_classes(figure_of):
    attention = {"S2": np.array([[0.1, 0.3], [np.nan, np.nan]]), "S1A": np.full((2, 2), 0.3)}
    acquisitions = {"S2": np.array([1.5, 0.0]), "S1A": np.array([2.0, 1.0])}
    starts = [datetime.date(2019, 3, 30), datetime.date(2019, 4, 9)]
    figure = figure_of(
        calendar,
        pictures.attention_calendar,
        attention,
        acquisitions,
        ["Meadow", "Corn"],
        starts,
        "picture.png",
        days=10,
        title="run",
    )
    strip, block = figure.axes[:2]
    np.testing.assert_allclose(block.collections[0].get_array()[0], [10, 30])
    assert block.collections[0].get_array().mask[1].all()
    assert [label.get_text() for label in block.get_yticklabels()] == ["Meadow", "Corn"]
    assert strip.get_title(loc="left") == "S2"
    assert block.get_ylim() == (2, 0)  # the first row on top
