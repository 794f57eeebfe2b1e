"""Vector files of made-up parcels, in every form that users have."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pastis_jax.data.regions.grid import Grid

geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")

GRID = Grid("EPSG:32631", 500_000.0, 5_000_000.0, 10.0, 60, 50)
FORMS = ("gpkg", "shp", "geojson", "parquet", "fgb", "plain.parquet")
"""Endings; the last is a Parquet file with a column of WKB that nothing describes."""


def square(column, row, side=4, *, grid=GRID):
    """A square whose upper left corner is that of a pixel; side in pixels."""
    left = grid.left + column * grid.pixel_size
    top = grid.top - row * grid.pixel_size
    side = side * grid.pixel_size
    return shapely.box(left, top - side, left + side, top)


def frame(geometries, *, crs=GRID.crs, **columns):
    """Parcels as a table with identifiers and codes, unless others are given."""
    names = [f"p{number}" for number in range(len(geometries))]
    columns = {"name": names, "crop": [f"C{i % 3}" for i in range(len(names))]} | columns
    return geopandas.GeoDataFrame(columns, geometry=[*geometries], crs=crs)


def write(folder, form, parcels):
    """Writes a table of parcels as a file of a form; returns the file."""
    file = folder / f"parcels.{form}"
    if form == "plain.parquet":
        table = parcels.drop(columns="geometry")
        table.assign(wkb=shapely.to_wkb(parcels.geometry.to_numpy())).to_parquet(file)
    elif form == "parquet":
        parcels.to_parquet(file)
    else:
        parcels.to_file(file, **({"layer": "fields"} if form == "gpkg" else {}))
    return file


def write_geojson(file, geometries, *, crs=None):
    """Writes GeoJSON as it stands; geometries may be None, codes are missing."""
    features = [
        {
            "type": "Feature",
            "properties": {"n": number},
            "geometry": None if geometry is None else shapely.geometry.mapping(geometry),
        }
        for number, geometry in enumerate(geometries)
    ]
    content = {"type": "FeatureCollection", "features": features}
    if crs:
        content["crs"] = {"type": "name", "properties": {"name": crs}}
    file.write_text(json.dumps(content))
    return file


def centres_in(geometry, grid=GRID):
    """Whether each pixel's centre lies in a polygon, (h, w) bool; by shapely alone."""
    rows, columns = np.indices((grid.height, grid.width)) + 0.5
    x = grid.left + columns * grid.pixel_size
    return shapely.contains_xy(geometry, x, grid.top - rows * grid.pixel_size)
