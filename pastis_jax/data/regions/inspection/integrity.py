"""What is damaged in the arrays of a Region: lost files, other shapes, counts that cannot be."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorstore

from pastis_jax.data.reading import read_json
from pastis_jax.data.regions import _geo, cube
from pastis_jax.data.regions.cube import FOLDER, REMEDY
from pastis_jax.data.regions.grid import CHUNK
from pastis_jax.data.regions.store import Region
from pastis_jax.data.regions.table import FILE, ParcelTable
from pastis_jax.errors import DataError
from pastis_jax.text import named

_WORKERS = 4
_NONE = np.uint64(2**64 - 1)
"""Offset and length of a chunk that a shard does not hold."""


def fault(what: str, where: str | os.PathLike[str], remedy: str = REMEDY) -> str:
    """A line on what is damaged."""
    return str(DataError(what, where=where, remedy=remedy))


def check_grid(region: Region) -> Iterator[str]:
    """Tells what is wrong with the coordinate system and the size of pixels, a line each."""
    pyproj, grid, where = _geo.need("pyproj"), region.grid, region.root / "region.json"
    try:
        crs = pyproj.CRS.from_user_input(grid.crs)
    except pyproj.exceptions.CRSError:
        yield fault(f"the coordinate system {grid.crs[:80]} is not known", where)
        return
    units = {axis.unit_name for axis in crs.axis_info[:2]}
    if not crs.is_projected or units != {"metre"}:
        yield fault(f"the coordinate system {crs.name} is not a projected one in metres", where)
    if not np.isclose(grid.pixel_size, region.dataset.pixel_size):
        fault_of_size = (
            f"pixels of {grid.pixel_size:g} m, where dataset.json says "
            f"{region.dataset.pixel_size:g} m"
        )
        yield fault(fault_of_size, where)
    for name in (*region.dataset.names, "parcels"):
        folder = region.root / FOLDER / name / "spatial_ref"
        try:
            described = read_json(folder / "zarr.json", kind="an array of Zarr", remedy=REMEDY)
            stored = pyproj.CRS.from_wkt(described["attributes"]["crs_wkt"])
        except DataError as error:
            yield str(error)
        except (KeyError, TypeError, pyproj.exceptions.CRSError):
            yield fault("holds no coordinate system", folder)
        else:
            if stored != crs:
                yield fault(f"says {stored.name}, where region.json says {crs.name}", folder)


def check_table(region: Region) -> ParcelTable:
    """The table of parcels, refused if it is of other classes; empty where none were ever there.

    Raises:
      DataError: If it cannot be read, or names a class that the dataset has not.
    """
    if not region.folds and not (region.root / FILE).exists():
        text, number = np.zeros(0, np.str_), np.zeros(0, np.int32)
        return ParcelTable(text, text, number, number, number, np.zeros(0))
    table, number = region.parcels, len(region.dataset.nomenclature.classes)
    wrong = (table.label < 0) | (table.label >= number)
    if wrong.any():
        text = f"{wrong.sum():,} parcels are of a class that dataset.json has not"
        raise DataError(text, where=region.root / FILE, remedy=REMEDY)
    return table


def check_modality(region: Region, name: str) -> Iterator[str]:
    """Tells what is wrong with shapes, dates and coordinates of a modality, a line each."""
    folder, grid, modality = region.root / FOLDER / name, region.grid, region.dataset[name]
    days = region.days(name)
    if (np.diff(days) < 0).any():
        yield fault("dates do not rise", folder / "time")
    region.orbits(name)
    space, t = (grid.height, grid.width), len(days)
    shapes = {"values": (t, len(modality.channels), *space), "observed": (t, *grid.chunks)}
    if region.masked(name):
        shapes |= {"mask": (t, *space), "clouded": (t, *grid.chunks)}
    for array, shape in shapes.items():
        opened = cube.open_array(folder / array)
        if opened.shape != shape:
            yield fault(f"has shape {opened.shape} where {shape} belongs", folder / array)
        elif array == "values" and opened.dtype.name != modality.dtype:
            yield fault(f"holds {opened.dtype.name}, not {modality.dtype}", folder / array)
    size = grid.pixel_size
    for axis, first, step, number in (
        ("x", grid.left + size / 2, size, grid.width),
        ("y", grid.top - size / 2, -size, grid.height),
    ):
        centres = cube.get(cube.open_array(folder / axis), (), folder / axis)
        expected = first + step * np.arange(number)
        if centres.shape != expected.shape or not np.allclose(centres, expected, atol=size / 100):
            yield fault("coordinates are not those of the grid", folder / axis)


def read_counts(region: Region, modality: str, name: str) -> tuple[np.ndarray, list[str]]:
    """Reads the pixels counted in each chunk, though some may be lost.

    Args:
      region: The Region.
      modality: Its modality.
      name: `observed` or `clouded`.

    Returns:
      (t, ny, nx) int32, 0 where they are lost; and what is wrong, a line each.
    """
    folder = region.root / FOLDER / modality / name
    counts, wrong = cube.get(cube.open_array(folder), (), folder), []
    if (lost := (counts < 0).any((1, 2))).any():
        wrong.append(fault(f"lacks shards of {_dates(region, modality, lost)}", folder))
    if (more := (counts > chunk_pixels(region)).any((1, 2))).any():
        text = f"counts more pixels than a chunk has, of {_dates(region, modality, more)}"
        wrong.append(fault(text, folder))
    return np.maximum(counts, 0), wrong


def chunk_pixels(region: Region) -> np.ndarray:
    """Number of pixels of each chunk, (ny, nx) int32."""
    sides = (
        np.minimum(CHUNK, total - CHUNK * np.arange(number))
        for total, number in zip(
            (region.grid.height, region.grid.width), region.grid.chunks, strict=True
        )
    )
    high, wide = sides
    return (high[:, None] * wide).astype(np.int32)


def _dates(region: Region, modality: str, which: np.ndarray) -> str:
    days = region.days(modality)[np.flatnonzero(which)[:3]]
    return named([region.dataset.date(day) for day in days], int(which.sum()), most=3)


@dataclasses.dataclass(frozen=True, eq=False)
class Files:
    """The files that an array must have.

    Attributes:
      modality: Of the array.
      name: `values` or `mask`.
      sharded: Whether a file holds several chunks.
      chunks: Chunks that must be in each file, (t, rows, columns, n, n) bool.
      places: Date, row and column of the files that hold any, (k, 3).
    """

    modality: str
    name: str
    sharded: bool
    chunks: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)


def expect_files(region: Region, modality: str, name: str, held: np.ndarray) -> Files:
    """Says which files must be there.

    Args:
      region: The Region.
      modality: Its modality.
      name: `values` or `mask`.
      held: Chunks that must be there, (t, ny, nx) bool.
    """
    layout = cube.open_array(region.root / FOLDER / modality / name).chunk_layout
    side = layout.write_chunk.shape[-1] // CHUNK
    t, ny, nx = held.shape
    rows, columns = -(-ny // side), -(-nx // side)
    padded = np.zeros((t, rows * side, columns * side), bool)
    padded[:, :ny, :nx] = held
    chunks = padded.reshape(t, rows, side, columns, side).swapaxes(2, 3)
    sharded = layout.read_chunk.shape[-1] // CHUNK != side
    return Files(modality, name, sharded, chunks, np.argwhere(chunks.any((3, 4))))


def check_files(region: Region, files: Files, tell: Callable[[int], object]) -> Iterator[str]:
    """Opens each file of an array, and reads one chunk of it.

    Of a shard, its index is read: that every chunk lies in the file which should. So a file that
    was cut off or lost is found, and one with another content mostly is.

    Args:
      region: The Region.
      files: Those that must be there.
      tell: Called with the number of files that were looked at.

    Yields:
      A line on the missing files, and one on the damaged ones.
    """
    folder = region.root / FOLDER / files.modality / files.name
    array, side = cube.open_array(folder), files.chunks.shape[-1]
    missing, damaged = [], []

    def look(place: np.ndarray) -> tuple[str, str]:
        date, row, column = map(int, place)
        key = f"{date}/0/{row}/{column}" if array.ndim == 4 else f"{date}/{row}/{column}"
        chunks = files.chunks[date, row, column]
        try:
            if files.sharded and not _holds(folder / "c" / key, chunks):
                return key, "damaged"
            inner = np.argwhere(chunks)[len(np.argwhere(chunks)) // 2] * CHUNK
            y, x = row * side * CHUNK + inner[0], column * side * CHUNK + inner[1]
            return key, "" if _reads(array, folder / "c" / key, (date, y, x)) else "damaged"
        except FileNotFoundError:
            return key, "missing"
        except OSError:
            return key, "damaged"

    with ThreadPoolExecutor(_WORKERS) as pool:
        for key, state in pool.map(look, files.places):
            tell(1)
            if state:
                (missing if state == "missing" else damaged).append(f"c/{key}")
    for state, keys in (("missing", missing), ("damaged", damaged)):
        if keys:
            are = "file is" if len(keys) == 1 else "files are"
            text = f"{len(keys):,} of {len(files):,} {are} {state}: {named(keys, most=3)}"
            yield fault(text, folder)


def _holds(file: pathlib.Path, chunks: np.ndarray) -> bool:
    """Whether a shard's index, at its end, places all of some chunks (n, n) in the file."""
    tail = chunks.size * 16 + 4  # offset and length of each, and their checksum
    with open(file, "rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        if size <= tail:
            return False
        stream.seek(-tail, os.SEEK_END)
        index = np.frombuffer(stream.read(tail - 4), "<u8").reshape(-1, 2)
    offset, length = index[chunks.ravel()].T
    if (offset == _NONE).any() or (length == 0).any():
        return False
    return bool(((offset <= size) & (length <= size) & (offset + length <= size - tail)).all())


def _reads(array: tensorstore.TensorStore, file: pathlib.Path, pixel: tuple[int, int, int]) -> bool:
    """Whether the chunk that holds a pixel can be read; TensorStore checks the index meanwhile."""
    file.stat()  # TensorStore reads what is missing as unobserved
    date, y, x = pixel
    where = (date, slice(None), y, x) if array.ndim == 4 else (date, y, x)
    try:
        array[where].read().result()
    except (ValueError, OSError):
        return False
    return True
