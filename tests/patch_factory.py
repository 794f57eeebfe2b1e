"""A tiny, sound patch folder for tests, made with numpy alone."""

from __future__ import annotations

import datetime
import json
import pathlib

import numpy as np
from pixel_set_factory import norm

CHANNELS = {"S2": 10, "S1A": 3, "S1D": 3}


def make_patches(
    root: pathlib.Path,
    *,
    patches_per_fold: int = 1,
    size: tuple[int, int] = (16, 16),
    dates: tuple[int, int] = (4, 6),
    extras: bool = True,
    seed: int = 0,
) -> pathlib.Path:
    """Writes a folder in the official layout, all three modalities.

    Args:
      root: Folder to make.
      patches_per_fold: Number of patches in each of the five folds.
      size: Rows and columns of a patch.
      dates: Fewest and most dates of a series.
      extras: Whether to write `ParcelIDs`, whose order is not that of the parcels' numbers.
      seed: Seed of all randomness.

    Returns:
      `root`.
    """
    rng = np.random.default_rng(seed)
    features = []
    for folder in ("ANNOTATIONS", *(f"DATA_{modality}" for modality in CHANNELS)):
        (root / folder).mkdir(parents=True)
    for number in range(5 * patches_per_fold):
        patch, fold = 10001 + number, number % 5 + 1
        properties = {"ID_PATCH": patch, "Fold": fold, "TILE": "t31tfm"}
        for modality in CHANNELS:
            length = int(rng.integers(dates[0], dates[1] + 1))
            days = np.sort(rng.choice(400, length, replace=False))
            # The published file has dicts; tables that went through geopandas hold strings.
            listed = stamps(days)
            properties[f"dates-{modality}"] = str(listed) if fold == 2 else listed
            np.save(
                root / f"DATA_{modality}" / f"{modality}_{patch}.npy",
                series(rng, modality, length, size),
            )
        features.append({"type": "Feature", "properties": properties, "geometry": None})
        target = parcels(rng, size)
        # One byte in most published patches, two in those with large codes.
        target = target.astype(np.uint8 if number % 2 == 0 else np.int16)
        np.save(root / "ANNOTATIONS" / f"TARGET_{patch}.npy", target)
        if extras:
            first = 5000 + 100 * number  # a parcel lies in one patch
            ids = np.where(target[1] > 0, first - 10 * target[1].astype(np.int32), 0)
            np.save(root / "ANNOTATIONS" / f"ParcelIDs_{patch}.npy", ids.astype(np.int32))
    document = {"type": "FeatureCollection", "features": features}
    (root / "metadata.geojson").write_text(json.dumps(document))
    for modality in CHANNELS:
        content = {f"Fold_{fold}": norm(modality, fold) for fold in range(1, 6)}
        (root / f"NORM_{modality}_patch.json").write_text(json.dumps(content))
    return root


def stamps(days) -> dict[str, int]:
    """Writes days since 2018-09-17 as the published metadata does."""
    start = datetime.date(2018, 9, 17)
    return {
        str(i): int(f"{start + datetime.timedelta(int(day)):%Y%m%d}") for i, day in enumerate(days)
    }


def edit_patch(root: pathlib.Path, number: int, **properties) -> None:
    """Changes the properties of a patch in the metadata; None removes one."""
    file = root / "metadata.geojson"
    document = json.loads(file.read_text())
    entry = document["features"][number]["properties"] | properties
    document["features"][number]["properties"] = {k: v for k, v in entry.items() if v is not None}
    file.write_text(json.dumps(document))


def series(rng, modality: str, dates: int, size: tuple[int, int]) -> np.ndarray:
    """Draws plausible values, `(t, c, h, w)` in the published dtype."""
    channels = CHANNELS[modality]
    noise = rng.normal(size=(dates, channels, *size))
    if modality == "S2":
        level = rng.uniform(300, 4000, (dates, channels, 1, 1))
        return (level + 100 * noise).astype(np.int16)
    values = np.array([-11.0, -18.0, 7.0])[:, None, None] + noise
    values[:, 2] = values[:, 0] - values[:, 1]
    return values.astype(np.float16)


def parcels(rng, size: tuple[int, int]) -> np.ndarray:
    """Draws four rectangular parcels, one of them void, with background between; `(3, h, w)`."""
    h, w = size[0] // 2, size[1] // 2
    target = np.zeros((3, *size), int)
    labels = [*rng.choice(np.arange(1, 19), 3, replace=False), 19]
    for number, label in enumerate(labels):
        row, column = number // 2 * h, number % 2 * w
        box = (slice(None), slice(row, row + h - 1), slice(column, column + w - 2))
        target[box] = np.array([label, number + 1, 100 + label])[:, None, None]
    return target
