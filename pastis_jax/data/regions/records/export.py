"""From a Region to folders in the official layouts, for whatever reads these.

Records of the folders are those of the Region: the same days, values, labels and parcels.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import pathlib
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tqdm

from pastis_jax.data import dataset_file
from pastis_jax.data.cache import amount
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.metadata import (
    GEOMETRIC_FEATURES,
    PARCEL_COLUMNS,
    PARCEL_METADATA,
    PATCH_METADATA,
    Identifier,
    Patch,
)
from pastis_jax.data.patches.annotations import ANNOTATIONS, INSTANCES
from pastis_jax.data.regions.grid import Grid
from pastis_jax.data.regions.records.pixel_sets import RegionPixelSets
from pastis_jax.data.regions.records.windows import RegionWindows
from pastis_jax.data.statistics import StatisticsAccumulator
from pastis_jax.errors import UserError, refuse
from pastis_jax.files import whole_folder
from pastis_jax.text import named

PATCHES = "patches"
"""Folder of the patches beside pixel sets."""
_FIRST = 10_001
"""`ID_PATCH` of the first window: programs that read the official layout want integers."""


def export(
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    pixel_sets: bool = True,
    patches: bool = True,
    window: int = 0,
    progress: bool = True,
) -> list[str]:
    """Writes a Region in the official layouts, entirely or not at all.

    Pixel sets are written in `out`, patches in `out`/patches; either alone in `out`.

    Args:
      root: The Region.
      out: Folder to make. It must not exist or be empty.
      pixel_sets: Whether to write its parcels as pixel sets.
      patches: Whether to write its regular windows as patches.
      window: Side of these, pixels; 0 for 128, or less in a smaller Region.
      progress: Whether to draw progress bars.

    Returns:
      What was left out, and what not every program can read, a line each.

    Raises:
      ArgumentError: If there is nothing to write.
      UserError: If the Region is damaged, or `out` cannot be written.
    """
    out = pathlib.Path(os.path.expanduser(out)).absolute()
    fault = "neither is to be written"
    refuse("patches", not (pixel_sets or patches), fault, "leave out one of the two")
    sets = RegionPixelSets(root) if pixel_sets else None
    windows = RegionWindows(root, window=window) if patches else None
    with whole_folder(out) as folder:
        size = (_parcel_bytes(sets) if sets else 0) + (_patch_bytes(windows) if windows else 0)
        if (free := shutil.disk_usage(folder).free) < size:
            fault = f"{amount(size)} needed on its disk, which has {amount(free)}"
            raise UserError(fault, where=out, remedy="make room there, or give another folder")
        if sets:
            _write_parcels(sets, folder, progress)
        if windows:
            _write_patches(windows, folder / PATCHES if sets else folder, progress)
    notes = [*(sets.notes if sets else ()), *(windows.notes if windows else ())]
    return list(dict.fromkeys([*notes, *(_doubled(windows) if windows else ())]))


def _doubled(windows: RegionWindows) -> Iterable[str]:
    """Modalities that see a patch twice on one day, which not every program can read."""
    every = windows.patches.values()
    for name in windows.dataset.names:
        found = [Counter(patch.days[name]) for patch in every if name in patch.days]
        twice = [of for of in found if max(of.values(), default=0) > 1]
        if twice:
            days = {day for of in twice for day, times in of.items() if times > 1}
            dates = named([windows.dataset.date(day) for day in sorted(days)], most=3)
            yield (
                f"{len(twice)} of {len(every)} patches have two images of {name} on one day "
                f"({dates}): the published dataset class takes such a day for one date"
            )


def _parcel_bytes(sets: RegionPixelSets) -> int:
    return sets.identity().bytes


def _patch_bytes(windows: RegionWindows) -> int:
    pixels, total = int(np.prod(windows.size)), 0
    for patch in windows.patches.values():
        for name, days in patch.days.items():
            modality = windows.dataset[name]
            values = len(days) * len(modality.channels) * pixels
            total += values * np.dtype(modality.dtype).itemsize
    return total + 27 * pixels * len(windows.patches)


def valued(dataset: Dataset) -> Dataset:
    """Returns `dataset` with values of classes that fit in one byte; its own where they do."""
    nomenclature, classes = dataset.nomenclature, dataset.nomenclature.classes
    if all(entry.value is not None and 0 <= entry.value <= 255 for entry in classes):
        return dataset
    numbered = tuple(
        dataclasses.replace(entry, value=number) for number, entry in enumerate(classes)
    )
    return dataclasses.replace(
        dataset, nomenclature=dataclasses.replace(nomenclature, classes=numbered)
    )


class _Norms:
    """Gathers the channel statistics of each fold."""

    def __init__(self, dataset: Dataset):
        self._dataset = dataset
        self._sums = {m.name: StatisticsAccumulator(m, dataset.folds) for m in dataset.modalities}
        self._measured: Counter[tuple[str, Any]] = Counter()

    def add(self, fold: Any, series: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        for name, (values, days) in series.items():
            self._measured[name, fold] += len(days)
            self._sums[name].add(fold, values)

    def write(self, folder: pathlib.Path, pattern: str) -> None:
        """Writes the NORM files, without folds that lack the modality."""
        for name, sums in self._sums.items():
            content = {
                f"Fold_{fold}": {"mean": mean.tolist(), "std": std.tolist()}
                for fold, (mean, std) in sums.compute().items()
                if self._measured[name, fold]
            }
            (folder / pattern.format(name)).write_text(json.dumps(content, indent=1))


def _write_parcels(sets: RegionPixelSets, folder: pathlib.Path, progress: bool) -> None:
    dataset, names = valued(sets.dataset), _numbered(sets.patches)
    _make(folder, [f"DATA_{name}" for name in dataset.names])
    norms, rows = _Norms(dataset), []
    bar = tqdm.tqdm(sets.parcels, "Writing parcels", unit=" parcels", disable=not progress)
    for parcel in bar:
        series = sets.stored(parcel)
        for name, (values, days) in series.items():
            if len(days):
                np.save(folder / f"DATA_{name}" / f"{name}_{parcel.id}.npy", values)
        if not sets.is_void(parcel):
            norms.add(parcel.fold, series)
        code = dataset.nomenclature.classes[parcel.label].code
        features = [_plain(number) for number in parcel.geometric_features]
        rows.append((parcel.id, names[parcel.patch], code, parcel.fold, *features))
    norms.write(folder, "NORM_PARCEL_{}_set.json")
    with open(folder / PARCEL_METADATA, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow((*PARCEL_COLUMNS, *GEOMETRIC_FEATURES))
        table.writerows(rows)
    grid, count = sets.region.grid, Counter(parcel.patch for parcel in sets.parcels)
    _write_metadata(
        folder,
        dataset,
        grid,
        (
            (patch, names[patch.id], grid.part(*sets.home(patch)), {"N_Parcel": count[patch.id]})
            for patch in sets.patches.values()
        ),
    )


def _plain(number: np.float32) -> int | float:
    """A feature as short as it reads back as the same number."""
    return int(number) if number == int(number) else float(str(number))


def _write_patches(windows: RegionWindows, folder: pathlib.Path, progress: bool) -> None:
    dataset, names = valued(windows.dataset), _numbered(windows.patches)
    _make(folder, [ANNOTATIONS, INSTANCES, *(f"DATA_{name}" for name in dataset.names)])
    value = np.array([entry.value for entry in dataset.nomenclature.classes])
    norms, facts = _Norms(dataset), {}
    every = windows.patches.values()
    bar = tqdm.tqdm(every, "Writing patches", unit=" patches", disable=not progress)
    for patch in bar:
        number, found = names[patch.id], windows.annotations(patch)
        series = {m: (np.asarray(x), days) for m, (x, days) in windows.series(patch).items()}
        arrays = {f"DATA_{m}/{m}": x for m, (x, days) in series.items() if len(days)}
        norms.add(patch.fold, series)
        target = np.stack([value[found.semantic], found.parcels, found.fine])
        # One byte, as the dataset has it wherever the numbers fit.
        target = target.astype(np.uint8 if target.max() < 256 else np.int32)
        arrays[f"{ANNOTATIONS}/TARGET"] = target
        arrays[f"{ANNOTATIONS}/ParcelIDs"] = found.parcel_ids.astype(np.int32)
        made = windows.make_instances(found)
        for name, array in zip(("INSTANCES", "ZONES", "HEATMAP"), made, strict=True):
            arrays[f"{INSTANCES}/{name}"] = array
        for name, array in arrays.items():
            np.save(folder / f"{name}_{number}.npy", array)
        covered = round(float((found.parcel_ids > 0).mean()), 4)
        facts[patch.id] = {"N_Parcel": int(found.parcels.max()), "Parcel_Cover": covered}
    norms.write(folder, "NORM_{}_patch.json")
    grid = windows.region.grid
    parts = ((patch, grid.part(*_place(windows, patch))) for patch in every)
    rows = ((patch, names[patch.id], part, facts[patch.id]) for patch, part in parts)
    _write_metadata(folder, dataset, grid, rows)


def _place(windows: RegionWindows, patch: Patch) -> tuple[slice, slice]:
    window = windows.window(patch)
    return window.rows, window.columns


def _numbered(patches: Iterable[Identifier]) -> dict[Identifier, int]:
    return {name: number for number, name in enumerate(patches, _FIRST)}


def _make(folder: pathlib.Path, names: Iterable[str]) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)


def _write_metadata(
    folder: pathlib.Path,
    dataset: Dataset,
    grid: Grid,
    rows: Iterable[tuple[Patch, int, Grid, Mapping[str, Any]]],
) -> None:
    """Writes dataset.json and metadata.geojson.

    Args:
      folder: Where to write.
      dataset: What it holds.
      grid: Of the Region.
      rows: Each patch, its number, where it lies, and further properties.
    """
    dataset_file.write(dataset, folder)
    features = []
    for patch, number, part, more in rows:
        left, bottom, right, top = part.bounds
        ring = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
        properties = {"ID_PATCH": number, "Fold": patch.fold, "TILE": "", "WINDOW": patch.id}
        properties |= more
        for name, days in patch.days.items():
            dates = (dataset.date(day) for day in days)
            stamps = {str(k): int(date.strftime("%Y%m%d")) for k, date in enumerate(dates)}
            properties[f"dates-{name}"] = stamps
        shape = {"type": "MultiPolygon", "coordinates": [[ring]]}
        feature = {"type": "Feature", "id": str(number), "properties": properties}
        features.append(feature | {"geometry": shape})
    authority, _, code = grid.crs.partition(":")
    known = code.isdigit() and authority.isalpha()
    crs = f"urn:ogc:def:crs:{authority}::{code}" if known else grid.crs
    collection = {
        "type": "FeatureCollection",
        "name": dataset.name,
        "crs": {"type": "name", "properties": {"name": crs}},
        "features": features,
    }
    (folder / PATCH_METADATA).write_text(json.dumps(collection), encoding="utf-8")
