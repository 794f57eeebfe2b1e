"""Cubes that xarray opens: NetCDF, Zarr, and Datasets in memory."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.regions import _geo
from pastis_jax.data.regions.sources import cube_axes, names
from pastis_jax.data.regions.sources.headers import Band, Header, direction_of, mark
from pastis_jax.errors import ArgumentError, DataError
from pastis_jax.files import open_regular, read_regular

SUFFIXES = (".nc", ".nc4")
_ZARR = ("zarr.json", ".zgroup", ".zmetadata", ".zattrs")
_REMEDY = "write it anew, or leave it out by `skip_damaged`"
_MEMORY = re.compile(r"<Dataset [0-9]+>")
_KEY = re.compile(r"(?P<variable>[^|\[\]]+)(\|(?P<label>[^\[\]]*))?(\[(?P<place>[0-9]+)\])?")
_ORBITS = ("sat:relative_orbit", "relative_orbit", "relativeOrbitNumber")
_STATES = ("sat:orbit_state", "orbit_state", "orbitDirection", "orbit_direction")

_datasets: dict[str, Any] = {}
_LARGEST = 1 << 28
"""Most bytes of metadata."""
_numbers = itertools.count(1)


def is_zarr(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is one of Zarr."""
    return any((pathlib.Path(folder) / name).is_file() for name in _ZARR)


def is_cube(path: str) -> bool:
    """Whether a layer's path is of a cube: NetCDF, a folder of Zarr, a Dataset in memory."""
    in_memory = bool(_MEMORY.fullmatch(path))
    return in_memory or path.lower().endswith(SUFFIXES) or os.path.isdir(path)


def remember(dataset: Any) -> str:
    """Keeps a Dataset or DataArray of xarray for this process; returns the path of its layers."""
    path = f"<Dataset {next(_numbers)}>"
    if hasattr(dataset, "to_dataset"):
        dataset = dataset.to_dataset(name=dataset.name or "values")  # of a DataArray
    _datasets[path] = dataset
    return path


def open_cube(path: str) -> Any:
    """Opens a cube as an xarray Dataset, numbers as they are stored; the caller closes it.

    Raises:
      ArgumentError: If it was in the memory of another process.
      DataError: If it cannot be read.
    """
    if _MEMORY.fullmatch(path):
        if path not in _datasets:
            fault = f"{path} is in the memory of another process"
            remedy = "write it to Zarr and give that, or take one process"
            raise ArgumentError(fault, argument="sources", remedy=remedy)
        return _datasets[path].copy(deep=False)
    xarray = _geo.need("xarray")
    folder = os.path.isdir(path)
    if not os.path.exists(path):
        raise DataError("file not found", where=path, remedy="correct the path")
    with _readable(path):
        engine = "zarr" if folder else "scipy" if _head(path) == b"CDF" else "h5netcdf"
    for package in {"zarr": ("zarr",), "h5netcdf": ("h5netcdf", "h5py")}.get(engine, ()):
        _geo.need(package)
    with _readable(path):
        if not folder:
            return xarray.open_dataset(path, engine=engine, mask_and_scale=False)
        together = _consolidated(pathlib.Path(path))
        return xarray.open_zarr(path, chunks=None, mask_and_scale=False, consolidated=together)


def _consolidated(folder: pathlib.Path) -> bool:
    """Whether a folder of Zarr has its metadata in one file, which is then read alone."""
    if (folder / ".zmetadata").exists():
        return True
    root = folder / "zarr.json"
    return root.exists() and b'"consolidated_metadata"' in read_regular(root, _LARGEST)


def _head(path: str) -> bytes:
    """The first bytes: NetCDF 3 is another format than NetCDF 4, of the same suffix."""
    with open_regular(path) as file:
        return file.read(3)


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except (DataError, ArgumentError):
        raise
    except Exception as error:  # Each engine has errors of its own for a damaged file.
        text = " ".join(str(error).replace(path, "it").split())[:200]
        fault = f"cannot be read ({text or type(error).__name__})"
        raise DataError(fault, where=path, remedy=_REMEDY) from error


def describe(path: str) -> tuple[Header, ...]:
    """Reads what is in a cube: one header for each grid of its variables, none without images.

    Raises:
      ArgumentError: If it was in the memory of another process.
      DataError: If it cannot be read or has uneven coordinates.
    """
    dataset = open_cube(path)
    try:
        with _readable(path):
            return _describe(dataset, path)
    finally:
        if not _MEMORY.fullmatch(path):
            dataset.close()


def _describe(dataset: Any, path: str) -> tuple[Header, ...]:
    grids: dict[tuple, list[Band]] = {}
    for name, variable in dataset.data_vars.items():
        x, y = (cube_axes.axis(dataset, variable.dims, kind) for kind in "xy")
        if x is None or y is None or variable.dtype.kind not in "iufb":
            continue
        others = [d for d in variable.dims if d not in (x, y)]
        time = cube_axes.axis(dataset, others, "time")
        bands = cube_axes.axis(dataset, [d for d in others if d != time], "bands")
        if odd := [d for d in others if d not in (time, bands) and dataset.sizes[d] > 1]:
            fault = f"{name} has a dimension {odd[0]} that is neither time nor bands"
            raise DataError(fault, where=path, remedy=f"choose one of it, isel({odd[0]}=0) say")
        grid = (x, y, cube_axes.crs(dataset, variable, path))
        grids.setdefault(grid, []).extend(_bands(dataset, str(name), variable, time, bands, path))
    return tuple(
        Header(
            path=path,
            crs=crs,
            transform=cube_axes.transform(dataset, x, y, path)[0],
            height=dataset.sizes[y],
            width=dataset.sizes[x],
            bands=tuple(bands),
            tags={"placed": "yes"},
        )
        for (x, y, crs), bands in grids.items()
    )


def _bands(dataset, name, variable, time, bands, path) -> Iterator[Band]:
    """Every image of a variable, band by band and in the order of time."""
    days = (None,) if time is None else cube_axes.days(dataset, time, path)
    labels = _labels(dataset, bands)
    orbits, states = (_along(dataset, time, known) for known in (_ORBITS, _STATES))
    dtype, nodata = _stored_as(variable)
    attributes = {**variable.encoding, **variable.attrs}
    said = variable.attrs
    # What a dimension of one band is called may only be its number.
    own = labels == [None] or (len(labels) == 1 and names.of_band(labels[0]) is None)
    for label, (place, day) in itertools.product(labels, enumerate(days)):
        key = name if label is None else f"{name}|{label}"
        yield Band(
            key=key if time is None else f"{key}[{place}]",
            name=name if own else label,
            dtype=dtype,
            nodata=nodata,
            scale=float(said.get("scale_factor", 1.0)),
            offset=float(said.get("add_offset", 0.0)),
            units=str(attributes.get("units", "")),
            date=day,
            orbit=f"{int(orbits[place]):03d}" if orbits and str(orbits[place]).isdigit() else "",
            direction=direction_of(states[place]) if states else "",
        )


def _labels(dataset: Any, bands: Any) -> list[str | None]:
    if bands is None:
        return [None]
    if bands not in dataset.coords:
        return [str(place) for place in range(dataset.sizes[bands])]
    labels = [str(label) for label in dataset.coords[bands].values.tolist()]
    sound = len({*labels}) == len(labels) and not any(re.search(r"[\[\]|]", t) for t in labels)
    return labels if sound else [str(place) for place in range(len(labels))]


def _along(dataset: Any, time: Any, known: Sequence[str]) -> list | None:
    """A coordinate that goes with time, or is the same for all of it."""
    for name in known:
        if name in dataset.coords and dataset.coords[name].dims in ((), (time,)):
            values = dataset.coords[name].values
            return np.broadcast_to(values, dataset.sizes[time] if time else 1).tolist()
    return None


def _unsigned(attributes: Mapping[str, Any]) -> bool:
    return str(attributes.get("_Unsigned", "")).lower() == "true"


def _stored_as(variable: Any) -> tuple[str, float | None]:
    """Type of a variable's numbers as `read` gives them, and their mark."""
    dtype = variable.dtype
    if dtype.kind == "i" and _unsigned(variable.attrs):
        dtype = np.dtype(f"u{dtype.itemsize}")
    for key in ("_FillValue", "missing_value", "nodata", "_nodata"):
        nodata = variable.attrs.get(key)
        if nodata is None or np.size(nodata) != 1:
            continue
        nodata = np.asarray(nodata).item()
        if isinstance(nodata, int) and nodata < 0 and dtype.kind == "u":
            nodata += 1 << (8 * dtype.itemsize)  # stored as signed, like the numbers
        if isinstance(nodata, int | float):
            return ("uint8" if dtype.kind == "b" else dtype.name), mark(float(nodata))
    if dtype.kind == "b":
        return "uint8", None
    return dtype.name, math.nan if dtype.kind == "f" else None


def read(dataset: Any, bands: Sequence[str], rows: slice, columns: slice) -> np.ndarray:
    """Reads a window of several images at once, as they are stored.

    Args:
      dataset: What `open_cube` gave.
      bands: Keys of the images, as `describe` gives them.
      rows: Rows, from north to south.
      columns: Columns, from west to east.

    Returns:
      (n, h, w), of the type that holds all of them.

    Raises:
      DataError: If they cannot be read.
    """
    where = str(dataset.encoding.get("source", "a Dataset"))
    with _readable(where):
        return np.stack([_read(dataset, band, rows, columns, where) for band in bands])


def _read(dataset: Any, key: str, rows: slice, columns: slice, where: str) -> np.ndarray:
    parts = _KEY.fullmatch(key)
    variable = dataset[parts["variable"]]
    x, y = (cube_axes.axis(dataset, variable.dims, kind) for kind in "xy")
    others = [d for d in variable.dims if d not in (x, y)]
    time = cube_axes.axis(dataset, others, "time")
    bands = cube_axes.axis(dataset, [d for d in others if d != time], "bands")
    places = {d: 0 for d in others if d not in (time, bands)}
    if time is not None:
        places[time] = int(parts["place"])
    if bands is not None:
        places[bands] = _labels(dataset, bands).index(parts["label"])
    turned = cube_axes.transform(dataset, x, y, where)[1]
    if turned:
        height = dataset.sizes[y]
        rows = slice(height - rows.stop, height - rows.start)
    window = variable.isel({**places, y: rows, x: columns}).transpose(y, x)
    values = np.asarray(window.values)
    if values.dtype.kind == "i" and _unsigned(variable.attrs):
        values = values.view(f"u{values.dtype.itemsize}")
    values = values.astype(np.uint8) if values.dtype.kind == "b" else values
    return values[::-1] if turned else values
