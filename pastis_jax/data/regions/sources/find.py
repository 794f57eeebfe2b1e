"""From what a user has, folders, files or Datasets, to the layers of a Region."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tqdm

from pastis_jax.data.regions import sensors
from pastis_jax.data.regions.manifest import UNDATED, Layer, read_manifest
from pastis_jax.data.regions.sources import cubes, walk
from pastis_jax.data.regions.sources.fill import filled, refuse_unknown
from pastis_jax.data.regions.sources.given import Given
from pastis_jax.data.regions.sources.headers import Header
from pastis_jax.data.regions.sources.opened import headers
from pastis_jax.data.regions.sources.scenes import ATMOSPHERE, UndatedError, scene_of
from pastis_jax.errors import ArgumentError, DataError
from pastis_jax.text import named

_THREADS = 16
"""Headers that are read at once: on a network each takes a while, but no processor."""
_MASKS = ("scl", "cloud probability", "cloud")
"""Units of masks of clouds, the one that is taken first."""


@dataclasses.dataclass(frozen=True)
class Found:
    """What sources hold.

    Attributes:
      layers: By modality, date, orbit and channel.
      left_out: Files, or files and bands, that are none, and why.
      notes: What else a reader should know: what was chosen, and what need not be so.
      levels: Processing levels that names say, by modality.
      unknown: What is not known, and how to say it, in a line; nothing if all is.
      undated: Layers beside those, whose date is not known, for a manifest.
    """

    layers: list[Layer]
    left_out: list[tuple[str, str]]
    notes: list[str]
    levels: dict[str, tuple[str, ...]]
    unknown: str = ""
    undated: tuple[Layer, ...] = ()


def find_layers(
    sources: Iterable[Any],
    *,
    given: Given | None = None,
    partial: bool = False,
    progress: bool = False,
) -> Found:
    """Finds the layers of sources.

    Args:
      sources: Folders, patterns, rasters, NetCDF files, folders of Zarr or of products, manifests;
        Datasets and DataArrays of xarray.
      given: What is taken where they do not say it.
      partial: Whether layers of which the unit, the offset or the date is not known are found all
        the same, for a manifest that a person completes.
      progress: Whether to draw a progress bar.

    Raises:
      ArgumentError: If a unit or an offset is not known, or something is given for a modality that
        is not there.
      DataError: If a source is missing or damaged, or a scene has no date or no names of bands.
    """
    given = given or Given()
    sources = list(sources)
    paths = [source for source in sources if isinstance(source, str | os.PathLike)]
    files = walk.files_of(paths)
    walk.best(files)
    files.paths += [cubes.remember(s) for s in sources if not isinstance(s, str | os.PathLike)]
    layers = [layer for manifest in files.manifests for layer in read_manifest(manifest)]
    left_out, notes = list(files.left_out), list(files.notes)
    levels: dict[str, set[str]] = collections.defaultdict(set)
    undated = False
    bands, told = collections.Counter(), collections.defaultdict(list)
    for scene, path in _scenes(files.paths, given, left_out, progress):
        layers += scene.layers
        for modality, level in scene.levels:
            levels[modality].add(level)
        undated |= scene.undated
        for name, reason in scene.left_out:
            if name and (scene.layers or reason == ATMOSPHERE):
                bands[name, reason] += 1
            else:
                left_out.append((f"{path} ({name})" if name else path, reason))
        for note in scene.notes:
            told[note].append(path)
    notes += [f"{note} ({walk.scanned(paths)})" for note, paths in told.items()]
    notes += _of_bands(bands)
    if not layers:
        pictures = [(path, "8-bit pictures cannot be used") for path in files.pictures]
        raise _nothing(sources, [*left_out, *pictures])
    paths = [*dict.fromkeys(layer.path for layer in layers if layer.date == UNDATED)]
    if paths and not partial:
        raise UndatedError(paths)
    _refuse_unused(files.paths, given, undated)
    layers = filled(layers, given, notes)
    undated_layers = [layer for layer in layers if layer.date == UNDATED]
    layers = [layer for layer in layers if layer.date != UNDATED]
    layers = _in_season(layers, given, notes) if layers else []
    layers = _one_mask(layers, notes)
    unknown = str(UndatedError(paths)) if paths else ""
    try:
        refuse_unknown([*undated_layers, *layers], given)
    except ArgumentError as error:
        if not partial:
            raise
        unknown += f"{'; ' * bool(unknown)}{error}"
    if either := [*dict.fromkeys(x.path for x in layers if x.modality == sensors.RADAR)]:
        text = f"the pass of {sensors.RADAR} is not known of {walk.scanned(either)}"
        notes.append(f"{text}: both are one modality, if `direction` does not say which it is")
    layers.sort(key=lambda x: (x.modality, x.date, x.orbit, x.channel, x.path, x.band))
    levels = {modality: tuple(sorted(said)) for modality, said in levels.items()}
    return Found(layers, left_out, notes, levels, unknown, tuple(undated_layers))


def _of_bands(bands: Mapping[tuple[str, str], int]) -> list[str]:
    """Says which bands of scenes are left out, those of one reason and number together."""
    alike = collections.defaultdict(list)
    for (name, reason), number in bands.items():
        alike[reason, number].append(name)
    return [
        f"bands left out of {walk.counted(number, 'file')}, {reason}: {named(names, most=12)}"
        for (reason, number), names in alike.items()
    ]


def _refuse_unused(paths: Sequence[str], given: Given, undated: bool) -> None:
    """Refuses what is given of bands and dates if nothing needs it: it was meant for something."""
    if given.dates and not undated:
        remedy = "leave them out, or list other dates in a manifest"
        raise ArgumentError("all scenes have dates", argument="dates", remedy=remedy)
    if given.channels:
        there = {n for p in paths for h in _there(p) for b in h.bands for n in (b.name, b.key)}
        if absent := [name for name in given.channels if name not in there]:
            fault, some = f"no band is called {absent[0]}", named(sorted(there - {""}), most=8)
            raise ArgumentError(fault, argument="channels", remedy=f"choose among {some}")


def _there(path: str) -> tuple[Header, ...]:
    """The headers of a file; none if it is damaged, and left out for that."""
    try:
        return headers(path)
    except DataError:
        return ()


def _nothing(sources: Sequence[Any], left_out: Sequence[tuple[str, str]]) -> DataError:
    why = f": {left_out[0][0]}, {left_out[0][1]}" if left_out else ""
    where = next((s for s in sources if isinstance(s, str | os.PathLike)), "sources")
    remedy = "give scenes of Sentinel-1 or Sentinel-2, or say what bands are by `channels`"
    return DataError(
        f"no scene among {walk.counted(len(left_out), 'file')}{why}", where=where, remedy=remedy
    )


def _scenes(paths, given, left_out, progress):
    """Yields each grid of each file with its path; damaged files are left out where they may be."""
    bar = tqdm.tqdm(total=len(paths), desc="Looking", unit=" files", disable=not progress)
    with bar, concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        for path, read in zip(paths, pool.map(_outcome(headers), paths), strict=True):
            bar.update()
            if isinstance(read, DataError) and given.skip_damaged:
                left_out.append((path, read.fault))
                continue
            if isinstance(read, Exception):
                pool.shutdown(wait=False, cancel_futures=True)
                raise read
            if not read:
                left_out.append((path, "no variable along y and x"))
            for header in read:
                yield scene_of(header, given), path


def _outcome(call: Callable[[str], Any]) -> Callable[[str], Any]:
    """As `call`, but an error of it is returned, so that all others are known."""

    def outcome(path: str) -> Any:
        try:
            return call(path)
        except Exception as error:
            return error

    return outcome


def _in_season(layers: list[Layer], given: Given, notes: list[str]) -> list[Layer]:
    if given.season is None:
        return layers
    first, last = given.season
    inside = [layer for layer in layers if first <= layer.date <= last]
    if not inside:
        dates = sorted({layer.date for layer in layers})
        fault = f"none of {len(dates)} dates from {dates[0]} to {dates[-1]} is in {first} to {last}"
        raise ArgumentError(fault, argument="season_start", remedy="give that of the scenes")
    outside = {layer.acquisition for layer in layers} - {layer.acquisition for layer in inside}
    for modality in sorted({acquisition[0] for acquisition in outside}):
        dates = sorted(a[1].isoformat() for a in outside if a[0] == modality)
        text = f"{walk.counted(len(dates), 'acquisition')} of {modality}"
        notes.append(f"not of {first} to {last}: {text}, {named(dates)}")
    return inside


def _one_mask(layers: list[Layer], notes: list[str]) -> list[Layer]:
    """Of several masks of clouds of one acquisition, the one that tells most; of clouds alone."""
    kinds = collections.defaultdict(set)
    values = {layer.acquisition for layer in layers if not layer.is_mask}
    for layer in layers:
        if layer.is_mask and layer.unit in _MASKS:
            kinds[layer.acquisition].add(layer.unit)
    kept, dropped, alone = [], collections.Counter(), collections.Counter()
    for layer in layers:
        best = min(kinds[layer.acquisition], key=_MASKS.index, default="")
        if not layer.is_mask:
            kept.append(layer)
        elif layer.acquisition not in values:
            alone[layer.modality] += 1
        elif layer.unit in _MASKS and layer.unit != best:
            dropped[layer.unit, best] += 1
        else:
            kept.append(layer)
    for (unit, best), number in dropped.items():
        notes.append(f"not read, where {best} is there: {walk.counted(number, 'mask')}, {unit}")
    for modality, number in alone.items():
        text = walk.counted(number, "mask")
        notes.append(f"not read, where the scene is missing: {text} of {modality}")
    return kept
