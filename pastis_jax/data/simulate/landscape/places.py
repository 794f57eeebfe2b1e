"""Where a region and the scenes of it lie: near the edge of two UTM zones, and seen by few whole.

All that is imaged is drawn on the region's own grid. A scene is a window of it, or lies on a grid
of its own, and then its values are interpolated from it.
"""

from __future__ import annotations

import dataclasses
import datetime

import numpy as np

from pastis_jax.data.regions import _geo

PIXEL = 10.0
"""Side of a pixel, metres."""
CRS = "EPSG:32631"
"""Of the region and of what lies on its grid."""
PARCELS_CRS = "EPSG:2154"
"""Of the parcels, as France's are."""
LEFT, TOP = 765_000.0, 5_150_000.0
"""Upper left corner of every region, metres: east of the Jura, 40 km from the next zone."""
SEASON_START = datetime.date(2023, 9, 1)
SEASON_DAYS = 366

WEST, EAST = "T31TGM", "T32TLS"
"""Tiles of Sentinel-2 that meet there."""
_EAST_CRS = "EPSG:32632"
_WEST_SHARE, _EAST_FROM = 0.75, 0.5
"""Share of the region's columns that the western tile has, and where those of the eastern begin."""


@dataclasses.dataclass(frozen=True)
class Raster:
    """The grid of a scene.

    Attributes:
      crs: Its coordinate system.
      left: Easting of its left edge, metres.
      top: Northing of its upper edge, metres.
      height: Rows.
      width: Columns.
    """

    crs: str
    left: float
    top: float
    height: int
    width: int

    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """Eastings and northings of the pixels' centres, metres, each `(h, w)`."""
        y, x = np.mgrid[: self.height, : self.width]
        return self.left + (x + 0.5) * PIXEL, self.top - (y + 0.5) * PIXEL

    def positions(self, other: Raster) -> tuple[np.ndarray, np.ndarray]:
        """Where the centres of another grid's pixels lie in this one.

        Returns:
          Rows and columns, each `(h, w)` of `other`; a pixel's centre is at whole numbers.
        """
        x, y = other.centres()
        if other.crs != self.crs:
            pyproj = _geo.need("pyproj")
            x, y = pyproj.Transformer.from_crs(other.crs, self.crs, always_xy=True).transform(x, y)
        return (self.top - y) / PIXEL - 0.5, (x - self.left) / PIXEL - 0.5


def region_raster(size: int) -> Raster:
    """The grid of a region of `size` x `size` pixels."""
    return Raster(CRS, LEFT, TOP, size, size)


def western(size: int) -> Raster:
    """The grid of the western tile's scenes: the region's first columns."""
    return Raster(CRS, LEFT, TOP, size, 2 * int(_WEST_SHARE * size / 2))


def eastern(size: int) -> Raster:
    """The grid of the eastern tile's scenes, turned by four degrees against the region's.

    It holds the region's last columns; its corners lie outside.
    """
    pyproj = _geo.need("pyproj")
    to_east = pyproj.Transformer.from_crs(CRS, _EAST_CRS, always_xy=True)
    first = LEFT + _EAST_FROM * size * PIXEL
    left, bottom, right, top = to_east.transform_bounds(
        first, TOP - size * PIXEL, LEFT + size * PIXEL, TOP
    )
    # Whole pixels of 20 m, those of its mask.
    left, bottom = (20 * np.floor(edge / 20) for edge in (left, bottom))
    height, width = (int(np.ceil(side / 20)) * 2 for side in (top - bottom, right - left))
    return Raster(_EAST_CRS, float(left), float(bottom + height * PIXEL), height, width)


@dataclasses.dataclass(frozen=True)
class Orbit:
    """A relative orbit of Sentinel-1.

    Attributes:
      name: The modality that it belongs to, by its direction.
      number: Its number.
      first: Day of its first pass in the season.
      every: Days between passes.
      shift: Metres from the region's grid to that of its scenes, to the east and to the south.
      slant: Columns that the edge of its swath moves west each row.
      edge: Where that edge meets the region's upper side, share of the columns.
      east: Whether it sees what is east of that edge, or else what is west.
      nodata: Mark of what it does not see.
    """

    name: str
    number: int
    first: int
    every: int
    shift: tuple[float, float]
    slant: float
    edge: float
    east: bool
    nodata: float

    @property
    def label(self) -> str:
        """Its number as names and tags have it."""
        return f"{self.number:03d}"

    @property
    def direction(self) -> str:
        """``ascending`` or ``descending``."""
        return {"A": "ascending", "D": "descending"}[self.name[-1]]

    def sees(self, size: int) -> np.ndarray:
        """Which pixels of the region it sees, `(size, size)` bool."""
        y, x = np.mgrid[:size, :size] + 0.5
        side = x + self.slant * y - self.edge * size
        return side > 0 if self.east else side < 0


ORBITS = (
    Orbit("S1A", 88, 3, 12, (0.0, 0.0), -0.2, 0.72, False, 0.0),
    Orbit("S1A", 161, 8, 12, (0.0, 0.0), -0.2, 0.35, True, 0.0),
    Orbit("S1D", 139, 5, 6, (4.0, 3.0), 0.2, 1.1, False, float("nan")),
)
"""Two ascending ones on the region's own grid, which overlap in a strip of it; a descending one on
a grid beside it."""


class Bilinear:
    """Interpolates between the centres of a grid's pixels, always at the same places.

    Args:
      shape: Rows and columns of the grid.
      rows: Where; whole numbers are centres. It is broadcast against `columns`.
      columns: The same.
    """

    def __init__(self, shape: tuple[int, int], rows: np.ndarray, columns: np.ndarray):
        self._axes = []
        for at, size in zip((rows, columns), shape, strict=True):
            first = np.floor(at)
            for pixel, weight in ((first, 1 - (at - first)), (first + 1, at - first)):
                within = (pixel >= 0) & (pixel < size)
                self._axes.append((np.clip(pixel, 0, size - 1).astype(np.int32), weight, within))

    def _corners(self):
        for row, above, inside in self._axes[:2]:
            for column, left, within in self._axes[2:]:
                yield row, column, above * left, inside & within

    def __call__(self, band: np.ndarray) -> np.ndarray:
        """Values of a band, `(h, w)`, there; undefined where one around is missing; float64."""
        return sum(weight * band[row, column] for row, column, weight, _ in self._corners())

    def coverage(self, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where all four pixels around hold a value, and where any of them does.

        Args:
          missing: Pixels of the grid without a value, `(h, w)` bool.
        """
        held = [inside & ~missing[row, column] for row, column, _, inside in self._corners()]
        return np.logical_and.reduce(held), np.logical_or.reduce(held)
