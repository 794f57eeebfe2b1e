"""The file of a Region's parcels, `parcels.parquet`: their table with their outlines."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from pastis_jax.data.regions import _geo
from pastis_jax.data.regions.table import NO_FOLD, ParcelTable
from pastis_jax.files import whole


def write_parcels(
    table: ParcelTable,
    geometries: np.ndarray,
    file: str | os.PathLike[str],
    *,
    crs: str,
    classes: Sequence[str],
    folds: Sequence[int | str],
) -> None:
    """Writes parcels as GeoParquet 1.1; equal ones give equal bytes.

    Args:
      table: The parcels, in the order of their numbers.
      geometries: Their polygons, (n,).
      file: The file.
      crs: Coordinate system of the polygons.
      classes: Names of the classes by number.
      folds: Names of the folds by position.

    Raises:
      UserError: Without the extra `geo`.
      OSError: If it cannot be written.
    """
    geopandas = _geo.need("geopandas")
    columns = {
        "id": table.id.astype(object),
        "code": table.code.astype(object),
        "label": table.label.astype(np.int32),
        "class": np.array([classes[label] for label in table.label.tolist()], object),
        "fold": np.array(
            [None if fold == NO_FOLD else str(folds[fold]) for fold in table.fold.tolist()], object
        ),
        "pixels": table.pixels.astype(np.int32),
        "area": table.area.astype(np.float64),
    }
    frame = geopandas.GeoDataFrame(columns, geometry=geometries, crs=crs)
    with whole(file) as stream:
        frame.to_parquet(
            stream,
            index=False,
            compression="zstd",
            schema_version="1.1.0",
            write_covering_bbox=True,
        )
