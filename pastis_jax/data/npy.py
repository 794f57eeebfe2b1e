"""Files of one array, `.npy`: read without trust, whole or date by date.

A header is a text that NumPy would hand to Python's parser, and a shape that it would allocate.
Here the form that writers of `.npy` give it is read, and no other, and nothing is allocated before
the file was found to hold as much. Files are read, not mapped: one that gets shorter meanwhile is
told in a line, where a map would end the process.
"""

from __future__ import annotations

import dataclasses
import io
import math
import os
import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from pastis_jax.data.reading import restore
from pastis_jax.errors import DataError
from pastis_jax.files import open_regular

Stamp = tuple[int, int]
"""Size (B) and time of the last change (ns) of a file."""

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000
_MOST_AXES = 32
_FIELD = re.compile(
    r"""\s*(['"])(?P<name>descr|fortran_order|shape)\1\s*:\s*"""
    r"""((['"])(?P<descr>[^'"]*)\4|(?P<order>True|False)|\((?P<shape>[0-9\sL,]*)\))"""
    r"""\s*(,|(?=\}))""",
    re.ASCII,
)
_SHAPE = re.compile(r"(\s*[0-9]{1,19}L?\s*,)*(\s*[0-9]{1,19}L?\s*)?", re.ASCII)


@dataclasses.dataclass(frozen=True)
class _Header:
    """What stands before the values.

    Attributes:
      shape: Of the array.
      dtype: Of its values.
      fortran: Whether the first axis varies fastest.
      offset: Where the values begin (B).
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    offset: int


def load_array(file: pathlib.Path) -> np.ndarray:
    """Reads one `.npy` array, and nothing else: no pickle, no archive.

    Raises:
      DataError: If the file is missing, truncated or no array of numbers.
    """
    return np.asarray(StoredArray(file))


class StoredArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array in a file, of which only what is asked for is read.

    A number as index reads that part of the first axis; all else that arrays can reads the whole.
    Every reading opens the file anew.

    Args:
      file: The file.

    Attributes:
      file: The file.
      shape: Of the array.
      dtype: Of its values.
      stamp: Of the file, when it was opened first; every reading compares it.

    Raises:
      DataError: If the file is missing, truncated or no array of numbers.
    """

    def __init__(self, file: pathlib.Path):
        self.file = file
        with _refusing(file), open_regular(file) as stream:
            self.stamp = stamp_of(os.fstat(stream.fileno()))
            self._header = _read_header(stream, size=self.stamp[0])
        self.shape, self.dtype = self._header.shape, self._header.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of all values (B)."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError(f"{self.file} has to be read")
        with _refusing(self.file), self._opened() as stream:
            values = self._read(stream, 0, self.shape)
            self._compare(stream)
        return values if dtype is None else values.astype(dtype, copy=False)

    def __array_ufunc__(self, function: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        read = (np.asarray(x) if isinstance(x, StoredArray) else x for x in inputs)
        return getattr(function, method)(*read, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        values = np.asarray(self)
        values.flags.writeable = False
        return getattr(values, name)

    def __getitem__(self, key: Any) -> np.ndarray:
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) and key else (key, ())
        number = isinstance(first, int | np.integer) and not isinstance(first, bool)
        if not number or any(isinstance(index, np.ndarray | list) for index in rest):
            return np.asarray(self)[key]
        (values,) = self.parts([range(len(self))[first]])
        return values[rest]

    def parts(self, numbers: Iterable[int]) -> Iterator[np.ndarray]:
        """Reads the parts of these numbers on the first axis, one after the other.

        Raises:
          DataError: If the file was changed since it was opened first, or cannot be read.
        """
        if self._header.fortran:
            yield from np.asarray(self)[list(numbers)]
            return
        shape = self.shape[1:]
        size = math.prod(shape) * self.dtype.itemsize
        with _refusing(self.file), self._opened() as stream:
            for number in numbers:
                yield self._read(stream, number * size, shape)
            self._compare(stream)

    def watch(self, files: Watched) -> None:
        """Remembers the file, or compares it.

        Raises:
          DataError: If it was changed since it was seen first.
        """
        files.see(self.file, self.stamp)

    def _opened(self) -> io.FileIO:
        stream = open_regular(self.file)
        try:
            self._compare(stream)
        except ValueError:
            stream.close()
            raise
        return stream

    def _compare(self, stream: io.FileIO) -> None:
        if stamp_of(os.fstat(stream.fileno())) != self.stamp:
            raise _ChangedError

    def _read(self, stream: io.FileIO, start: int, shape: tuple[int, ...]) -> np.ndarray:
        values = np.empty(math.prod(shape), self.dtype)
        stream.seek(self._header.offset + start)
        view = memoryview(values).cast("B") if values.size else memoryview(b"")
        while view:
            count = stream.readinto(view)
            if not count:
                raise _ChangedError
            view = view[count:]
        if self._header.fortran:
            return values.reshape(shape[::-1]).T
        return values.reshape(shape)


def parts(values: Any, numbers: Iterable[int]) -> Iterator[np.ndarray]:
    """Gives the parts of an array, in memory or stored, of these numbers on the first axis."""
    if isinstance(values, np.ndarray):
        return (values[number] for number in numbers)
    return values.parts(numbers)


class Watched:
    """Files, and what they were when they were first seen.

    Args:
      files: Some that are there already.

    Attributes:
      folder: Of the first one.
    """

    def __init__(self, files: Iterable[pathlib.Path] = ()):
        self._stamps = {file: stamp_of(file.stat()) for file in files}

    @property
    def folder(self) -> pathlib.Path:
        return next(iter(self._stamps)).parent

    @property
    def sizes(self) -> list[tuple[pathlib.Path, int]]:
        """The files, and the size of each (B)."""
        return [(file, size) for file, (size, _) in self._stamps.items()]

    def see(self, file: pathlib.Path, stamp: Stamp) -> None:
        """Remembers a file, or compares it.

        Raises:
          DataError: If it was changed since it was seen first.
        """
        if self._stamps.setdefault(file, stamp) != stamp:
            raise changed(file)

    def check(self) -> None:
        """Looks at all files.

        Raises:
          DataError: If one was changed since it was seen first, or is gone.
        """
        for file, stamp in list(self._stamps.items()):
            try:
                now = stamp_of(file.stat())
            except OSError as error:
                raise changed(file, f"cannot be read any more ({error.strerror})") from error
            if now != stamp:
                raise changed(file)


def stamp_of(state: os.stat_result) -> Stamp:
    """What tells a file from another one, or from itself as it was before."""
    return state.st_size, state.st_mtime_ns


class _ChangedError(ValueError):
    """A file is not what it was when it was opened first."""


class _refusing:  # noqa: N801 - reads as a statement
    """Turns what reading a file raises into a DataError that names it."""

    def __init__(self, file: pathlib.Path):
        self._file = file

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, trace) -> None:
        if not isinstance(error, OSError | ValueError | MemoryError):
            return
        remedy = restore(self._file)
        if isinstance(error, FileNotFoundError):
            raise DataError("file not found", where=self._file, remedy=remedy) from None
        if isinstance(error, _ChangedError):
            raise changed(self._file) from None
        text = "too large for the memory" if isinstance(error, MemoryError) else str(error)
        if isinstance(error, OSError):
            text = error.strerror or text
        fault = f"not a readable .npy array, truncated perhaps ({text})"
        raise DataError(fault, where=self._file, remedy=remedy) from error


def changed(file: pathlib.Path, fault: str = "was changed while it is in use") -> DataError:
    """What is raised about a file that was changed while it is used."""
    remedy = "let nothing write there meanwhile, and start the command again"
    return DataError(fault, where=file, remedy=remedy)


def _read_header(stream: io.FileIO, *, size: int) -> _Header:
    """Reads what stands before the values.

    Raises:
      ValueError: If it has another form, or the file does not hold exactly what it says.
    """
    start = stream.read(12) or b""
    if not start.startswith(_MAGIC):
        raise ValueError("it does not begin as one" if start else "it is empty")
    if len(start) < 12:
        raise ValueError("it ends within its header")
    version = tuple(start[6:8])
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError("its version of the format is unknown")
    width = 2 if version == (1, 0) else 4
    length, offset = int.from_bytes(start[8 : 8 + width], "little"), 8 + width
    if length > _LONGEST_HEADER:
        raise ValueError(f"a header of {length} bytes")
    stream.seek(offset)
    text = stream.read(length) or b""
    if len(text) < length:
        raise ValueError("it ends within its header")
    descr, fortran, shape = _fields(text.decode("utf-8" if version == (3, 0) else "latin1"))
    dtype = _dtype(descr)
    if len(shape) > _MOST_AXES or math.prod(max(n, 1) for n in shape) * dtype.itemsize >= 2**62:
        raise ValueError(f"a shape of {len(shape)} axes that no array has")
    expected = offset + length + math.prod(shape) * dtype.itemsize
    if size != expected:
        raise ValueError(f"{size} bytes where its header tells of {expected}")
    return _Header(shape, dtype, fortran, offset + length)


def _fields(text: str) -> tuple[str, bool, tuple[int, ...]]:
    """Reads the three fields of a header as NumPy and others write them, in any order."""
    fields, text = {}, text.strip()
    place = 1
    while text.startswith("{") and (field := _FIELD.match(text, place)):
        name = field["name"]
        value = field[{"descr": "descr", "fortran_order": "order", "shape": "shape"}[name]]
        if value is None or name in fields:
            break
        fields[name], place = value, field.end()
    shape = fields.get("shape", "")
    if text[place:].strip() != "}" or len(fields) < 3 or not _SHAPE.fullmatch(shape):
        raise ValueError("its header has another form")
    sides = [side.strip() for side in shape.split(",")]
    if len(sides) == 1 and sides[0]:
        raise ValueError("its header has another form")
    numbers = tuple(int(side.rstrip("L")) for side in sides if side)
    return fields["descr"], fields["fortran_order"] == "True", numbers


def _dtype(descr: str) -> np.dtype:
    if re.fullmatch(r"[<>|=]?O[0-9]*", descr):
        raise ValueError("it holds Python objects")
    if not re.fullmatch(r"[<>|=]?[biuf][0-9]{1,2}", descr):
        raise ValueError(f"dtype {descr} is not numeric")
    try:
        return np.dtype(descr)
    except TypeError:
        raise ValueError(f"there is no dtype {descr}") from None
