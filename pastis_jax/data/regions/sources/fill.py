"""What layers do not say is filled in from what is given, and never guessed."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from pastis_jax.data.regions import sensors
from pastis_jax.data.regions.manifest import Layer
from pastis_jax.data.regions.sources import checks, walk
from pastis_jax.data.regions.sources.given import Given
from pastis_jax.data.regions.sources.opened import open_layer
from pastis_jax.errors import ArgumentError, DataError


def filled(layers: Sequence[Layer], given: Given, notes: list[str]) -> list[Layer]:
    """Layers with what is given where they have nothing: those of manifests too.

    Args:
      layers: Layers, as their files or a manifest describe them.
      given: What is taken where they do not say it.
      notes: Gets what is given, but is not taken.

    Raises:
      ArgumentError: If something is given for a modality that is not there.
    """
    modalities = sorted({layer.modality for layer in layers})
    for argument in ("unit", "offset", "nodata"):
        radar = sensors.RADARS if {*modalities} & {*sensors.RADARS} else ()
        if odd := [m for m in getattr(given, argument) if m not in (*modalities, *radar)]:
            fault = f"there is no {odd[0]} among the scenes"
            remedy = f"choose among {', '.join(modalities)}"
            raise ArgumentError(fault, argument=argument, remedy=remedy)
    complete = []
    differ = collections.Counter()
    for layer in layers:
        if layer.is_mask:
            complete.append(layer)
            continue
        said = {n: given.of(n, layer.modality) for n in ("unit", "offset", "nodata")}
        own = {n: getattr(layer, n) for n in said}
        known = {n: v for n, v in own.items() if v not in (None, "")}
        for name, value in said.items():
            if value is not None and name in known and not _same(known[name], value):
                differ[name, layer.modality, str(known[name])] += 1
        taken = {n: v for n, v in said.items() if v is not None and n not in known}
        complete.append(dataclasses.replace(layer, **taken))
    for (name, modality, own), number in differ.items():
        notes.append(
            f"`{name}` is not taken for {number:,} layers of {modality}: {own} is said there"
        )
    return complete


def _same(one: object, other: object) -> bool:
    return one == other or (one != one and other != other)


def refuse_unknown(layers: Sequence[Layer], given: Given) -> None:
    """Refuses layers of which it is not known what their numbers mean.

    Args:
      layers: Layers, with what is given.
      given: What was given.

    Raises:
      ArgumentError: Naming the first file, and what to give.
      DataError: If it is a picture of 8 bits, of which no unit can be given.
    """
    values = [layer for layer in layers if not layer.is_mask]
    for argument in ("unit", "offset"):
        unknown = [
            layer
            for layer in values
            if getattr(layer, argument) in (None, "")
            and (argument == "unit" or layer.modality == sensors.OPTICAL)
        ]
        if not unknown:
            continue
        modalities = [*dict.fromkeys(layer.modality for layer in unknown)]
        files = [*dict.fromkeys(layer.path for layer in unknown)]
        fault = f"the {argument} of {', '.join(modalities)} is not known of {walk.scanned(files)}"
        if argument == "unit" and (seen := _seen(unknown[0], given)):
            fault += f" (values of {unknown[0].channel} there are {seen})"
        remedy = ", ".join(_say(argument, modality) for modality in modalities)
        raise ArgumentError(fault, argument=argument, remedy=f"give {remedy}")


def _seen(layer: Layer, given: Given) -> str:
    """Between what most values in the middle of a layer lie, for a reader to tell their unit.

    Raises:
      DataError: If it is a picture of 8 bits.
    """
    try:
        one = open_layer(layer, crs=given.source_crs or "EPSG:4326")
        middle = [slice(max(0, n // 2 - 64), min(n, n // 2 + 64)) for n in (one.height, one.width)]
        read = one.read(*middle)
    except DataError:
        return ""
    if read.dtype.itemsize == 1 and layer.modality == sensors.OPTICAL:
        raise checks.eight_bits(layer)
    values = read.astype(np.float64)
    values = values[np.isfinite(values) & (values != one.nodata)]
    if not values.size:
        return ""
    low, high = np.quantile(values, (0.02, 0.98))
    return f"{low:.4g} to {high:.4g}"


def _say(argument: str, modality: str) -> str:
    if argument == "offset":
        return (
            f"{modality}=-1000 for products of baseline 04.00 and later, from 25 January 2022 "
            f"on, as they are; {modality}=0 for earlier ones and where it was removed, as Earth "
            "Engine HARMONIZED and Sentinel Hub do"
        )
    if modality in sensors.RADARS:
        return f"{modality}=dB or {modality}='linear power'"
    return f"{modality}='{sensors.SCALED}' or {modality}=reflectance"
