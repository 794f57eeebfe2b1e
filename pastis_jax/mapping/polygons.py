"""The parcels that a map tells of: those of the Region, or the polygons of a file."""

from __future__ import annotations

import collections
import functools
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from pastis_jax.data.regions import _geo, table
from pastis_jax.data.regions.grid import CHUNK, SHARD
from pastis_jax.data.regions.parcels.numbers import Numberer, Tally
from pastis_jax.data.regions.parcels.reading import read_parcels
from pastis_jax.data.regions.store import Region
from pastis_jax.errors import ArgumentError, DataError
from pastis_jax.mapping.blocks import Block
from pastis_jax.mapping.options import MapOptions

_KEPT = 12
"""Squares of numbers that are kept, 4 MiB each."""


class Polygons:
    """Polygons on the grid of a Region, and which pixel is whose.

    Args:
      region: The Region.
      options: Of the map; they may name a file.

    Attributes:
      own: Whether they are the Region's own.
      id: Identifiers, text, (n,).
      geometry: Polygons in the coordinate system of the Region, (n,) shapely objects.
      notes: What was noticed when they were read, a line each.

    Raises:
      UserError: If they cannot be read.
    """

    def __init__(self, region: Region, options: MapOptions):
        self._region, self.own = region, options.parcels is None
        self.notes: tuple[str, ...] = ()
        self._numberer: Numberer | None = None
        if options.parcels is None:
            self.id, self.geometry = region.parcels.id, _outlines(region)
        else:
            read = read_parcels(
                options.parcels,
                label=None,
                grid=region.grid,
                id=options.parcel_id,
                layer=options.parcels_layer,
                crs=options.parcels_crs,
            )
            self.id, self.geometry = read.ids, read.geometries
            self._numberer = Numberer(self.geometry, region.grid)
            self.notes = tuple(str(found["text"]) for found in read.findings)
        self._squares: collections.OrderedDict[tuple[int, int], np.ndarray] = (
            collections.OrderedDict()
        )

    def __len__(self) -> int:
        return len(self.id)

    @property
    def digest(self) -> str:
        """Changes with identifiers and outlines."""
        digest = hashlib.sha256("\n".join(self.id.tolist()).encode())
        for outline in _geo.need("shapely").to_wkb(self.geometry):
            digest.update(outline)
        return digest.hexdigest()

    @functools.cached_property
    def hectares(self) -> np.ndarray:
        """Areas, also of what lies beyond the Region, (n,) float64."""
        if self.own:
            return self._region.parcels.area / 1e4
        return _geo.need("shapely").area(self.geometry) / 1e4

    @functools.cached_property
    def boxes(self) -> np.ndarray:
        """First row, first column, last row and last column that each may touch, (n, 4) int64.

        A pixel more than it covers on each side; where it has none in the Region, the last row
        lies before the first, or the last column.
        """
        grid = self._region.grid
        left, bottom, right, top = _geo.need("shapely").bounds(self.geometry).T
        low = np.stack((grid.top - top, left - grid.left), 1) / grid.pixel_size
        high = np.stack((grid.top - bottom, right - grid.left), 1) / grid.pixel_size
        last = np.array([grid.height, grid.width]) - 1
        low = np.clip(np.nan_to_num(np.floor(low), nan=np.inf) - 1, 0, last + 1)
        high = np.clip(np.nan_to_num(np.floor(high), nan=-np.inf) + 1, -1, last)
        return np.concatenate((low, high), 1).astype(np.int64)

    @functools.cached_property
    def tree(self) -> Any:
        """Their index by place (shapely's `STRtree`)."""
        return _geo.need("shapely").STRtree(self.geometry)

    def touching(self, rows: slice, columns: slice) -> np.ndarray:
        """Rows of the table of those that share more than a border with a window, rising."""
        shapely = _geo.need("shapely")
        box = shapely.box(*self._region.grid.part(rows, columns).bounds)
        return np.sort(self.tree.query(box, predicate="intersects"))

    def numbers(self, rows: slice, columns: slice) -> np.ndarray:
        """Numbers of the pixels of a window within a block of the Region, (h, w) int32.

        Rows of the table from 1; 0 is no parcel, -1 is claimed by several. Not for several threads.
        """
        place = rows.start // SHARD, columns.start // SHARD
        if place in self._squares:
            self._squares.move_to_end(place)
        else:
            self._squares[place] = self._read(*(slice(n * SHARD, (n + 1) * SHARD) for n in place))
            if len(self._squares) > _KEPT:
                self._squares.popitem(last=False)
        top, left = (SHARD * number for number in place)
        return self._squares[place][
            rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]

    def _read(self, rows: slice, columns: slice) -> np.ndarray:
        grid = self._region.grid
        rows = slice(rows.start, min(rows.stop, grid.height))
        columns = slice(columns.start, min(columns.stop, grid.width))
        if self._numberer is None:
            return self._region.numbers(rows, columns)
        return self._numberer.block(rows, columns)[0]

    def chunks(self, some: np.ndarray) -> np.ndarray:
        """Numbers, row by row, of the chunks that may hold a pixel of any of `some`, rising.

        Args:
          some: Rows of the table, (n,).
        """
        wide, found = self._region.grid.chunks[1], [np.zeros(0, np.int64)]
        boxes = self.boxes[some]
        boxes = boxes[(boxes[:, 2:] >= boxes[:, :2]).all(1)]
        for top, left, bottom, right in np.unique(boxes // CHUNK, axis=0).tolist():
            rows = np.arange(top, bottom + 1) * wide
            found.append((rows[:, None] + np.arange(left, right + 1)).ravel())
        return np.unique(np.concatenate(found))

    def overlaps(self, blocks: tuple[Block, ...]) -> Iterator[str]:
        """Tells which polygons of a file overlap, once all pixels are numbered, a line each."""
        if self._numberer is None:
            return
        tally = Tally(len(self))
        for block in blocks:
            tally.add(*self._numberer.block(block.rows, block.columns))
        for found in tally.findings(self.id):
            if found["kind"] == "parcels overlap":
                yield str(found["text"])


def polygons_of(task: str, region: Region, options: MapOptions) -> Polygons | None:
    """The parcels of a map; None where there are none, or the task finds its own.

    Args:
      task: What the run does.
      region: The Region.
      options: Of the map.

    Raises:
      ArgumentError: If polygons are given to a run that finds its own.
      DataError: If there are none, and the run tells of nothing else.
    """
    if task == "panoptic":
        if options.parcels is not None:
            fault, remedy = "the run finds parcels by itself", "leave it out"
            raise ArgumentError(fault, argument="parcels", remedy=remedy)
        return None
    if options.parcels is None and not (region.root / table.FILE).exists():
        if task == "parcel":
            fault = "has no parcels, it was made without; the run tells of parcels alone"
            remedy = "give a file of polygons as `parcels`, or ingest the scenes with parcels"
            raise DataError(fault, where=region.root, remedy=remedy)
        return None
    return Polygons(region, options)


def _outlines(region: Region) -> np.ndarray:
    """Polygons of the Region's own parcels, (n,)."""
    file, shapely = region.root / table.FILE, _geo.need("shapely")
    remedy = "ingest the Region again"
    arrow = _geo.need("pyarrow")
    try:
        with _geo.need("pyarrow.parquet").ParquetFile(file) as content:
            column = content.read(columns=["geometry"]).column("geometry")
        geometry = shapely.from_wkb(column.to_numpy())
    except (OSError, ValueError, KeyError, RuntimeError, arrow.ArrowException) as error:
        raise DataError(f"cannot be read ({error})", where=file, remedy=remedy) from error
    if shapely.is_missing(geometry).any():
        raise DataError("holds parcels without outlines", where=file, remedy=remedy)
    return geometry
