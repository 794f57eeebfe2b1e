"""A tiny, sound pixel-set folder for tests, made with numpy alone."""

from __future__ import annotations

import csv
import datetime
import json
import pathlib

import numpy as np

CHANNELS = {"S2": 10, "S1A": 3, "S1D": 3}
COLUMNS = (
    *("ID_PARCEL", "ID_PATCH", "Label", "Fold"),
    *("GF_perimeter", "GF_pixels", "GF_cover", "GF_ratio"),
)


def make_pixel_set(
    root: pathlib.Path,
    *,
    parcels_per_fold: int = 3,
    labels: tuple[int, ...] = (1, 3, 8, 19),
    dates: tuple[int, int] = (5, 9),
    pixels: tuple[int, int] = (1, 40),
    seed: int = 0,
) -> pathlib.Path:
    """Writes a folder in the official layout: one patch per fold and all three modalities.

    Args:
      root: Folder to make.
      parcels_per_fold: Number of parcels in each of the five folds.
      labels: Official labels, given out in turn over all parcels.
      dates: Fewest and most dates of a series.
      pixels: Fewest and most pixels of a parcel.
      seed: Seed of all randomness.

    Returns:
      `root`.
    """
    rng = np.random.default_rng(seed)
    features, rows = [], []
    for modality in CHANNELS:
        (root / f"DATA_{modality}").mkdir(parents=True)
    for fold in range(1, 6):
        patch, length = 10000 + fold, {}
        properties = {"ID_PATCH": patch, "Fold": fold, "TILE": "t31tfm"}
        for modality in CHANNELS:
            length[modality] = int(rng.integers(dates[0], dates[1] + 1))
            days = np.sort(rng.choice(400, length[modality], replace=False))
            start = datetime.date(2018, 9, 17)
            listed = {
                str(i): int(f"{start + datetime.timedelta(int(day)):%Y%m%d}")
                for i, day in enumerate(days)
            }
            # The published file has dicts; tables that went through geopandas hold strings.
            properties[f"dates-{modality}"] = str(listed) if fold == 2 else listed
        features.append({"type": "Feature", "properties": properties, "geometry": None})
        for number in range(parcels_per_fold):
            parcel, count = patch * 1000 + number, int(rng.integers(pixels[0], pixels[1] + 1))
            label = labels[len(rows) % len(labels)]
            ratio = round(4 / count, 4)
            rows.append((parcel, patch, label, fold, 4 * count, count, 0.5, ratio))
            for modality in CHANNELS:
                values = _series(rng, modality, length[modality], count)
                np.save(root / f"DATA_{modality}" / f"{modality}_{parcel}.npy", values)
    document = {"type": "FeatureCollection", "features": features}
    (root / "metadata.geojson").write_text(json.dumps(document))
    write_rows(root, rows)
    for modality in CHANNELS:
        content = {f"Fold_{fold}": norm(modality, fold) for fold in range(1, 6)}
        (root / f"NORM_PARCEL_{modality}_set.json").write_text(json.dumps(content))
    return root


def norm(modality: str, fold: int) -> dict[str, list[float]]:
    """Statistics of about what is drawn; each fold has its own."""
    if modality == "S2":
        return {"mean": [2000.0 + fold] * 10, "std": [1000.0 + 10.0 * fold] * 10}
    return {"mean": [mean + 0.25 * fold for mean in (-11, -18, 7)], "std": [1.0 + fold / 8] * 3}


def read_rows(root: pathlib.Path) -> list[list[str]]:
    """Returns the lines of `metadata_parcel.csv` without the header."""
    with (root / "metadata_parcel.csv").open(newline="") as stream:
        return list(csv.reader(stream))[1:]


def write_rows(root: pathlib.Path, rows, columns=COLUMNS) -> None:
    """Writes `metadata_parcel.csv`."""
    with (root / "metadata_parcel.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])


def _series(rng, modality: str, dates: int, pixels: int) -> np.ndarray:
    channels = CHANNELS[modality]
    noise = rng.normal(size=(dates, channels, pixels))
    if modality == "S2":
        level = rng.uniform(300, 4000, (dates, channels, 1))
        return (level + 100 * noise).astype(np.int16)
    values = np.array([-11.0, -18.0, 7.0])[:, None] + noise
    values[:, 2] = values[:, 0] - values[:, 1]
    return values.astype(np.float16)
