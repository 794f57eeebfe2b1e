"""GeoTIFFs that say themselves what they hold."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from pastis_jax.data.regions import _geo
from pastis_jax.data.simulate.landscape.places import PIXEL, Raster


def write(
    file: pathlib.Path,
    values: np.ndarray,
    raster: Raster,
    *,
    bands: Sequence[str],
    nodata: float,
    unit: str,
    tags: Mapping[str, str],
    scale: float = 1.0,
    offset: float = 0.0,
    pixel: float = PIXEL,
) -> None:
    """Writes a raster, the same bytes whenever it is the same.

    Args:
      file: The file.
      values: `(c, h, w)`.
      raster: Where its upper left corner lies.
      bands: Name of each band.
      nodata: Mark of what is missing.
      unit: What a number means once it is multiplied by `scale` and `offset` is added.
      tags: What else is known.
      scale: As GDAL has it.
      offset: As GDAL has it.
      pixel: Side of a pixel, metres.
    """
    rasterio = _geo.need("rasterio")
    count, height, width = values.shape
    profile = {
        **{"driver": "GTiff", "dtype": values.dtype.name, "nodata": nodata},
        **{"count": count, "height": height, "width": width, "crs": raster.crs},
        "transform": rasterio.Affine(pixel, 0, raster.left, 0, -pixel, raster.top),
        **{"tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "band"},
        **{"compress": "deflate", "zlevel": 1, "photometric": "minisblack"},
        "predictor": 3 if values.dtype.kind == "f" else 2,
    }
    with rasterio.open(file, "w", **profile) as out:
        out.descriptions = tuple(bands)
        out.scales, out.offsets = (scale,) * count, (offset,) * count
        out.units = (unit,) * count
        out.update_tags(**tags)
        out.write(values)
