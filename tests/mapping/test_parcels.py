"""Maps of parcels: all of them, their pixels as in training, however blocks are cut."""

from __future__ import annotations

import map_factory
import numpy as np
import pytest
import region_factory as factory
from parcel_maps import blocks_of, made_of, mapper_of

from pastis_jax.data.regions.records.export import export
from pastis_jax.data.regions.records.index import find_parcels
from pastis_jax.data.regions.records.pixel_sets import RegionPixelSets, outline_of
from pastis_jax.data.regions.store import Region
from pastis_jax.data.regions.writer import CLOUDED
from pastis_jax.errors import DataError
from pastis_jax.mapping import parcel_pixels
from pastis_jax.mapping.blocks import NODATA, UNCLASSIFIED, Block
from pastis_jax.mapping.options import MapOptions
from pastis_jax.mapping.parcel_summary import notes, painted, results
from pastis_jax.mapping.polygons import Polygons
from pastis_jax.runs import Run
from pastis_jax.types import Series

GRID = factory.Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, height=140, width=300)
WHOLE = Block(slice(0, GRID.height), slice(0, GRID.width))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Parcels of 16 x 16 pixels, some of them in two or four chunks."""
    root = tmp_path_factory.mktemp("parcels") / "R"
    truth = factory.make_region(root, grid=GRID)
    run = map_factory.make_run(root.parent / "run", "parcel", root)
    return root, truth, run.folder


@pytest.fixture
def run(made):
    return Run(made[2])


def test_pixels_of_parcels_are_those_of_the_cube(made):
    root, truth, _ = made
    region, index = Region(root), find_parcels(Region(root))
    polygons, found = Polygons(region, MapOptions()), []
    for block in blocks_of(GRID, 128):
        for parcel in parcel_pixels.find(region, polygons, block):
            y, x = np.nonzero(truth["numbers"] == parcel.row + 1)
            assert np.array_equal((parcel.y, parcel.x), (y, x))
            assert block.rows.start <= y[0] < block.rows.stop
            assert block.columns.start <= x[0] < block.columns.stop
            assert np.array_equal(
                parcel.features(), np.array(outline_of(index, parcel.row), np.float32)
            )
            found.append(parcel.row)
    assert sorted(found) == [*range(len(truth["label"]))]


@pytest.mark.parametrize("size", [128, 256])
def test_blocks_change_nothing(made, run, monkeypatch, size):
    mapper = mapper_of(run, made[0], monkeypatch, batch_size=7)
    whole = mapper(WHOLE)
    dates = np.zeros_like(whole["dates"])
    found = {}
    for block in blocks_of(GRID, size):
        content = mapper(block)
        dates[:, block.rows, block.columns] = content["dates"]
        for number, row in enumerate(content["parcel"].tolist()):
            assert row not in found
            found[row] = [content[f"parcel_{of}"][number] for of in ("probability", "dates")]
    assert np.array_equal(dates, whole["dates"])
    for number, row in enumerate(whole["parcel"].tolist()):
        for mine, of in zip(found[row], ("probability", "dates"), strict=True):
            assert np.array_equal(mine, whole[f"parcel_{of}"][number])
    assert len(found) == len(made[1]["label"])


def test_dates_of_pixels(made, run, monkeypatch):
    """The left third was seen by one of three dates of S1A."""
    truth = made[1]
    content = mapper_of(run, made[0], monkeypatch)(WHOLE)
    inside = truth["numbers"] > 0
    third = np.arange(GRID.width) < GRID.width // 3
    expected = {"S2": 4, "S1A": np.where(third, 1, 3), "S1D": 2}
    for place, name in enumerate(run.modalities):
        assert np.array_equal(content["dates"][place], np.where(inside, expected[name], 0))


@pytest.mark.filterwarnings("ignore::pastis_jax.errors.DaysWarning")
def test_tells_what_the_export_tells(tmp_path):
    """Of parcels all of whose pixels are taken."""
    grid = factory.Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, height=40, width=300)
    factory.make_region(tmp_path / "R", grid=grid, fields=8)
    run = map_factory.make_run(tmp_path / "run", "parcel", tmp_path / "R", fusion="early")
    content = mapper_of(run, tmp_path / "R")(Block(slice(0, 40), slice(0, 300)))
    export(tmp_path / "R", tmp_path / "E", patches=False, progress=False)
    region = Region(tmp_path / "R")
    rows = {name: row for row, name in enumerate(region.parcels.id)}
    order = {row: number for number, row in enumerate(content["parcel"].tolist())}
    sets, compared = RegionPixelSets(tmp_path / "R"), 0
    series = {name: [] for name in run.modalities}
    chosen = sets.parcels[::9]
    for parcel in chosen:
        for name in run.modalities:
            values = np.load(tmp_path / "E" / f"DATA_{name}" / f"{name}_{parcel.id}.npy")
            days = sets.patches[parcel.patch].days[name]
            series[name].append(_series(values, days, 8))
    stacked = {
        name: Series(*(np.stack(parts) for parts in zip(*of, strict=True)))
        for name, of in series.items()
    }
    expected = run.predict(stacked)
    for parcel, shares in zip(chosen, expected, strict=True):
        mine = content["parcel_probability"][order[rows[parcel.id]]]
        np.testing.assert_allclose(mine, shares, atol=1e-5)
        compared += 1
    assert compared > 5
    assert np.ptp(expected, 0).max() > 0.01  # they differ


def _series(values, days, length):
    t, c, n = values.shape
    padded = np.zeros((length, n, c), np.float32)
    padded[:t] = values.transpose(0, 2, 1)
    valid = np.arange(length) < t
    return padded, np.append(days, np.zeros(length - t)).astype(np.int32), valid, np.ones(n, bool)


def test_only_some_dates(made, run, monkeypatch):
    until = factory.dataset_of().date(100)
    mapper = mapper_of(run, made[0], monkeypatch, until=until)
    content = mapper(WHOLE)
    days = run.given[0]["S1A"].days[run.given[0]["S1A"].valid]
    assert set(days.tolist()) == {5, 100}
    assert content["parcel_dates"].max(0).tolist() == [
        {"S2": 3, "S1A": 2, "S1D": 1}[name] for name in run.modalities
    ]


def test_clouded_acquisitions_count_as_missing(made, run, monkeypatch):
    root, truth, _ = made
    content = mapper_of(run, root, monkeypatch, max_cloud=0.2)(WHOLE)
    place = run.modalities.index("S2")
    for number, row in enumerate(content["parcel"].tolist()):
        share = (truth["S2 mask"] == CLOUDED)[:, truth["numbers"] == row + 1].mean(1)
        assert content["parcel_dates"][number, place] == (share <= 0.2).sum()
    assert len({*content["parcel_dates"][:, place].tolist()}) > 1


def test_a_parcel_without_a_date_is_nodata(made, tmp_path, monkeypatch):
    """Of dates of S1A, the left third has none before day 100."""
    root, truth, _ = made
    run = map_factory.make_run(tmp_path / "S1A", "parcel", root, modalities=("S1A",), fusion="late")
    until = factory.dataset_of().date(50)
    mapper = mapper_of(run, root, monkeypatch, until=until)
    (tmp_path / "blocks").mkdir()
    made_map = made_of(mapper, tmp_path / "blocks", (WHOLE,))
    table = results(made_map)
    third = np.array(
        [
            (np.flatnonzero((truth["numbers"] == row + 1).any(0)) < GRID.width // 3).all()
            for row in range(len(table))
        ]
    )
    assert third.any()
    assert np.array_equal(table.label == NODATA, third)
    assert np.array_equal(np.isnan(table.probability).all(1), third)
    assert any("were never observed: nodata" in note for note in notes(made_map))


def test_a_modality_that_the_region_lacks_is_masked(made, run, tmp_path, monkeypatch):
    days = {name: of for name, of in factory.DAYS.items() if name != "S1D"}
    factory.make_region(tmp_path / "R", grid=GRID, days=days)
    content = mapper_of(run, tmp_path / "R", monkeypatch)(WHOLE)
    assert not run.given[0]["S1D"].valid.any()
    assert np.isfinite(content["parcel_probability"]).all()
    assert (content["parcel_dates"][:, run.modalities.index("S1D")] == 0).all()


def test_few_shapes_are_compiled(made, run, monkeypatch):
    mapper = mapper_of(run, made[0], monkeypatch, batch_size=9)
    mapper(WHOLE)
    shapes = {tuple(one.values.shape for one in series.values()) for series in run.given}
    assert len(shapes) == 1
    assert all(shape[0] == 9 and shape[1] % 8 == 0 for shape in shapes.pop())


def test_another_batch_draws_the_same_pixels(made, run, monkeypatch):
    first, second = (
        mapper_of(run, made[0], monkeypatch, batch_size=size)(WHOLE)["parcel_probability"]
        for size in (3, 64)
    )
    assert np.array_equal(first, second)


def test_layers_are_painted_from_the_table(made, run, tmp_path, monkeypatch):
    every = mapper_of(run, made[0], monkeypatch)(WHOLE)["parcel_probability"].max(1)
    mapper = mapper_of(run, made[0], monkeypatch, reject=float(np.median(every)))
    made_map = made_of(mapper, tmp_path, blocks_of(GRID, 1024))
    table, truth = results(made_map), made[1]
    ((_, content),) = painted(made_map)
    assert 0 < (table.label == UNCLASSIFIED).sum() < len(table)
    assert (np.isfinite(table.probability)).all()
    assert np.array_equal(content["crop"], np.append(NODATA, table.label)[truth["numbers"]])
    best = np.rint(100 * table.probability.max(1)).astype(np.uint8)
    assert np.array_equal(content["confidence"], np.append(NODATA, best)[truth["numbers"]])
    assert (content["margin"][truth["numbers"] == 0] == NODATA).all()


def test_damaged_numbers_are_refused(made, run, monkeypatch):
    region = Region(made[0])
    polygons = Polygons(region, MapOptions())
    region.parcels.pixels[0] += 1
    with pytest.raises(DataError, match=r"has 256 pixels where parcels\.parquet gives 257"):
        parcel_pixels.find(region, polygons, WHOLE)
