"""Mean probabilities of parcels by what they cover of pixels."""

from __future__ import annotations

import types

import map_factory
import numpy as np
import pytest
import region_factory as factory
import shapely
from parcel_maps import blocks_of

from pastis_jax.data.regions.store import Region
from pastis_jax.mapping.blocks import NODATA, Block
from pastis_jax.mapping.coverage import Coverage
from pastis_jax.mapping.mapper import Mapper
from pastis_jax.mapping.options import MapOptions
from pastis_jax.mapping.parcel_summary import results

GRID = factory.Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, height=60, width=80)
WHOLE = Block(slice(0, 60), slice(0, 80))


def polygons(*geometries):
    """Polygons in pixels from the upper left corner, rows downwards."""
    placed = shapely.transform(
        np.array(geometries), lambda places: places * (10, -10) + (GRID.left, GRID.top)
    )
    tree = shapely.STRtree(placed)

    def touching(rows, columns):
        box = shapely.box(*GRID.part(rows, columns).bounds)
        return np.sort(tree.query(box, predicate="intersects"))

    return types.SimpleNamespace(geometry=placed, touching=touching)


def test_pixels_count_by_what_is_covered():
    """Half of one pixel, all of the next; one that is not known does not count."""
    shares = np.zeros((2, 60, 80), np.float32)
    shares[0, 5, 10], shares[1, 5, 11], shares[:, 5, 12] = 1, 1, np.nan
    dates = np.zeros((1, 60, 80), np.uint16)
    dates[0, 5, 10:13] = 4, 2, 3
    cover = Coverage(GRID, polygons(shapely.box(10.5, 5, 13, 6), shapely.box(90, 0, 95, 5)))
    content = cover(WHOLE, shares, dates)
    assert content["parcel"].tolist() == [0]
    assert content["parcel_sum"].tolist() == [[0.5, 1.0]]
    assert content["parcel_weight"].tolist() == [1.5]
    assert content["parcel_dates"].tolist() == [[4]]


@pytest.mark.parametrize("size", [16, 37])
def test_blocks_add_up(size):
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(4), (60, 80)).transpose(2, 0, 1).astype(np.float32)
    shares[:, rng.random((60, 80)) < 0.2] = np.nan
    dates = rng.integers(0, 9, (2, 60, 80)).astype(np.uint16)
    places = rng.uniform(0, 80, (60, 2))
    cover = Coverage(
        GRID, polygons(*shapely.buffer(shapely.points(places), rng.uniform(0.2, 9, 60)))
    )
    whole = cover(WHOLE, shares, dates)
    rows = whole["parcel"]
    sums, weights, most = np.zeros((60, 4)), np.zeros(60), np.zeros((60, 2))
    for block in blocks_of(GRID, size):
        place = (slice(None), block.rows, block.columns)
        part = cover(block, shares[place], dates[place])
        assert len({*part["parcel"].tolist()}) == len(part["parcel"])
        sums[part["parcel"]] += part["parcel_sum"]
        weights[part["parcel"]] += part["parcel_weight"]
        most[part["parcel"]] = np.maximum(most[part["parcel"]], part["parcel_dates"])
    np.testing.assert_allclose(sums[rows], whole["parcel_sum"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(weights[rows], whole["parcel_weight"], rtol=1e-6, atol=1e-6)
    assert np.array_equal(most[rows], whole["parcel_dates"])
    assert len(rows) > 40


def test_nothing_there():
    shares, dates = np.zeros((3, 60, 80), np.float32), np.zeros((2, 60, 80), np.uint16)
    content = Coverage(GRID, polygons(shapely.box(90, 0, 95, 5)))(WHOLE, shares, dates)
    shapes = {name: of.shape for name, of in content.items()}
    assert shapes == {
        "parcel": (0,),
        "parcel_sum": (0, 3),
        "parcel_weight": (0,),
        "parcel_dates": (0, 2),
    }


def test_the_table_of_a_map_of_pixels(tmp_path):
    """A Region all of whose pixels are of one class, but for one parcel that is not known."""
    root = tmp_path / "R"
    truth = factory.make_region(root, grid=GRID, days={"S2": (10, 40)}, fields=20)
    run = map_factory.make_run(tmp_path / "run", "semantic", root, modalities=("S2",))
    mapper = Mapper(run, Region(root), MapOptions())
    k, unknown = len(run.classes.names), truth["numbers"] == 2
    shares = np.zeros((k, 60, 80), np.float32)
    shares[3], shares[5], shares[:, unknown] = 0.75, 0.25, np.nan
    dates = np.full((1, 60, 80), 2, np.uint16)
    cover, contents = Coverage.of(mapper), []
    for block in blocks_of(GRID, 32):
        place = (slice(None), block.rows, block.columns)
        contents.append((block, cover(block, shares[place], dates[place])))
    made = types.SimpleNamespace(
        mapper=mapper,
        run=run,
        region=mapper.region,
        season=types.SimpleNamespace(start=mapper.region.dataset.season_start),
        classes=run.classes,
        options=mapper.options,
        read=lambda *names: contents,
    )
    table = results(made)
    known = np.arange(len(table)) != 1
    assert np.array_equal(table.label, np.where(known, 3, NODATA))
    np.testing.assert_allclose(table.probability[known][:, [3, 5]], [[0.75, 0.25]] * known.sum())
    np.testing.assert_allclose(table.pixels, np.where(known, 256, 0))
    assert np.array_equal(table.dates[:, 0], np.full(len(table), 2))
    assert np.array_equal(table.truth, run.classes.lookup[truth["label"]])
