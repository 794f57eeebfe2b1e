"""The grid of a Region: square pixels of one projected coordinate system, north up."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pastis_jax.data.fields import refuse

CHUNK = 128
"""Side of what is read at once, pixels."""
SHARD = 1024
"""Side of a file, pixels: as many chunks as are written at once."""
LARGEST = 1_000_000
"""Most pixels on a side."""


@dataclasses.dataclass(frozen=True)
class Grid:
    """Where the pixels of a Region lie.

    Attributes:
      crs: Projected coordinate system in metres, such as ``EPSG:32631``, or its WKT.
      left: Easting of the outer edge of the first column, metres.
      top: Northing of the outer edge of the first row, metres.
      pixel_size: Side of a pixel, metres.
      height: Rows.
      width: Columns.

    Raises:
      ValueError: Naming the field.

    Examples:
      >>> Grid("EPSG:32631", 600_000, 5_000_000, pixel_size=10, height=128, width=256).bounds
      (600000, 4998720, 602560, 5000000)
    """

    crs: str
    left: float
    top: float
    pixel_size: float
    height: int
    width: int

    def __post_init__(self) -> None:
        refuse("crs", not self.crs.strip(), "is empty")
        for name in ("left", "top"):
            refuse(name, not math.isfinite(getattr(self, name)), "is no finite number")
        size = self.pixel_size
        refuse("pixel_size", not 0 < size < math.inf, "must be a number of metres above 0")
        for name in ("height", "width"):
            pixels = getattr(self, name)
            refuse(name, not 1 <= pixels <= LARGEST, f"must be 1 to {LARGEST:,} pixels")

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """From columns and rows to metres, in the order of an affine transform."""
        return (self.pixel_size, 0.0, self.left, 0.0, -self.pixel_size, self.top)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top edge, metres."""
        right = self.left + self.width * self.pixel_size
        return self.left, self.top - self.height * self.pixel_size, right, self.top

    def blocks(self, size: int) -> Iterator[tuple[slice, slice]]:
        """Rows and columns of squares of `size` pixels, row by row, cut at the edges."""
        for row in range(0, self.height, size):
            for column in range(0, self.width, size):
                rows = slice(row, min(row + size, self.height))
                yield rows, slice(column, min(column + size, self.width))

    def part(self, rows: slice, columns: slice) -> Grid:
        """The grid of a window.

        Args:
          rows: Of the window, start and stop within or beyond this grid.
          columns: The same.
        """
        return dataclasses.replace(
            self,
            left=self.left + columns.start * self.pixel_size,
            top=self.top - rows.start * self.pixel_size,
            height=rows.stop - rows.start,
            width=columns.stop - columns.start,
        )

    @property
    def chunks(self) -> tuple[int, int]:
        """Rows and columns of chunks."""
        return -(-self.height // CHUNK), -(-self.width // CHUNK)

    def to_json(self) -> dict[str, Any]:
        """Returns the grid as plain JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Grid:
        """Returns what `to_json` gave.

        Raises:
          ValueError: Naming the field.
        """
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            value: Any = content.get(field.name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            whole = isinstance(value, int) and number
            kind = {"str": isinstance(value, str), "int": whole, "float": number}[str(field.type)]
            refuse(field.name, not kind, "is missing or of another type")
            values[field.name] = float(value) if field.type == "float" else value
        return cls(**values)


def touched(pixels: slice) -> slice:
    """The chunks along one axis that hold any of `pixels`."""
    return slice(pixels.start // CHUNK, -(-pixels.stop // CHUNK))
