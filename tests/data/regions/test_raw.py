"""Windows read by their rows are those that TensorStore reads."""

from __future__ import annotations

import concurrent.futures
import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from region_factory import make_region

from pastis_jax.data.regions import cube, raw
from pastis_jax.data.regions.store import Region

CHUNK, SHARD, CHANNELS, DATES = 8, 32, 3, 4
HEIGHT, WIDTH = 70, 45  # of shards that are cut at both edges
NAMES = ("time", "channel", "y", "x")


def make(folder, dtype, fill, **form):
    """An array of which some shards and some chunks are missing; what is in it."""
    rng = np.random.default_rng(0)
    chunks, shards = (1, CHANNELS, CHUNK, CHUNK), (1, CHANNELS, SHARD, SHARD)
    options = {"names": NAMES, "chunks": chunks, "shards": shards, "compress": False} | form
    cube.make_array(folder, (DATES, CHANNELS, HEIGHT, WIDTH), dtype, fill=fill, **options)
    values = rng.integers(0, 100, (DATES, CHANNELS, HEIGHT, WIDTH)).astype(dtype)
    values[1] = fill
    values[2, :, :SHARD, :SHARD] = fill
    values[3, :, 8:40, 8:16] = fill
    cube.put(cube.open_array(folder), (), values)
    return values


@pytest.fixture(scope="module", params=[("int16", -5), ("float16", float("nan")), ("float32", 0)])
def stored(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "values"
    values = make(folder, *request.param)
    array = cube.open_array(folder)
    return raw.of(array, folder), array, values


def part(side):
    ends = st.tuples(st.integers(0, side), st.integers(0, side)).filter(lambda ab: ab[0] != ab[1])
    return ends.map(lambda ab: slice(*sorted(ab)))


@settings(max_examples=60, deadline=None)
@given(part(HEIGHT), part(WIDTH), st.none() | st.lists(st.integers(0, DATES - 1), max_size=6))
def test_any_window_is_what_tensorstore_reads(stored, rows, columns, dates):
    array, other, values = stored
    read = array.read(rows, columns, dates)
    which = slice(None) if dates is None else np.asarray(dates, np.int64)
    expected = cube.get(other, (which, slice(None), rows, columns), array.folder)
    assert read.dtype == expected.dtype
    np.testing.assert_array_equal(read, expected)
    np.testing.assert_array_equal(read, values[which, :, rows, columns])


def test_files_of_chunks_and_shards_without_values_are_missing(stored):
    array, _, _ = stored
    files = {file.relative_to(array.folder / "c").as_posix() for file in folder_files(array)}
    assert {"0/0/0/0", "0/0/2/1", "2/0/1/0", "3/0/0/0"} <= files
    assert not {"1/0/0/0", "2/0/0/0"} & files


def folder_files(array):
    return [file for file in (array.folder / "c").rglob("*") if file.is_file()]


@pytest.mark.parametrize(
    "form",
    [
        {"compress": True},
        {"shards": None},
        {"chunks": (1, 1, CHUNK, CHUNK)},
        {"shards": (2, CHANNELS, SHARD, SHARD)},
    ],
)
def test_other_forms_are_left_to_tensorstore(tmp_path, form):
    make(tmp_path / "values", "int16", 0, **form)
    assert raw.of(cube.open_array(tmp_path / "values"), tmp_path / "values") is None


def test_other_windows_are_left_to_tensorstore(stored):
    array, _, _ = stored
    whole = slice(0, 5)
    for wrong in (slice(0, 5, 2), slice(None), slice(-5, 5), slice(5, 5), slice(0, HEIGHT + 1)):
        assert array.read(wrong, whole, None) is None
        assert array.read(whole, wrong, None) is None
    for dates in ([-1], [DATES]):
        assert array.read(whole, whole, dates) is None


INDEX = 16 * (SHARD // CHUNK) ** 2 + 4
EACH = CHANNELS * CHUNK * CHUNK * 2


def _number(place, number):
    def change(content):
        start = len(content) - INDEX + 8 * place
        return content[:start] + struct.pack("<Q", number) + content[start + 8 :]

    return change


DAMAGES = {
    "empty": lambda content: b"",
    "cut within its index": lambda content: content[-100:],
    "cut": lambda content: content[:-EACH],
    "a byte less": lambda content: content[1:],
    "a chunk twice": _number(0, EACH),
    "a chunk elsewhere": _number(0, 2**40),
    "a chunk of another size": _number(1, EACH - 1),
    "a chunk said to be missing": _number(0, 2**64 - 1),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_seen(tmp_path, damage):
    folder = tmp_path / "values"
    make(folder, "int16", 0)
    file = folder / "c/0/0/0/0"
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    array = raw.of(cube.open_array(folder), folder)
    assert array.read(slice(0, 9), slice(0, 9), [0]) is None
    assert array.read(slice(0, 9), slice(0, 9), [3]) is not None


def test_a_region_reads_so_and_refuses_damage_in_a_line(tmp_path, monkeypatch):
    from pastis_jax.errors import DataError

    truth = make_region(tmp_path / "r", days={"S2": (1, 2)}, masked=())
    region, window = Region(tmp_path / "r"), (slice(37, 165), slice(211, 339))
    with monkeypatch.context() as patch:
        patch.setattr(cube, "get", None)
        np.testing.assert_array_equal(region.read("S2", *window), truth["S2"][..., *window])
    file = tmp_path / "r/cube.zarr/S2/values/c/1/0/0/0"
    file.write_bytes(file.read_bytes()[:-400])
    with pytest.raises(DataError, match=r"S2/values: .*; ingest the Region anew"):
        region.read("S2", *window)
    np.testing.assert_array_equal(region.read("S2", *window, [0])[0], truth["S2"][0][:, *window])


def test_threads_read_the_same_and_files_are_closed(stored):
    array, _, values = stored
    places = [(slice(k, k + 20), slice(k % 7, k % 7 + 30)) for k in range(50)]
    open_before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda window: array.read(*window, None), places))
    for window, one in zip(places, read, strict=True):
        np.testing.assert_array_equal(one, values[..., *window])
    if open_before:
        assert len(os.listdir("/proc/self/fd")) == open_before
