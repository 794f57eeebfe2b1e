"""A map as a STAC Item: what catalogues of the SpatioTemporal Asset Catalog specification take."""

from __future__ import annotations

import json
import pathlib
import re
from typing import Any

import numpy as np

import pastis_jax
from pastis_jax.data.regions import _geo
from pastis_jax.data.regions.grid import Grid
from pastis_jax.files import write_whole
from pastis_jax.mapping.files.rasters import Raster, rasters_of
from pastis_jax.mapping.files.summary import checksum, hexadecimal, title_of
from pastis_jax.mapping.made import Made

FILE = "stac/item.json"
"""Of a map."""
_VERSION = "1.1.0"
_SCHEMAS = "https://stac-extensions.github.io"
_EXTENSIONS = {
    **{"projection": "v2.0.0", "classification": "v2.0.0", "raster": "v2.0.0"},
    **{"file": "v2.1.0", "processing": "v1.2.0"},
}
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_TYPES = {
    ".gpkg": "application/geopackage+sqlite3",
    ".html": "text/html",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".qml": "application/xml",
    ".tif": _COG,
    ".xml": "application/xml",
}
"""Media types by the ending of a name."""
_ROLES = {".qml": "style", ".xml": "metadata", ".html": "overview", ".json": "metadata"}
"""What a file is for that holds no data."""
_TITLES = {
    "crop": "Most probable crop",
    "confidence": "Probability of the most probable crop",
    "margin": "How far the next crop lies below it",
    "dates": "Valid dates of each pixel, by modality",
    "instances": "Number of the parcel of each pixel, as in parcels.gpkg",
    "probabilities": "Probability of each crop",
    "parcels": "Parcels",
    "report": "Report to be read in a browser",
}
_SHA256 = "1220"
"""What a multihash begins with: SHA-256, 32 bytes."""
_ALONG_EDGE = 20
"""Parts of an edge of the footprint: straight lines of the Region are none in degrees."""
_PRECISION = 1e-7
"""Of degrees: a centimetre."""


def write_item(made: Made, out: pathlib.Path) -> None:
    """Writes the STAC Item of a map, once its other files but for map.json are there.

    Args:
      made: The map.
      out: Its folder.

    Raises:
      OSError: If it cannot be written.
    """
    write_whole(out / FILE, json.dumps(item_of(made, out), indent=1, ensure_ascii=False) + "\n")


def item_of(made: Made, out: pathlib.Path) -> dict[str, Any]:
    """The STAC Item of a map, plain JSON."""
    geometry, bbox = footprint(made.region.grid)
    return {
        "type": "Feature",
        "stac_version": _VERSION,
        "stac_extensions": [
            f"{_SCHEMAS}/{name}/{version}/schema.json" for name, version in _EXTENSIONS.items()
        ],
        "id": _identifier(made),
        "geometry": geometry,
        "bbox": bbox,
        "properties": _properties(made),
        "links": [],
        "assets": _assets(made, out),
    }


def _identifier(made: Made) -> str:
    """Name of the dataset, last day, and the digests together: another map has another."""
    digest = "".join(made.key[name][:6] for name in sorted(made.key))
    return f"crops-{slug(made.region.dataset.name)}-{made.last_day:%Y%m%d}-{digest}"


def slug(text: str) -> str:
    """A text of small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def _properties(made: Made) -> dict[str, Any]:
    run, season = made.run, made.season
    days = [int(day) for one in season.acquired.values() for day in one.days]
    used = ", ".join(
        f"{len(one.days)} of {name}" for name, one in season.acquired.items() if len(one.days)
    )
    return {
        "title": title_of(made),
        "datetime": None,
        "start_datetime": f"{season.date(min(days))}T00:00:00Z",
        "end_datetime": f"{made.last_day}T23:59:59Z",
        "gsd": made.region.grid.pixel_size,
        **projection(made.region.grid),
        "processing:software": {"pastis-jax": pastis_jax.__version__},
        "processing:level": "L4",
        "processing:lineage": f"Predicted by a {run.task.spec.fusion} fusion model for the task "
        f"{run.task.name} from acquisitions of one season: {used}.",
        "pastis_jax:season_start": season.start.isoformat(),
        **{f"pastis_jax:{name.lower()}": f"{digest}" for name, digest in made.key.items()},
    }


def projection(grid: Grid) -> dict[str, Any]:
    """What the projection extension says of a grid."""
    left, bottom, right, top = grid.bounds
    crs = _geo.need("rasterio.crs").CRS.from_user_input(grid.crs)
    authority = crs.to_authority()
    code = {"proj:code": ":".join(authority)} if authority else {"proj:code": None}
    return {
        **code,
        **({} if authority else {"proj:wkt2": crs.to_wkt(version="WKT2_2019")}),
        "proj:shape": [grid.height, grid.width],
        "proj:transform": list(grid.transform),
        "proj:bbox": [left, bottom, right, top],
    }


def footprint(grid: Grid) -> tuple[dict[str, Any], list[float]]:
    """Where a grid lies, as GeoJSON in degrees, anticlockwise, and its west, south, east and north.

    A grid across the antimeridian is cut there, and its west is greater than its east.
    """
    shapely = _geo.need("shapely")
    outline = shapely.box(*grid.bounds)
    longest = max(grid.height, grid.width) * grid.pixel_size / _ALONG_EDGE
    x, y = shapely.get_coordinates(shapely.segmentize(outline, longest)).T
    degrees = _geo.need("rasterio.warp").transform(grid.crs, "OGC:CRS84", x, y)
    longitude, latitude = np.unwrap(degrees[0], period=360), np.array(degrees[1])
    whole = shapely.polygons(np.stack([longitude, latitude], -1))
    parts = []
    for turn in (-1, 0, 1):
        if shapely.area(part := _within(whole, turn)):
            part = shapely.transform(part, lambda xy, turn=turn: xy - [360 * turn, 0])
            parts.append(shapely.orient_polygons(shapely.set_precision(part, _PRECISION)))
    bounds = np.array([shapely.bounds(part) for part in parts])
    west, east = float(bounds[0, 0]), float(bounds[-1, 2])
    bbox = [west, float(bounds[:, 1].min()), east, float(bounds[:, 3].max())]
    geometry = parts[0] if len(parts) == 1 else shapely.multipolygons(parts)
    return json.loads(shapely.to_geojson(geometry)), bbox


def _within(polygon: Any, turn: int) -> Any:
    """What of a polygon lies between -180 and 180 degrees, whole turns further east."""
    shapely = _geo.need("shapely")
    return shapely.intersection(polygon, shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90))


def _assets(made: Made, out: pathlib.Path) -> dict[str, Any]:
    """The files of a map that are there, by name without their ending."""
    rasters = {raster.file: raster for raster in rasters_of(made)}
    files = sorted(path for path in out.iterdir() if path.is_file() and path.suffix in _TYPES)
    assets = {}
    for file in files:
        raster, name = rasters.get(file.name), file.name.partition(".")[0]
        role = _ROLES.get(file.suffix, "data")
        title = f"Colours of {name} in QGIS" if role == "style" else _TITLES.get(name, name)
        assets[file.stem if raster else file.name] = {
            "href": f"../{file.name}",
            "type": _TYPES[file.suffix],
            "title": title,
            "roles": [role],
            "file:checksum": _SHA256 + checksum(file),
            "file:size": file.stat().st_size,
            **({} if raster is None else _bands(made, raster)),
        }
    return assets


def _bands(made: Made, raster: Raster) -> dict[str, Any]:
    """What a raster holds."""
    same: dict[str, Any] = {
        "data_type": raster.dtype,
        **({} if raster.nodata is None else {"nodata": raster.nodata}),
        **({"unit": raster.unit} if raster.unit else {}),
        "raster:spatial_resolution": made.region.grid.pixel_size,
    }
    if raster.colours:
        same["classification:classes"] = classes(raster)
    return {**same, "bands": [{"name": band} for band in raster.bands]}


def classes(raster: Raster) -> list[dict[str, Any]]:
    """The values of a raster of classes; names for machines are told apart by their value."""
    names = [slug(name) for name in raster.names.values()]
    told = [
        {
            "value": value,
            "name": name if names.count(name) == 1 else f"{name}-{value}",
            "title": raster.names[value],
            "description": raster.names[value],
            "color_hint": hexadecimal(raster.colours[value])[1:].upper(),
        }
        for value, name in zip(raster.names, names, strict=True)
    ]
    known = {"value": raster.nodata, "name": "nodata", "title": "Nothing known"}
    return [*told, {**known, "description": "No valid date", "nodata": True}]
