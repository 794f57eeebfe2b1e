"""Images of files on the grid of a Region."""

from __future__ import annotations

import numpy as np
import pytest

from pastis_jax.data.regions.grid import Grid
from pastis_jax.data.regions.ingestion import resample
from pastis_jax.data.regions.ingestion.resample import Footprint

pytest.importorskip("rasterio")
UTM, OTHER = "EPSG:32631", "EPSG:32632"
GRID = Grid(UTM, 500000.0, 5000000.0, 10.0, 60, 70)


def footprint(left, top, size, height, width, crs=UTM):
    return Footprint(crs, (size, 0.0, left, 0.0, -size, top), height, width)


def field(x, y):
    """A plane over UTM coordinates: bilinear interpolation is exact on it."""
    return ((x - 500000) * 0.25 + (y - 5000000) * 0.125 + 1000).astype(np.float32)


def image(where):
    """The plane at the centres of the pixels of a file."""
    a, _, c, _, e, f = where.transform
    x = c + a * (np.arange(where.width) + 0.5)
    y = f + e * (np.arange(where.height) + 0.5)
    return field(x[None, :], y[:, None])


def brought(where, values, part=GRID, nearest=False):
    return resample.read_onto(
        lambda rows, columns: values[rows, columns],
        where,
        GRID,
        part,
        lambda x: x,
        nearest=nearest,
    )


def truth(part=GRID):
    return image(Footprint(UTM, part.transform, part.height, part.width))


@pytest.mark.parametrize(
    ("left", "top", "height", "width"),
    [(500000, 5000000, 60, 70), (499900, 5000050, 90, 90), (500100, 4999900, 20, 30)],
)
def test_a_file_on_the_grid_is_copied(left, top, height, width):
    where = footprint(left, top, 10.0, height, width)
    values = np.random.default_rng(0).normal(size=(height, width)).astype(np.float32)
    made = brought(where, values)
    row, column = (5000000 - top) // 10, (left - 500000) // 10
    expected = np.full((60, 70), np.nan, np.float32)
    for y in range(60):
        for x in range(70):
            if 0 <= y - row < height and 0 <= x - column < width:
                expected[y, x] = values[y - row, x - column]
    np.testing.assert_array_equal(made, expected)


def test_only_what_is_needed_is_read():
    where, asked = footprint(480000, 5020000, 10.0, 4000, 4000), []

    def read(rows, columns):
        asked.append((rows, columns))
        return np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float32)

    part = GRID.part(slice(10, 30), slice(5, 25))
    resample.read_onto(read, where, GRID, part, lambda x: x)
    assert asked == [(slice(2010, 2030), slice(2005, 2025))]
    coarse = footprint(480000, 5020000, 20.0, 2000, 2000)
    resample.read_onto(read, coarse, GRID, part, lambda x: x)
    rows, columns = asked[1]
    assert rows.start <= 1005 - 1
    assert rows.stop >= 1015 + 1
    assert rows.stop - rows.start <= 20
    assert columns.stop - columns.start <= 20


@pytest.mark.parametrize("size", [20.0, 5.0, 10.0])
@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_a_plane_stays_a_plane(size, shift):
    where = footprint(499800 + shift, 5000200 + shift, size, round(1000 / size), round(1100 / size))
    np.testing.assert_allclose(brought(where, image(where)), truth(), atol=2e-3)


@pytest.mark.parametrize("crs", [OTHER, "EPSG:4326"])
def test_another_coordinate_system(crs):
    from rasterio.warp import transform, transform_bounds

    left, bottom, right, top = transform_bounds(UTM, crs, *GRID.bounds)
    size = 10.0 if crs == OTHER else 1e-4
    width, height = (int((b - a) / size) + 40 for a, b in ((left, right), (bottom, top)))
    where = footprint(left - 20 * size, top + 20 * size, size, height, width, crs)
    a, _, c, _, e, f = where.transform
    xs, ys = np.meshgrid(c + a * (np.arange(width) + 0.5), f + e * (np.arange(height) + 0.5))
    x, y = map(np.array, transform(crs, UTM, xs.ravel(), ys.ravel()))
    made = brought(where, field(x, y).reshape(xs.shape))
    assert not np.isnan(made).any()
    # A metre is 0.28 of its unit at most; the plane bends by less than that of a centimetre.
    np.testing.assert_allclose(made, truth(), atol=0.02)


@pytest.mark.parametrize("size", [20.0, 7.0, 30.0])
@pytest.mark.parametrize("nearest", [False, True])
def test_parts_are_those_of_the_whole(size, nearest):
    where = footprint(500013, 4999987, size, round(500 / size), round(500 / size))
    rng = np.random.default_rng(1)
    values = rng.normal(size=(where.height, where.width)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    if nearest:
        values = rng.integers(0, 2, values.shape, np.uint8)
    whole = brought(where, values, nearest=nearest)
    for rows, columns in GRID.blocks(16):
        part = brought(where, values, GRID.part(rows, columns), nearest)
        if part is None:
            part = np.full((rows.stop - rows.start, columns.stop - columns.start), np.nan)
            part[:] = 255 if nearest else np.nan
        # A part has coordinates of its own, which are rounded in the last place.
        np.testing.assert_allclose(part, whole[rows, columns], rtol=1e-5, atol=1e-7)


def test_missing_pixels_do_not_spread():
    where = footprint(499990, 5000010, 20.0, 40, 40)
    values = np.full((40, 40), 5.0, np.float32)
    values[10:20, 10:20] = np.nan
    made = brought(where, values)
    assert np.nanmax(made) == np.nanmin(made) == 5.0
    assert np.isnan(made).sum() >= 16 * 16


def test_masks_keep_their_numbers():
    where = footprint(500000, 5000000, 20.0, 30, 35)
    values = np.random.default_rng(2).integers(0, 2, (30, 35), np.uint8)
    made = brought(where, values, nearest=True)
    np.testing.assert_array_equal(made, values.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("crs", [UTM, OTHER])
def test_a_file_elsewhere_is_not_read(crs):
    where = footprint(600000, 5000000, 10.0, 50, 50, crs)
    assert brought(where, np.zeros((50, 50), np.float32)) is None


@pytest.mark.parametrize("off", [1e-6, 0.5])
def test_grids_that_differ_by_rounding_are_the_same(off):
    where = footprint(500000 + off, 5000000, 10.0, 60, 70)
    assert (resample.origin(where, GRID) is not None) == (off < 0.01)


def test_coordinates_of_another_zone_are_exact_far_along_a_row():
    pyproj = pytest.importorskip("pyproj")
    grid = Grid(UTM, 765000.0, 5150000.0, 10.0, 1000, 1000)
    to_other = pyproj.Transformer.from_crs(UTM, OTHER, always_xy=True)
    left, bottom, right, top = to_other.transform_bounds(*grid.bounds)
    where = footprint(left, top, 10.0, int(top - bottom) // 10, int(right - left) // 10, OTHER)
    # A column's number as its value: what comes is where it was looked for.
    values = np.broadcast_to(np.arange(where.width, dtype=np.float32), (where.height, where.width))
    window = resample.needed(where, grid, grid)
    made = resample.onto(values[window.rows, window.columns], where, window, grid)
    rows, columns = np.mgrid[:1000, :1000] + 0.5
    x, _ = to_other.transform(grid.left + 10 * columns, grid.top - 10 * rows)
    there = np.clip((x - left) / 10 - 0.5, 0, where.width - 1)  # no more than the file has
    inside = np.isfinite(made)
    assert inside.mean() > 0.95
    np.testing.assert_allclose(made[inside], there[inside], rtol=0, atol=2e-3)
