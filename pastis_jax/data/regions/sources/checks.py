"""What layers must have in common before any pixel of them is read."""

from __future__ import annotations

import collections
from collections.abc import Sequence

from pastis_jax.data.regions.manifest import Layer
from pastis_jax.data.regions.sources.headers import Band, Header, degrees, utm
from pastis_jax.data.regions.sources.opened import headers
from pastis_jax.errors import ArgumentError, DataError

_Described = Sequence[tuple[Layer, Header, Band]]
"""Each layer, with the header and the band that it is."""


def check_layers(layers: Sequence[Layer], *, crs: str = "", target: str = "") -> list[str]:
    """Refuses layers of which no Region can be made.

    Args:
      layers: What `find_layers` found, or a manifest lists.
      crs: Coordinate system of files that do not say theirs.
      target: Coordinate system of the Region; nothing if it is to be that of the files.

    Returns:
      What a reader should know.

    Raises:
      ArgumentError: If coordinates are degrees or unknown, and no other system is given.
      DataError: If scenes lack a band, have one twice, or have 8 bits.
    """
    found = {}
    for layer in layers:
        if layer.path not in found:
            found[layer.path] = {b.key: (h, b) for h in headers(layer.path) for b in h.bands}
        if layer.band not in found[layer.path]:
            fault = f"has no band {layer.band}"
            raise DataError(fault, where=layer.path, remedy="correct the manifest")
    of = [(layer, *found[layer.path][layer.band]) for layer in layers]
    _check_bits(of)
    _check_place(of, crs, target)
    _check_twice(of)
    _check_bands([layer for layer in layers if not layer.is_mask])
    return _notes(layers)


def _check_bits(of: _Described) -> None:
    for layer, _, band in of:
        if "reflectance" in layer.unit and band.dtype in ("uint8", "int8"):
            raise eight_bits(layer)


def eight_bits(layer: Layer) -> DataError:
    """What is raised about a picture in place of reflectances."""
    fault = f"{layer.channel} of 8 bits: its values were stretched to be looked at"
    return DataError(fault, where=layer.path, remedy="give the reflectances, of 16 bits")


def _check_place(of: _Described, crs: str, target: str) -> None:
    for layer, header, _ in of:
        if header.tags.get("placed") == "":
            fault, remedy = "does not say where it lies", "write its place and system into it"
            raise DataError(fault, where=layer.path, remedy=remedy)
        own = header.crs or crs
        if not own:
            fault = f"{layer.path} does not say its coordinate system"
            raise ArgumentError(fault, argument="source_crs", remedy="give that of the scenes")
        if not target and degrees(own):
            a, b, c, d, e, f = header.transform
            column, row = header.width / 2, header.height / 2
            zone = utm(a * column + b * row + c, d * column + e * row + f)
            fault = f"{layer.path} is in degrees, where a Region is in metres"
            raise ArgumentError(fault, argument="crs", remedy=f"give the system to use, {zone} say")


def _check_twice(of: _Described) -> None:
    seen: dict[tuple, Layer] = {}
    for layer, header, _ in of:
        # Parts of one pass that a ground station cut lie on one grid: they are merged.
        if ".SAFE" in layer.path:
            continue
        place = (header.crs, header.transform, header.height, header.width)
        first = seen.setdefault((*layer.acquisition, layer.channel, layer.unit, *place), layer)
        if first is not layer:
            same = first.path == layer.path
            whose = f"bands {first.band} and {layer.band}" if same else f"{first.path} as well"
            fault = f"{layer.modality} {layer.channel} of {layer.date} is there twice: {whose}"
            remedy = "leave one out, or give their orbits in a manifest"
            raise DataError(fault, where=layer.path, remedy=remedy)


def _check_bands(layers: Sequence[Layer]) -> None:
    modalities = collections.defaultdict(lambda: collections.defaultdict(list))
    for layer in layers:
        modalities[layer.modality][layer.acquisition].append(layer)
    for modality, scenes in modalities.items():
        # In the order of the layers, so that the line is the same each time.
        owners = collections.Counter(
            c for s in scenes.values() for c in dict.fromkeys(x.channel for x in s)
        )
        for scene in scenes.values():
            numbers = collections.Counter(layer.channel for layer in scene)
            lacking = [c for c in owners if numbers[c] < max(numbers.values())]
            if not lacking:
                continue
            channel, date = lacking[0], scene[0].date
            fault = f"the scene of {modality} of {date} lacks {', '.join(lacking)}"
            fault += f", which {owners[channel]} of {len(scenes)} scenes have"
            remedy = "add it, or leave it out of all of them, or the scene, in a manifest"
            raise DataError(fault, where=scene[0].path, remedy=remedy)


def _notes(layers: Sequence[Layer]) -> list[str]:
    notes = []
    for modality in sorted({layer.modality for layer in layers}):
        own = [layer for layer in layers if layer.modality == modality]
        values = [layer for layer in own if not layer.is_mask]
        scenes = {layer.acquisition for layer in values}
        masked = {layer.acquisition for layer in own if layer.is_mask} & scenes
        if len({layer.date for layer in values}) == 1:
            notes.append(f"{modality} has one date only, {values[0].date}")
        if masked and len(masked) < len(scenes):
            number = len(scenes) - len(masked)
            notes.append(f"{number} of {len(scenes)} scenes of {modality} have no mask of clouds")
        unmarked = {layer.path for layer in values if layer.nodata is None}
        if unmarked:
            whose = f"{len(unmarked):,} of {len({x.path for x in values}):,} files of {modality}"
            notes.append(
                f"no mark of what is missing in {whose}: give it by `nodata` if it has one"
            )
    return notes
