"""A `.npy` file is read as it was written, and nothing in one ends in a traceback."""

from __future__ import annotations

import io
import os
import random

import numpy as np
import pytest
from refusal import refused_in_a_line

from pastis_jax.data.npy import StoredArray, load_array, parts
from pastis_jax.errors import DataError

ARRAYS = {
    "series": np.arange(120, dtype=np.int16).reshape(3, 2, 4, 5),
    "Fortran order": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    "big-endian": np.arange(6, dtype=">i4").reshape(2, 3),
    "half": np.arange(6, dtype=np.float16).reshape(2, 3),
    "no pixel": np.zeros((3, 2, 0), np.int16),
    "no axis": np.array(7, np.uint8),
    "one axis": np.arange(5),
    "bool": np.array([[True, False]]),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_what_was_saved_is_read(case, tmp_path):
    file, values = tmp_path / "a.npy", ARRAYS[case]
    np.save(file, values)
    read, stored = load_array(file), StoredArray(file)
    np.testing.assert_array_equal(read, values, strict=True)
    assert read.flags.f_contiguous == values.flags.f_contiguous
    assert (stored.shape, stored.ndim, stored.dtype) == (values.shape, values.ndim, values.dtype)
    assert (stored.size, stored.nbytes) == (values.size, values.nbytes)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_format_is_read(version, tmp_path):
    with (tmp_path / "a.npy").open("wb") as stream:
        np.lib.format.write_array(stream, ARRAYS["series"], version)
    np.testing.assert_array_equal(load_array(tmp_path / "a.npy"), ARRAYS["series"])


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }",
        '{"shape": (2, 3), "fortran_order": False, "descr": "<i2"}',  # other writers
        "{'descr':'<i2','fortran_order':False,'shape':(2L,3L)}   \n",  # Python 2
    ],
)
def test_headers_of_other_writers(header, tmp_path):
    file, values = tmp_path / "a.npy", np.arange(6, dtype="<i2")
    file.write_bytes(written(header, values.tobytes()))
    np.testing.assert_array_equal(load_array(file), values.reshape(2, 3))


@pytest.mark.parametrize("case", ["series", "Fortran order"])
def test_what_is_asked_for_is_read(case, tmp_path):
    file, values = tmp_path / "a.npy", ARRAYS[case]
    np.save(file, values)
    stored = StoredArray(file)
    for key in (
        1,
        -1,
        (1, 0),
        (0, slice(None), slice(1, 3)),
        slice(1, None),
        ...,
        [1, 0],
        (..., 0),
    ):
        np.testing.assert_array_equal(stored[key], values[key], strict=True)
    for one in (stored, values):
        got = list(parts(one, [1, 0, 1]))
        np.testing.assert_array_equal(got, values[[1, 0, 1]])
    np.testing.assert_array_equal(stored.transpose() * 2 + stored.T, values.T * 3)
    assert stored.mean() == values.mean()
    assert len(stored) == len(values)
    with pytest.raises(IndexError):
        stored[len(values)]


def written(header, values=b""):
    """A file of version 1.0 with this header."""
    text = header if isinstance(header, bytes) else header.encode("latin1")
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + values


def header(descr="'<i2'", order="False", shape="(2, 3)"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


HEADERS = {
    "2**70": header(shape=f"({2**70},)"),
    "2**62": header(shape=f"({2**62},)"),
    "overflowing product": header(shape=f"(0, {2**40}, {2**40})"),
    "10 TB": header(shape="(5000000000000,)"),
    "negative": header(shape="(-1, 3)"),
    "a number as shape": header(shape="6"),
    "a text as shape": header(shape="'6'"),
    "floats as shape": header(shape="(2.0, 3)"),
    "True as shape": header(shape="(True, 3)"),
    "33 axes": header(shape=str((1,) * 33)),
    "1000 axes": header(shape=str((1,) * 1000)),
    "underscore": header(shape="(1_0,)"),
    "unclosed": header()[:-5],
    "nested": "(" * 5000,
    "minus": "-(" * 3000,
    "minus in a shape": header(shape="-(" * 3000),
    "no field": "{}",
    "a field too many": header()[:-1] + "'more': '1', }",
    "a field twice": header()[:-1] + "'descr': '<i2', }",
    "other types": header(descr="False", order="'<i2'"),
    "code": header(descr="__import__('os')"),
    "null byte": header() + "\0",
    "not ASCII": header().replace("2", "\uff12").encode(),
    "dtype of fields": header(descr="[('a', '<i2')]"),
    "objects": header(descr="'|O'"),
    "i3": header(descr="'<i3'"),
    "f99": header(descr="'<f99'"),
    "dates": header(descr="'<M8[D]'"),
    "complex": header(descr="'<c8'"),
    "empty": "",
}


@pytest.mark.parametrize("case", HEADERS)
def test_header(case, tmp_path):
    file = tmp_path / "a.npy"
    file.write_bytes(written(HEADERS[case], bytes(12)))
    refused_in_a_line(lambda: load_array(file), str(file), "not a readable .npy array", "archive")


@pytest.mark.parametrize("kept", [0, 1, 6, 9, 11, 40, -1, -7])
def test_cut_file(kept, tmp_path):
    file = tmp_path / "a.npy"
    np.save(file, ARRAYS["series"])
    file.write_bytes(file.read_bytes()[:kept])
    refused_in_a_line(lambda: load_array(file), str(file), "not a readable .npy array")


def test_bytes_left_over(tmp_path):
    """A longer file that another one was written over has them."""
    file = tmp_path / "a.npy"
    np.save(file, ARRAYS["series"])
    file.write_bytes(file.read_bytes() + b"\0")
    refused_in_a_line(lambda: load_array(file), "369 bytes where its header tells of 368")


def test_long_header(tmp_path):
    file = tmp_path / "a.npy"
    file.write_bytes(b"\x93NUMPY\x02\x00" + (2**32 - 1).to_bytes(4, "little") + bytes(100))
    refused_in_a_line(lambda: load_array(file), "a header of 4294967295 bytes")


def test_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    (tmp_path / "loop.npy").symlink_to(tmp_path / "loop.npy")
    (tmp_path / "folder.npy").mkdir()
    for name, fault in (("pipe", "not a regular"), ("loop", "symbolic"), ("folder", "not a regu")):
        refused_in_a_line(lambda name=name: load_array(tmp_path / f"{name}.npy"), fault)
    refused_in_a_line(lambda: load_array(tmp_path / "none.npy"), "file not found", "archive")


def test_random_damage(tmp_path):
    """A thousand mutations of a file: each is refused in a line, or read as an array."""
    rng, file = random.Random(0), tmp_path / "a.npy"
    buffer = io.BytesIO()
    np.save(buffer, ARRAYS["series"])
    sound, outcomes = buffer.getvalue(), {"read": 0, "refused": 0}
    words = [
        b"-",
        b"(",
        b")",
        b"{",
        b"}",
        b"'",
        b",",
        b"9" * 30,
        b"0x",
        b"L",
        b"\0",
        b"\n",
        b"\xff",
    ]
    for _ in range(1000):
        damaged = bytearray(sound)
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(min(len(damaged), rng.choice((80, len(sound)))))
            match rng.randrange(4):
                case 0:
                    damaged[place] = rng.randrange(256)
                case 1:
                    damaged[place:place] = rng.choice(words) * rng.choice((1, 1, 50))
                case 2:
                    del damaged[place : place + rng.randint(1, 20)]
                case 3:
                    damaged[place] = rng.choice(b"0123456789-(), ")
        file.write_bytes(damaged)
        try:
            array = load_array(file)
        except DataError as error:
            outcomes["refused"] += len(str(error).splitlines()) == 1
        else:
            assert array.nbytes <= len(damaged)
            outcomes["read"] += 1
    assert sum(outcomes.values()) == 1000
    assert min(outcomes.values()) > 20


def test_a_file_that_gets_shorter_or_changes_is_noticed(tmp_path):
    file, values = tmp_path / "a.npy", np.arange(40_000).reshape(4, 10_000)
    np.save(file, values)
    stored = StoredArray(file)
    reading = parts(stored, range(4))
    np.testing.assert_array_equal(next(reading), values[0])
    os.truncate(file, 100_000)
    refused_in_a_line(lambda: list(reading), str(file), "was changed while it is in use")
    for read in (lambda: stored[0], lambda: np.asarray(stored), lambda: list(parts(stored, [3]))):
        refused_in_a_line(read, str(file), "was changed while it is in use")

    np.save(file, values)
    stored = StoredArray(file)
    reading = parts(stored, range(2))
    next(reading)
    with file.open("r+b") as stream:  # of the same size
        stream.seek(-8, os.SEEK_END)
        stream.write(bytes(8))
    os.utime(file, ns=(1, 1))  # clocks of disks are coarse
    next(reading)
    refused_in_a_line(lambda: next(reading), "was changed while it is in use")
    file.unlink()
    refused_in_a_line(lambda: stored[0], "file not found")
