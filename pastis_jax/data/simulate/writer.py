"""Writes scenes in the two official layouts: pixel sets and patches."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from pastis_jax.data.metadata import GEOMETRIC_FEATURES
from pastis_jax.data.outline import outline
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches.instances import centerness, instances_from_parcels
from pastis_jax.data.reading import read_json, restore
from pastis_jax.data.regions.store import is_region
from pastis_jax.data.simulate.scene import Scene

NAME = "Simulated by pastis_jax"
"""Name of the collection in metadata.geojson, by which a simulated folder is known."""

Moments = dict[str, list[tuple[np.ndarray, np.ndarray]]]
"""For each modality, mean and standard deviation per channel of some items."""


def geometry(mask: np.ndarray) -> tuple[int, int, float, float]:
    """Measures a parcel.

    Args:
      mask: Its pixels, `(h, w)` bool.

    Returns:
      Perimeter in pixel sides, number of pixels, share of the bounding box covered, and perimeter
      divided by pixels: the four GF_ columns of the official table.
    """
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    mask = np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    perimeter = int((mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum())
    return outline(perimeter, int(mask.sum()), len(mask) - 2, len(mask[0]) - 2)


def moments(values: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and standard deviation over `axes`, in float64, `(c,)` each."""
    values = values.astype(np.float64)
    return values.mean(axes), values.std(axes)


def write_parcels(folder: Path, scene: Scene, images: Mapping[str, np.ndarray]):
    """Cuts the parcels of a scene in pixel-set files.

    Args:
      folder: Root of the pixel-set folder.
      scene: The scene.
      images: Each modality, `(t, c, h, w)`.

    Returns:
      The parcels' rows of metadata_parcel.csv, and the moments of each modality, by parcel.
    """
    rows, spread = [], {name: [] for name in images}
    flat = {name: values.reshape(*values.shape[:2], -1) for name, values in images.items()}
    parcel, labels = scene.parcel, scene.labels
    for number, label in enumerate(labels, start=1):
        mask = parcel == number
        index = np.flatnonzero(mask)
        name = scene.patch * 1000 + number
        rows.append((name, scene.patch, int(label), scene.fold, *geometry(mask)))
        for sensor, values in flat.items():
            pixels = np.take(values, index, axis=2)
            np.save(folder / f"DATA_{sensor}" / f"{sensor}_{name}.npy", pixels)
            spread[sensor].append(moments(pixels, (0, 2)))
    return rows, spread


def write_patch(folder: Path, scene: Scene, images: Mapping[str, np.ndarray]) -> Moments:
    """Writes one scene as a patch.

    Args:
      folder: Root of the patch folder.
      scene: The scene.
      images: Each modality, `(t, c, h, w)`.

    Returns:
      The moments of each modality, of this one patch.
    """
    parcel, semantic = scene.parcel, scene.semantic
    target = np.stack([semantic, parcel, scene.fine])
    # One byte, as the dataset has it wherever the ids fit.
    target = target.astype(np.uint8 if target.max() < 256 else np.int16)
    ids = np.where(parcel > 0, scene.patch * 1000 + parcel, 0).astype(np.int32)
    grown = ~PASTIS_R.nomenclature.is_background(semantic)
    instances = instances_from_parcels(ids, grown)
    heatmap, zones = centerness(instances)
    arrays = {
        "ANNOTATIONS/TARGET": target,
        "ANNOTATIONS/ParcelIDs": ids,
        "INSTANCE_ANNOTATIONS/INSTANCES": instances,
        "INSTANCE_ANNOTATIONS/ZONES": zones,
        "INSTANCE_ANNOTATIONS/HEATMAP": heatmap,
    }
    arrays |= {f"DATA_{name}/{name}": values for name, values in images.items()}
    for name, values in arrays.items():
        np.save(folder / f"{name}_{scene.patch}.npy", values)
    return {name: [moments(values, (0, 2, 3))] for name, values in images.items()}


def make_folders(folder: Path, *, patches: bool) -> None:
    """Makes the folders of one layout, patches or pixel sets, in the new folder `folder`."""
    names = [f"DATA_{name}" for name in PASTIS_R.names]
    for name in [*names, *(("ANNOTATIONS", "INSTANCE_ANNOTATIONS") if patches else ())]:
        (folder / name).mkdir(parents=True)


def write_table(folder: Path, rows: Iterable[tuple]) -> None:
    """Writes metadata_parcel.csv from the rows that `write_parcels` returns."""
    with open(folder / "metadata_parcel.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("ID_PARCEL", "ID_PATCH", "Label", "Fold", *GEOMETRIC_FEATURES))
        table.writerows(rows)


def write_norms(folder: Path, pattern: str, spread: Mapping[int, Moments]) -> None:
    """Writes the NORM files: the mean over a fold's items of their means and deviations.

    Args:
      folder: Where to write.
      pattern: File name, with `{}` for the modality.
      spread: For each fold, the moments of its items.
    """
    for name in PASTIS_R.names:
        norms = {}
        for fold in PASTIS_R.folds:
            items = spread.get(fold, {}).get(name)
            if items:
                mean, std = np.mean(items, axis=0)
                norms[f"Fold_{fold}"] = {"mean": mean.tolist(), "std": std.tolist()}
        (folder / pattern.format(name)).write_text(json.dumps(norms, indent=1))


def write_metadata(folder: Path, scenes: Iterable[Scene]) -> None:
    """Writes metadata.geojson: footprint, fold, tile and dates of each scene."""
    features = []
    for scene in scenes:
        properties = {
            "ID_PATCH": scene.patch,
            "Fold": scene.fold,
            "TILE": scene.tile.name,
            "N_Parcel": scene.ground.parcels,
            "Parcel_Cover": round(float((scene.parcel > 0).mean()), 4),
        }
        for name, days in scene.days.items():
            dates = (PASTIS_R.date(day) for day in days)
            stamps = {str(k): int(date.strftime("%Y%m%d")) for k, date in enumerate(dates)}
            properties[f"dates-{name}"] = stamps
        shape = {"type": "MultiPolygon", "coordinates": [[scene.ring.tolist()]]}
        features.append(
            {
                "type": "Feature",
                "id": str(scene.patch),
                "properties": properties,
                "geometry": shape,
            }
        )
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2154"}}
    collection = {"type": "FeatureCollection", "name": NAME, "crs": crs, "features": features}
    (folder / "metadata.geojson").write_text(json.dumps(collection))


def is_simulated(folder: Path) -> bool:
    """Whether `folder`, of pixel sets or patches, was written by the simulator; no Region was."""
    if is_region(folder):
        return False
    file = folder / "metadata.geojson"
    collection = read_json(file, kind="a GeoJSON feature collection", remedy=restore(file))
    return isinstance(collection, dict) and collection.get("name") == NAME
