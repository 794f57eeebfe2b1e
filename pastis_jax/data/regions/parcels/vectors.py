"""Polygons with a code and an identifier each, out of any vector file.

GeoPackage, Shapefile, GeoJSON and what else GDAL reads come through pyogrio, GeoParquet and other
Parquet files with a column of WKB through pyarrow, in batches. Either way only what touches a
rectangle is kept in memory, so the file may be a country's.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
import pathlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.regions import _geo
from pastis_jax.errors import ArgumentError, DataError
from pastis_jax.json_files import parse
from pastis_jax.text import named, plain

Bounds = tuple[float, float, float, float]
"""Left, bottom, right and top."""

_FORMATS = "give a GeoPackage, Shapefile, GeoJSON or GeoParquet file of polygons"
_WKB = ("geometry", "geom", "wkb", "wkb_geometry", "the_geom")
"""Names of a column of WKB, in files that do not say which it is."""
_ROWS = 1 << 16
"""Rows of a Parquet file that are looked at together."""


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """Features of a layer.

    Attributes:
      geometries: Shapely geometries, None where there is none or it cannot be read, (n,).
      ids: Identifiers, nothing where there is none, (n,).
      codes: Codes, nothing where there is none, (n,).
      crs: Their coordinate system (pyproj's `CRS`), x before y.
      declared: What the file says of it, nothing if it does not.
      total: Number of the layer's features, also of those not looked at.
      warnings: What the reader said about the file.
    """

    geometries: np.ndarray
    ids: list[str]
    codes: list[str]
    crs: Any
    declared: str
    total: int
    warnings: tuple[str, ...] = ()


def read_features(
    file: str | os.PathLike[str],
    *,
    label: str | None,
    id: str | None,
    layer: str | None,
    crs: str | None,
    bounds: Callable[[Any], Bounds | None],
) -> Features:
    """Reads the features that may touch a rectangle, in the order of the file.

    Args:
      file: The file.
      label: Column of codes; None for none.
      id: Column of identifiers; None for the numbers of the features: the identifiers that GDAL
        gives them, or rows from 0 of a Parquet file.
      layer: Which of several; None where only one may hold polygons.
      crs: Coordinate system in place of what the file says; None to take that.
      bounds: Gives the rectangle in a coordinate system; None for no limit.

    Raises:
      UserError: In one line, if it cannot be read so.
    """
    file = pathlib.Path(file)
    try:
        parquet = file.is_file() and _begins(file, b"PAR1")
        if not file.exists():
            raise DataError("file not found", where=file, remedy=_FORMATS)
    except OSError as error:
        fault = f"cannot be read ({error.strerror})"
        raise DataError(fault, where=file, remedy="make it readable") from error
    given = None if crs is None else parse_crs(crs)
    read = _read_parquet if parquet else _read_layer
    return read(file, label=label, id=id, layer=layer, given=given, bounds=bounds)


def parse_crs(crs: Any) -> Any:
    """Returns a coordinate system of the plane or of degrees, as pyproj's `CRS`.

    Raises:
      ArgumentError: If it is none, naming `parcels_crs`.
    """
    remedy = "write it as EPSG:2154, say"
    try:
        parsed = _geo.need("pyproj").CRS.from_user_input(crs)
    except RuntimeError as error:
        fault = f"{plain(crs, 100)} is no coordinate system"
        raise ArgumentError(fault, argument="parcels_crs", remedy=remedy) from error
    if not (parsed.is_projected or parsed.is_geographic):
        fault = f"{plain(parsed.name, 100)} says nothing of where on Earth it is"
        raise ArgumentError(fault, argument="parcels_crs", remedy=remedy)
    return parsed.to_2d()


def _read_layer(file, *, label, id, layer, given, bounds) -> Features:
    """Reads by pyogrio."""
    pyogrio, raw = _geo.need("pyogrio"), _geo.need("pyogrio.raw")
    shapely = _geo.need("shapely")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            layer = _choose(file, pyogrio.list_layers(file), layer)
            info = pyogrio.read_info(file, layer=layer, force_feature_count=True)
            declared = _usable(info["crs"])
            crs = given or _declared(declared, file)
            _check_columns(file, list(info["fields"]), label, id)
            box = bounds(crs)
            meta, fids, geometries, values = raw.read(
                file,
                layer=layer,
                columns=[name for name in {label: 0, id: 0} if name is not None],
                bbox=box,
                force_2d=True,
                return_fids=True,
            )
        said = [str(warning.message) for warning in caught]
    except (RuntimeError, ValueError, OSError) as error:
        fault = f"cannot be read ({' '.join(str(error).split())})"
        raise DataError(fault, where=file, remedy=_FORMATS) from error
    order = np.argsort(fids, kind="stable")  # an index of a file may give another one
    columns = dict(zip(meta["fields"], values, strict=True))

    def texts(name: str) -> list[str]:
        return [_text(value) for value in columns[name][order].tolist()]

    return Features(
        geometries=shapely.from_wkb(geometries[order], on_invalid="ignore"),
        ids=texts(id) if id is not None else [str(fid) for fid in fids[order]],
        codes=texts(label) if label is not None else [""] * len(order),
        crs=crs,
        declared=declared.name if declared else "",
        total=int(info["features"]),
        warnings=tuple(dict.fromkeys(said)),
    )


def _choose(file: pathlib.Path, layers: Iterable[Sequence[Any]], layer: str | None) -> str:
    """Returns the layer to read, of their names and types of geometry."""
    types = {str(name): str(kind) for name, kind in layers if kind is not None}
    if layer is not None and layer not in types:
        fault = f"there is no layer {plain(layer, 100)} with geometries in {file.name}"
        remedy = f"its layers are {named([plain(name, 60) for name in types], most=10)}"
        raise ArgumentError(fault, argument="parcels_layer", remedy=remedy)
    types = types if layer is None else {layer: types[layer]}
    kinds = ("Polygon", "Surface", "Unknown", "GeometryCollection", "TIN")
    able = [name for name, kind in types.items() if any(part in kind for part in kinds)]
    if not able:
        told = named([f"{plain(name, 60)}: {kind}" for name, kind in types.items()], most=10)
        fault = f"has no layer of polygons ({told or 'none with geometries'})"
        raise DataError(fault, where=file, remedy=_FORMATS)
    if len(able) > 1:
        names = named([plain(name, 60) for name in able], most=10)
        fault = f"{file.name} has {len(able)} layers of polygons: {names}"
        raise ArgumentError(fault, argument="parcels_layer", remedy="say which")
    return able[0]


def _read_parquet(file, *, label, id, layer, given, bounds) -> Features:
    """Reads by pyarrow."""
    arrow, shapely = _geo.need("pyarrow"), _geo.need("shapely")
    if layer is not None:
        fault = f"{file.name} is a Parquet file, which has no layers"
        raise ArgumentError(fault, argument="parcels_layer", remedy="leave it out")
    geometries, ids, codes = [np.empty(0, object)], [], []
    try:
        content = _geo.need("pyarrow.parquet").ParquetFile(file)
        column, declared = _geometry_column(file, content.schema_arrow, given)
        crs = given or _declared(declared, file)
        names = [name for name in content.schema_arrow.names if name != column]
        _check_columns(file, names, label, id)
        box, row = bounds(crs), 0
        wanted = [name for name in {column: 0, label: 0, id: 0} if name is not None]
        for batch in content.iter_batches(batch_size=_ROWS, columns=wanted):
            wkb = batch.column(column).to_numpy(zero_copy_only=False)
            some = shapely.force_2d(shapely.from_wkb(wkb, on_invalid="ignore"))
            kept = np.flatnonzero(_touches(some, box))
            geometries.append(some[kept])
            part = batch.take(arrow.array(kept))
            for texts, name in ((ids, id), (codes, label)):
                if name is not None:
                    texts += map(_text, part.column(name).to_pylist())
            if id is None:
                ids += [str(row + place) for place in kept]
            if label is None:
                codes += [""] * len(kept)
            row += len(batch)
    except (ValueError, OSError, KeyError, TypeError, arrow.ArrowException) as error:
        fault = f"cannot be read ({' '.join(str(error).split())})"
        raise DataError(fault, where=file, remedy=_FORMATS) from error
    name = declared.name if declared else ""
    return Features(np.concatenate(geometries), ids, codes, crs, name, row)


def _geometry_column(file: pathlib.Path, schema: Any, given: Any) -> tuple[str, Any]:
    """Returns the column of geometries, and the coordinate system that the file says."""
    arrow = _geo.need("pyarrow")
    if text := (schema.metadata or {}).get(b"geo"):
        content = parse(text.decode())
        name = content["primary_column"]
        of = content["columns"][name]
        if of["encoding"] != "WKB":
            fault = f"its geometries are encoded as {plain(of['encoding'], 40)}"
            raise DataError(fault, where=file, remedy="write them as WKB, as GeoParquet's tools do")
        return name, _usable(of.get("crs", "OGC:CRS84"))
    is_wkb = (arrow.types.is_binary, arrow.types.is_large_binary)
    binary = [field.name for field in schema if any(test(field.type) for test in is_wkb)]
    likely = [name for name in binary if name.casefold() in _WKB] or binary
    if len(likely) != 1:
        fault = "a Parquet file without GeoParquet's metadata, and without one column of WKB"
        raise DataError(fault, where=file, remedy="write it as GeoParquet, by geopandas say")
    if given is None:
        column = plain(likely[0], 60)
        fault = f"a Parquet file without GeoParquet's metadata: column {column} may be WKB"
        remedy = "give its coordinate system as `parcels_crs`, or write it as GeoParquet"
        raise DataError(fault, where=file, remedy=remedy)
    return likely[0], None


def _touches(geometries: np.ndarray, box: Bounds | None) -> np.ndarray:
    """Which may touch a rectangle, by their own rectangles, (n,) bool; also what has none."""
    if box is None:
        return np.ones(len(geometries), bool)
    left, bottom, right, top = _geo.need("shapely").bounds(geometries).T
    away = (left > box[2]) | (right < box[0]) | (bottom > box[3]) | (top < box[1])
    return ~away  # of what is empty or None the rectangle is NaN, which compares as False


def _usable(crs: Any) -> Any:
    """What a file says of its coordinate system, as a `CRS`; None if that places nothing."""
    if not crs:
        return None
    try:
        parsed = parse_crs(crs)
    except ArgumentError:
        return None
    return None if parsed.name.casefold().startswith(("undefined", "unknown")) else parsed


def _declared(crs: Any, file: pathlib.Path) -> Any:
    if crs is None:
        fault = f"{file.name} does not say in which coordinate system its polygons are"
        raise ArgumentError(fault, argument="parcels_crs", remedy="give it, EPSG:2154 say")
    return crs


def _check_columns(file: pathlib.Path, columns: list[str], label: str | None, id: str | None):
    """Refuses columns that are not there, with those that are."""
    for argument, name in (("label", label), ("parcel_id", id)):
        if name is not None and name not in columns:
            fault = f"{file.name} has no column {plain(name, 60)}"
            there = named([plain(column, 60) for column in columns], most=40)
            remedy = f"its columns are {there}" if columns else "it has no columns"
            raise ArgumentError(fault, argument=argument, remedy=remedy)


def _text(value: Any) -> str:
    """A code or identifier as text, the same whichever type of number a file has made of it."""
    if value is None:
        return ""
    if isinstance(value, numbers.Real) and not isinstance(value, bool | int):
        if math.isnan(value):
            return ""
        if float(value).is_integer() and abs(value) < 2**53:
            value = int(value)
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    text = str(value).strip()
    return "" if text == "NaT" else text


def _begins(file: pathlib.Path, mark: bytes) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(mark)) == mark
