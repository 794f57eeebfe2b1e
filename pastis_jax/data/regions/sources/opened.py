"""Layers opened to be read by windows: files stay open between reads, few of them at a time."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.regions.manifest import Layer
from pastis_jax.data.regions.sensors import SCALED
from pastis_jax.data.regions.sources import cubes, rasters
from pastis_jax.data.regions.sources.headers import Band, Header, Transform
from pastis_jax.errors import DataError

_OPEN = 24
"""Files that stay open."""
_PLACE = "give `crs`, or write it into the file"


@functools.lru_cache(maxsize=1 << 16)
def _headers(path: str, stamp: tuple[int, int] | None) -> tuple[Header, ...]:
    return cubes.describe(path) if cubes.is_cube(path) else (rasters.describe(path),)


def headers(path: str | os.PathLike[str]) -> tuple[Header, ...]:
    """Reads what is in a file, once as long as it does not change: one header for each grid.

    Raises:
      DataError: If it cannot be read.
    """
    path = os.fspath(path)
    try:
        status = os.stat(path)
        stamp = (status.st_mtime_ns, status.st_size)
    except OSError:
        stamp = None
    return _headers(path, stamp)


@dataclasses.dataclass(frozen=True)
class OpenedLayer:
    """A layer of which windows can be read, in any thread and process.

    Attributes:
      layer: The layer.
      crs: Coordinate system, ``EPSG:32631`` or WKT.
      transform: From columns and rows to coordinates, in the order of an affine transform.
      height: Rows.
      width: Columns.
      dtype: Type of the numbers that `read` gives.
      nodata: Mark of what is missing among them, NaN perhaps; None if there is none.
      scale: What numbers of the file are multiplied by to be those that `read` gives, with
        `added`; 1 and 0 give them as they are stored.
      added: What is added after that.
      masked: Whether a mask of the file says what is missing.
    """

    layer: Layer
    crs: str
    transform: Transform
    height: int
    width: int
    dtype: str
    nodata: float | None
    scale: float = 1.0
    added: float = 0.0
    masked: bool = False

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Reads a window.

        Args:
          rows: Start and stop within the file.
          columns: The same.

        Returns:
          (h, w), numbers as they are stored.

        Raises:
          DataError: If it cannot be read.
        """
        return read_group((self,), rows, columns)[0]


def open_layer(layer: Layer, *, crs: str = "") -> OpenedLayer:
    """Opens a layer.

    Args:
      layer: The layer.
      crs: Coordinate system of a file that does not say it.

    Raises:
      DataError: If the file cannot be read, has no such band, or does not say where it lies.
    """
    header, band = _find(layer)
    if not (header.crs or crs) or header.tags.get("placed") == "":
        raise DataError("does not say where it lies", where=layer.path, remedy=_PLACE)
    dtype, nodata = band.dtype, band.nodata if layer.nodata is None else layer.nodata
    scale, added = (1.0, 0.0) if as_stored(layer.unit, band) else (band.scale, band.offset)
    if (scale, added) != (1.0, 0.0) or band.masked:
        dtype = np.promote_types(dtype, np.float32).name
        nodata = float("nan")
    place = (header.transform, header.height, header.width)
    return OpenedLayer(layer, header.crs or crs, *place, dtype, nodata, scale, added, band.masked)


def as_stored(unit: str, band: Band) -> bool:
    """Whether a band's numbers are taken as they are stored, without its own scale and offset.

    They are if it has none, or if it scales reflectances from 10000 to 1: then the offset stands
    in the layer. Other scales are part of the numbers that the unit is said of.

    Args:
      unit: Of the layer.
      band: Of its file.
    """
    plain = (band.scale, band.offset) == (1.0, 0.0)
    return plain or (unit == SCALED and abs(band.scale - 1e-4) < 1e-10)


def _find(layer: Layer) -> tuple[Header, Band]:
    for header in headers(layer.path):
        for band in header.bands:
            if band.key == layer.band:
                return header, band
    fault = f"has no band {layer.band}"
    raise DataError(fault, where=layer.path, remedy="correct the manifest")


def read_group(group: Sequence[OpenedLayer], rows: slice, columns: slice) -> np.ndarray:
    """Reads the same window of several layers of one file and grid at once.

    Args:
      group: The layers.
      rows: Start and stop within the file.
      columns: The same.

    Returns:
      (n, h, w), numbers as they are stored; of the type that holds all of them.

    Raises:
      DataError: If they cannot be read.
    """
    first = group[0]
    path, bands = first.layer.path, [opened.layer.band for opened in group]
    if any((o.layer.path, o.transform) != (path, first.transform) for o in group):
        raise ValueError("the layers of a group lie in one file and on one grid")
    if not (0 <= rows.start <= rows.stop <= first.height) or not (
        0 <= columns.start <= columns.stop <= first.width
    ):
        raise ValueError(f"rows {rows} and columns {columns} are not within the file")
    with _held(path) as handle:
        if cubes.is_cube(path):
            values = cubes.read(handle, bands, rows, columns)
        else:
            values = rasters.read(handle, bands, rows, columns, masked=first.masked)
    if all((o.scale, o.added) == (1.0, 0.0) for o in group):
        return values
    return np.stack([_scaled(v, o) for v, o in zip(values, group, strict=True)])


def _scaled(values: np.ndarray, opened: OpenedLayer) -> np.ndarray:
    if (opened.scale, opened.added) == (1.0, 0.0):
        return values
    band = _find(opened.layer)[1]
    # In 64 bits, so that 0.0001 x 1234 is the nearest number to 0.1234.
    scaled = (values.astype(np.float64) * opened.scale + opened.added).astype(opened.dtype)
    for mark in (opened.layer.nodata, band.nodata):
        if mark is not None:
            scaled[values == mark] = np.nan
    return scaled


@dataclasses.dataclass(eq=False)
class _Handle:
    file: Any
    lock: threading.Lock
    users: int = 0


_handles: collections.OrderedDict[str, _Handle] = collections.OrderedDict()
_guard = threading.Lock()


def _forget() -> None:
    """A forked process opens files anew: an open one has one place that both would move."""
    global _guard
    _guard = threading.Lock()
    _handles.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@contextlib.contextmanager
def _held(path: str) -> Iterator[Any]:
    """The open file of a path, to this thread alone for as long as the context lasts."""
    with _guard:
        handle = _handles.setdefault(path, _Handle(None, threading.Lock()))
        _handles.move_to_end(path)
        handle.users += 1
    try:
        with handle.lock:
            if handle.file is None:
                handle.file = _open(path)
            yield handle.file
    finally:
        with _guard:
            handle.users -= 1
            _close_unused(_OPEN)


def _open(path: str) -> Any:
    return cubes.open_cube(path) if cubes.is_cube(path) else rasters.open_raster(path)


def _close_unused(most: int) -> None:
    """Closes the files that were not read for longest, beyond `most`; those in use stay."""
    for path in [path for path, handle in _handles.items() if not handle.users]:
        if len(_handles) <= most:
            return
        file = _handles.pop(path).file
        if file is not None:
            file.close()


def close_all() -> None:
    """Closes every file that is not being read."""
    with _guard:
        _close_unused(0)
