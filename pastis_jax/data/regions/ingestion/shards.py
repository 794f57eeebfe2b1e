"""One shard of one acquisition: read from its scenes, brought to the grid, merged, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from pastis_jax.data.modality import Modality
from pastis_jax.data.regions.grid import Grid
from pastis_jax.data.regions.ingestion import masks, resample, units
from pastis_jax.data.regions.ingestion.plan import Acquisition, Scene
from pastis_jax.data.regions.ingestion.resample import Footprint
from pastis_jax.data.regions.manifest import Layer
from pastis_jax.data.regions.sources.opened import OpenedLayer
from pastis_jax.data.regions.writer import UNKNOWN, missing_value
from pastis_jax.errors import DataError


class DamagedError(DataError):
    """A file of a scene that cannot be read.

    Attributes:
      layer: What could not be read.
    """

    layer: Layer


@dataclasses.dataclass(frozen=True)
class Shard:
    """What a Region holds of one acquisition in one window.

    Attributes:
      values: In the modality's type, missing ones marked, (c, h, w).
      mask: 0 clear, 1 clouded, 255 not known, (h, w) uint8; None where masks are not stored.
    """

    values: np.ndarray
    mask: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Maker:
    """Makes shards.

    Attributes:
      grid: Of the Region.
      opened: The layers.
    """

    grid: Grid
    opened: Mapping[Layer, OpenedLayer]

    def make(
        self, acquisition: Acquisition, modality: Modality, part: Grid, *, masked: bool
    ) -> Shard:
        """Makes one shard; a pure function of the files.

        Of scenes that overlap the first one gives a pixel, or that which shows more of its
        channels.

        Args:
          acquisition: What is read.
          modality: What it is of.
          part: The shard's part of the grid.
          masked: Whether masks are stored.

        Raises:
          DataError: If a file cannot be read, or its values are implausible, naming it.
        """
        space = (part.height, part.width)
        values = np.full((len(modality.channels), *space), missing_value(modality), modality.dtype)
        held = np.zeros(space, np.uint8)
        mask = np.full(space, UNKNOWN, np.uint8)
        for scene in acquisition.scenes:
            if not scene.layers or held.min() == len(modality.channels):
                continue
            shown = self._values(scene, modality, part)
            if shown is None:
                continue
            seen = sum((~np.isnan(channel)).view(np.uint8) for channel in shown)
            better = seen > held
            np.copyto(values, units.stored(shown, modality, scene.name), where=better)
            np.copyto(held, seen, where=better)
            if masked:
                np.copyto(mask, self._mask(scene, part), where=better)
        if not masked:
            return Shard(values, None)
        for scene in acquisition.scenes:  # masks that lie elsewhere than the scenes
            if not scene.layers:
                np.copyto(mask, self._mask(scene, part), where=mask == UNKNOWN)
        mask[held < len(modality.channels)] = UNKNOWN
        return Shard(values, mask)

    def _values(self, scene: Scene, modality: Modality, part: Grid) -> np.ndarray | None:
        """What a scene shows, in the modality's unit, (c, h, w) float32; None for nothing."""
        places = {channel: place for place, channel in enumerate(modality.channels)}
        shown = np.full((len(places), part.height, part.width), np.nan, np.float32)
        reached = False
        for layer in scene.layers:
            own = self._onto(layer, part, units.measured)
            if own is not None:
                shown[places[layer.channel]] = units.converted(own, layer, modality.unit)
                reached = True
        if not reached or np.isnan(shown).all():
            return None
        given = {layer.channel for layer in scene.layers}
        if all(self.opened[layer].nodata is None for layer in scene.layers):
            units.check_unmarked(shown, scene.layers, modality, scene.name)
        units.fill_differences(shown, modality, given)
        units.check(shown, modality, scene.name)
        return shown

    def _mask(self, scene: Scene, part: Grid) -> np.ndarray:
        found = [self._onto(layer, part, masks.as_mask, nearest=True) for layer in scene.masks]
        known = [mask for mask in found if mask is not None]
        return masks.together(known, (part.height, part.width))

    def _onto(self, layer: Layer, part: Grid, prepare: Any, *, nearest: bool = False):
        opened = self.opened[layer]

        def read(rows: slice, columns: slice) -> np.ndarray:
            try:
                return opened.read(rows, columns)
            except DataError as error:
                damaged = DamagedError(error.fault, where=error.where, remedy=error.remedy)
                damaged.layer = layer
                raise damaged from error

        return resample.read_onto(
            read,
            footprint(opened),
            self.grid,
            part,
            lambda numbers: prepare(numbers, layer, opened.nodata),
            nearest=nearest,
        )


def footprint(opened: OpenedLayer) -> Footprint:
    """Where an opened layer lies."""
    return Footprint(opened.crs, opened.transform, opened.height, opened.width)
