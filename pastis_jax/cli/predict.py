"""A run and a Region become a map: `pastis-jax predict --run RUN --data REGION --out MAP`."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated

import tyro

from pastis_jax import compiled
from pastis_jax.cli import console, flags, mapped
from pastis_jax.cli.config import import_plugins
from pastis_jax.data.regions.store import is_region
from pastis_jax.errors import UserError, refuse
from pastis_jax.mapping.folders import is_folder, predict_folder
from pastis_jax.mapping.options import MapOptions
from pastis_jax.mapping.predict import predict_region

PROG = "pastis-jax predict"


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Map a Region with a run: rasters for QGIS, parcels, a report.

    A command that was stopped continues where it was when it is given again. docs/maps.md explains
    the files.
    """

    run: pathlib.Path | None = None
    """Folder of a finished run."""
    data: pathlib.Path | None = None
    """Region to map, or a folder in the layout of PASTIS-R: patches, or pixel sets for a parcel
    run."""
    out: pathlib.Path | None = None
    """Folder to make. Refused if it exists and is not empty."""
    parcels: pathlib.Path | None = None
    """Vector file of polygons whose crop is wanted, instead of the Region's own parcels."""
    parcel_id: str | None = None
    """Column with the identifier of each polygon. Default: the numbers that the file gives them."""
    parcels_layer: str | None = None
    """Layer of the vector file, if it has several."""
    parcels_crs: str | None = None
    """Coordinate system of the polygons, such as EPSG:2154. Default: what the file says."""
    patches: tuple[str, ...] = ()
    """Patches to map, by ID_PATCH, of a folder of patches. Default: all."""
    until: str | None = None
    """Last day whose acquisitions are used, YYYY-MM-DD, to map before the season is over."""
    season: str | None = None
    """Day 0 of the season to map, YYYY-MM-DD, in a Region that holds several. Acquisitions of the
    others are left out. Default: the season of the Region."""
    allow: tuple[str, ...] = ()
    """Differences from the training data that are accepted: level, season, pixel_size."""
    max_cloud: float | None = None
    """Largest clouded share of the observed pixels of a window or parcel, 0 to 1. An acquisition
    with more counts as missing there. Default: as in training."""
    reject: float = 0.0
    """Confidence below which pixels and parcels stay unclassified, 0 to 1."""
    stride: int | None = None
    """Pixels from one window to the next. Default: half a window."""
    probabilities: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also write the probabilities of all classes: a raster for maps of pixels, columns for
    parcels."""
    batch_size: int | None = None
    """Number of windows or parcels that are predicted together. Default: what suits the device."""
    workers: int | None = None
    """Number of processes on this machine that predict, each with a device of its own. Needs the
    extra region. Default: only this process."""
    scheduler: str | None = None
    """Address of the scheduler of a Dask cluster that predicts, such as tcp://HOST:8786. See
    docs/cluster.md."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Start again, although another command was stopped on the way to the same folder."""
    plugin: tuple[str, ...] = ()
    """Modules to import first, which add encoders or schemes that the run was trained with."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    given = flags.command_flags(Arguments, arguments, prog=PROG)
    console.command(lambda: run(given), less_memory="lower `batch_size`")


def run(given: Arguments) -> None:
    """Maps as the arguments say.

    Raises:
      UserError: For a mistake in them, or if Region and run do not go together.
    """
    for name in ("run", "data", "out"):
        if getattr(given, name) is None:
            raise UserError("is not given", where=console.flag(name), remedy=f"see {PROG} --help")
    compiled.keep()
    import_plugins(given.plugin)
    options = MapOptions(
        until=given.until,
        season=given.season,
        allow=given.allow,
        max_cloud=given.max_cloud,
        reject=given.reject,
        stride=given.stride,
        parcels=given.parcels,
        parcel_id=given.parcel_id,
        parcels_layer=given.parcels_layer,
        parcels_crs=given.parcels_crs,
        probabilities=given.probabilities,
        batch_size=given.batch_size,
    )
    how = {
        "options": options,
        "overwrite": given.overwrite,
        "progress": sys.stderr.isatty(),
        "say": lambda text: console.say(console.as_flags(text)),
    }
    where = {"workers": given.workers, "scheduler": given.scheduler}
    if not given.data.exists():
        fault, remedy = "folder not found", "give a Region, or a folder in the official layout"
        raise UserError(fault, where=given.data, remedy=remedy)
    if is_folder(given.data) and not is_region(given.data):
        for name, value in where.items():
            refuse(name, value is not None, "only a Region is cut into blocks", "leave it out")
        predict_folder(given.run, given.data, given.out, patches=given.patches, **how)
        console.say(f"Wrote {given.out}")
        return
    refuse("patches", given.patches, "a Region has none", "leave it out")
    summary = predict_region(given.run, given.data, given.out, **where, **how)
    mapped.show(summary, given.out)
