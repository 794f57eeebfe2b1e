"""Maps of pixels: windows as the run predicts them, blended; what is not known is nodata."""

from __future__ import annotations

import map_factory
import numpy as np
import pytest
import region_factory as factory

from pastis_jax.data.regions.store import Region
from pastis_jax.mapping import MapOptions, blocks
from pastis_jax.mapping.blocks import NODATA, UNCLASSIFIED, Block, blocks_of
from pastis_jax.mapping.mapper import Mapper
from pastis_jax.mapping.semantic import SemanticBlocks, classes_of
from pastis_jax.types import Series

DAYS = {"S2": (10, 40, 40, 200), "S1A": (5, 100, 210)}
LAYERS = ("crop", "confidence", "margin")
ROUNDING = 5e-5
"""Series of other lengths and batches are summed in another order, in 32 bits."""


@pytest.fixture(scope="module")
def run(runs):
    return runs("semantic", fusion="late")


def mapper(run, region, **options):
    return Mapper(run, Region(region), MapOptions(**{"batch_size": 1} | options))


def whole(made):
    """All of a Region as one block."""
    grid = made.region.grid
    return Block(slice(0, grid.height), slice(0, grid.width))


def by_hand(run, truth, grid, last=1000):
    """Every window as `Run.predict` has it of the values that went into the Region, blended."""
    total, weight = 0.0, 0.0
    for place in grid.touching(slice(0, grid.rows.length), slice(0, grid.columns.length)):
        rows, columns = grid.window(place)
        series = {}
        for name in run.modalities:
            days = np.array(DAYS[name], np.int32)
            kept = days <= last
            values = truth[name][kept][:, :, rows, columns].transpose(0, 2, 3, 1)
            valid = np.ones((1, kept.sum()), bool)
            series[name] = Series(values[None].astype(np.float32), days[None, kept], valid)
        weights = np.zeros((grid.rows.length, grid.columns.length, 1))
        weights[rows, columns, 0] = grid.weights
        full = np.zeros((*weights.shape[:2], len(run.classes.names)))
        full[rows, columns] = run.predict(series)[0]
        total, weight = total + weights * full, weight + weights
    return np.moveaxis(total / weight, -1, 0)


@pytest.fixture(scope="module")
def blended(run, region):
    made = mapper(run, region)
    return SemanticBlocks(made).blend(whole(made))


@pytest.mark.parametrize("last", [1000, 100])
def test_windows_are_those_of_the_run(run, truth, blended, last):
    """Also: up to a day, what is predicted is that of the series cut there."""
    made = mapper(run, truth[0], until=str(Region(truth[0]).dataset.date(last)))
    shares = blended[0] if last == 1000 else SemanticBlocks(made).blend(whole(made))[0]
    np.testing.assert_allclose(shares, by_hand(run, truth[1], made.grid, last), atol=ROUNDING)
    assert shares.std((1, 2)).max() > 0.01


def test_valid_dates(truth, blended):
    _, dates = blended
    assert dates.dtype == np.uint16
    assert (dates[0] == 4).all()
    assert (dates[1][:, : 200 // 3] == 1).all()
    assert (dates[1][:, 200 // 3 :] == 3).all()


@pytest.mark.parametrize("side", [32, 50])
def test_how_the_region_is_cut_into_blocks_is_not_felt(run, region, blended, monkeypatch, side):
    monkeypatch.setattr(blocks, "SHARD", side)
    made = mapper(run, region)
    predict = SemanticBlocks(made)
    cut = [*blocks_of(made.region.grid)]
    assert len(cut) > 5
    for block in cut[::3]:
        shares, dates = predict.blend(block)
        inside = np.s_[:, block.rows, block.columns]
        np.testing.assert_allclose(shares, blended[0][inside], atol=1e-5)
        np.testing.assert_array_equal(dates, blended[1][inside])


def test_how_many_are_predicted_together_is_not_felt(run, region, blended):
    made = mapper(run, region, batch_size=3)
    shares, dates = SemanticBlocks(made).blend(whole(made))
    np.testing.assert_allclose(shares, blended[0], atol=ROUNDING)
    np.testing.assert_array_equal(dates, blended[1])


def test_layers(run, region, blended):
    made = mapper(run, region, probabilities=True, reject=0.5)
    content = made(whole(made))
    shares, best = blended[0], np.sort(blended[0], 0)
    rejected = best[-1] < 0.5
    assert 0 < rejected.mean() < 1
    np.testing.assert_array_equal(
        content["crop"], np.where(rejected, UNCLASSIFIED, shares.argmax(0))
    )
    np.testing.assert_array_equal(content["confidence"], np.rint(100 * best[-1]))
    np.testing.assert_array_equal(content["margin"], np.rint(100 * (best[-1] - best[-2])))
    np.testing.assert_array_equal(content["probabilities"], np.rint(100 * shares))
    assert {content[name].dtype for name in (*LAYERS, "probabilities")} == {np.dtype("uint8")}


@pytest.fixture(scope="module")
def swath(tmp_path_factory):
    """A Region of one date, which shows its right two thirds alone, and a run."""
    place = tmp_path_factory.mktemp("swath")
    grid = factory.Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, height=40, width=420)
    factory.make_region(place / "R", grid=grid, days={"S1A": (5,)}, fields=20, masked=())
    values = Region(place / "R").read("S1A", slice(0, 40), slice(0, 140))
    assert not np.isfinite(values).any()
    # Statistics want an observed pixel, which the first chunk lacks.
    (place / "O").mkdir()
    factory.make_region(place / "O/R", grid=grid, days={"S1A": (5, 8)}, fields=20, masked=())
    run = map_factory.make_run(place / "run", "semantic", place / "O/R", fusion="single")
    return run, place / "R"


def test_what_was_never_observed_is_nodata_and_not_read(swath, monkeypatch):
    run, region = swath
    made, read = mapper(run, region, probabilities=True), []

    def watched(self, modality, rows, columns, dates=None, read_of=Region.read):
        if len(dates):
            read.append((columns.start, columns.stop))
        return read_of(self, modality, rows, columns, dates)

    monkeypatch.setattr(Region, "read", watched)
    content = made(whole(made))
    # 140 columns were not observed: a chunk of 128, and 12 pixels of the next one.
    assert read
    assert min(stop for _, stop in read) > 128
    for name in (*LAYERS, "probabilities"):
        assert (content[name][..., :140] == NODATA).all()
        assert (content[name][..., 140:] != NODATA).all()
    assert (content["dates"][:, :, :140] == 0).all()
    assert (content["dates"][:, :, 140:] == 1).all()


def test_a_block_that_was_never_observed(swath):
    run, region = swath
    made = mapper(run, region)
    content = made(Block(slice(0, 40), slice(0, 60)))
    for name in LAYERS:
        assert (content[name] == NODATA).all()
        assert content[name].shape == (40, 60)


def test_smaller_than_a_window(tmp_path, run):
    """One window, as large as the Region, and uneven."""
    grid = factory.Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, height=13, width=25)
    truth = factory.make_region(tmp_path / "R", grid=grid, days=DAYS, fields=8)
    made = mapper(run, tmp_path / "R")
    assert made.grid.size == (13, 25)
    shares, _ = SemanticBlocks(made).blend(whole(made))
    np.testing.assert_allclose(shares, by_hand(run, truth, made.grid), atol=ROUNDING)


def test_classes():
    shares = np.array([[0.2, 0.5, np.nan, 0.3], [0.7, 0.5, np.nan, 0.3]], np.float32)
    known = np.array([True, True, False, True])
    content = classes_of(shares, known, reject=0.4)
    assert content["crop"].tolist() == [1, 0, NODATA, UNCLASSIFIED]
    assert content["confidence"].tolist() == [70, 50, NODATA, 30]
    assert content["margin"].tolist() == [50, 0, NODATA, 0]
    alone = classes_of(shares[:1], known, reject=0)
    assert alone["margin"].tolist() == [20, 50, NODATA, 30]
