"""Which layers make which acquisition of a new Region, and what they reach of it."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import os
from collections.abc import Mapping, Sequence

from pastis_jax.data.modality import Modality
from pastis_jax.data.regions.grid import Grid
from pastis_jax.data.regions.ingestion.resample import Footprint, needed
from pastis_jax.data.regions.manifest import Layer
from pastis_jax.errors import DataError
from pastis_jax.text import named

_ALIKE = 0.01
"""Share of a file's width by which the edges of what shows the same ground may lie apart: bands of
other pixel sizes are cut a little differently."""


@dataclasses.dataclass(frozen=True)
class Scene:
    """Layers of one acquisition that show the same place: one tile, or one file.

    Attributes:
      layers: One of each channel; none where only masks show this place.
      masks: Its masks.
    """

    layers: tuple[Layer, ...]
    masks: tuple[Layer, ...] = ()

    @property
    def name(self) -> str:
        """Its file, or the folder that holds its files."""
        paths = sorted({layer.path for layer in self.layers or self.masks})
        return paths[0] if len(paths) == 1 else os.path.commonpath(paths)


@dataclasses.dataclass(frozen=True)
class Acquisition:
    """What one modality observed on one day from one orbit.

    Attributes:
      modality: Its name.
      date: The day.
      orbit: The relative orbit, or nothing.
      scenes: By path; the first one that shows a pixel gives it.
    """

    modality: str
    date: datetime.date
    orbit: str
    scenes: tuple[Scene, ...]

    @property
    def name(self) -> str:
        """For readers."""
        return f"{self.modality} {self.date}" + f" orbit {self.orbit}" * bool(self.orbit)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All of its layers, masks among them."""
        return tuple(layer for scene in self.scenes for layer in (*scene.layers, *scene.masks))


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is ingested.

    Attributes:
      grid: Of the Region.
      modalities: In their order.
      acquisitions: Of each modality, by date and orbit.
      outside: Acquisitions of which nothing lies on the grid.
    """

    grid: Grid
    modalities: tuple[Modality, ...]
    acquisitions: Mapping[str, tuple[Acquisition, ...]]
    outside: tuple[Acquisition, ...]

    @property
    def masked(self) -> frozenset[str]:
        """Modalities of which an acquisition has a mask."""
        return frozenset(
            name
            for name, several in self.acquisitions.items()
            if any(layer.is_mask for one in several for layer in one.layers)
        )


def make(
    layers: Sequence[Layer],
    footprints: Mapping[Layer, Footprint],
    modalities: Sequence[Modality],
    grid: Grid,
) -> Plan:
    """Sorts layers into acquisitions.

    Args:
      layers: All of them.
      footprints: Where each one lies.
      modalities: What they are of.
      grid: Of the Region.

    Raises:
      DataError: If a scene lacks a channel of its modality, or nothing lies on the grid.
    """
    kinds = {modality.name: modality for modality in modalities}
    grouped: dict[tuple[str, datetime.date, str], list[Layer]] = collections.defaultdict(list)
    for layer in layers:
        grouped[layer.acquisition].append(layer)
    acquisitions = {modality.name: [] for modality in modalities}
    outside = []
    for (name, date, orbit), own in sorted(grouped.items()):
        scenes = _scenes(own, footprints, kinds[name])
        for scene in scenes:
            _check_channels(scene, kinds[name])
        acquisition = Acquisition(name, date, orbit, scenes)
        if not acquisition.layers or all(layer.is_mask for layer in acquisition.layers):
            fault, remedy = f"a mask of {acquisition.name}, which has no values", "leave it out"
            raise DataError(fault, where=own[0].path, remedy=f"{remedy} of the manifest")
        if any(needed(footprints[layer], grid, grid) for layer in acquisition.layers):
            acquisitions[name].append(acquisition)
        else:
            outside.append(acquisition)
    if not any(acquisitions.values()):
        first, remedy = layers[0].path, "correct `crs`, `bounds` or `area`, or give other scenes"
        raise DataError("no scene shows anything of the region", where=first, remedy=remedy)
    return Plan(
        grid=grid,
        modalities=tuple(modality for modality in modalities if acquisitions[modality.name]),
        acquisitions={name: tuple(own) for name, own in acquisitions.items() if own},
        outside=tuple(outside),
    )


def _scenes(
    layers: Sequence[Layer], footprints: Mapping[Layer, Footprint], modality: Modality
) -> tuple[Scene, ...]:
    """The scenes of an acquisition, by path.

    Layers that lie on the same ground are of one scene; where there are several of a channel, the
    first one by path is of the first scene.
    """
    grounds: list[Footprint] = []
    count: collections.Counter[tuple] = collections.Counter()
    found: dict[tuple, list[Layer]] = {}
    for layer in sorted(layers, key=lambda layer: (layer.path, layer.band)):
        ground = _ground(footprints[layer], grounds)
        # A scene may have several masks, of clouds and of validity say.
        kind = layer.unit if layer.is_mask else layer.channel
        place = count[ground, layer.is_mask, kind]
        count[ground, layer.is_mask, kind] += 1
        found.setdefault((ground, place), []).append(layer)
    scenes = []
    for own in found.values():
        values = {layer.channel: layer for layer in own if not layer.is_mask}
        masks = tuple(layer for layer in own if layer.is_mask)
        scenes.append(Scene(tuple(values[c] for c in modality.channels if c in values), masks))
    return tuple(scenes)


def derived(modality: Modality) -> frozenset[str]:
    """Channels that are the difference of two others, and need no layer."""
    return frozenset(modality.channels[difference] for difference, _, _ in modality.differences)


def _absent(scene: Scene, modality: Modality) -> list[str]:
    """Channels that a scene with values lacks."""
    present = {layer.channel for layer in scene.layers} | derived(modality)
    return [c for c in modality.channels if c not in present] if scene.layers else []


def _check_channels(scene: Scene, modality: Modality) -> None:
    if absent := _absent(scene, modality):
        first = scene.layers[0]
        fault = f"{modality.name} of {first.date} lacks {named(absent, most=12)}, which others have"
        remedy = "add it, or leave the channel or the date out of the manifest"
        raise DataError(fault, where=first.path, remedy=remedy)


def whole(
    layers: Sequence[Layer], footprints: Mapping[Layer, Footprint], modalities: Sequence[Modality]
) -> tuple[list[Layer], list[str]]:
    """Leaves out scenes that lack a channel, as they do where a file of theirs was damaged.

    Args:
      layers: All of them.
      footprints: Where each one lies.
      modalities: What they are of.

    Returns:
      The other layers, in their order, and the names of the scenes that are left out.
    """
    kinds = {modality.name: modality for modality in modalities}
    grouped: dict[tuple[str, datetime.date, str], list[Layer]] = collections.defaultdict(list)
    for layer in layers:
        grouped[layer.acquisition].append(layer)
    lost, names = set(), []
    for (name, date, _), own in sorted(grouped.items()):
        for scene in _scenes(own, footprints, kinds[name]):
            if absent := _absent(scene, kinds[name]):
                lost |= {*scene.layers, *scene.masks}
                names.append(f"{name} {date} ({scene.name}) without {', '.join(absent)}")
    return [layer for layer in layers if layer not in lost], names


def _ground(footprint: Footprint, known: list[Footprint]) -> int:
    """The place of the ground that a file shows among `known`, to which a new one is added."""
    for place, other in enumerate(known):
        if footprint == other:
            return place
        left, bottom, right, top = footprint.bounds
        near = _ALIKE * max(right - left, top - bottom)
        apart = [abs(a - b) for a, b in zip(footprint.bounds, other.bounds, strict=True)]
        if footprint.crs == other.crs and max(apart) <= near:
            return place
    known.append(footprint)
    return len(known) - 1
