"""Series show what was observed, and no more; maps tell void, background and outside apart."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.viz import inspection, regions

DAYS = np.array([0, 30, 150, 160])
VOID = PASTIS_R.nomenclature.void_number


@pytest.fixture
def figures(monkeypatch):
    """Figures that are drawn, in place of files."""
    drawn: list[Figure] = []
    for module in (inspection, regions):
        monkeypatch.setattr(module, "save", lambda figure, path: drawn.append(figure))
    return drawn


def examples(name, level, classes=(1, 2)):
    sensor = PASTIS_R[name]
    values = np.zeros((4, len(sensor.channels), 5), sensor.dtype)
    values += np.asarray(level, sensor.dtype)[:, None]
    return {number: [{name: (values.copy(), DAYS)}] for number in classes}


def lines(figure):
    return figure.axes[0].get_lines()


@pytest.mark.parametrize(
    ("infrared", "expected"), [("B8", ["B4", "B3", "B8"]), ("", ["B4", "B3", "B2"])]
)
def test_channels_gaps_and_range_of_series(figures, infrared, expected):
    level = 100 * np.arange(1, 11)
    some = examples("S2", level, classes=(1, 2, VOID))
    inspection.series(some, PASTIS_R, "S2", "x.png", infrared=infrared, clear=True)
    (figure,) = figures
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [PASTIS_R.nomenclature.classes[number].name for number in (1, 2)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == expected
    for line, channel in zip(lines(figure), expected, strict=True):
        height = level[PASTIS_R["S2"].channels.index(channel)]
        np.testing.assert_array_equal(line.get_ydata(), [height, height, np.nan, height, height])
        assert line.get_marker() == "o"
    low, high = figure.axes[0].get_ylim()
    shown = [level[PASTIS_R["S2"].channels.index(channel)] for channel in expected]
    assert low < min(shown) < max(shown) < high
    for axes in figure.axes:
        assert axes.xaxis.get_tick_params()["labelbottom"]


def test_values_beyond_the_range_are_counted(figures):
    some = examples("S2", 100 * np.arange(1, 11), classes=range(1, 19))
    some[1][0]["S2"][0][2] = 9000
    inspection.series(some, PASTIS_R, "S2", "x.png", clear=True)
    assert "lie beyond" in figures[0].get_supylabel()


def test_a_difference_is_not_drawn_beside_polarisations(figures):
    inspection.series(examples("S1A", [-10, -17, 7]), PASTIS_R, "S1A", "x.png")
    assert [line.get_ydata()[0] for line in lines(figures[0])] == [-10, -17]


def test_bars_are_in_the_colours_of_the_folds(figures):
    counts = {fold: {1: 5} for fold in PASTIS_R.folds}
    inspection.classes(counts, PASTIS_R, "parcels", "x.png")
    (axes,) = figures[0].axes
    colours = [np.array(bar.get_facecolor()[:3]) * 255 for bar in axes.patches]
    np.testing.assert_allclose(colours, regions.FOLD_COLOURS[: len(PASTIS_R.folds)])
    assert "logarithmic" in axes.get_xlabel()
    assert [t.get_text() for t in figures[0].legends[0].get_texts()] == [*map(str, PASTIS_R.folds)]


def test_void_is_hatched_and_outside_is_no_background(figures):
    from pastis_jax.data.regions.grid import Grid
    from pastis_jax.data.regions.table import ParcelTable

    grid = Grid("EPSG:32631", 0.0, 0.0, 10.0, 500, 500)
    numbers, seen = np.zeros((500, 500), np.int32), np.ones((500, 500), bool)
    numbers[:100], numbers[100:200], seen[400:] = 1, 2, False
    one = np.array([0, 0], np.int32)
    table = ParcelTable(
        id=np.array(["a", "b"]),
        code=np.array(["", ""]),
        label=np.array([1, VOID], np.int32),
        fold=one,
        pixels=one,
        area=one * 1.0,
    )
    regions.classes_map(grid, numbers, table, seen, PASTIS_R, "x.png")
    image = figures[0].axes[0].images[0].get_array()
    void, background, outside = image[110:190], image[210:390], image[410:]
    assert len(np.unique(void.reshape(-1, 3), axis=0)) == 2
    for area in (background, outside):
        assert len(np.unique(area.reshape(-1, 3), axis=0)) == 1
    assert not np.array_equal(background[0, 0], outside[0, 0])
    labels = [text.get_text() for text in figures[0].axes[0].get_legend().get_texts()]
    assert labels == ["Background", "Meadow", "Void (not counted)", "outside the scenes"]


def test_a_chunk_without_scenes_has_no_coverage(figures):
    from pastis_jax.data.regions.grid import Grid

    grid = Grid("EPSG:32631", 0.0, 0.0, 10.0, 128, 256)
    regions.coverage(grid, {"S2": (np.array([[np.nan, 3.0]]), None)}, "x.png")
    assert figures[0].axes[0].get_title() == "S2: observed, 3"
