"""Rasters that GDAL reads: their headers, and windows of them."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.regions import _geo
from pastis_jax.data.regions.sources.headers import Band, Header, direction_of, mark
from pastis_jax.errors import DataError

SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt", ".img")
DAMAGED = "copy it again, or leave it out by `skip_damaged`"
_CACHE = 448 << 20
"""Bytes that GDAL may keep of what it decoded, in all files together: two rows of shards of a whole
tile of Sentinel-2, of which files without tiles are decoded by rows, need so much."""
_PASS_TAGS = ("orbit_direction", "orbitproperties_pass", "orbit_state", "pass")


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Opens a raster for as long as the context lasts.

    Raises:
      DataError: If it cannot be read.
    """
    with options():
        dataset = open_raster(path)
        try:
            yield dataset
        finally:
            dataset.close()


def options() -> Any:
    """How GDAL reads: with a cache of its own size, and without listing folders for each file."""
    return _geo.need("rasterio").Env(GDAL_CACHEMAX=_CACHE, GDAL_DISABLE_READDIR_ON_OPEN="TRUE")


def open_raster(path: str | os.PathLike[str]) -> Any:
    """Opens a raster, which the caller closes.

    Raises:
      DataError: If it cannot be read.
    """
    rasterio = _geo.need("rasterio")
    with options(), _no_place:
        try:
            return rasterio.open(path)
        except (rasterio.errors.RasterioError, OSError, ValueError) as error:
            raise damaged(path, error) from error


class _NoPlace:
    """Without the warning that a file does not say where it lies: that is told otherwise.

    Filters of warnings are those of the whole process: the first thread that opens a file sets
    them, and the last one puts them back.
    """

    def __init__(self):
        self._lock, self._users, self._filters = threading.Lock(), 0, None

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                kind = _geo.need("rasterio.errors").NotGeoreferencedWarning
                warnings.simplefilter("ignore", kind)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._filters.__exit__(None, None, None)


_no_place = _NoPlace()


def damaged(path: str | os.PathLike[str], error: BaseException) -> DataError:
    """What to say of a file of which a library could not read something."""
    if not os.path.exists(path):
        return DataError("file not found", where=path, remedy="correct the path")
    said = error.__cause__ or error
    text = " ".join(str(said).replace(str(path), "it").split())
    return DataError(f"cannot be read ({text[:200]})", where=path, remedy=DAMAGED)


def describe(path: str | os.PathLike[str]) -> Header:
    """Reads the header of a raster.

    Raises:
      DataError: If it cannot be read.
    """
    colours = _geo.need("rasterio.enums").ColorInterp
    with opened(path) as raster:
        tags = {key.lower(): str(value) for key, value in raster.tags().items()}
        bands = tuple(_bands(raster))
        pass_ = "".join(filter(None, (direction_of(tags.get(key, "")) for key in _PASS_TAGS)))
        if pass_ in ("ascending", "descending"):
            tags["pass"] = pass_
        # A file without a transform has that of an image, (1, 0, 0, 0, 1, 0).
        placed = not (raster.transform.is_identity or raster.gcps[0])
        return Header(
            path=os.fspath(path),
            crs=crs_text(raster.crs) if placed and raster.crs else "",
            transform=tuple(raster.transform)[:6],
            height=raster.height,
            width=raster.width,
            bands=bands,
            tags=tags | {"placed": "yes" if placed else ""},
            coloured=raster.colorinterp[:3] == (colours.red, colours.green, colours.blue),
        )


def _bands(raster: Any) -> Iterator[Band]:
    # Each of these lists asks for all bands: asked for once, however many there are.
    flags = _geo.need("rasterio.enums").MaskFlags
    for number, name, dtype, nodata, scale, offset, units, own in zip(
        raster.indexes,
        raster.descriptions,
        raster.dtypes,
        raster.nodatavals,
        raster.scales,
        raster.offsets,
        raster.units,
        raster.mask_flag_enums,
        strict=True,
    ):
        yield Band(
            key=str(number),
            name=(name or "").strip(),
            dtype=dtype,
            nodata=mark(nodata),
            scale=scale,
            offset=offset,
            units=units or "",
            masked=flags.per_dataset in own,
        )


def crs_text(crs: Any) -> str:
    """A coordinate system of rasterio as an EPSG code, or as WKT if it has none."""
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else crs.to_wkt()


def read(
    raster: Any, bands: Sequence[str], rows: slice, columns: slice, *, masked: bool = False
) -> np.ndarray:
    """Reads a window of several bands at once, as they are stored.

    Args:
      raster: What `open_raster` gave.
      bands: Numbers of the bands, from 1.
      rows: Rows of the file.
      columns: Its columns.
      masked: Whether the file has a mask of its own, as its header says.

    Returns:
      (n, h, w). With a mask, numbers are floats and those that it hides are NaN.

    Raises:
      DataError: If it cannot be read.
    """
    rasterio = _geo.need("rasterio")
    window = ((rows.start, rows.stop), (columns.start, columns.stop))
    numbers = [int(band) for band in bands]
    with options():
        try:
            values = raster.read(numbers, window=window)
            if not masked:
                return values
            hidden = raster.read_masks(numbers, window=window) == 0
        except (rasterio.errors.RasterioError, OSError, ValueError, IndexError) as error:
            raise damaged(raster.name, error) from error
    exact = np.promote_types(values.dtype, np.float32)
    return np.where(hidden, np.asarray(np.nan, exact), values.astype(exact))
