"""Rasters of a map: Cloud-Optimised GeoTIFFs, written block by block."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.regions import _geo
from pastis_jax.mapping.blocks import NODATA, UNCLASSIFIED, Block
from pastis_jax.mapping.layers import layers_of
from pastis_jax.mapping.made import Made

_TILE = 512
_GREY = (128, 128, 128)


def write_raster(
    made: Made,
    file: pathlib.Path,
    parts: Iterator[tuple[Block, np.ndarray]],
    *,
    bands: Sequence[str],
    dtype: str = "uint8",
    nodata: int | None = NODATA,
    colours: dict[int, tuple[int, int, int]] | None = None,
    tags: dict[str, str] | None = None,
) -> None:
    """Writes one raster on the grid of the Region.

    Args:
      made: The map.
      file: To write.
      parts: Values of each block, (band, h, w), in any order.
      bands: Names of the bands.
      dtype: Of the values.
      nodata: Mark of what is not known; None for none.
      colours: Of the values of the first band.
      tags: Metadata of the file.

    Raises:
      OSError: If it cannot be written.
    """
    rasterio = _geo.need("rasterio")
    windows = _geo.need("rasterio.windows")
    grid, draft = made.region.grid, file.with_suffix(".draft.tif")
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": grid.height,
        "width": grid.width,
        "count": len(bands),
        "dtype": dtype,
        "crs": grid.crs,
        "transform": _geo.need("rasterio").Affine(*grid.transform),
        "nodata": nodata,
    }
    tiled = {"tiled": True, "blockxsize": _TILE, "blockysize": _TILE, "compress": "deflate"}
    with rasterio.open(
        draft, "w", **profile, **tiled, interleave="band", bigtiff="if_safer"
    ) as out:
        for block, values in parts:
            out.write(values, window=windows.Window.from_slices(block.rows, block.columns))
        for number, name in enumerate(bands, 1):
            out.set_band_description(number, name)
        if colours:
            out.write_colormap(1, {value: (*colour, 255) for value, colour in colours.items()})
        out.update_tags(**(tags or {}))
    resampling = "mode" if colours else "average"
    cog = {"driver": "COG", "compress": "deflate", "overview_resampling": resampling}
    shutil_copy = _geo.need("rasterio.shutil").copy
    shutil_copy(draft, file, **cog, blocksize=_TILE, num_threads="1", bigtiff="if_safer")
    draft.unlink()


def write_rasters(made: Made, out: pathlib.Path) -> None:
    """Writes the rasters of a map of pixels."""
    classes = made.classes
    colours = dict(enumerate(classes.colours)) | {UNCLASSIFIED: _GREY}
    for name in ("crop", "confidence", "margin"):
        write_raster(
            made,
            out / f"{name}.tif",
            ((block, content[name][None]) for block, content in layers_of(made)),
            bands=(name,),
            colours=colours if name == "crop" else None,
        )
    write_raster(
        made,
        out / "dates.tif",
        ((block, content["dates"]) for block, content in made.read("dates")),
        bands=made.run.modalities,
        dtype="uint16",
        nodata=None,
    )
    if made.options.probabilities:
        write_raster(
            made,
            out / "probabilities.tif",
            ((block, content["probabilities"]) for block, content in made.read("probabilities")),
            bands=classes.names,
        )
