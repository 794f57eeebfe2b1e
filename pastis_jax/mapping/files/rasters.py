"""Rasters of a map: Cloud-Optimised GeoTIFFs, written block by block.

Blocks go to a draft, a plain tiled GeoTIFF beside the file to be, which GDAL then brings in order
and gives overviews. Whatever the size of a map, a block and GDAL's cache are all that is held.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import pathlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np

import pastis_jax
from pastis_jax.data.regions import _geo
from pastis_jax.files import write_whole
from pastis_jax.mapping import instances
from pastis_jax.mapping.blocks import NODATA, UNCLASSIFIED, UNCLASSIFIED_COLOUR, Block, Content
from pastis_jax.mapping.files.summary import Tally, title_of
from pastis_jax.mapping.layers import layers_of
from pastis_jax.mapping.made import Made

UNKNOWN = "Unclassified"
"""Name of what is unclassified."""
_TILE = 512
_CACHE = 64 << 20
"""Bytes that GDAL keeps of files: by default it takes a share of the machine's memory."""


@dataclasses.dataclass(frozen=True)
class Raster:
    """A raster of a map.

    Attributes:
      name: Of its file, without the ending, and of its values in blocks.
      bands: Names of its bands.
      dtype: Of its values.
      nodata: Mark of what is not known; None for none.
      unit: Of its values; nothing where they have none.
      colours: Of the values of classes; none of other rasters.
      names: The same, their names.
      overviews: How smaller ones are made of it; classes by the one that most pixels have.
    """

    name: str
    bands: Sequence[str]
    dtype: str = "uint8"
    nodata: int | None = NODATA
    unit: str = ""
    colours: Mapping[int, tuple[int, int, int]] = dataclasses.field(default_factory=dict)
    names: Mapping[int, str] = dataclasses.field(default_factory=dict)
    overviews: str = "average"

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"{self.name}.tif"


def rasters_of(made: Made) -> tuple[Raster, ...]:
    """The rasters of a map: `crop`, `confidence`, `margin`, `dates`, and at last `instances` of a
    panoptic map, `probabilities` if they are wanted and pixels have them."""
    classes = made.classes
    colours, names = dict(enumerate(classes.colours)), dict(enumerate(classes.names))
    colours[UNCLASSIFIED], names[UNCLASSIFIED] = UNCLASSIFIED_COLOUR, UNKNOWN
    rasters = [
        Raster("crop", ("crop",), colours=colours, names=names),
        Raster("confidence", ("confidence",), unit="percent"),
        Raster("margin", ("margin",), unit="percent"),
        Raster("dates", made.run.modalities, dtype="uint16", nodata=None, unit="dates"),
    ]
    if made.run.task.name == "panoptic":
        rasters.append(
            Raster("instances", ("instance",), dtype="uint32", nodata=0, overviews="mode")
        )
    if made.options.probabilities and made.run.task.name == "semantic":
        rasters.append(Raster("probabilities", classes.names, unit="percent"))
    return tuple(rasters)


def write_rasters(made: Made, out: pathlib.Path) -> Tally:
    """Writes the rasters of a map; blocks are read once for class, confidence and margin.

    Args:
      made: The map.
      out: Folder to write in.

    Returns:
      What pixels hold, counted.

    Raises:
      OSError: If one cannot be written, naming it.
    """
    rasters, tally = rasters_of(made), Tally.empty()
    write_together(made, out, rasters[:3], tally.counting(layers_of(made)))
    for raster in rasters[3:]:
        numbered = raster.name == "instances"
        parts = instances.numbered(made) if numbered else made.read(raster.name)
        write_together(made, out, (raster,), parts)
    return tally


def write_together(
    made: Made,
    out: pathlib.Path,
    rasters: Sequence[Raster],
    parts: Iterable[tuple[Block, Content]],
) -> None:
    """Writes rasters whose blocks come together.

    Args:
      made: The map.
      out: Folder to write in.
      rasters: What to write.
      parts: Values of all blocks in any order, (h, w) or (band, h, w), by name of the raster.

    Raises:
      OSError: If one cannot be written, naming it.
    """
    rasterio = _geo.need("rasterio")
    drafts = {raster.name: out / f".{raster.name}.draft.tif" for raster in rasters}
    written: dict[str, list[tuple[Block, int]]] = {raster.name: [] for raster in rasters}
    try:
        with rasterio.Env(GDAL_CACHEMAX=_CACHE, GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
            with contextlib.ExitStack() as stack:
                opened = {
                    raster.name: stack.enter_context(
                        _drafted(made, drafts[raster.name], out / raster.file, raster)
                    )
                    for raster in rasters
                }
                for block, content in parts:
                    for raster in rasters:
                        values = content[raster.name].astype(raster.dtype, copy=False)
                        values = np.ascontiguousarray(values.reshape(-1, *block.shape))
                        with _told(out / raster.file):
                            opened[raster.name].write(values, window=_window(block))
                        written[raster.name].append((block, zlib.crc32(values)))
            for raster in rasters:
                with _told(file := out / raster.file):
                    _optimise(drafts[raster.name], file, raster)
                    _check(file, written[raster.name])
                drafts[raster.name].unlink()
                if raster.names:
                    _write_names(file, raster)
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _drafted(made: Made, draft: pathlib.Path, file: pathlib.Path, raster: Raster) -> Iterator[Any]:
    """Opens a draft of a raster; faults name the file that is to be."""
    draft.unlink(missing_ok=True)
    with _told(file):
        opened = _geo.need("rasterio").open(draft, "w", **_profile(made, raster))
        _describe(opened, made, raster)
    try:
        yield opened
    finally:
        with _told(file):
            opened.close()


@contextlib.contextmanager
def _told(file: pathlib.Path) -> Iterator[None]:
    """Lets what GDAL says of a file be an error of the system, which names it."""
    errors = _geo.need("rasterio.errors"), _geo.need("rasterio._err")
    faults = errors[0].RasterioIOError, errors[1].CPLE_BaseError
    try:
        with _silent():
            yield
    except faults as error:
        fault = " ".join(str(error.__cause__ or error).split())
        named = OSError(errno.EIO, f"cannot be written ({fault})", str(file))
        named.add_note("make room there, or write elsewhere")
        raise named from error


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Hides what libtiff prints of a full disk, beside the error that GDAL then gives."""
    try:
        kept = os.dup(2)
    except OSError:  # nobody listens
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _profile(made: Made, raster: Raster) -> dict[str, Any]:
    """What a draft is opened with."""
    grid = made.region.grid
    return {
        **{"driver": "GTiff", "height": grid.height, "width": grid.width},
        **{"count": len(raster.bands), "dtype": raster.dtype, "nodata": raster.nodata},
        **{"crs": grid.crs, "transform": _geo.need("rasterio").Affine(*grid.transform)},
        **{"tiled": True, "blockxsize": _TILE, "blockysize": _TILE, "interleave": "band"},
        **{"compress": "deflate", "zlevel": 1, "num_threads": "1", "bigtiff": "if_safer"},
        "photometric": "palette" if raster.colours else "minisblack",
    }


def _describe(draft: Any, made: Made, raster: Raster) -> None:
    """Gives a draft its names, colours and tags: before its values, so that they come first."""
    draft.descriptions = tuple(raster.bands)
    if raster.unit:
        draft.units = (raster.unit,) * len(raster.bands)
    if raster.colours:
        draft.write_colormap(1, {value: (*rgb, 255) for value, rgb in raster.colours.items()})
    season, run = made.season, made.run
    tags = {
        "TIFFTAG_IMAGEDESCRIPTION": f"{title_of(made)}: {raster.name}",
        "TIFFTAG_SOFTWARE": f"pastis-jax {pastis_jax.__version__}",
        "TASK": run.task.name,
        "SEASON_START": season.start.isoformat(),
        "LAST_ACQUISITION": made.last_day.isoformat(),
        **{f"ACQUISITIONS_{name}": len(one.days) for name, one in season.acquired.items()},
        **{f"DIGEST_{name.upper()}": text for name, text in made.key.items()},
        **{f"CLASS_{value}": name for value, name in raster.names.items()},
    }
    draft.update_tags(**tags)


def _window(block: Block) -> Any:
    return _geo.need("rasterio.windows").Window.from_slices(block.rows, block.columns)


def _optimise(draft: pathlib.Path, file: pathlib.Path, raster: Raster) -> None:
    """Writes a Cloud-Optimised GeoTIFF of a draft."""
    _geo.need("rasterio.shutil").copy(
        draft,
        file,
        driver="COG",
        compress="deflate",
        blocksize=_TILE,
        overview_resampling="mode" if raster.colours else raster.overviews,
        num_threads="ALL_CPUS",
        bigtiff="if_safer",
    )


def _check(file: pathlib.Path, written: Iterable[tuple[Block, int]]) -> None:
    """Reads a raster again: on a full disk, GDAL may leave the last tiles out and say nothing.

    Raises:
      OSError: If it does not hold what was written.
    """
    with _geo.need("rasterio").open(file) as raster:
        for block, checksum in written:
            if zlib.crc32(raster.read(window=_window(block))) != checksum:
                error = OSError(errno.EIO, "does not hold what was written to it", str(file))
                error.add_note("make room there, or write elsewhere")
                raise error


def _write_names(file: pathlib.Path, raster: Raster) -> None:
    """Writes the names of classes beside a raster, where GDAL and what is built on it look."""
    names = [raster.names.get(value, "") for value in range(max(raster.names) + 1)]
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    categories = ElementTree.SubElement(band, "CategoryNames")
    for name in names:
        ElementTree.SubElement(categories, "Category").text = name
    ElementTree.indent(root)
    write_whole(file.with_name(f"{file.name}.aux.xml"), ElementTree.tostring(root, "utf-8"))
