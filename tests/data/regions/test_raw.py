"""Windows read by their rows are those that TensorStore reads, bit by bit."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import pathlib
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from region_factory import make_region

from pastis_jax.data.regions import cube, raw
from pastis_jax.data.regions.store import Region
from pastis_jax.errors import DataError

CHUNK, SHARD, CHANNELS, DATES = 8, 32, 3, 4
HEIGHT, WIDTH = 70, 45  # of shards that are cut at both edges
NAMES = ("time", "channel", "y", "x")
KINDS = {
    f"{dtype}, {'shards' if shard else 'chunks'}": (dtype, fill, shard)
    for dtype, fill in (("int16", -5), ("float16", float("nan")), ("float32", 0))
    for shard in (SHARD, None)
}


def make(folder, dtype="int16", fill=0, shard=SHARD, **form):
    """An array of which some shards and some chunks are missing; what is in it."""
    rng = np.random.default_rng(0)
    shards = None if shard is None else (1, CHANNELS, shard, shard)
    options = {"chunks": (1, CHANNELS, CHUNK, CHUNK), "shards": shards, "compress": False} | form
    shape = (DATES, CHANNELS, HEIGHT, WIDTH)
    cube.make_array(folder, shape, dtype, names=NAMES, fill=fill, **options)
    values = rng.integers(0, 2**16, shape, np.uint16)
    values = values.view(dtype) if np.dtype(dtype).itemsize == 2 else values.astype(dtype)
    values[1] = fill
    values[2, :, :SHARD, :SHARD] = fill
    values[3, :, 8:40, 8:16] = fill
    cube.put(cube.open_array(folder), (), values)
    return values


@pytest.fixture(scope="module", params=KINDS)
def stored(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "values"
    values = make(folder, *KINDS[request.param])
    array = cube.open_array(folder)
    return raw.of(array, folder), array, values


def part(side):
    """Any part of an axis, often one of a chunk's side."""
    ends = st.tuples(st.integers(0, side), st.integers(0, side)).filter(lambda ab: ab[0] != ab[1])
    alike = st.integers(0, side - CHUNK).map(lambda start: slice(start, start + CHUNK))
    return ends.map(lambda ab: slice(*sorted(ab))) | alike


@settings(max_examples=100, deadline=None)
@given(part(HEIGHT), part(WIDTH), st.none() | st.lists(st.integers(0, DATES - 1), max_size=6))
def test_any_window_is_what_tensorstore_reads(stored, rows, columns, dates):
    array, other, values = stored
    assert array.holds(rows, columns, dates)
    read = array.read(rows, columns, dates)
    which = slice(None) if dates is None else np.asarray(dates, np.int64)
    expected = cube.get(other, (which, slice(None), rows, columns), pathlib.Path())
    assert (read.dtype, read.shape) == (expected.dtype, expected.shape)
    assert read.tobytes() == expected.tobytes()
    np.testing.assert_array_equal(read, values[which, :, rows, columns])
    every = [*array.each(rows, columns, range(DATES) if dates is None else dates)]
    assert b"".join(one.tobytes() for one in every) == expected.tobytes()


def test_some_chunks_and_files_are_missing(tmp_path):
    make(tmp_path / "shards")
    make(tmp_path / "chunks", shard=None)
    for name, there, missing in (
        ("shards", {"0/0/0/0", "0/0/2/1", "2/0/1/0", "3/0/0/0"}, {"1/0/0/0", "2/0/0/0"}),
        ("chunks", {"0/0/8/5", "2/0/4/0", "3/0/0/1"}, {"1/0/0/0", "2/0/3/3", "3/0/1/1"}),
    ):
        folder = tmp_path / name / "c"
        files = {file.relative_to(folder).as_posix() for file in folder.rglob("*")}
        assert there <= files
        assert not missing & files


@pytest.mark.parametrize(
    "form",
    [
        {"compress": True},
        {"compress": True, "shards": None},
        {"chunks": (1, 1, CHUNK, CHUNK)},
        {"chunks": (2, CHANNELS, CHUNK, CHUNK), "shards": None},
        {"shards": (2, CHANNELS, SHARD, SHARD)},
    ],
)
def test_other_forms_are_left_to_tensorstore(tmp_path, form):
    make(tmp_path / "values", **form)
    assert raw.of(cube.open_array(tmp_path / "values"), tmp_path / "values") is None


def test_windows_that_it_does_not_hold(stored):
    array, _, _ = stored
    whole = slice(0, 5)
    for wrong in (slice(0, 5, 2), slice(None), slice(-5, 5), slice(5, 5), slice(0, HEIGHT + 1)):
        assert not array.holds(wrong, whole, None)
        assert not array.holds(whole, wrong, None)
    for dates in ([-1], [DATES]):
        assert not array.holds(whole, whole, dates)


INDEX = 16 * (SHARD // CHUNK) ** 2 + 4
EACH = CHANNELS * CHUNK * CHUNK * 2


def _changed(place):
    def change(content):
        return content[:place] + bytes([content[place] ^ 1]) + content[place:][1:]

    return change


DAMAGES = {
    "empty": (lambda content: b"", "0 bytes, less than its index has"),
    "cut within its index": (lambda content: content[-100:], "100 bytes, less than its index"),
    "cut": (lambda content: content[:-EACH], "its index has another checksum"),
    "a bit of its index": (_changed(-INDEX + 9), "its index has another checksum"),
    "a bit of the checksum": (_changed(-1), "its index has another checksum"),
    "without its first chunk": (lambda content: content[EACH:], "chunks that it does not hold"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused_in_a_line(tmp_path, damage):
    folder = tmp_path / "values"
    make(folder)
    file = folder / "c/0/0/0/0"
    change, fault = DAMAGES[damage]
    file.write_bytes(change(file.read_bytes()))
    array = raw.of(cube.open_array(folder), folder)
    with pytest.raises(DataError, match=rf"/c/0/0/0/0: .*{fault}.*; ingest the Region") as error:
        array.read(slice(0, 9), slice(0, 9), [0])
    assert "\n" not in str(error.value)
    array.read(slice(0, 9), slice(0, 9), [3])
    with pytest.raises(DataError):  # TensorStore does not read it either
        cube.get(cube.open_array(folder), 0, folder)


@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content + b"\0"])
def test_a_chunk_of_another_size_is_refused(tmp_path, change):
    folder = tmp_path / "values"
    make(folder, shard=None)
    file = folder / "c/0/0/1/0"
    file.write_bytes(change(file.read_bytes()))
    array = raw.of(cube.open_array(folder), folder)
    with pytest.raises(DataError, match=f"/c/0/0/1/0: .*bytes where a chunk has {EACH}.*; "):
        array.read(slice(0, 9), slice(0, 9), [0])


def test_a_file_that_gets_shorter_while_it_is_read_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "values"
    make(folder)
    array, file, read = raw.of(cube.open_array(folder), folder), folder / "c/0/0/0/0", os.preadv

    def shorter(descriptor, buffers, offset):
        os.truncate(file, EACH // 2)
        return read(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", shorter)
    with pytest.raises(DataError, match=r"/c/0/0/0/0: .*it ends within its values"):
        array.read(slice(0, 32), slice(0, 32), [0])


def test_what_a_read_leaves_over_is_read_next(stored, monkeypatch):
    array, _, values = stored
    read = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, views, at: read(file, [views[0][:7]], at))
    window = slice(3, 40), slice(5, 13)
    np.testing.assert_array_equal(array.read(*window, None), values[:, :, *window])


def test_something_else_than_a_file_is_refused(tmp_path):
    folder = tmp_path / "values"
    make(folder)
    array = raw.of(cube.open_array(folder), folder)
    (folder / "c/0/0/0/0").unlink()
    (folder / "c/0/0/0/0").mkdir()
    with pytest.raises(DataError, match=r"/c/0/0/0/0: .*a directory, not a regular file"):
        array.read(slice(0, 9), slice(0, 9), [0])


def test_a_file_that_takes_the_place_of_another_is_read(tmp_path):
    values = [make(tmp_path / name, dtype, 0) for name, dtype in (("a", "int16"), ("b", "int16"))]
    values[1] = values[1][::-1].copy()
    cube.put(cube.open_array(tmp_path / "b"), (), values[1])
    array = raw.of(cube.open_array(tmp_path / "a"), tmp_path / "a")
    window = slice(5, 50), slice(7, 40)
    np.testing.assert_array_equal(array.read(*window, None), values[0][:, :, *window])
    shutil.rmtree(tmp_path / "a/c")
    (tmp_path / "b/c").rename(tmp_path / "a/c")
    np.testing.assert_array_equal(array.read(*window, None), values[1][:, :, *window])


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


@pytest.fixture(scope="module", params=[True, False], ids=["shards", "chunks"])
def region(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("region") / "r"
    days = {"S2": (1, 2), "S1A": (3,)}
    return root, make_region(root, days=days, masked=(), shards=request.param)


WINDOW = slice(37, 165), slice(211, 339)


@pytest.mark.parametrize("name", ["S2", "S1A"])
def test_a_region_reads_so(region, name, monkeypatch):
    root, truth = region
    monkeypatch.setattr(cube, "get", None)
    opened = Region(root)
    expected = truth[name][..., *WINDOW]
    np.testing.assert_array_equal(opened.read(name, *WINDOW), expected)
    last = len(expected) - 1
    for one in opened.each(name, *WINDOW, [last, 0]):
        np.testing.assert_array_equal(one, expected[last])
        last = 0
    again = pickle.loads(pickle.dumps(opened))
    assert len(pickle.dumps(opened)) == len(pickle.dumps(again))
    np.testing.assert_array_equal(again.read(name, *WINDOW), expected)


FORK = """
import os, sys
import numpy as np
from pastis_jax.data.regions.store import Region

opened, where = Region(sys.argv[1]), (slice(100, 228), slice(200, 328))
before = opened.read("S2", *where)
child = os.fork()
if not child:
    os._exit(0 if np.array_equal(opened.read("S2", *where), before) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_reads_on(region):
    """In a process without JAX, whose threads must not be forked."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork here")
    subprocess.run([sys.executable, "-c", FORK, str(region[0])], check=True, timeout=100)


def test_a_region_refuses_damage_in_a_line(tmp_path):
    truth = make_region(tmp_path / "r", days={"S2": (1, 2)}, masked=())
    opened, file = Region(tmp_path / "r"), tmp_path / "r/cube.zarr/S2/values/c/1/0/0/0"
    file.write_bytes(file.read_bytes()[:-400])
    with pytest.raises(DataError, match=r"S2/values/c/1/0/0/0: .*; ingest the Region again"):
        opened.read("S2", *WINDOW)
    np.testing.assert_array_equal(opened.read("S2", *WINDOW, [0])[0], truth["S2"][0][:, *WINDOW])
