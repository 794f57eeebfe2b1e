"""Pictures of a run with pixels by the million and classes that are absent."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pastis_jax import viz
from pastis_jax.data.nomenclature import CLASSES, VOID
from pastis_jax.viz import curves

NAMES = [crop.name for crop in CLASSES[:VOID]]
COLOURS = [crop.colour for crop in CLASSES[:VOID]]


@pytest.fixture
def figure_of(monkeypatch):
    def draw(function, *args, **texts):
        figures = []
        monkeypatch.setattr(curves, "save", lambda figure, path: figures.append(figure))
        function(*args, "picture.png", **texts)
        FigureCanvasAgg(figures[0]).draw()
        return figures[0]

    return draw


@pytest.mark.parametrize("dtype", [np.int32, np.float64])
def test_confusion_of_millions_of_pixels(figure_of, dtype):
    counts = np.diag(np.full(VOID, 300_000_000)).astype(dtype)
    counts[1, 0] = 100_000_000
    axes = figure_of(viz.confusion_matrix, counts, NAMES).axes[0]
    percent = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(np.diag(percent), [100, 75] + [100] * (VOID - 2))
    labels = axes.get_yticklabels()
    assert labels[1].get_text() == "Meadow (400,000,000)"
    boxes = [label.get_window_extent() for label in labels]
    assert min(box.x0 for box in boxes) > 0
    assert axes.get_window_extent().width > 0.5 * axes.figure.bbox.width


def test_iou_of_absent_classes(figure_of):
    iou = np.linspace(0, 1, VOID)
    iou[3] = np.nan
    axes = figure_of(viz.iou_per_class, iou, NAMES, COLOURS).axes[0]
    assert axes.get_title() == f"mIoU {np.nanmean(iou):.3f}"
    assert axes.texts[0].get_text() == "absent"
    nothing = figure_of(viz.iou_per_class, np.full(VOID, np.nan), NAMES, COLOURS).axes[0]
    assert nothing.get_title() == "mIoU 0.000"


def test_validation_curves_of_many_runs(figure_of):
    scores = {
        **{name: {"base": [[0.1, 0.2], [0.3, 0.4]]} for name in ("S2", "S1D", "S1A", "early")},
        "late": {"base": [[0.2, 0.4]], "both": [[0.5, 0.6]]},
    }
    figure = figure_of(functools.partial(viz.validation_curves, score="mIoU"), scores)
    assert [axes.get_title() for axes in figure.axes] == list(scores)
    first, last = figure.axes[0], figure.axes[-1]
    assert [line.get_ydata().tolist() for line in first.lines] == scores["S2"]["base"]
    assert [line.get_color() for line in last.lines] == [curves.GREY, curves.GOLD]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["base", "both"]
    assert first.get_ylim() == last.get_ylim()
    assert first.get_ylim()[0] == 0
    assert first.get_ylim()[1] > 0.6


def test_two_models_compared(figure_of):
    names, colours = NAMES[1:4], COLOURS[1:4]
    one = np.array([[0.5, 0.4, np.nan], [0.7, np.nan, np.nan]])
    two = np.array([[0.9, 0.1, 0.3], [0.9, 0.3, 0.5]])
    scores = {"one": one, "two": two}
    figure = figure_of(viz.compare_per_class, scores, names, colours, score="IoU", title="both")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == names
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
    alone = figure_of(viz.compare_per_class, alone, names, colours, score="IoU", title="one seed")
    assert len(alone.legends[0].get_texts()) == 2
