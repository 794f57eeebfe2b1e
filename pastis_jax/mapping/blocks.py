"""Blocks of a map: what is predicted as one, and the file that it is kept in until the end.

every task   dates              (m, h, w) uint16   valid dates of each pixel, by modality
semantic     crop               (h, w) uint8       class; 254 unclassified, 255 nothing known
             confidence, margin (h, w) uint8       percent, 255 nothing known
             probabilities      (k, h, w) uint8    percent, on request
             parcel, parcel_sum, parcel_weight     sums of probabilities over parcels' pixels
parcel       parcel, parcel_probability, parcel_dates, parcel_pixels
panoptic     known              (h, w) bool        whether anything is known
             instance_...       see `pieces`
"""

from __future__ import annotations

import dataclasses
import io
import os
import pathlib
import zipfile
from collections.abc import Iterator, Mapping

import numpy as np

from pastis_jax.data.regions.grid import SHARD, Grid
from pastis_jax.errors import DataError
from pastis_jax.files import write_whole

Content = dict[str, np.ndarray]
"""Arrays of a block, by name."""
UNCLASSIFIED, NODATA = 254, 255
"""Of a raster of classes: too little confidence; nothing known."""
MOST_CLASSES = UNCLASSIFIED
UNCLASSIFIED_COLOUR = (235, 235, 235)
"""How it is drawn: lighter than the greys that classes may have."""


@dataclasses.dataclass(frozen=True)
class Block:
    """A square of a map, cut at the edges of the Region.

    Attributes:
      rows: Of its pixels.
      columns: The same.
    """

    rows: slice
    columns: slice

    @property
    def name(self) -> str:
        """Name of its file, without its ending: rows and columns among blocks."""
        return f"r{self.rows.start // SHARD:04d}c{self.columns.start // SHARD:04d}"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of its pixels."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


def blocks_of(grid: Grid) -> Iterator[Block]:
    """The blocks of a Region, row by row."""
    for rows, columns in grid.blocks(SHARD):
        yield Block(rows, columns)


def percent(shares: np.ndarray) -> np.ndarray:
    """Shares of 1 as whole percents, uint8; 255 where a share is NaN."""
    known = np.isfinite(shares)
    return np.where(known, np.rint(100 * np.where(known, shares, 0)), NODATA).astype(np.uint8)


def file_of(folder: pathlib.Path, block: Block) -> pathlib.Path:
    """Where a block is kept."""
    return folder / f"{block.name}.npz"


def write_block(folder: pathlib.Path, block: Block, content: Mapping[str, np.ndarray]) -> None:
    """Writes a block, whole or not at all; the same content gives the same bytes.

    Raises:
      OSError: If it cannot be written.
    """
    stream = io.BytesIO()
    np.savez_compressed(stream, **content)
    write_whole(file_of(folder, block), stream.getvalue())


def read_block(folder: str | os.PathLike[str], block: Block, *names: str) -> Content:
    """Reads a block.

    Args:
      folder: Where blocks are kept.
      block: Which.
      *names: What of it is wanted; nothing for all.

    Raises:
      DataError: If it cannot be read.
    """
    file = file_of(pathlib.Path(folder), block)
    try:
        # NumPy leaves a damaged file open that it has opened itself.
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
            return {name: stored[name] for name in names or stored.files}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        remedy = "remove this file: the same command makes it anew"
        raise DataError(f"cannot be read ({error})", where=file, remedy=remedy) from error
