"""Parcels of a map of pixels: mean probabilities over what each covers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pastis_jax.data.regions import _geo
from pastis_jax.mapping.blocks import Block, Content
from pastis_jax.mapping.polygons import Polygons

if TYPE_CHECKING:
    from pastis_jax.data.regions.grid import Grid
    from pastis_jax.mapping.mapper import Mapper


class Coverage:
    """Sums probabilities over the parcels of a map, each pixel by how much of it they cover.

    Pixels of which nothing is known do not count. Sums of blocks add up to those of the Region.

    Args:
      grid: Of the Region.
      polygons: The parcels.
    """

    def __init__(self, grid: Grid, polygons: Polygons):
        _geo.need("exactextract")  # before hours of work, not after
        self._grid, self._polygons = grid, polygons

    @classmethod
    def of(cls, mapper: Mapper) -> Coverage | None:
        """For the parcels of a map; None where there are none."""
        if mapper.polygons is None:
            return None
        return cls(mapper.region.grid, mapper.polygons)

    def __call__(self, block: Block, shares: np.ndarray, dates: np.ndarray) -> Content:
        """Sums over the parcels that a block touches.

        Args:
          block: The block.
          shares: Probabilities of its pixels, (k, h, w), NaN where nothing is known.
          dates: Valid dates by modality, (m, h, w) uint16.

        Returns:
          `parcel`, `parcel_sum`, `parcel_weight` and `parcel_dates`, the most of a pixel; of the
          parcels that cover a part of a pixel.
        """
        known = np.isfinite(shares).all(0).ravel()
        flat = np.where(known, shares.reshape(len(shares), -1), 0).astype(np.float64)
        seen = dates.reshape(len(dates), -1)
        found, sums, weights, most = [], [], [], []
        for row, pixels, covered in self._covered(block):
            weight = covered * known[pixels]
            found.append(row)
            sums.append((flat[:, pixels] * weight).sum(1))
            weights.append(weight.sum())
            most.append(seen[:, pixels].max(1))
        k, m = len(shares), len(dates)
        return {
            "parcel": np.array(found, np.int32),
            "parcel_sum": np.array(sums, np.float64).reshape(-1, k),
            "parcel_weight": np.array(weights, np.float64),
            "parcel_dates": np.array(most, np.uint16).reshape(-1, m),
        }

    def _covered(self, block: Block):
        """Gives the parcels that a block touches, the pixels of each, and their covered shares."""
        rows = self._polygons.touching(block.rows, block.columns)
        if not len(rows):
            return
        part, crs = self._grid.part(block.rows, block.columns), self._grid.crs
        left, bottom, right, top = part.bounds
        raster = _geo.need("exactextract.raster").NumPyRasterSource(
            np.broadcast_to(np.uint8(0), block.shape),
            xmin=left,
            ymin=bottom,
            xmax=right,
            ymax=top,
            srs_wkt=_geo.need("pyproj").CRS.from_user_input(crs).to_wkt(),
        )
        frame = _geo.need("geopandas").GeoDataFrame(
            {"row": rows}, geometry=self._polygons.geometry[rows], crs=crs
        )
        covered = _geo.need("exactextract").exact_extract(
            raster, frame, ["cell_id", "coverage"], include_cols=["row"], output="pandas"
        )
        columns = (covered[name].tolist() for name in ("row", "cell_id", "coverage"))
        for row, pixels, shares in zip(*columns, strict=True):
            pixels, shares = np.asarray(pixels, np.int64), np.asarray(shares, np.float64)
            some = shares > 0
            if some.any():
                yield row, pixels[some], shares[some]
