"""Predicts blocks of a map: what a process opens once, whichever blocks it is given."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import os
import pathlib
from collections.abc import Callable

import jax

from pastis_jax.data.regions.grid import CHUNK
from pastis_jax.data.regions.store import Region
from pastis_jax.errors import DataError, refuse
from pastis_jax.mapping import instances, parcels, semantic
from pastis_jax.mapping.blocks import MOST_CLASSES, Block, Content, write_block
from pastis_jax.mapping.fit import check_fit
from pastis_jax.mapping.inputs import Inputs
from pastis_jax.mapping.options import MapOptions
from pastis_jax.mapping.polygons import polygons_of
from pastis_jax.mapping.season import Season, season_of
from pastis_jax.mapping.windows import WindowGrid
from pastis_jax.runs import Run


class Mapper:
    """A run opened for a Region: predicts any block of it, always to the same result.

    Args:
      run: The run.
      region: The Region.
      options: Of the map.

    Attributes:
      run: The run, as it takes least memory.
      region, options: As given.
      season: The acquisitions that the map is made of.
      max_cloud: Largest clouded share, of the options or the run; None where all are taken.
      inputs: Reads windows.
      grid: The windows; None for parcels.
      polygons: The parcels that are told of; None where there are none, or they are found.
      notes: What is odd, or left out, a line each.

    Raises:
      UserError: If the Region does not fit the run, or polygons cannot be read.
    """

    def __init__(self, run: Run, region: Region, options: MapOptions):
        self.run, self.region, self.options = run.sparing(), region, options
        notes = check_fit(run, region, options)
        there = tuple(name for name in run.modalities if name in region.dataset.names)
        needed = () if run.task.spec.scheme.masks else run.modalities
        days = run.saved.days
        self.season: Season = season_of(region, there, days, options, needed=needed)
        self.max_cloud = options.max_cloud
        masked = any(map(region.masked, there))
        if self.max_cloud is None and run.saved.record_options().max_cloud is not None:
            self.max_cloud = run.saved.record_options().max_cloud if masked else None
            if not masked:
                notes += ("the Region holds no masks: acquisitions under clouds count too",)
        if options.max_cloud is not None and not masked:
            fault, remedy = "holds no masks of clouds", "leave `max_cloud` out"
            raise DataError(fault, where=region.root, remedy=remedy)
        self.notes = (*notes, *self.season.notes)
        if options.until is not None:
            self.notes += (
                f"only acquisitions until {options.until} are used: a run that was trained on "
                "whole seasons is too sure then; `pastis-jax evaluate RUN --by-date` tells how "
                "often it is right",
            )
        if len(run.classes.names) > MOST_CLASSES:
            fault = f"tells {len(run.classes.names)} classes apart, a map {MOST_CLASSES} at most"
            raise DataError(fault, where=run.folder, remedy="group classes by `class_mapping`")
        self.inputs = Inputs(run, region, self.season, self.max_cloud)
        self.polygons = polygons_of(run.task.name, region, options)
        self.notes += () if self.polygons is None else self.polygons.notes
        self.grid = None if run.task.name == "parcel" else self._windows()

    def _windows(self) -> WindowGrid:
        """Windows of the size that the run was tested on: an image's norm sees all its pixels."""
        size = self.run.saved.window
        if size is None:
            size = (CHUNK, CHUNK)
            self.notes += (f"an older run, which does not tell its windows: {CHUNK} pixels",)
        shape = (self.region.grid.height, self.region.grid.width)
        stride, whole = self.options.stride or 1, f"a window, {min(size)} pixels"
        refuse("stride", stride > min(size), f"got {stride}", f"give at most {whole}")
        least = 2 ** (len(self.run.task.spec.decoder_widths) - 1) + 1
        if min(shape) < least:
            fault = f"is {shape[0]} x {shape[1]} pixels, the model takes {least} or more a side"
            raise DataError(fault, where=self.region.root, remedy="ingest a larger Region")
        if size[0] > shape[0] or size[1] > shape[1]:
            self.notes += (
                f"the Region is smaller than the run's windows of {size[0]} x {size[1]}",
            )
        return WindowGrid.over(shape, size, self.options.stride)

    @functools.cached_property
    def batch_size(self) -> int:
        """Windows or parcels that are predicted together.

        Only who predicts asks for the device, which may serve a single process.
        """
        return self.options.batch_size or _suits(self.run)

    @functools.cached_property
    def _predict(self) -> Callable[[Block], Content]:
        return _TASKS[self.run.task.name](self)

    def __call__(self, block: Block) -> Content:
        """Predicts a block; see `blocks` for what it holds."""
        return self._predict(block)


_TASKS: dict[str, Callable[[Mapper], Callable[[Block], Content]]] = {
    "semantic": semantic.SemanticBlocks,
    "parcel": parcels.ParcelBlocks,
    "panoptic": instances.InstanceBlocks,
}


def _suits(run: Run) -> int:
    """Samples that are predicted together where nothing is said: one image on a processor."""
    if run.task.name == "parcel":
        return max(run.saved.batch_size, 128)
    return 1 if jax.default_backend() == "cpu" else run.saved.batch_size


@dataclasses.dataclass(frozen=True)
class Work:
    """What is done in any process: predicts a block and writes it.

    Attributes:
      run: Folder of the run.
      region: Folder of the Region.
      options: Of the map.
      out: Folder of the blocks.
      key: Digest of run, Region and options: what was opened before is used where it is the same.
      plugins: Modules that a process imports first, which add what the run was trained with.
    """

    run: pathlib.Path
    region: pathlib.Path
    options: MapOptions
    out: pathlib.Path
    key: str = ""
    plugins: tuple[str, ...] = ()

    def __call__(self, block: Block) -> None:
        """Predicts a block and writes it.

        Raises:
          UserError: If run or Region cannot be read.
          OSError: If the block cannot be written.
          ImportError: If a module of `plugins` cannot be imported here.
        """
        for name in self.plugins:
            importlib.import_module(name)
        mapper = open_mapper(self.run, self.region, self.options, self.key)
        write_block(self.out, block, mapper(block))


@functools.lru_cache(maxsize=1)
def open_mapper(
    run: str | os.PathLike[str],
    region: str | os.PathLike[str],
    options: MapOptions,
    key: str = "",
) -> Mapper:
    """Opens run and Region; a process that is given several blocks does it once for a key."""
    del key
    return Mapper(Run(run), Region(region), options)
