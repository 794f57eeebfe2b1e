"""Windows of values that are stored as they are, uncompressed in shards: only their rows are read.

TensorStore reads whole chunks, four of them for a window of a chunk's size that lies anywhere. Here
only what has the form that it writes is read; all else is left to it, damage too, as it tells what
is wrong. Files are read, not mapped: one that gets shorter meanwhile would end the process.
"""

from __future__ import annotations

import dataclasses
import io
import math
import os
import pathlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorstore

from pastis_jax.files import open_regular

_ABSENT = 2**64 - 1
"""Offset and size of a chunk that holds nothing but the fill value."""
_CHECKSUM = 4
"""Size of what follows the index (B)."""
_PLAIN = {"name": "bytes", "configuration": {"endian": "little"}}


@dataclasses.dataclass(frozen=True)
class RawArray:
    """An array (t, c, y, x) whose chunks and shards hold all channels of one acquisition.

    Attributes:
      folder: Of the array.
      shape: Its shape.
      chunk: Sides of a chunk, pixels.
      shard: Sides of a shard, in chunks.
      dtype: Of the values.
      fill: Where nothing was written.
    """

    folder: pathlib.Path
    shape: tuple[int, int, int, int]
    chunk: tuple[int, int]
    shard: tuple[int, int]
    dtype: np.dtype
    fill: float | int

    def read(self, rows: slice, columns: slice, dates: Sequence[int] | None) -> np.ndarray | None:
        """Reads a window, (t, c, h, w); None for what is of another form, damaged perhaps.

        Args:
          rows: Within the grid.
          columns: The same.
          dates: Numbers of the acquisitions to read; None for all.
        """
        t, c, height, width = self.shape
        numbers = range(t) if dates is None else [int(date) for date in dates]
        inside = all(0 <= number < t for number in numbers)
        if not (inside and _within(rows, height) and _within(columns, width)):
            return None
        size = (rows.stop - rows.start, columns.stop - columns.start)
        values = np.empty((len(numbers), c, *size), self.dtype)
        buffer = np.empty((c, *self.chunk), self.dtype)
        shards = self._shards(rows, columns)
        try:
            for number, out in zip(numbers, values, strict=True):
                for name, pieces in shards.items():
                    self._read(self.folder / f"c/{number}/0/{name}", pieces, out, buffer)
        except (OSError, ValueError):
            return None
        return values

    def _shards(self, rows: slice, columns: slice) -> Mapping[str, list[Any]]:
        """Number and places of what a window has of each chunk, by the name of its shard."""
        shards: dict[str, list[Any]] = {}
        for y, *high in _cut(rows, self.chunk[0]):
            for x, *wide in _cut(columns, self.chunk[1]):
                name = f"{y // self.shard[0]}/{x // self.shard[1]}"
                number = y % self.shard[0] * self.shard[1] + x % self.shard[1]
                inside, there = zip(high, wide, strict=True)
                shards.setdefault(name, []).append((number, inside, there))
        return shards

    def _read(
        self, file: pathlib.Path, pieces: Sequence[Any], out: np.ndarray, buffer: np.ndarray
    ) -> None:
        """Reads what one acquisition's window, (c, h, w), has of one shard."""
        try:
            stream = open_regular(file)
        except FileNotFoundError:
            for _, _, there in pieces:
                out[:, *there] = self.fill
            return
        with stream:
            offsets = self._offsets(stream, buffer.nbytes)
            for number, inside, there in pieces:
                if offsets[number] == _ABSENT:
                    out[:, *there] = self.fill
                else:
                    _copy(stream, offsets[number], out[:, *there], buffer, *inside)

    def _offsets(self, stream: io.FileIO, size: int) -> tuple[int, ...]:
        """Where each chunk of a shard begins; chunks fill the file, each has a place of its own.

        Raises:
          ValueError: If it is not so.
        """
        count = math.prod(self.shard)
        end = os.fstat(stream.fileno()).st_size - 16 * count - _CHECKSUM
        stream.seek(max(end, 0))
        index = stream.read(16 * count)
        if end < 0 or len(index) < 16 * count:
            raise ValueError("too short")
        numbers = struct.unpack(f"<{2 * count}Q", index)
        offsets, sizes = numbers[::2], numbers[1::2]
        absent = offsets.count(_ABSENT)
        places = [*range(0, end, size), *[_ABSENT] * absent]
        known = sizes.count(size) == count - absent and sizes.count(_ABSENT) == absent
        if end % size or sorted(offsets) != places or not known:
            raise ValueError("chunks of other sizes")
        return offsets


def of(array: tensorstore.TensorStore, folder: pathlib.Path) -> RawArray | None:
    """An opened array, where it can be read so; None otherwise.

    Args:
      array: What TensorStore opened.
      folder: Where it lies.
    """
    chunk, shard = array.chunk_layout.read_chunk.shape, array.chunk_layout.write_chunk.shape
    codecs = array.codec.to_json()["codecs"]
    if array.rank != 4 or [codec["name"] for codec in codecs] != ["sharding_indexed"]:
        return None
    inside = codecs[0]["configuration"]
    plain = all(codec == _PLAIN for codec in inside["codecs"])
    checked = inside["index_codecs"] == [_PLAIN, {"name": "crc32c"}]
    if not (plain and checked and inside.get("index_location", "end") == "end"):
        return None
    if not chunk[:2] == shard[:2] == (1, array.shape[1]):
        return None
    return RawArray(
        folder=folder,
        shape=array.shape,
        chunk=chunk[2:],
        shard=(shard[2] // chunk[2], shard[3] // chunk[3]),
        dtype=array.dtype.numpy_dtype.newbyteorder("<"),
        fill=array.fill_value[()],
    )


def _copy(
    stream: io.FileIO,
    offset: int,
    out: np.ndarray,
    buffer: np.ndarray,
    rows: slice,
    columns: slice,
) -> None:
    """Reads a part of a chunk, (c, h, w), through a buffer of a chunk's size."""
    high = rows.stop - rows.start
    if out.shape == buffer.shape and out.flags.c_contiguous:
        _fill(stream, offset, out)
    elif 5 * high > 3 * buffer.shape[1]:  # one long reading costs less than one a channel
        _fill(stream, offset, buffer)
        out[...] = buffer[:, rows, columns]
    else:
        first = rows.start * buffer.strides[1]
        for channel, part in enumerate(buffer[:, :high]):
            _fill(stream, offset + channel * buffer.strides[0] + first, part)
        out[...] = buffer[:, :high, columns]


def _fill(stream: io.FileIO, offset: int, values: np.ndarray) -> None:
    stream.seek(offset)
    if stream.readinto(memoryview(values).cast("B")) != values.nbytes:
        raise ValueError("shorter than it was")


def _within(part: slice, side: int) -> bool:
    plain = part.step is None and None not in (part.start, part.stop)
    return plain and 0 <= part.start < part.stop <= side


def _cut(part: slice, side: int) -> Iterator[tuple[int, slice, slice]]:
    """Cuts a part of an axis by chunks: their numbers, what is inside of each, where it goes."""
    for chunk in range(part.start // side, -(-part.stop // side)):
        first, last = max(part.start, chunk * side), min(part.stop, (chunk + 1) * side)
        inside = slice(first - chunk * side, last - chunk * side)
        yield chunk, inside, slice(first - part.start, last - part.start)
