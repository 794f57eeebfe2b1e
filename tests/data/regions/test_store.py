"""What is written into a Region is read from it, by us and by others."""

from __future__ import annotations

import pathlib
import pickle

import numpy as np
import pytest
from region_factory import DAYS, GRID, START, make_region

from pastis_jax.data.regions import Grid, Region, is_region
from pastis_jax.data.regions.grid import CHUNK, SHARD
from pastis_jax.data.regions.writer import Writer
from pastis_jax.errors import DataError, UserError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("region") / "r"
    return root, make_region(root)


WINDOWS = [
    (slice(0, 128), slice(0, 128)),
    (slice(37, 165), slice(211, 339)),
    (slice(280, 300), slice(390, 400)),
]


@pytest.mark.parametrize(("rows", "columns"), WINDOWS)
@pytest.mark.parametrize("name", DAYS)
def test_windows_hold_what_was_written(made, name, rows, columns):
    root, truth = made
    region = Region(root)
    expected = truth[name][..., rows, columns]
    np.testing.assert_array_equal(region.read(name, rows, columns), expected)
    some = region.read(name, rows, columns, [1, 0])
    np.testing.assert_array_equal(some, expected[[1, 0]])
    mask = region.mask(name, rows, columns)
    if name == "S2":
        np.testing.assert_array_equal(mask, truth["S2 mask"][:, rows, columns])
    else:
        assert mask is None
    np.testing.assert_array_equal(region.numbers(rows, columns), truth["numbers"][rows, columns])


def test_days_orbits_and_levels(made):
    region = Region(made[0])
    for name, days in DAYS.items():
        np.testing.assert_array_equal(region.days(name), days)
        assert region.orbits(name) == tuple(str(8 + place) for place in range(len(days)))
    assert region.dataset.season_start == START
    assert (region.level("S2"), region.level("S1A")) == ("L2A", "sigma0")


def test_counts_of_chunks(made):
    root, truth = made
    region = Region(root)
    seen = ~np.isnan(truth["S1A"]).any(1)
    cloud = truth["S2 mask"] == 1
    for y, x in np.ndindex(3, 4):
        here = slice(y * CHUNK, (y + 1) * CHUNK), slice(x * CHUNK, (x + 1) * CHUNK)
        expected = seen[:, *here].sum((1, 2))
        np.testing.assert_array_equal(region.observed("S1A")[:, y, x], expected)
        np.testing.assert_array_equal(region.clouded("S2")[:, y, x], cloud[:, *here].sum((1, 2)))
    assert not region.clouded("S1A").any()


def test_the_table(made):
    root, truth = made
    parcels = Region(root).parcels
    assert list(parcels.id[:2]) == ["p1", "p2"]
    np.testing.assert_array_equal(parcels.label, truth["label"])
    np.testing.assert_array_equal(parcels.fold, truth["fold"])
    np.testing.assert_array_equal(
        parcels.pixels, np.bincount(truth["numbers"].ravel(), minlength=len(parcels) + 1)[1:]
    )


def test_a_region_pickles(made):
    again = pickle.loads(pickle.dumps(Region(made[0])))
    rows, columns = WINDOWS[1]
    np.testing.assert_array_equal(
        again.read("S2", rows, columns), made[1]["S2"][..., rows, columns]
    )


def test_compressed_the_same_is_read(made, tmp_path):
    make_region(tmp_path / "r", compress=True)
    rows, columns = WINDOWS[1]
    for name in DAYS:
        np.testing.assert_array_equal(
            Region(tmp_path / "r").read(name, rows, columns), made[1][name][..., rows, columns]
        )
    raw, packed = (
        (root / "cube.zarr/S2/values/c/0/0/0/0").stat().st_size
        for root in (made[0], tmp_path / "r")
    )
    assert packed < 0.9 * raw


def test_without_shards_the_same_is_read(made, tmp_path):
    make_region(tmp_path / "r", shards=False)
    rows, columns = WINDOWS[1]
    np.testing.assert_array_equal(
        Region(tmp_path / "r").read("S1D", rows, columns), made[1]["S1D"][..., rows, columns]
    )
    assert len(list((tmp_path / "r/cube.zarr/S2/values/c/0/0").iterdir())) > 1


@pytest.mark.parametrize(("name", "first"), [("S2", "2023-09-11"), ("S1A", "2023-09-06")])
def test_others_read_it(made, name, first):
    xarray = pytest.importorskip("xarray")
    root, truth = made
    with xarray.open_zarr(root / "cube.zarr", group=name, consolidated=False) as cube:
        np.testing.assert_array_equal(cube["values"], truth[name])
        assert str(cube["time"].values[0])[:10] == first
        assert float(cube["x"][0]) == GRID.left + 5
        assert float(cube["y"][-1]) == GRID.top - 10 * 300 + 5
        assert "32631" in cube["spatial_ref"].attrs["crs_wkt"]


def test_a_shard_is_done_when_all_of_it_is_there(tmp_path):
    make_region(tmp_path / "r", days={"S2": (1, 2)})
    region = Region(tmp_path / "r")
    out = Writer(region.root, region.grid, region.dataset)
    rows, columns = next(region.grid.blocks(SHARD))
    assert out.done("S2", 1, rows, columns)
    (tmp_path / "r/cube.zarr/S2/observed/c/1/0/0").unlink()
    assert not out.done("S2", 1, rows, columns)
    with pytest.raises(DataError, match="observed: lacks some shards; ingest the Region again"):
        Region(tmp_path / "r").observed("S2")


def test_writing_again_gives_the_same_bytes(tmp_path):
    for name in "ab":
        make_region(tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*"))
    assert files == sorted(p.relative_to(tmp_path / "b") for p in (tmp_path / "b").rglob("*"))
    for file in files:
        if (tmp_path / "a" / file).is_file():
            assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    first, second = (Region(tmp_path / name).fingerprint(["S2", "S1A"]) for name in "ab")
    assert first == second


def _damage_array(root: pathlib.Path) -> None:
    file = root / "cube.zarr/S2/values/c/0/0/0/0"
    file.write_bytes(file.read_bytes()[:-400])


DAMAGES = {
    "region.json": lambda root: (root / "region.json").write_text("{}"),
    "dataset.json": lambda root: (root / "dataset.json").unlink(),
    "values": _damage_array,
    "time": lambda root: (root / "cube.zarr/S2/time/zarr.json").write_text("["),
    "parcels.parquet": lambda root: (root / "parcels.parquet").write_bytes(b"PAR1"),
}


def read_all(root):
    region = Region(root)
    region.days("S2")
    region.read("S2", slice(0, 300), slice(0, 400))
    return region.parcels


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(tmp_path, damage):
    make_region(tmp_path / "r", days={"S2": (1, 2)})
    DAMAGES[damage](tmp_path / "r")
    with pytest.raises(DataError) as error:
        read_all(tmp_path / "r")
    assert damage in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shards", [True, False])
def test_a_lost_file_is_no_missing_observation(tmp_path, shards):
    make_region(tmp_path / "r", shards=shards)
    Region(tmp_path / "r").fingerprint(["S2"])
    (tmp_path / "r" / "cube.zarr/S2/values/c/2/0/0/0").unlink()
    Region(tmp_path / "r").fingerprint(["S1A"])
    with pytest.raises(DataError, match=r"S2: lacks 1 of its [0-9]+ files of values: values/c/2/"):
        Region(tmp_path / "r").fingerprint(["S2"])


def test_what_is_no_region(tmp_path):
    assert not is_region(tmp_path)
    with pytest.raises(UserError, match=r"is no Region, it has no region.json; "):
        Region(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("height", 0), ("width", 2.5), ("pixel_size", -1), ("left", "x"), ("crs", " ")],
)
def test_a_grid_that_cannot_be(field, value):
    with pytest.raises(ValueError, match=field):
        Grid.from_json(GRID.to_json() | {field: value})


def test_a_grid_and_its_parts():
    part = GRID.part(slice(10, 30), slice(5, 6))
    assert (part.left, part.top, part.height, part.width) == (600050.0, 5199900.0, 20, 1)
    assert GRID.bounds == (600000.0, 5197000.0, 604000.0, 5200000.0)
    assert Grid.from_json(GRID.to_json()) == GRID
    covered = np.zeros((GRID.height, GRID.width), int)
    for rows, columns in GRID.blocks(CHUNK):
        covered[rows, columns] += 1
    assert (covered == 1).all()
