"""Figures as they are drawn, before they are saved."""

from __future__ import annotations

from types import ModuleType

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg


def fixture(module: ModuleType):
    """A fixture that gives the figure which a function would save by the `save` of `module`."""

    @pytest.fixture
    def figure_of(monkeypatch):
        def draw(function, *args, **texts):
            figures = []
            monkeypatch.setattr(module, "save", lambda figure, path: figures.append(figure))
            function(*args, "picture.png", **texts)
            FigureCanvasAgg(figures[0]).draw()
            return figures[0]

        return draw

    return figure_of
