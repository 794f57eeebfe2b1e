"""Instances drawn: outlines between pixels, colours of classes, void, what is counted."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

from pastis_jax import viz
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.viz import curves
from pastis_jax.viz import instances as module

CLASSES, VOID = PASTIS_R.nomenclature.classes, PASTIS_R.nomenclature.void_number
NAMES = [crop.name for crop in CLASSES[:VOID]]
COLOURS = [crop.colour for crop in CLASSES[:VOID]]


def row(**replaced):
    """A patch with three true parcels, one void, of which two were found, one of them as corn."""
    truth = np.array([[1, 1, 0, 2], [1, 1, 0, 2], [3, 3, 0, 0]])
    predicted = np.array([[2, 2, 0, 1], [2, 2, 0, 1], [0, 0, 0, 0]])
    content = {
        "title": "patch",
        "pictures": {"S2": np.full((3, 4, 3), 0.5)},
        "heatmap": np.linspace(0, 0.7, 12).reshape(3, 4),
        "centres": np.array([(1, 0), (0, 3)]),
        "predicted": predicted,
        "predicted_class": np.array([0, 3, 2])[predicted],
        "truth": truth,
        "true_class": np.array([5, 2, 8, VOID])[truth],
    }
    return viz.PanopticRow(**content | replaced)


@pytest.fixture
def figure_of(monkeypatch):
    def draw(*rows):
        figures = []
        monkeypatch.setattr(module, "save", lambda figure, path: figures.append(figure))
        viz.panoptic_panel(rows, NAMES, COLOURS, "panel.png", title="a title")
        FigureCanvasAgg(figures[0]).draw()
        return figures[0]

    return draw


def by_title(figure):
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


def test_outlines_by_hand():
    got = viz.outlines(np.array([[1, 1, 0], [1, 2, 0]]))
    edges = {tuple(map(tuple, edge)) for edge in got}
    assert edges == {
        ((1.5, -0.5), (1.5, 0.5)),
        ((0.5, 0.5), (0.5, 1.5)),
        ((1.5, 0.5), (1.5, 1.5)),
        ((0.5, 0.5), (1.5, 0.5)),
    }
    assert viz.outlines(np.zeros((3, 4), int)).shape == (0, 2, 2)


def test_panel_shows_what_it_was_given(figure_of):
    one = row()
    axes = by_title(figure_of(one))
    assert list(axes) == ["S2", "centerness", "prediction", "truth"]
    shown = {name: np.asarray(a.images[0].get_array()) for name, a in axes.items()}
    np.testing.assert_array_equal(shown["S2"], one.pictures["S2"])
    np.testing.assert_array_equal(shown["centerness"], one.heatmap)
    assert axes["centerness"].images[0].get_clim() == (0, 1)
    np.testing.assert_array_equal(axes["centerness"].lines[0].get_xydata(), [(0, 1), (3, 0)])
    for name, instances, classes in (
        ("prediction", one.predicted, one.predicted_class),
        ("truth", one.truth, one.true_class),
    ):
        expected = viz.class_map(np.where(instances > 0, classes, 0), COLOURS)
        np.testing.assert_array_equal(shown[name], expected)
        (lines,) = (c for c in axes[name].collections if hasattr(c, "get_segments"))
        np.testing.assert_array_equal(lines.get_segments(), viz.outlines(instances))
    labels = [axes[name].get_xlabel() for name in ("prediction", "truth")]
    assert labels == ["2 instances", "3 instances, 1 void"]


def test_only_void_is_hatched(figure_of):
    def hatched(axes):
        return any(c.get_hatch() or any(getattr(c, "hatches", ())) for c in axes.collections)

    axes = by_title(figure_of(row()))
    assert [hatched(a) for a in axes.values()] == [False, False, False, True]


def test_legend_has_the_classes_shown(figure_of):
    texts = [text.get_text() for text in figure_of(row()).legends[0].get_texts()]
    shown = ["Background", "Soft winter wheat", "Corn", "Grapevine", "Void (not counted)"]
    assert texts == shown  # 5 only where there is no instance


def test_columns_of_rows_without_pictures(figure_of):
    assert list(by_title(figure_of(row(pictures={})))) == ["centerness", "prediction", "truth"]
    both = figure_of(row(), row(pictures={}))
    assert len(both.axes) == 8
    assert [text.get_text() for text in both.axes[4].texts] == ["none"]


def test_a_patch_without_parcels(figure_of):
    nothing = np.zeros((3, 4), int)
    empty = row(predicted=nothing, truth=nothing, centres=np.zeros((0, 2), int))
    axes = by_title(figure_of(empty))
    assert axes["truth"].get_xlabel() == "0 instances"
    assert not len(axes["centerness"].lines[0].get_xydata())


def test_panel_is_written(tmp_path):
    path = tmp_path / "panel.png"
    viz.panoptic_panel([row(), row()], NAMES, COLOURS, path, title="a title")
    assert min(imread(path).shape[:2]) > 300
    with pytest.raises(ValueError, match="at least one row"):
        viz.panoptic_panel([], NAMES, COLOURS, path, title="nothing")


def test_pq_per_class(monkeypatch):
    figures = []
    monkeypatch.setattr(curves, "save", lambda figure, path: figures.append(figure))
    sq, rq = np.full(VOID, 0.8), np.linspace(0.2, 1, VOID)
    sq[[0, 4]] = rq[[0, 4]] = np.nan
    viz.pq_per_class({"SQ": sq, "RQ": rq, "PQ": sq * rq}, NAMES, COLOURS, "pq.png")
    axes = figures[0].axes[0]
    assert axes.get_title() == f"PQ {np.nanmean(sq * rq):.3f}"
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[0] == "Winter barley"
    assert names[-1] == "Sorghum"
    assert "Background" not in names
    assert axes.texts[0].get_text() == "absent"
    assert axes.texts[-1].get_text() == "0.80  (SQ 0.80, RQ 1.00)"
