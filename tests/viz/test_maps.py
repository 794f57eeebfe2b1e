"""Maps and panels: exact colours, stretches, void that is not counted, columns that are there."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

from pastis_jax import viz
from pastis_jax.data.modality import Modality, Picture
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.viz import maps

CLASSES, VOID = PASTIS_R.nomenclature.classes, PASTIS_R.nomenclature.void_number
NAMES = [crop.name for crop in CLASSES[:VOID]]
COLOURS = [crop.colour for crop in CLASSES[:VOID]]
S2, S1A = PASTIS_R["S2"], PASTIS_R["S1A"]
B2, B3, B4 = 0, 1, 2

# fmt: off
TRUE_COLOURS = [
    [(0.5950545, 0.74585545, 1), (0, 0, 0),
     (0.78660166, 0.9603723, 0.31502417), (0.08952183, 0.19298527, 0.9971238)],
    [(0, 0.016418329, 0.4658251), (0.53493387, 0.44245595, 0.8982543),
     (0.8263492, 0.807574, 0.98953384), (0.489394, 0.35437223, 0.43246913)],
]
RADAR_COMPOSITE = [
    [(0.61216515, 0.21986607, 0.6484375), (0, 0, 0),
     (0.071428575, 0.6936384, 0), (1, 0.95089287, 0.09047154)],
    [(1, 0, 0.24246652), (0, 0.421875, 0.96540177),
     (0.077008925, 0, 0.34988838), (0.026785715, 0, 0.6261161)],
]
# fmt: on
"""Pictures of a random image, one of its pixels without data."""


def image(seed=0, shape=(20, 30)):
    values = np.random.default_rng(seed).integers(0, 6000, (*shape, 10))
    return values.astype(np.int16)


def row(title="patch", *, pictures=("S2", "S1A"), shape=(12, 12), seed=0, classes=VOID + 1):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, classes, (2, *shape))
    pictures = {name: rng.random((*shape, 3)) for name in pictures}
    return viz.PanelRow(title, pictures, predicted, truth)


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
    np.testing.assert_array_equal(viz.picture(one, S2), viz.picture(other, S2))
    swapped = one[..., [2, 1, 0, *range(3, 10)]]
    np.testing.assert_array_equal(viz.picture(one, S2)[..., ::-1], viz.picture(swapped, S2))
    brighter = one.copy()
    brighter[5, 5, [B2, B3, B4]] = 9000, 0, 0
    np.testing.assert_array_equal(viz.picture(brighter, S2)[5, 5], [0, 0, 1])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 99), gain=st.floats(0.1, 3), offset=st.floats(-900, 900))
def test_rgb_stretches_2_to_98_percent_whatever_the_light(seed, gain, offset):
    one = image(seed).astype(np.float32)
    out = viz.picture(one, S2)
    assert out.shape == (20, 30, 3)
    assert out.dtype == np.float32
    assert 0.015 < np.mean(out == 0) < 0.025
    assert 0.015 < np.mean(out == 1) < 0.025
    np.testing.assert_allclose(viz.picture(gain * one + offset, S2), out, atol=2e-3)
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
    out = viz.picture(holes, S2)
    assert not out[:5].any()
    assert not out[5, 0].any()
    expected = viz.picture(whole, S2)
    np.testing.assert_allclose(out[6:], expected[1:], atol=5e-3)


@pytest.mark.parametrize(
    ("value", "level"), [(0, 0.5), (700, 0.5), (-10000, 0), (np.nan, 0)], ids=str
)
def test_rgb_of_one_value(value, level):
    np.testing.assert_array_equal(
        viz.picture(np.full((4, 5, 10), value), S2), np.full((4, 5, 3), level)
    )


def test_rgb_of_few_bright_pixels_on_one_value():
    one = np.full((20, 20, 10), 700, np.int16)
    one[0, 0], one[0, 1] = 8000, 10
    out = viz.picture(one, S2)
    np.testing.assert_array_equal(out[0, :3, 0], [1, 0, 0.5])


def test_radar_has_fixed_ranges():
    decibels = np.array([[(-18, -25, 0), (-4, -11, 14), (-11, -18, 7), (-90, 40, -1)]])
    levels = np.array([[(0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (0, 1, 0)]])
    np.testing.assert_allclose(viz.picture(decibels.astype(np.float16), S1A), levels)
    lost = decibels.astype(np.float32)
    lost[0, 1, 0], lost[0, 2, 2] = np.nan, -np.inf
    levels[0, 1:3] = 0
    np.testing.assert_allclose(viz.picture(lost, S1A), levels)


@pytest.mark.parametrize("modality", [S2, S1A], ids=lambda modality: modality.name)
def test_channels_first_is_refused(modality):
    with pytest.raises(ValueError, match="expected h w"):
        viz.picture(np.zeros((len(modality.channels), 16, 16)), modality)


def test_pixels_are_those_of_the_functions_that_were_before():
    """Made with the true colours and the radar composite that `picture` replaced, bit by bit."""
    rng = np.random.default_rng(0)
    optical = rng.integers(0, 6000, (2, 4, 10)).astype(np.int16)
    radar = rng.uniform((-22, -29, -4), (0, -7, 18), (2, 4, 3)).astype(np.float16)
    optical[0, 1, B4], radar[0, 1, 2] = -10000, np.nan
    for values, modality, before in ((optical, S2, TRUE_COLOURS), (radar, S1A, RADAR_COMPOSITE)):
        out = viz.picture(values, modality)
        assert out.dtype == np.float32
        np.testing.assert_array_equal(out, np.array(before, np.float32))


def test_one_channel_is_shown_in_grey():
    height = Modality("DEM", ("height", "slope"), "float32", "none", nodata=np.nan)
    values = np.zeros((1, 4, 2), np.float32)
    values[0, :, 0] = np.nan, 100, 200, 300
    values[0, 1, 1] = np.nan  # a channel that is not shown
    with_ranges = dataclasses.replace(height, picture=Picture(("height",), ((100, 300),)))
    grey = np.array([[0, 0, 0.5, 1]], np.float32)[..., None]
    np.testing.assert_array_equal(viz.picture(values, with_ranges), grey.repeat(3, -1))
    np.testing.assert_array_equal(viz.picture(values, height), grey.repeat(3, -1))
    assert not viz.picture(np.full_like(values, np.nan), with_ranges).any()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float64"])
def test_without_a_picture_the_first_three_channels_are_shown(dtype):
    modality = Modality("X", ("a", "b", "c", "d"), dtype, "none", nodata=255)
    values = np.zeros((1, 3, 4), dtype)
    values[0] = (10, 20, 30, 0), (30, 20, 10, 255), (255, 0, 0, 0)
    ranges = dataclasses.replace(modality, picture=Picture(("a", "b", "c"), ((10, 30),) * 3))
    levels = [[(0, 0.5, 1), (1, 0.5, 0), (0, 0, 0)]]
    np.testing.assert_array_equal(viz.picture(values, modality), levels)
    np.testing.assert_array_equal(viz.picture(values, ranges), levels)


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
    assert list(columns) == ["S2", "S1A", "prediction", "truth", "errors"]
    for name, picture in one.pictures.items():
        np.testing.assert_array_equal(columns[name], picture)
    np.testing.assert_array_equal(columns["prediction"], viz.class_map(one.predicted, COLOURS))
    np.testing.assert_array_equal(columns["truth"], viz.class_map(one.truth, COLOURS))
    np.testing.assert_array_equal(columns["errors"][one.truth == VOID], 255)
    wrong = np.all(columns["errors"] == maps.WRONG, -1)
    np.testing.assert_array_equal(wrong, (one.truth != VOID) & (one.truth != one.predicted))


def test_panel_counts_no_void(figure_of):
    truth = np.array([[0, 1, VOID, VOID], [1, 1, VOID, VOID]])
    half = viz.PanelRow("half", {}, np.array([[0, 1, 5, 5], [2, 2, 5, 5]]), truth)
    nothing = viz.PanelRow("void", {}, truth, np.full_like(truth, VOID))
    figure = figure_of([half, nothing])
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert [text for text in labels if text] == ["accuracy 50.0 %", "all void"]


@pytest.mark.parametrize("pictures", [(), ("S2",), ("S1A",), ("errors", "S2", "truth")], ids=str)
def test_every_picture_has_a_column_and_nothing_else(figure_of, pictures):
    figure = figure_of([row(pictures=pictures, seed=i) for i in range(2)])
    expected = [*pictures, "prediction", "truth", "errors"]
    assert [axes.get_title() for axes in figure.axes[: len(expected)]] == expected
    assert len(figure.axes) == 2 * len(expected)


def test_columns_are_the_pictures_of_all_rows_in_their_order(figure_of):
    figure = figure_of([row(pictures=("S1D",)), row(pictures=("S2", "S1D"))])
    assert list(shown(figure)) == ["S1D", "S2", "prediction", "truth", "errors"]
    nothing = [[text.get_text() for text in axes.texts] == ["none"] for axes in figure.axes]
    assert nothing == [False, True, *[False] * 8]


def test_legend_has_the_classes_shown_and_void_only_then(figure_of):
    truth, predicted = np.array([[2, 2]]), np.array([[2, 18]])
    one = viz.PanelRow("one", {}, predicted, truth)
    other = viz.PanelRow("other", {}, truth, np.array([[0, VOID]]))
    assert legend(figure_of([one])) == ["Soft winter wheat", "Sorghum"]
    both = ["Background", "Soft winter wheat", "Sorghum", "Void (not counted)"]
    assert legend(figure_of([one, other])) == both


@pytest.mark.parametrize("columns", [3, 5])
def test_legend_entries_do_not_overlap(figure_of, columns):
    names = [f"{name} of a rather long name" for name in NAMES]
    figure = figure_of([row(pictures=("S2", "S1A")[: columns - 3], shape=(40, 40))], names)
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
