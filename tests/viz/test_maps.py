"""Maps and panels: exact colours, stretches, void that is not counted, columns that are there."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

from pastis_jax import viz
from pastis_jax.data.nomenclature import CLASSES, VOID
from pastis_jax.viz import maps

NAMES = [crop.name for crop in CLASSES[:VOID]]
COLOURS = [crop.colour for crop in CLASSES[:VOID]]
B2, B3, B4 = 0, 1, 2


def image(seed=0, shape=(20, 30)):
    values = np.random.default_rng(seed).integers(0, 6000, (*shape, 10))
    return values.astype(np.int16)


def row(title="patch", *, optical=True, radar=True, shape=(12, 12), seed=0, classes=VOID + 1):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, classes, (2, *shape))
    picture = rng.random((*shape, 3))
    return viz.PanelRow(
        title, picture if optical else None, picture if radar else None, predicted, truth
    )


@pytest.fixture
def figure_of(monkeypatch):
    """Draws a panel and returns its figure, laid out, in place of writing it."""

    def draw(rows, names=NAMES, colours=COLOURS):
        figures = []
        monkeypatch.setattr(maps, "save", lambda figure, path: figures.append(figure))
        viz.segmentation_panel(rows, names, colours, "panel.png", title="a title")
        FigureCanvasAgg(figures[0]).draw()
        return figures[0]

    return draw


def shown(figure):
    """Arrays by column title, top row of a panel."""
    top = [axes for axes in figure.axes if axes.get_title()]
    return {axes.get_title(): np.asarray(axes.images[0].get_array()) for axes in top}


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_rgb_takes_the_visible_bands_and_nothing_else():
    one = image()
    other = one.copy()
    other[..., 3:] = 0
    np.testing.assert_array_equal(viz.rgb(one), viz.rgb(other))
    np.testing.assert_array_equal(
        viz.rgb(one)[..., ::-1], viz.rgb(one[..., [2, 1, 0, *range(3, 10)]])
    )
    brighter = one.copy()
    brighter[5, 5, [B2, B3, B4]] = 9000, 0, 0
    np.testing.assert_array_equal(viz.rgb(brighter)[5, 5], [0, 0, 1])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 99), gain=st.floats(0.1, 3), offset=st.floats(-900, 900))
def test_rgb_stretches_2_to_98_percent_whatever_the_light(seed, gain, offset):
    one = image(seed).astype(np.float32)
    out = viz.rgb(one)
    assert out.shape == (20, 30, 3)
    assert out.dtype == np.float32
    assert 0.015 < np.mean(out == 0) < 0.025
    assert 0.015 < np.mean(out == 1) < 0.025
    np.testing.assert_allclose(viz.rgb(gain * one + offset), out, atol=2e-3)
    low, high = np.percentile(one[..., :3], (2, 98))
    np.testing.assert_allclose(
        out, np.clip((one[..., [2, 1, 0]] - low) / (high - low), 0, 1), atol=1e-5
    )


@pytest.mark.parametrize("missing", [-10000, np.nan, np.inf])
@pytest.mark.parametrize("band", [B2, B4])
def test_rgb_without_data_is_black_and_moves_no_other_pixel(missing, band):
    whole = image().astype(np.float32)
    holes = whole.copy()
    holes[:5] = missing
    holes[5, 0, band] = missing
    whole = whole[5:].copy()
    out = viz.rgb(holes)
    assert not out[:5].any()
    assert not out[5, 0].any()
    expected = viz.rgb(whole)
    np.testing.assert_allclose(out[6:], expected[1:], atol=5e-3)


@pytest.mark.parametrize(
    ("value", "level"), [(0, 0.5), (700, 0.5), (-10000, 0), (np.nan, 0)], ids=str
)
def test_rgb_of_one_value(value, level):
    np.testing.assert_array_equal(viz.rgb(np.full((4, 5, 10), value)), np.full((4, 5, 3), level))


def test_rgb_of_few_bright_pixels_on_one_value():
    one = np.full((20, 20, 10), 700, np.int16)
    one[0, 0], one[0, 1] = 8000, 10
    out = viz.rgb(one)
    np.testing.assert_array_equal(out[0, :3, 0], [1, 0, 0.5])


def test_radar_has_fixed_ranges():
    decibels = np.array([[(-18, -25, 0), (-4, -11, 14), (-11, -18, 7), (-90, 40, -1)]])
    levels = np.array([[(0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (0, 1, 0)]])
    np.testing.assert_allclose(viz.radar_composite(decibels.astype(np.float16)), levels)
    lost = decibels.astype(np.float32)
    lost[0, 1, 0], lost[0, 2, 2] = np.nan, -np.inf
    levels[0, 1:3] = 0
    np.testing.assert_allclose(viz.radar_composite(lost), levels)


@pytest.mark.parametrize("draw", [viz.rgb, viz.radar_composite])
def test_channels_first_is_refused(draw):
    with pytest.raises(ValueError, match="expected h w"):
        draw(np.zeros((10 if draw is viz.rgb else 3, 16, 16)))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_class_map_has_the_official_colours(dtype):
    index = np.arange(VOID + 1, dtype=dtype).reshape(4, 5)
    out = viz.class_map(index, COLOURS)
    assert out.dtype == np.uint8
    expected = [CLASSES[i].colour for i in index.ravel()]
    np.testing.assert_array_equal(out.reshape(-1, 3), expected)


@pytest.mark.parametrize("wrong", [-1, VOID + 1, 255])
def test_class_map_refuses_what_is_no_class(wrong):
    with pytest.raises(ValueError, match=r"0 to 19 \(void\)"):
        viz.class_map(np.array([[0, wrong]]), COLOURS)


def test_errors_by_hand():
    predicted, truth = np.array([[1, 2, 1, 3]]), np.array([[1, 1, 3, 3]])
    out = viz.error_map(predicted, truth, 3)
    np.testing.assert_array_equal(out, [[maps.CORRECT, maps.WRONG, (255,) * 3, (255,) * 3]])
    with pytest.raises(ValueError, match="differ in shape"):
        viz.error_map(predicted, truth.T, 3)


def test_panel_shows_what_it_was_given(figure_of):
    one = row()
    columns = shown(figure_of([one, row(seed=1)]))
    assert list(columns) == ["RGB", "radar", "prediction", "truth", "errors"]
    np.testing.assert_array_equal(columns["RGB"], one.rgb)
    np.testing.assert_array_equal(columns["prediction"], viz.class_map(one.predicted, COLOURS))
    np.testing.assert_array_equal(columns["truth"], viz.class_map(one.truth, COLOURS))
    np.testing.assert_array_equal(columns["errors"][one.truth == VOID], 255)
    wrong = np.all(columns["errors"] == maps.WRONG, -1)
    np.testing.assert_array_equal(wrong, (one.truth != VOID) & (one.truth != one.predicted))


def test_panel_counts_no_void(figure_of):
    truth = np.array([[0, 1, VOID, VOID], [1, 1, VOID, VOID]])
    half = viz.PanelRow("half", None, None, np.array([[0, 1, 5, 5], [2, 2, 5, 5]]), truth)
    nothing = viz.PanelRow("void", None, None, truth, np.full_like(truth, VOID))
    figure = figure_of([half, nothing])
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert [text for text in labels if text] == ["accuracy 50.0 %", "all void"]


@pytest.mark.parametrize("optical", [True, False])
@pytest.mark.parametrize("radar", [True, False])
def test_absent_modalities_have_no_column(figure_of, optical, radar):
    figure = figure_of([row(optical=optical, radar=radar, seed=i) for i in range(2)])
    expected = ["RGB"] * optical + ["radar"] * radar + ["prediction", "truth", "errors"]
    assert list(shown(figure)) == expected
    assert len(figure.axes) == 2 * len(expected)


def test_legend_has_the_classes_shown_and_void_only_then(figure_of):
    truth, predicted = np.array([[2, 2]]), np.array([[2, 18]])
    one = viz.PanelRow("one", None, None, predicted, truth)
    other = viz.PanelRow("other", None, None, truth, np.array([[0, VOID]]))
    assert legend(figure_of([one])) == ["Soft winter wheat", "Sorghum"]
    both = ["Background", "Soft winter wheat", "Sorghum", "Void (not counted)"]
    assert legend(figure_of([one, other])) == both


@pytest.mark.parametrize("columns", [3, 5])
def test_legend_entries_do_not_overlap(figure_of, columns):
    names = [f"{name} of a rather long name" for name in NAMES]
    figure = figure_of([row(optical=columns > 3, radar=columns > 4, shape=(40, 40))], names)
    boxes = [text.get_window_extent() for text in figure.legends[0].get_texts()]
    assert len(boxes) == VOID + 1
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert min(box.x0 for box in boxes) > 0
    assert max(box.x1 for box in boxes) < figure.bbox.x1
    assert max(box.y1 for box in boxes) < min(axes.get_window_extent().y0 for axes in figure.axes)


def test_panel_is_written(tmp_path):
    path = tmp_path / "panel.png"
    viz.segmentation_panel([row(), row(shape=(10, 20))], NAMES, COLOURS, path, title="a title")
    height, width, _ = imread(path).shape
    assert min(height, width) > 400
    with pytest.raises(ValueError, match="at least one row"):
        viz.segmentation_panel([], NAMES, COLOURS, path, title="nothing")
