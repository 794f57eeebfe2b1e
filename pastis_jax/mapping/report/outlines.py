"""The parcels of a map as its page holds them: what is known of each, its pixels, its outline."""

from __future__ import annotations

from typing import Any

import numpy as np

from pastis_jax.data.regions import _geo
from pastis_jax.data.regions.grid import Grid
from pastis_jax.mapping.parcel_results import ParcelResults
from pastis_jax.mapping.report.packed import pack, pack_json

MOST = 65_535
"""Parcels that a page can hold."""
TOP = 3
"""Classes that are told of each."""
FINE = 8
"""Steps in a pixel of the coordinates of outlines."""
_TOLERANCE = 0.3
"""Pixels by which a simplified outline may be off."""


def packed_parcels(
    grid: Grid, results: ParcelResults, most: int
) -> tuple[dict[str, Any] | None, str]:
    """Packs parcels for a page that shows every pixel.

    Args:
      grid: Of the Region.
      results: The parcels.
      most: Characters that they may take.

    Returns:
      What is packed, and nothing; or None, and why there is nothing.
    """
    n = len(results)
    if n > MOST:
        return None, f"{n:,} parcels are more than the {MOST:,} that fit into a page"
    if not n:
        return None, "it has no parcels"
    classes, percents = top_classes(results.probability)
    told = {
        "id": [str(name) for name in results.id],
        "label": results.label.tolist(),
        "top": classes.ravel().tolist(),
        "percent": percents.ravel().tolist(),
        "truth": results.truth.tolist(),
        "held": results.held_out.astype(int).tolist(),
        "hectares": [round(float(area), 3) for area in results.hectares],
    }
    coordinates, rings = outlines(grid, results.geometry)
    packed = {
        "number": n,
        "classes": classes.shape[1],
        "told": pack_json(told),
        "numbers": pack(_numbers(grid, results.geometry)),
        "coordinates": pack(coordinates),
        "rings": pack(rings),
    }
    if sum(len(part["data"]) for part in packed.values() if isinstance(part, dict)) > most:
        return None, f"{n:,} parcels of these outlines do not fit into a page"
    return packed, ""


def top_classes(probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most probable classes of each parcel, most probable first, and percents, (n, 3) int.

    -1 for both where nothing is known.
    """
    known = np.isfinite(probability).all(1)
    filled = np.where(known[:, None], probability, 0)
    order = np.argsort(-filled, axis=1, kind="stable")[:, :TOP]
    percents = np.rint(100 * np.take_along_axis(filled, order, 1)).astype(int)
    return np.where(known[:, None], order, -1), np.where(known[:, None], percents, -1)


def _numbers(grid: Grid, geometry: np.ndarray) -> np.ndarray:
    """Number of the parcel, from 1, that the centre of each pixel lies in, (h, w) uint16."""
    features, rasterio = _geo.need("rasterio.features"), _geo.need("rasterio")
    drawn = np.zeros((grid.height, grid.width), np.int32)
    shapes = [(shape, i) for i, shape in enumerate(geometry, 1) if _is_there(shape)]
    if shapes:
        features.rasterize(shapes, out=drawn, transform=rasterio.Affine(*grid.transform))
    return drawn.astype(np.uint16)


def _is_there(shape: Any) -> bool:
    return shape is not None and not shape.is_empty


def outlines(grid: Grid, geometry: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Simplifies the outlines of polygons.

    Args:
      grid: Of the Region.
      geometry: Polygons, (n,).

    Returns:
      Columns and rows of all corners in 1/8 pixels, each the difference from the one before, (p, 2)
      int16; and of each ring its parcel, from 0, and its number of corners, (r, 2) int32.
    """
    shapely = _geo.need("shapely")
    there = np.array([_is_there(shape) for shape in geometry], bool)
    owners = np.flatnonzero(there)
    shapes = shapely.simplify(geometry[there], _TOLERANCE * grid.pixel_size)
    parts, of_part = shapely.get_parts(shapes, return_index=True)
    polygonal = shapely.get_type_id(parts) == 3  # what else is in a collection has no outline
    parts, of_part = parts[polygonal], of_part[polygonal]
    rings, of_ring = shapely.get_rings(parts, return_index=True)
    points, of_point = shapely.get_coordinates(rings, return_index=True)
    scaled = (points - (grid.left, grid.top)) * (FINE / grid.pixel_size, -FINE / grid.pixel_size)
    fitting = np.rint(np.clip(scaled, -16_000, 16_384 + 16_000)).astype(np.int32) - 8192
    steps = np.diff(fitting, axis=0, prepend=np.zeros((1, 2), np.int32))
    counts = np.bincount(of_point, minlength=len(rings))
    return (
        _wrapped(steps),
        np.stack([owners[of_part[of_ring]], counts], 1).astype(np.int32),
    )


def _wrapped(steps: np.ndarray) -> np.ndarray:
    """Differences as 16 bits, whose sums are right again once these are cut to 16 bits."""
    return (steps & 0xFFFF).astype(np.uint16).view(np.int16)
