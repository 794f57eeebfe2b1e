"""Maps side by side: columns, notes, circles on the maps alone."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import colors, patches
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

from experiments.paper import pictures
from experiments.paper.pictures import comparison
from pastis_jax import viz
from pastis_jax.data.pastis_r import PASTIS_R

CLASSES, VOID = PASTIS_R.nomenclature.classes, PASTIS_R.nomenclature.void_number
NAMES = [crop.name for crop in CLASSES[:VOID]]
COLOURS = [crop.colour for crop in CLASSES[:VOID]]
TEXTS = {"title": "a title", "gained": "found now", "lost": "found before"}


def row(instances=None):
    classes = np.full((10, 12), 3)
    truth = classes.copy()
    truth[:4, :4] = VOID
    maps = {"S2 alone": classes, "truth": truth}
    return pictures.ComparisonRow(
        title="patch",
        observations={"S2": np.full((10, 12, 3), 0.5)},
        maps={name: pictures.ClassMap(one, instances) for name, one in maps.items()},
        notes={"S2": "3 May 2019", "S2 alone": "1 of 2 parcels"},
        differences=[pictures.Difference(0, 11, 4.0, True), pictures.Difference(5, 5, 0.2, False)],
    )


@pytest.fixture
def figure_of(monkeypatch):
    def draw(*rows):
        figures = []
        monkeypatch.setattr(comparison, "save", lambda figure, path: figures.append(figure))
        pictures.comparison_panel(rows, NAMES, COLOURS, "panel.png", **TEXTS)
        FigureCanvasAgg(figures[0]).draw()
        return figures[0]

    return draw


def test_it_shows_what_it_was_given(figure_of):
    one = row(np.arange(120).reshape(10, 12) // 60)
    figure = figure_of(one, row())
    axes = {axes.get_title(): axes for axes in figure.axes[:3]}
    assert list(axes) == ["S2", "S2 alone", "truth"]
    assert [a.get_xlabel() for a in axes.values()] == ["3 May 2019", "1 of 2 parcels", ""]
    shown = np.asarray(axes["truth"].images[0].get_array())
    np.testing.assert_array_equal(shown, viz.class_map(one.maps["truth"].classes, COLOURS))
    outlined = [
        any(hasattr(c, "get_segments") for c in axes.collections) for axes in figure.axes[1:]
    ]
    assert outlined == [True, True, False, False, False]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["Corn", "Void (not counted)", "found now", "found before"]


def test_circles_are_on_every_map_and_move_none(figure_of):
    first, *others = figure_of(row()).axes
    assert not first.patches
    for axes in others:
        circles = [p for p in axes.patches if isinstance(p, patches.Circle)]
        assert [c.get_center() for c in circles] == [(11, 0), (5, 5)]
        wanted = [comparison.CYAN, comparison.MAGENTA]
        assert [colors.to_hex(c.get_edgecolor()) for c in circles] == wanted
        assert circles[0].radius == 4
        assert 0.3 < circles[1].radius < 1  # a small parcel is seen too
        assert axes.get_xlim() == (-0.5, 11.5)
        assert axes.get_ylim() == (9.5, -0.5)


def test_it_is_written(tmp_path):
    pictures.comparison_panel([row()], NAMES, COLOURS, tmp_path / "panel.png", **TEXTS)
    assert min(imread(tmp_path / "panel.png").shape[:2]) > 200
    with pytest.raises(ValueError, match="at least one row"):
        pictures.comparison_panel([], NAMES, COLOURS, tmp_path / "none.png", **TEXTS)
