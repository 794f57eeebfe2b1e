"""Pictures of many runs: two models by class, validation scores by epoch."""

from __future__ import annotations

import functools

import drawn
import numpy as np

from experiments.paper import pictures
from experiments.paper.pictures import curves
from pastis_jax.data.pastis_r import PASTIS_R

CLASSES = PASTIS_R.nomenclature.crops[:3]
NAMES = [crop.name for crop in CLASSES]
COLOURS = [crop.colour for crop in CLASSES]


figure_of = drawn.fixture(curves)


def test_validation_curves_of_many_runs(figure_of):
    scores = {
        **{name: {"base": [[0.1, 0.2], [0.3, 0.4]]} for name in ("S2", "S1D", "S1A", "early")},
        "late": {"base": [[0.2, 0.4]], "both": [[0.5, 0.6]]},
    }
    figure = figure_of(functools.partial(pictures.validation_curves, score="mIoU"), scores)
    assert [axes.get_title() for axes in figure.axes] == list(scores)
    first, last = figure.axes[0], figure.axes[-1]
    assert [line.get_ydata().tolist() for line in first.lines] == scores["S2"]["base"]
    assert [line.get_color() for line in last.lines] == [curves.GREY, curves.GOLD]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["base", "both"]
    assert first.get_ylim() == last.get_ylim()
    assert first.get_ylim()[0] == 0
    assert first.get_ylim()[1] > 0.6


def test_two_models_compared(figure_of):
    one = np.array([[0.5, 0.4, np.nan], [0.7, np.nan, np.nan]])
    two = np.array([[0.9, 0.1, 0.3], [0.9, 0.3, 0.5]])
    scores = {"one": one, "two": two}
    figure = figure_of(
        pictures.compare_per_class, scores, NAMES, COLOURS, score="IoU", title="both"
    )
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == NAMES
    dots = [line.get_xydata()[0] for line in axes.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots, [(0.6, 0), (0.9, 0), (0.4, 1), (0.2, 1)])
    lines = [line.get_xdata() for line in axes.lines if line.get_linewidth() == 1]
    spread = [(0.5, 0.7), (0.9, 0.9), (0.4, 0.4), (0.1, 0.3)]
    np.testing.assert_allclose([x for x in lines if len(x) == 2], spread)
    assert [text.get_text() for text in axes.texts] == ["+30.0", "-20.0", "absent", "points"]
    tops = [label.get_window_extent().y0 for label in axes.get_yticklabels()]
    assert tops == sorted(tops, reverse=True)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    # Of the first seed's two classes 0.45, of the second's one 0.7.
    assert legend[:2] == ["one: mean 0.575", "two: mean 0.500"]
    assert legend[2:] == ["lowest to highest of 2 seeds"]
    alone = {name: values[:1] for name, values in scores.items()}
    alone = figure_of(
        pictures.compare_per_class, alone, NAMES, COLOURS, score="IoU", title="one seed"
    )
    assert len(alone.legends[0].get_texts()) == 2
