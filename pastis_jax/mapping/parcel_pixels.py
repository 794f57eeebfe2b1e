"""Where the parcels of a block lie: found in the block and in what they reach into."""

from __future__ import annotations

import dataclasses

import numpy as np

from pastis_jax.data.outline import outline
from pastis_jax.data.regions import table
from pastis_jax.data.regions.cube import REMEDY
from pastis_jax.data.regions.grid import CHUNK
from pastis_jax.data.regions.store import Region
from pastis_jax.errors import DataError
from pastis_jax.mapping.blocks import Block
from pastis_jax.mapping.polygons import Polygons

_TOGETHER = 4
"""Rows and columns of chunks that are read one after the other: their columns fit in memory."""


@dataclasses.dataclass(frozen=True, eq=False)
class ParcelPixels:
    """The pixels of one parcel.

    Attributes:
      row: Of the table.
      y: Their rows in the Region, row by row, (s,).
      x: Their columns, (s,).
    """

    row: int
    y: np.ndarray
    x: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    @property
    def home(self) -> tuple[int, int]:
        """Row and column of the chunk of its first pixel."""
        return int(self.y[0]) // CHUNK, int(self.x[0]) // CHUNK

    def part(self, drawn: np.ndarray) -> ParcelPixels:
        """Some of its pixels, by their positions, rising."""
        return ParcelPixels(self.row, self.y[drawn], self.x[drawn])

    def features(self) -> np.ndarray:
        """The features of its outline, (4,) float32."""
        height, width = (int(np.ptp(along)) + 1 for along in (self.y, self.x))
        places = (self.y - self.y[0] + 1) * (width + 1) + self.x - self.x.min()
        # A column that is no pixel's parts the end of a row from the start of the next.
        shared = sum(np.isin(places + step, places).sum() for step in (1, width + 1))
        sides = 4 * len(self) - 2 * int(shared)
        return np.array(outline(sides, len(self), height, width), np.float32)


def find(region: Region, polygons: Polygons, block: Block) -> list[ParcelPixels]:
    """Finds the parcels whose first pixel, row by row, lies in a block; neighbours together.

    Args:
      region: The Region.
      polygons: Of its parcels.
      block: The block.

    Raises:
      DataError: If pixels and table do not go together.
    """
    numbers = polygons.numbers(block.rows, block.columns)
    if numbers.max(initial=0) > len(polygons):
        fault = f"parcel {numbers.max()} where {table.FILE} lists {len(polygons):,}"
        raise DataError(fault, where=region.root, remedy=REMEDY)
    here = np.unique(numbers[numbers > 0])
    position = np.full(len(polygons) + 1, -1, np.int32)
    position[here] = np.arange(len(here))
    wide, grid = region.grid.chunks[1], region.grid
    owners, downs, rights = [], [], []
    for chunk in polygons.chunks(here - 1).tolist():
        top, left = (CHUNK * number for number in divmod(chunk, wide))
        rows = slice(top, min(top + CHUNK, grid.height))
        columns = slice(left, min(left + CHUNK, grid.width))
        owner = position[np.maximum(polygons.numbers(rows, columns), 0)]
        y, x = np.nonzero(owner >= 0)
        owners.append(owner[y, x])
        downs.append((y + top).astype(np.int32))
        rights.append((x + left).astype(np.int32))
    if not owners:
        return []
    owner, y, x = (np.concatenate(parts) for parts in (owners, downs, rights))
    order = np.lexsort((x, y, owner))
    y, x = y[order], x[order]
    ends = np.cumsum(np.bincount(owner, minlength=len(here)))
    found = [
        ParcelPixels(int(number) - 1, y[start:end], x[start:end])
        for number, start, end in zip(here, np.append(0, ends[:-1]), ends, strict=True)
    ]
    if polygons.own:
        _check(region, found)
    return sorted(filter(lambda parcel: _owns(block, parcel), found), key=_place)


def _owns(block: Block, parcel: ParcelPixels) -> bool:
    y, x = parcel.y[0], parcel.x[0]
    rows, columns = block.rows, block.columns
    return bool(rows.start <= y < rows.stop and columns.start <= x < columns.stop)


def _place(parcel: ParcelPixels) -> tuple[int, ...]:
    """What parcels are sorted by, so that neighbours follow each other."""
    down, right = parcel.home
    first = int(parcel.y[0]), int(parcel.x[0])
    return down // _TOGETHER, right // _TOGETHER, down, right, *first


def _check(region: Region, found: list[ParcelPixels]) -> None:
    for parcel in found:
        if len(parcel) != (listed := int(region.parcels.pixels[parcel.row])):
            fault = f"parcel {region.parcels.id[parcel.row]} has {len(parcel):,} pixels where "
            fault += f"{table.FILE} gives {listed:,}"
            raise DataError(fault, where=region.root, remedy=REMEDY)
