"""Windows of values that are stored as they are, uncompressed: only the rows they need are read.

TensorStore reads whole chunks, four of them for a window of a chunk's size that lies anywhere.
Arrays of other forms than `writer` gives them are left to it. Files are read, not mapped: one that
gets shorter meanwhile would end the process. None stays open, so that processes may fork.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorstore

from pastis_jax.data.regions.cube import REMEDY
from pastis_jax.data.regions.raw_index import ABSENT, read_index
from pastis_jax.errors import DataError
from pastis_jax.files import regular_descriptor

_PLAIN = {"name": "bytes", "configuration": {"endian": "little"}}
_CHECKED = [_PLAIN, {"name": "crc32c"}]
_MOST_INDICES = 1 << 14
"""Indices of shards that are kept, of two kilobytes each."""
_UNKNOWN: tuple[Any, tuple[int, ...]] = (None, ())


@dataclasses.dataclass(frozen=True)
class _Piece:
    """What a window has of one chunk.

    Attributes:
      number: Of the chunk among those of its file, row by row.
      there: Channels, rows and columns of the window.
      inside: Those of the buffer that are copied; None for what is read into the window itself.
      ranges: Where each begins in the chunk (B), and where the window or the buffer takes it (B).
    """

    number: int
    there: tuple[slice, ...]
    inside: tuple[slice, ...] | None
    ranges: tuple[tuple[int, slice], ...]


class RawArray:
    """An array (t, c, y, x) whose chunks and shards hold all channels of one acquisition.

    Reading may run in any thread.

    Args:
      folder: Of the array.
      shape: Its shape.
      chunk: Sides of a chunk, pixels.
      shard: Sides of a shard, in chunks; None where each chunk is a file.
      dtype: Of the values.
      fill: What is read where nothing was written.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        shape: Sequence[int],
        *,
        chunk: Sequence[int],
        shard: Sequence[int] | None,
        dtype: np.dtype,
        fill: Any,
    ):
        self._folder, self._shape, self._fill = folder, tuple(shape), fill
        self._sides, self._shard = tuple(chunk), None if shard is None else tuple(shard)
        self._dtype = dtype
        self._size = math.prod((shape[1], *chunk)) * dtype.itemsize
        self._indices: dict[str, tuple[Any, tuple[int, ...]]] = {}

    def holds(self, rows: slice, columns: slice, dates: Sequence[int] | None) -> bool:
        """Whether a window has all its pixels and dates here."""
        known = dates is None or all(0 <= date < self._shape[0] for date in dates)
        return known and _within(rows, self._shape[2]) and _within(columns, self._shape[3])

    def read(self, rows: slice, columns: slice, dates: Sequence[int] | None) -> np.ndarray:
        """Reads a window that the array `holds`, (t, c, h, w).

        Args:
          rows: Within the grid.
          columns: The same.
          dates: Numbers of the acquisitions to read; None for all.

        Raises:
          DataError: If a file is damaged, or cannot be read.
        """
        numbers = range(self._shape[0]) if dates is None else dates
        size = (rows.stop - rows.start, columns.stop - columns.start)
        values = np.empty((len(numbers), self._shape[1], *size), self._dtype)
        for _ in self._frames(values, rows, columns, numbers):
            pass
        return values

    def each(self, rows: slice, columns: slice, dates: Iterable[int]) -> Iterator[np.ndarray]:
        """Reads as `read` does, one acquisition after the other, (c, h, w) each."""
        size = (rows.stop - rows.start, columns.stop - columns.start)
        outs = (np.empty((self._shape[1], *size), self._dtype) for _ in itertools.count())
        return self._frames(outs, rows, columns, dates)

    def _frames(
        self, outs: Iterable[np.ndarray], rows: slice, columns: slice, dates: Iterable[int]
    ) -> Iterator[np.ndarray]:
        """Gives acquisitions of a window, (c, h, w), when they are read into arrays."""
        buffer = np.empty((self._shape[1], *self._sides), self._dtype)
        files = [*self._pieces(rows, columns).items()]
        for date, out in zip(dates, outs, strict=False):
            for name, pieces in files:
                self._read(f"{self._folder}/c/{date}/0/{name}", pieces, out, buffer)
            yield out

    def _read(
        self, file: str, pieces: Sequence[_Piece], out: np.ndarray, buffer: np.ndarray
    ) -> None:
        """Reads what one acquisition of a window, (c, h, w), has of one file."""
        descriptor = None
        try:
            descriptor, state = regular_descriptor(file)
            known, offsets = self._indices.get(file, _UNKNOWN)
            if known != (state.st_mtime_ns, state.st_size, state.st_ino):
                offsets = self._offsets(file, descriptor, state)
            for piece in pieces:
                if (offset := offsets[piece.number]) == ABSENT:
                    out[piece.there] = self._fill
                    continue
                into = memoryview(out if piece.inside is None else buffer).cast("B")
                for start, place in piece.ranges:
                    _read_whole(descriptor, into[place], offset + start)
                if piece.inside is not None:
                    out[piece.there] = buffer[piece.inside]
        except FileNotFoundError:
            for piece in pieces:
                out[piece.there] = self._fill
        except OSError as error:
            fault = f"cannot be read ({error.strerror or error})"
            raise DataError(fault, where=file, remedy=REMEDY) from error
        except ValueError as error:
            fault = f"is damaged, truncated perhaps ({error})"
            raise DataError(fault, where=file, remedy=REMEDY) from error
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _offsets(self, file: str, descriptor: int, state: os.stat_result) -> tuple[int, ...]:
        """Reads where the chunks of a file begin (B), which holds until it changes.

        Raises:
          ValueError: If it is damaged.
          OSError: If it cannot be read.
        """
        if self._shard is not None:
            count = math.prod(self._shard)
            offsets = read_index(descriptor, state.st_size, count=count, size=self._size)
        elif state.st_size == self._size:
            offsets = (0,)
        else:
            raise ValueError(f"{state.st_size:,} bytes where a chunk has {self._size:,}")
        if len(self._indices) >= _MOST_INDICES:
            self._indices.clear()
        self._indices[file] = (state.st_mtime_ns, state.st_size, state.st_ino), offsets
        return offsets

    def _pieces(self, rows: slice, columns: slice) -> Mapping[str, list[_Piece]]:
        """What a window has of each chunk that it touches, by file within an acquisition's folder.

        A window as wide as a chunk has rows that are as far apart as those of the chunk. So what it
        has of one chunk of two is read right where it belongs, with what lies between: the other
        chunk, which comes later, covers that.
        """
        files: dict[str, list[_Piece]] = {}
        height, width = _length(rows), _length(columns)
        beside = sorted(_cut(columns, self._sides[1]), key=lambda cut: -_length(cut[1]))
        for place, (x, *wide) in enumerate(beside):
            straight = width == self._sides[1] and place == 0
            for y, *high in _cut(rows, self._sides[0]):
                file, number = self._place(y, x)
                (inside, there) = zip(high, wide, strict=True)
                if straight:
                    through, ranges = None, self._straight(inside, there, height)
                else:
                    through, ranges = self._buffered(inside)
                piece = _Piece(number, (slice(None), *there), through, ranges)
                files.setdefault(file, []).append(piece)
        return files

    def _place(self, y: int, x: int) -> tuple[str, int]:
        """The file of a chunk, and its number there."""
        if self._shard is None:
            return f"{y}/{x}", 0
        (down, high), (right, wide) = zip((y, x), self._shard, strict=True)
        return f"{down // high}/{right // wide}", down % high * wide + right % wide

    def _straight(self, inside: Any, there: Any, height: int) -> tuple[tuple[int, slice], ...]:
        """Ranges of a chunk that are read into a window as wide as it."""
        side, wide = self._sides
        rows, columns = map(_length, inside)
        start = inside[0].start * wide + inside[1].start
        begin = there[0].start * wide + there[1].start
        count = self._shape[1]
        if rows == side == height:  # the channels follow each other as they do in the chunk
            rows, count = rows * count, 1
        length = (rows - 1) * wide + columns
        return self._bytes(
            (k * side * wide + start, k * height * wide + begin, length) for k in range(count)
        )

    def _buffered(self, inside: Any) -> tuple[tuple[slice, ...], tuple[tuple[int, slice], ...]]:
        """What of a buffer of a chunk's size is wanted, and ranges that are read into it."""
        side, wide = self._sides
        rows, channels, whole = _length(inside[0]), self._shape[1], side * wide
        if 4 * rows > 3 * side:  # one long reading costs less than one a channel
            return (slice(None), *inside), self._bytes([(0, 0, channels * whole)])
        start = inside[0].start * wide
        ranges = ((k * whole + start, k * whole, rows * wide) for k in range(channels))
        return (slice(None), slice(0, rows), inside[1]), self._bytes(ranges)

    def _bytes(self, ranges: Iterable[tuple[int, int, int]]) -> tuple[tuple[int, slice], ...]:
        """Ranges of values, begins and length, as ranges of bytes."""
        one = self._dtype.itemsize
        return tuple((a * one, slice(b * one, (b + length) * one)) for a, b, length in ranges)


def of(array: tensorstore.TensorStore, folder: pathlib.Path) -> RawArray | None:
    """An opened array, where it can be read so; None otherwise.

    Args:
      array: What TensorStore opened.
      folder: Where it lies.
    """
    if array.rank != 4 or not hasattr(os, "preadv"):
        return None
    chunk, shard = array.chunk_layout.read_chunk.shape, array.chunk_layout.write_chunk.shape
    codecs = array.codec.to_json()["codecs"]
    sharded = codecs[0]["name"] == "sharding_indexed"
    if sharded:
        inner = codecs[0]["configuration"]
        if inner["index_codecs"] != _CHECKED or inner.get("index_location", "end") != "end":
            return None
        codecs = codecs[1:] + inner["codecs"]
    if codecs != [_PLAIN] or not chunk[:2] == shard[:2] == (1, array.shape[1]):
        return None
    return RawArray(
        folder,
        array.shape,
        chunk=chunk[2:],
        shard=(shard[2] // chunk[2], shard[3] // chunk[3]) if sharded else None,
        dtype=array.dtype.numpy_dtype.newbyteorder("<"),
        fill=array.fill_value[()],
    )


def _read_whole(descriptor: int, view: memoryview, offset: int) -> None:
    """Reads as many bytes as a view has.

    Raises:
      ValueError: If the file ends before.
    """
    while (count := os.preadv(descriptor, [view], offset)) != len(view):
        if not count:
            raise ValueError("it ends within its values")
        offset, view = offset + count, view[count:]


def _length(part: slice) -> int:
    return part.stop - part.start


def _within(part: slice, side: int) -> bool:
    plain = part.step is None and None not in (part.start, part.stop)
    return plain and 0 <= part.start < part.stop <= side


def _cut(part: slice, side: int) -> Iterator[tuple[int, slice, slice]]:
    """Cuts a part of an axis by chunks: their numbers, what is inside of each, where it goes."""
    for chunk in range(part.start // side, -(-part.stop // side)):
        first, last = max(part.start, chunk * side), min(part.stop, (chunk + 1) * side)
        inside = slice(first - chunk * side, last - chunk * side)
        yield chunk, inside, slice(first - part.start, last - part.start)
