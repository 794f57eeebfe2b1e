"""Parcels of a map as vector files: a GeoPackage that QGIS colours, and GeoParquet.

Both hold the same columns. `class` is the index of the class, as in the rasters; it is empty where
a parcel is unclassified or nothing is known. Probabilities are shares of 1, areas hectares.
"""

from __future__ import annotations

import contextlib
import datetime
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.regions import _geo
from pastis_jax.files import whole
from pastis_jax.mapping.blocks import NODATA, UNCLASSIFIED
from pastis_jax.mapping.files.parcel_style import add_style
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.parcel_results import ParcelResults

GPKG, PARQUET = "parcels.gpkg", "parcels.parquet"
LAYER = "parcels"
_DIGITS = 4
"""Of probabilities and hectares."""
NAMED = {UNCLASSIFIED: "Unclassified", NODATA: "No data"}
"""Names of what is no class."""


def write_vectors(made: Made, results: ParcelResults, out: pathlib.Path) -> None:
    """Writes the parcels of a map; equal ones give equal bytes.

    Args:
      made: The map.
      results: Its parcels.
      out: Folder to write in.

    Raises:
      UserError: Without the extra `geo`.
      OSError: If something cannot be written.
    """
    frame = frame_of(made, results)
    with whole(out / PARQUET) as stream:
        frame.to_parquet(
            stream,
            index=False,
            compression="zstd",
            schema_version="1.1.0",
            write_covering_bbox=True,
        )
    last = made.last_day
    with _dated(last):
        _geo.need("pyogrio").write_dataframe(
            frame,
            out / GPKG,
            layer=LAYER,
            driver="GPKG",
            promote_to_multi=True,
            dataset_options={"VERSION": "1.2"},  # which older programs read, too
            layer_options={"GEOMETRY_NAME": "geom"},
        )
    add_style(out / GPKG, LAYER, made.classes, last)


def frame_of(made: Made, results: ParcelResults) -> Any:
    """The parcels of a map with all columns, as geopandas' `GeoDataFrame`."""
    classes = made.classes
    columns = columns_of(
        classes,
        made.run.modalities,
        id=results.id,
        label=results.label,
        probability=results.probability,
        pixels=results.pixels,
        dates=results.dates,
    )
    size = made.region.grid.pixel_size
    columns["hectares"] = results.hectares.round(_DIGITS)
    columns["mapped_hectares"] = (results.pixels * size**2 / 1e4).round(_DIGITS)
    if (results.truth >= 0).any():
        there = results.truth >= 0
        named = np.array(classes.names, object)[np.maximum(results.truth, 0)]
        columns["truth"] = np.where(there, named, None)
        columns["held_out"] = results.held_out
    if made.options.probabilities:
        known = np.isfinite(results.probability).all(1)
        for share, name in zip(results.probability.T, classes.names, strict=True):
            columns[f"p_{name}"] = _shares(share.astype(np.float64), known)
    return _geo.need("geopandas").GeoDataFrame(
        columns, geometry=results.geometry, crs=made.region.grid.crs
    )


def columns_of(
    classes: ClassMapping,
    modalities: Sequence[str],
    *,
    id: np.ndarray,
    label: np.ndarray,
    probability: np.ndarray,
    pixels: np.ndarray,
    dates: np.ndarray,
) -> dict[str, Any]:
    """Columns of parcels, but for where they lie; arguments are as in `ParcelResults`."""
    label = label.astype(np.int64)
    known = np.isfinite(probability).all(1)
    classified = label < UNCLASSIFIED
    names = [*classes.names, *(name for name in NAMED.values())]
    codes = [*("" if code is None else str(code) for code in classes.codes), "", ""]
    # Positions of classes, then of what is no class.
    place = np.where(classified, label, len(classes.names) + (label == NODATA))
    columns: dict[str, Any] = {
        "id": id.astype(object),
        "class": _integers(label, classified),
        "code": np.array(codes, object)[place],
        "name": np.array(names, object)[place],
    }
    shares = np.where(known[:, None], probability, 0).astype(np.float64)
    order = np.argsort(-shares, axis=1, kind="stable")
    ranked = np.take_along_axis(shares, order, 1)
    columns["confidence"] = _shares(ranked[:, 0], known)
    for rank, word in ((1, "second"), (2, "third")):
        if rank < len(classes.names):
            named = np.array(classes.names, object)[order[:, rank]]
            columns[word] = np.where(known, named, None)
            columns[f"{word}_confidence"] = _shares(ranked[:, rank], known)
    second = ranked[:, 1] if len(classes.names) > 1 else 0
    columns["margin"] = _shares(ranked[:, 0] - second, known)
    columns["pixels"] = pixels.round(2)
    for number, name in enumerate(modalities):
        columns[f"dates_{name}"] = dates[:, number].astype(np.int32)
    return columns


def _integers(values: np.ndarray, known: np.ndarray) -> Any:
    pandas = _geo.need("pandas")
    return pandas.arrays.IntegerArray(values.astype(np.int32), ~known)


def _shares(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    return np.where(known, values.round(_DIGITS), np.nan)


@contextlib.contextmanager
def _dated(day: datetime.date) -> Iterator[None]:
    """Has GDAL write a day into GeoPackages in place of the clock's time."""
    pyogrio, option = _geo.need("pyogrio"), "OGR_CURRENT_DATE"
    before = pyogrio.get_gdal_config_option(option)
    pyogrio.set_gdal_config_options({option: f"{day}T00:00:00.000Z"})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({option: before})
