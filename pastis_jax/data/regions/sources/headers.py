"""What the header of a file says, before any of its pixels is read."""

from __future__ import annotations

import dataclasses
import datetime
import math
import re
from collections.abc import Mapping

Transform = tuple[float, float, float, float, float, float]


@dataclasses.dataclass(frozen=True)
class Band:
    """One image of a file.

    Attributes:
      key: How a layer names it: its number from 1, or its variable and place along time.
      name: Name that the file gives it; nothing if none.
      dtype: Type of its numbers as they are read.
      nodata: Mark of what is missing; None if the header has none.
      scale: What a number is multiplied by to be meant.
      offset: What is added after that.
      units: Unit that the header names.
      date: When it was acquired, if the header says so.
      orbit: Relative orbit, if the header says so.
      direction: ``ascending`` or ``descending``, if the header says so.
      masked: Whether a mask of the file says what is missing.
    """

    key: str
    name: str
    dtype: str
    nodata: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    units: str = ""
    date: datetime.date | None = None
    orbit: str = ""
    direction: str = ""
    masked: bool = False


@dataclasses.dataclass(frozen=True)
class Header:
    """The images of a file that lie on one grid.

    Attributes:
      path: The file.
      crs: Its coordinate system, ``EPSG:32631`` or WKT; nothing if it does not say.
      transform: From columns and rows to coordinates, in the order of an affine transform.
      height: Rows.
      width: Columns.
      bands: Its images.
      tags: What else it says, keys in small letters.
      coloured: Whether it is a picture of red, green and blue.
    """

    path: str
    crs: str
    transform: Transform
    height: int
    width: int
    bands: tuple[Band, ...]
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)
    coloured: bool = False


def mark(nodata: float | None) -> float | None:
    """A mark of what is missing; NaN is one object always, so that layers with it are equal."""
    return math.nan if nodata is not None and nodata != nodata else nodata


def degrees(crs: str) -> bool:
    """Whether coordinates are longitudes and latitudes.

    Args:
      crs: As `Header.crs`.
    """
    from pastis_jax.data.regions import _geo

    return bool(crs) and _geo.need("rasterio.crs").CRS.from_user_input(crs).is_geographic


def utm(longitude: float, latitude: float) -> str:
    """The UTM zone of a place, as an EPSG code.

    Args:
      longitude: Degrees.
      latitude: Degrees.
    """
    zone = int((longitude + 180) // 6) % 60 + 1
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"


def direction_of(text: object) -> str:
    """The pass that a text says, ``ascending`` or ``descending``; nothing if it says none."""
    found = re.fullmatch(r"(a|d)(sc|esc?)?(ending)?", str(text).strip(), re.I)
    return {"a": "ascending", "d": "descending"}[found[1].lower()] if found else ""
