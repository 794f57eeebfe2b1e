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
    def draw(function, *args):
        figures = []
        monkeypatch.setattr(curves, "save", lambda figure, path: figures.append(figure))
        function(*args, "picture.png")
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
    assert figure.axes[1].get_ylim() == last.get_ylim()
