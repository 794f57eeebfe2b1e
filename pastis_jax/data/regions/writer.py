"""Makes the folder of a Region: first its arrays, then shard by shard what is in them."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorstore

from pastis_jax.data import dataset_file
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.modality import Modality
from pastis_jax.data.regions import _geo, cube
from pastis_jax.data.regions.cube import FOLDER
from pastis_jax.data.regions.grid import CHUNK, SHARD, Grid, touched
from pastis_jax.files import write_whole

FORMAT = 1
"""Version of the folder's form."""
FILE = "region.json"
"""Describes the Region; the last file that is written."""
CLEAR, CLOUDED, UNKNOWN = 0, 1, 255
"""What a mask says of a pixel."""


@dataclasses.dataclass(frozen=True)
class Acquisitions:
    """The acquisitions of one modality, in the order of the calendar.

    Attributes:
      dates: When, rising; a day may stand twice, for two orbits.
      orbits: The relative orbit of each, or nothing.
      masked: Whether masks are stored with them.
      level: What was done to them before, ``sigma0`` or ``L2A`` say; nothing where not known.
    """

    dates: tuple[datetime.date, ...]
    orbits: tuple[str, ...]
    masked: bool = False
    level: str = ""


def missing_value(modality: Modality) -> float | int:
    """What stands where nothing was observed: the modality's mark, or NaN.

    Raises:
      ValueError: If it has none and cannot hold NaN.
    """
    if modality.nodata is not None:
        return int(modality.nodata) if modality.nodata == modality.nodata // 1 else modality.nodata
    if np.dtype(modality.dtype).kind != "f":
        raise ValueError(f"{modality.name}: {modality.dtype} needs a mark of what is missing")
    return float("nan")


def create(
    root: pathlib.Path,
    grid: Grid,
    dataset: Dataset,
    acquisitions: Mapping[str, Acquisitions],
    *,
    shards: bool = True,
    compress: bool = False,
) -> None:
    """Makes the folder, `dataset.json` and all arrays, with nothing in them yet.

    Args:
      root: The folder, new or empty.
      grid: Of the Region.
      dataset: What it holds.
      acquisitions: Of each modality of `dataset`.
      shards: Whether 64 chunks are one file, which GDAL reads from version 3.13.
      compress: Whether values are compressed, by a quarter or more; training reads them
        several times as fast where they are not.

    Raises:
      OSError: If it cannot be written.
    """
    root.mkdir(parents=True, exist_ok=True)
    dataset_file.write(dataset, root)
    top = root / FOLDER
    spatial = _spatial(grid)
    cube.make_group(top)
    for name, of in acquisitions.items():
        modality = dataset[name]
        folder, fill = top / name, missing_value(modality)
        described = {"channels": [*modality.channels], "unit": modality.unit, "level": of.level}
        cube.make_group(folder, described | {"orbits": [*of.orbits]})
        t, c = len(of.dates), len(modality.channels)
        mapped = {"grid_mapping": "spatial_ref", "_CRS": {"wkt": spatial["crs_wkt"]}}
        cube.make_array(
            folder / "values",
            (t, c, grid.height, grid.width),
            modality.dtype,
            names=("time", "channel", "y", "x"),
            fill=fill,
            compress=compress,
            # NaN needs no mark, and xarray cannot read one that is null.
            attributes=({} if fill != fill else {"_FillValue": fill}) | mapped,
            **_sides(shards, c),
        )
        if of.masked:
            cube.make_array(
                folder / "mask",
                (t, grid.height, grid.width),
                "uint8",
                names=("time", "y", "x"),
                fill=UNKNOWN,
                attributes={"flag_meanings": "0 clear, 1 clouded, 255 not known", **mapped},
                **_sides(shards, None),
            )
        for count in ("observed", *(("clouded",) if of.masked else ())):
            cube.make_array(
                folder / count,
                (t, *grid.chunks),
                "int32",
                names=("time", "chunk_y", "chunk_x"),
                chunks=(1, SHARD // CHUNK, SHARD // CHUNK),
                fill=-1,
            )
        days = np.array([dataset.day(date) for date in of.dates], np.int32)
        since = f"days since {dataset.season_start.isoformat()}"
        cube.write_array(folder / "time", days, ["time"], units=since, calendar="standard")
        _write_axes(folder, grid, spatial)
    cube.make_group(top / "parcels")
    cube.make_array(
        top / "parcels" / "numbers",
        (grid.height, grid.width),
        "int32",
        names=("y", "x"),
        attributes={"grid_mapping": "spatial_ref", "_CRS": {"wkt": spatial["crs_wkt"]}},
        chunks=(CHUNK, CHUNK),
        shards=(SHARD, SHARD) if shards else None,
    )
    _write_axes(top / "parcels", grid, spatial)


def _sides(shards: bool, channels: int | None) -> dict[str, Any]:
    """Shapes of chunks and of shards: one date, all channels."""
    lead = (1,) if channels is None else (1, channels)
    whole = (*lead, SHARD, SHARD) if shards else None
    return {"chunks": (*lead, CHUNK, CHUNK), "shards": whole}


def _spatial(grid: Grid) -> dict[str, str]:
    """The coordinate system, as CF, xarray and GDAL know it."""
    wkt = _geo.need("pyproj").CRS.from_user_input(grid.crs).to_wkt()
    left, _, _, top = grid.bounds
    size = grid.pixel_size
    return {"crs_wkt": wkt, "spatial_ref": wkt, "GeoTransform": f"{left} {size} 0 {top} 0 {-size}"}


def _write_axes(folder: pathlib.Path, grid: Grid, spatial: Mapping[str, str]) -> None:
    size = grid.pixel_size
    x = grid.left + size * (np.arange(grid.width) + 0.5)
    y = grid.top - size * (np.arange(grid.height) + 0.5)
    for name, centres in (("x", x), ("y", y)):
        standard = f"projection_{name}_coordinate"
        cube.write_array(folder / name, centres, [name], units="m", standard_name=standard)
    cube.write_array(folder / "spatial_ref", np.int32(0)[...], [], **spatial)


class Writer:
    """Writes shards into a folder that `create` made; pickles, so that workers can share it.

    Every file appears whole or not at all. The counts `observed` of a shard are written last, so
    that a shard that has them is done.

    Args:
      root: The folder.
      grid: Of the Region.
      dataset: What it holds.
    """

    def __init__(self, root: pathlib.Path, grid: Grid, dataset: Dataset):
        self.root, self.grid, self._dataset = root, grid, dataset

    def __reduce__(self):
        return Writer, (self.root, self.grid, self._dataset)

    @functools.cached_property
    def _arrays(self) -> dict[tuple[str, str], tensorstore.TensorStore]:
        return {}

    def _array(self, modality: str, name: str) -> tensorstore.TensorStore:
        if (modality, name) not in self._arrays:
            folder = self.root / FOLDER / modality / name
            self._arrays[modality, name] = cube.open_array(folder)
        return self._arrays[modality, name]

    def done(self, modality: str, t: int, rows: slice, columns: slice) -> bool:
        """Whether a shard was written."""
        folder = self.root / FOLDER / modality / "observed"
        return (folder / "c" / f"{t}/{rows.start // SHARD}/{columns.start // SHARD}").is_file()

    def write_shard(
        self,
        modality: str,
        t: int,
        rows: slice,
        columns: slice,
        values: np.ndarray,
        mask: np.ndarray | None = None,
    ) -> None:
        """Writes one shard of one acquisition.

        Args:
          modality: Its modality.
          t: Number of the acquisition.
          rows: Of the shard, one of `Grid.blocks(SHARD)`.
          columns: The same.
          values: As they are stored, missing ones marked, (c, h, w).
          mask: `CLEAR`, `CLOUDED` or `UNKNOWN`, (h, w) uint8; None where masks are not stored.

        Raises:
          OSError: If it cannot be written.
        """
        stored = self._dataset[modality]
        # A pixel is observed where every channel is.
        gone = stored.missing(values)
        seen = np.ones(values.shape[1:], bool) if gone is None else ~gone.any(0)
        cube.put(self._array(modality, "values"), (t, slice(None), rows, columns), values)
        place = (t, touched(rows), touched(columns))
        if mask is not None:
            cube.put(self._array(modality, "mask"), (t, rows, columns), mask)
            clouded = _count(seen & (mask == CLOUDED))
            cube.put(self._array(modality, "clouded"), place, clouded)
        cube.put(self._array(modality, "observed"), place, _count(seen))

    def write_numbers(self, rows: slice, columns: slice, numbers: np.ndarray) -> None:
        """Writes the parcels' numbers in one shard.

        Args:
          rows: Of the shard.
          columns: The same.
          numbers: From 1; 0 for no parcel, -1 where several claim a pixel; (h, w) int32.
        """
        cube.put(self._array("parcels", "numbers"), (rows, columns), numbers)

    def finish(
        self, acquisitions: Mapping[str, Acquisitions], folds: Any, info: Mapping[str, Any]
    ) -> None:
        """Writes `region.json`, with which the folder is a Region.

        Args:
          acquisitions: Those that `create` was given.
          folds: Where the folds lie, plain JSON.
          info: How it was made, plain JSON.
        """
        for left in (self.root / FOLDER).rglob("*.__lock"):
            left.unlink()  # of a process that was killed
        content = {
            "format": FORMAT,
            "grid": self.grid.to_json(),
            "modalities": {
                name: {"acquisitions": len(of.dates), "masked": of.masked, "level": of.level}
                for name, of in acquisitions.items()
            },
            "folds": folds,
            "info": dict(info),
        }
        write_whole(self.root / FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _count(pixels: np.ndarray) -> np.ndarray:
    """Number of pixels that are True in each chunk, (h, w) bool to (ny, nx) int32."""
    h, w = pixels.shape
    high, wide = -(-h // CHUNK), -(-w // CHUNK)
    padded = np.zeros((high * CHUNK, wide * CHUNK), bool)
    padded[:h, :w] = pixels
    return padded.reshape(high, CHUNK, wide, CHUNK).sum((1, 3), dtype=np.int32)
