"""Axes of a cube: where its pixels lie, when they were seen, and in which coordinates."""

from __future__ import annotations

import datetime
import re
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.regions import _geo
from pastis_jax.data.regions.sources.headers import Transform
from pastis_jax.data.regions.sources.rasters import crs_text
from pastis_jax.errors import DataError

_X = ("x", "lon", "longitude", "easting", "eastings")
_Y = ("y", "lat", "latitude", "northing", "northings")
_TIME = ("time", "t", "date", "dates", "timestep", "timesteps", "datetime", "day")
_BANDS = ("bands", "band", "channel", "channels", "variable", "spectral", "asset")
_UNEVEN = 0.01
"""Pixels by which a coordinate may be off an even step."""
_CRS_KEYS = ("crs_wkt", "spatial_ref", "crs", "epsg", "epsg_code", "proj:epsg", "proj:wkt2")
_DATE = re.compile(r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})(?![0-9])")


def axis(dataset: Any, dimensions: Sequence[Hashable], kind: str) -> Hashable | None:
    """The dimension that is x, y, time or bands among those of a variable; None if none is.

    Args:
      dataset: Of xarray.
      dimensions: Names of the variable's dimensions.
      kind: ``x``, ``y``, ``time`` or ``bands``.
    """
    names = {"x": _X, "y": _Y, "time": _TIME, "bands": _BANDS}[kind]
    for name in dimensions:
        if str(name).lower() in names:
            return name
    for name in dimensions:
        if name not in dataset.coords:
            continue
        coordinate = dataset.coords[name]
        standard = str(coordinate.attrs.get("standard_name", ""))
        letter = str(coordinate.attrs.get("axis", "")).lower()
        if kind == "time" and (coordinate.dtype.kind == "M" or letter == "t"):
            return name
        if kind in "xy" and (letter == kind or standard == f"projection_{kind}_coordinate"):
            return name
    return None


def step(dataset: Any, name: Hashable, where: str) -> tuple[float, float]:
    """First outer edge and step of a coordinate that gives the centres of pixels.

    Args:
      dataset: Of xarray.
      name: The dimension.
      where: The file, for messages.

    Raises:
      DataError: If it has none, or uneven ones.
    """
    remedy = "write it with one coordinate for each row and column, at even steps"
    if name not in dataset.coords:
        raise DataError(f"{name} has no coordinates", where=where, remedy=remedy)
    values = np.asarray(dataset.coords[name].values)
    if values.ndim != 1 or values.dtype.kind not in "iuf" or len(values) < 2:
        fault = f"coordinates of {name} are no list of two numbers or more"
        raise DataError(fault, where=where, remedy=remedy)
    values = values.astype(np.float64)
    size = (values[-1] - values[0]) / (len(values) - 1)
    even = values[0] + size * np.arange(len(values))
    if not size or not np.isfinite(size) or np.abs(values - even).max() > _UNEVEN * abs(size):
        raise DataError(f"coordinates of {name} are not even", where=where, remedy=remedy)
    # Steps that were written with few figures: 10.0000001 is 10.
    size = round(size) if abs(size - round(size)) < 1e-6 * abs(size) else size
    return float(values[0] - size / 2), float(size)


def transform(dataset: Any, x: Hashable, y: Hashable, where: str) -> tuple[Transform, bool]:
    """From columns and rows to coordinates, rows from north to south.

    Returns:
      The transform, and whether rows are to be turned over for it.

    Raises:
      DataError: As `step` does, or if columns run from east to west.
    """
    left, width = step(dataset, x, where)
    top, height = step(dataset, y, where)
    if width < 0:
        fault = f"coordinates of {x} fall"
        raise DataError(fault, where=where, remedy="sort them, from west to east")
    turned = height > 0
    if turned:
        top, height = top + height * dataset.sizes[y], -height
    return (width, 0.0, left, 0.0, height, top), turned


def days(dataset: Any, name: Hashable, where: str) -> tuple[datetime.date | None, ...]:
    """The dates along an axis of time; None for each where it has no dates, but numbers.

    Raises:
      DataError: If they are of a calendar that no satellite flies by.
    """
    if name not in dataset.coords:
        return (None,) * dataset.sizes[name]
    values = np.asarray(dataset.coords[name].values)
    if values.dtype.kind == "M":
        if np.isnat(values).any():
            fault = f"a date of {name} is missing"
            raise DataError(fault, where=where, remedy="give each image a date")
        return tuple(values.astype("datetime64[D]").tolist())
    found = [_day(value) for value in values.tolist()]
    if None in found:
        return (None,) * len(found)
    return tuple(found)


def _day(value: object) -> datetime.date | None:
    year, month, day = (getattr(value, part, None) for part in ("year", "month", "day"))
    if year is None:
        text = _DATE.match(value) if isinstance(value, str) else None
        if not text:
            return None
        year, month, day = map(int, text.groups())
    try:
        return datetime.date(year, month, day)
    except ValueError:
        return None


def crs(dataset: Any, variable: Any, where: str) -> str:
    """The coordinate system of a variable, as an EPSG code or WKT; nothing if none is named.

    It is looked for in the variable of CF's `grid_mapping`, in `spatial_ref` and `crs`, in scalar
    coordinates and in attributes of the variable and of the whole.

    Raises:
      DataError: If what is said is none.
    """
    mapping = variable.attrs.get("grid_mapping") or variable.encoding.get("grid_mapping")
    names = [str(mapping).split(":")[0].strip()] if mapping else []
    for name in (*names, "spatial_ref", "crs"):
        if name in dataset.variables and (text := _said(dataset[name].attrs, where)):
            return text
    for name in ("epsg", "proj:epsg", "crs"):
        single = name in dataset.variables and dataset[name].ndim == 0
        if single and (text := _said({name: dataset[name].values.item()}, where)):
            return text
    return _said(variable.attrs, where) or _said(dataset.attrs, where)


def _said(attributes: Any, where: str) -> str:
    systems, faults = _geo.need("rasterio.crs").CRS, _geo.need("rasterio.errors").CRSError
    for key in _CRS_KEYS:
        said = attributes.get(key)
        if said is None or not str(said).strip() or str(said).strip() in ("0", "nan"):
            continue
        text = str(said).strip()
        text = f"EPSG:{int(float(text))}" if re.fullmatch(r"[0-9]{4,6}(\.0)?", text) else text
        try:
            return crs_text(systems.from_user_input(text))
        except (faults, ValueError) as error:
            fault = f"{key} is no coordinate system"
            raise DataError(fault, where=where, remedy="correct it") from error
    return ""
