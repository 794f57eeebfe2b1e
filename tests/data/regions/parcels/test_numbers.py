"""Each pixel is its parcel's, however the grid is cut into blocks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parcel_files import GRID, centres_in, shapely, square
from refusal import refused_in_a_line

from pastis_jax.data.regions.grid import Grid
from pastis_jax.data.regions.parcels.numbers import Numberer, Tally, number_blocks, rasterise

place = st.one_of(
    st.integers(-8, 60), st.integers(-16, 120).map(lambda n: n / 2), st.floats(-8, 60)
)
"""In pixels; many at corners and centres of them."""
triangle = st.tuples(*[st.tuples(place, place)] * 3)


def polygons(triangles):
    made = [
        shapely.Polygon([(GRID.left + 10 * x, GRID.top - 10 * y) for x, y in corners])
        for corners in triangles
    ]
    return np.array([polygon for polygon in made if polygon.area > 1], object)


def joined(blocks):
    numbers = np.full((GRID.height, GRID.width), -9, np.int32)
    for rows, columns, block in blocks:
        assert (numbers[rows, columns] == -9).all()
        assert block.dtype == np.int32
        numbers[rows, columns] = block
    return numbers


@settings(max_examples=30, deadline=None)
@given(st.lists(triangle, max_size=8), st.sampled_from([5, 7, 13, 32]), st.sampled_from([0, 8]))
def test_blocks_change_nothing(triangles, size, inner_buffer):
    geometries, options = polygons(triangles), {"inner_buffer": inner_buffer}
    whole, cut = Tally(len(geometries)), Tally(len(geometries))
    expected = joined(number_blocks(geometries, GRID, tally=whole, **options))
    actual = joined(number_blocks(geometries, GRID, size=size, tally=cut, **options))
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(rasterise(geometries, GRID, **options), expected)
    np.testing.assert_array_equal(cut.pixels, whole.pixels)
    assert (cut.contested, cut.pairs) == (whole.contested, whole.pairs)


@settings(max_examples=40, deadline=None)
@given(st.lists(triangle, min_size=2, max_size=6), st.randoms())
def test_contested_pixels_do_not_depend_on_the_order(triangles, random):
    geometries = polygons(triangles)
    order = [*range(len(geometries))]
    random.shuffle(order)
    numbers = rasterise(geometries, GRID)
    other = rasterise(geometries[order], GRID)
    named = np.array([*(np.array(order, int) + 1), -1, 0], np.int32)
    # Numbers 1 ... n, then -1 and 0 from the end.
    renamed = np.where(other > 0, named[other - 1], other)
    np.testing.assert_array_equal(renamed, numbers)


@settings(max_examples=40, deadline=None)
@given(st.lists(triangle, max_size=6))
def test_pixels_are_those_whose_centres_lie_inside(triangles):
    """By another library, but for centres within a hair of an outline."""
    geometries = polygons(triangles)
    numbers = rasterise(geometries, GRID)
    inside = np.array([centres_in(g) for g in geometries]).reshape(-1, *numbers.shape)
    claims = inside.sum(0)
    first = inside.argmax(0) + 1 if len(geometries) else claims
    expected = np.where(claims > 1, -1, np.where(claims == 1, first, 0))
    surely = np.ones(numbers.shape, bool)
    for geometry in geometries:
        rim = geometry.boundary.buffer(0.05)
        surely &= ~centres_in(rim)
    np.testing.assert_array_equal(numbers[surely], expected[surely])


@pytest.mark.parametrize("shift", [0.0, 0.5, 0.25, 1e-9, 0.5 + 1e-7])
@pytest.mark.parametrize("slant", [0, 3, 8])
def test_neighbours_share_no_pixel_and_leave_none(shift, slant):
    """A mosaic of polygons with common borders, also along centres and through them."""
    x = np.arange(-8, 72, 8)

    def corner(column, row):
        moved = slant * (row % 2) + shift, slant * (column % 2) + shift
        return GRID.left + 10 * (x[column] + moved[0]), GRID.top - 10 * (x[row] + moved[1])

    cells = [
        shapely.Polygon([corner(i, j), corner(i + 1, j), corner(i + 1, j + 1), corner(i, j + 1)])
        for i, j in itertools.product(range(9), repeat=2)
    ]
    numbers = rasterise(np.array(cells), GRID)
    assert (numbers[8:56, 8:50] > 0).all()


def test_numbers_are_rows_from_one():
    geometries = np.array([square(3, 2, 4), square(20, 30, 7), square(5, 4, 2), square(46, 56, 9)])
    expected = np.zeros((60, 50), np.int32)
    expected[2:6, 3:7] = 1
    expected[30:37, 20:27] = 2
    expected[4:6, 5:7] = -1
    expected[56:, 46:] = 4
    np.testing.assert_array_equal(rasterise(geometries, GRID), expected)
    tally = Tally(4)
    assert len([*number_blocks(geometries, GRID, tally=tally, size=16)]) == 16
    np.testing.assert_array_equal(tally.pixels, [12, 49, 0, 16])
    assert tally.pairs == {(0, 2): 4}
    found = [*tally.findings(["a", "b", "c", "d"])]
    assert [entry["kind"] for entry in found] == ["parcels without pixels", "parcels overlap"]
    assert found[0]["ids"] == ["c"]
    assert found[0]["text"].startswith("1 of 4 parcels has no pixel")
    assert found[1]["ids"] == ["a and c"]
    assert found[1]["text"].startswith("4 pixels are claimed by several parcels")


def test_three_parcels_of_one_place():
    geometries = np.array([square(3, 2, 4), square(5, 2, 4), square(5, 4, 4)])
    tally = Tally(3)
    ((_, _, numbers),) = number_blocks(geometries, GRID, tally=tally)
    assert tally.pairs == {(0, 1): 8, (0, 2): 4, (1, 2): 8}
    assert tally.contested == (numbers == -1).sum() == 12
    np.testing.assert_array_equal(tally.pixels, [8, 4, 8])


def test_parcels_of_several_parts_and_with_holes():
    several = shapely.MultiPolygon([square(2, 2), square(20, 2), square(40, 50)])
    holed = square(2, 20, 9).difference(square(4, 22, 3))
    numbers = rasterise(np.array([several, holed]), GRID)
    assert [(numbers == n).sum() for n in (1, 2)] == [48, 72]
    assert (numbers[22:25, 4:7] == 0).all()


@pytest.mark.parametrize(("inner_buffer", "pixels"), [(0, 64), (4, 64), (5.1, 36), (15.1, 16)])
def test_inner_buffer(inner_buffer, pixels):
    geometries = np.array([square(3, 2, 8), square(20, 30, 1)])
    tally = Tally(2)
    numbers = joined(number_blocks(geometries, GRID, tally=tally, inner_buffer=inner_buffer))
    assert (numbers == 1).sum() == tally.pixels[0] == pixels
    assert tally.pixels[1] == (inner_buffer < 5)


@pytest.mark.parametrize("inner_buffer", [-1.0, float("nan"), float("inf")])
def test_inner_buffers_that_are_none(inner_buffer):
    call = lambda: rasterise(np.array([square(3, 2)]), GRID, inner_buffer=inner_buffer)  # noqa: E731
    refused_in_a_line(call, "`inner_buffer`")


def test_smaller_than_a_pixel():
    beside, on = square(3.1, 2.1, 0.3), square(10.4, 2.4, 0.3)
    numbers = rasterise(np.array([beside, on]), GRID)
    assert np.argwhere(numbers).tolist() == [[2, 10]]
    assert numbers[2, 10] == 2


def test_any_block_of_a_large_grid():
    grid = Grid("EPSG:32631", 300_000.0, 5_300_000.0, 10.0, 30_000, 30_000)
    field = shapely.Polygon(
        [
            (300_000 + 10 * x, 5_300_000 - 10 * y)
            for x, y in [(20_000, 100), (29_990, 13), (9, 29_990)]
        ]
    )
    numberer = Numberer(np.array([field, square(25_000, 20_000, grid=grid)]), grid)
    rows, columns = slice(9_900, 10_300), slice(19_900, 20_400)
    whole, _ = numberer.block(rows, columns)
    part, _ = numberer.block(slice(10_001, 10_300), slice(19_903, 19_907))
    np.testing.assert_array_equal(part, whole[101:, 3:7])
    np.testing.assert_array_equal(whole, centres_in(field, grid.part(rows, columns)))
    assert 0 < whole.mean() < 1
