"""Figure 7, from made-up scores."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from experiments.paper import pictures
from experiments.paper.pictures import clouds


def test_lines_bands_and_legend(monkeypatch):
    figures = []
    monkeypatch.setattr(clouds, "save", lambda figure, path: figures.append(figure))
    ratios = [0, 0.5, 1]
    falling = [np.array([0.7]), np.array([0.5, 0.6]), np.array([0.1])]
    late = pictures.CloudCurve("late", "both", ratios, falling)
    radar = pictures.CloudCurve("S1D", "base", ratios, [np.array([0.6])] * 3)
    panel = pictures.CloudPanel("Parcels: random dates", "mIoU", [late, radar])
    pictures.cloud_cover([[panel, panel], [panel]], "picture.png", title="made up")
    (figure,) = figures
    FigureCanvasAgg(figure).draw()
    assert len(figure.axes) == 3
    first, second = figure.axes[0].lines  # single modalities below the schemes
    np.testing.assert_allclose(first.get_ydata(), [60, 60, 60])
    np.testing.assert_allclose(second.get_ydata(), [70, 55, 10])
    band = figure.axes[0].collections[1].get_paths()[0].vertices
    np.testing.assert_allclose(np.unique(band[band[:, 0] == 50, 1]), [50, 60])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["S1D", "late", "", "base", "both"]
    assert second.get_color() != first.get_color()
    assert second.get_linestyle() != first.get_linestyle()
