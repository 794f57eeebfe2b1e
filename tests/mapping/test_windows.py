"""Windows over a Region: cells tile it, every pixel is covered, weights are positive."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pastis_jax.data.regions.grid import Grid
from pastis_jax.data.regions.records.windows import tiles
from pastis_jax.mapping.windows import WindowGrid

GRIDS = [
    WindowGrid.over(*given)
    for given in [
        ((100, 130), (32, 32), None),
        ((96, 64), (32, 32), 32),  # side by side
        ((97, 65), (32, 32), 32),  # the last ones shifted
        ((40, 33), (32, 32), 5),
        ((32, 32), (32, 32), None),  # one window
        ((20, 100), (32, 32), None),  # smaller than a window
        ((7, 5), (1, 2), 1),
    ]
]
every = pytest.mark.parametrize("grid", GRIDS, ids=lambda g: f"{g.rows}{g.columns}")


def shape(grid):
    return grid.rows.length, grid.columns.length


def places(grid):
    return [*grid.touching(*(slice(0, length) for length in shape(grid)))]


@every
def test_every_pixel_is_covered(grid):
    weight = np.zeros(shape(grid))
    for place in places(grid):
        rows, columns = grid.window(place)
        assert 0 <= rows.start < rows.stop <= grid.rows.length
        assert 0 <= columns.start < columns.stop <= grid.columns.length
        assert (rows.stop - rows.start, columns.stop - columns.start) == grid.size
        weight[rows, columns] += grid.weights
    assert (weight > 0).all()


@every
def test_cells_tile_the_region(grid):
    count = np.zeros(shape(grid), int)
    for place in places(grid):
        (rows, columns), (down, right) = grid.cell(place), grid.window(place)
        count[rows, columns] += 1
        assert down.start <= rows.start < rows.stop <= down.stop
        assert right.start <= columns.start < columns.stop <= right.stop
    assert (count == 1).all()


@every
@pytest.mark.parametrize("side", [9, 32])
def test_every_window_is_owned_by_one_block(grid, side):
    cut = Grid("EPSG:32631", 0.0, 0.0, 10.0, *shape(grid))
    owned = [place for block in cut.blocks(side) for place in grid.owned(*block)]
    assert sorted(owned) == sorted(places(grid))
    assert len(owned) == len({*owned})


@every
def test_windows_that_touch_a_block(grid):
    rows, columns = slice(3, min(9, grid.rows.length)), slice(2, 5)

    def touches(place):
        pixels = np.zeros(shape(grid), bool)
        pixels[grid.window(place)] = True
        return pixels[rows, columns].any()

    assert [*grid.touching(rows, columns)] == [p for p in places(grid) if touches(p)]


@every
def test_weights_are_positive_and_symmetric(grid):
    weights = grid.weights
    assert weights.shape == grid.size
    assert (weights > 0).all()
    np.testing.assert_allclose(weights, weights[::-1], rtol=1e-5)
    np.testing.assert_allclose(weights, weights[:, ::-1], rtol=1e-5)


def test_weights_of_windows_half_a_window_apart_add_up_to_one():
    """What a pixel gets moves smoothly from one window to the next."""
    grid = WindowGrid.over((128, 128), (32, 32))
    weight = np.zeros((128, 128))
    for place in places(grid):
        weight[grid.window(place)] += grid.weights
    np.testing.assert_allclose(weight[16:-16, 16:-16], 1, rtol=1e-5)


@pytest.mark.parametrize(("size", "stride", "got"), [(32, None, 16), (32, 40, 32), (1, None, 1)])
def test_stride(size, stride, got):
    assert WindowGrid.over((100, 100), (size, size), stride).rows.stride == got


@pytest.mark.parametrize("whole", [*itertools.product([32, 64, 70, 97], [33, 128])])
def test_a_stride_of_a_window_lays_them_as_those_that_are_tested_on(whole):
    grid = WindowGrid.over(whole, (32, 32), 32)
    assert [grid.window(place) for place in places(grid)] == [
        (window.rows, window.columns) for _, window in tiles(whole, (32, 32))
    ]
