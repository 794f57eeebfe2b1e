"""A small dataset that is not PASTIS-R, in both official layouts: other sensors, crops and folds.

Whatever could be taken for granted with PASTIS-R differs: the number of channels and their units,
marks of missing values, text among codes and identifiers and numbers beyond 32 bits, labels with
gaps between them, the places of background and void, names and number of the folds, the season.
"""

from __future__ import annotations

import csv
import datetime
import json
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pastis_jax.data import dataset_file
from pastis_jax.data.dataset import Code, CropClass, Dataset, Fold, Modality, Nomenclature

DATASET = Dataset(
    name="Foreign",
    modalities=(
        Modality(
            name="PS",
            channels=("blue", "green", "red", "nir"),
            dtype="uint16",
            unit="reflectance x 10000",
            nodata=0,
            drop_rate=0.25,
        ),
        Modality("NDVI", ("NDVI",), "float32", "index", nodata=math.nan),
        Modality("SAR", ("VV", "VH"), "float32", "linear power"),
    ),
    nomenclature=Nomenclature(
        classes=(
            CropClass(110, "Maize", (255, 187, 120)),
            CropClass(23, "Rice", (44, 160, 44)),
            CropClass("MIS", "Miscanthus", (148, 103, 189), value=7),
            CropClass(900, "No field", (0, 0, 0)),
            CropClass(4, "Soya", (199, 199, 199)),
            CropClass(-1, "Unknown", (255, 255, 255)),
            CropClass("007", "Rye", (214, 39, 40), value=512),
            CropClass(57, "Cotton", (23, 190, 207)),
        ),
        background=900,
        void=-1,
    ),
    season_start=datetime.date(2023, 7, 1),
    folds=("north", "east", "south", "west"),
    pixel_size=3.0,
)
"""Six crops, two of them with text as code, in four folds."""

SEASON = 366
"""Number of days from July 2023 to June 2024."""

Moments = dict[str, tuple[np.ndarray, np.ndarray]]
"""Mean and standard deviation per channel of what was measured, of each modality."""


def make_pixel_sets(
    root: pathlib.Path,
    *,
    patches_per_fold: int = 2,
    parcels_per_patch: int = 7,
    pixels: tuple[int, int] = (3, 12),
    dates: tuple[int, int] = (4, 6),
    seed: int = 0,
) -> pathlib.Path:
    """Writes a pixel-set folder. Six crops and void come in turn over the parcels of a fold.

    Void counts in no statistics, and the table has no columns GF_.

    Args:
      root: Folder to make.
      patches_per_fold: Number of patches in each of the four folds.
      parcels_per_patch: Number of parcels in each patch.
      pixels: Fewest and most pixels of a parcel.
      dates: Fewest and most dates of a series; patches and modalities differ in it.
      seed: Seed of all randomness.

    Returns:
      `root`.
    """
    rng = np.random.default_rng(seed)
    days = _make_folder(root, rng, patches_per_fold, dates)
    rows, norms = [], {fold: [] for fold in DATASET.folds}
    for fold, patch, labels in _patches(patches_per_fold, parcels_per_patch):
        for label in labels:
            parcel = parcel_id(len(rows))
            rows.append((parcel, patch, label, fold))
            number = DATASET.nomenclature.number_of(label)
            numbers = np.full(rng.integers(pixels[0], pixels[1] + 1), number)
            moments = _write_series(root, rng, parcel, numbers, days[patch])
            if label != DATASET.nomenclature.void:
                norms[fold].append(moments)
    with (root / "metadata_parcel.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("ID_PARCEL", "ID_PATCH", "Label", "Fold"), *rows])
    _write_norms(root, "NORM_PARCEL_{}_set.json", norms)
    return root


def make_patches(
    root: pathlib.Path,
    *,
    patches_per_fold: int = 1,
    parcels_per_patch: int = 7,
    size: tuple[int, int] = (24, 40),
    dates: tuple[int, int] = (4, 6),
    seed: int = 0,
) -> pathlib.Path:
    """Writes a patch folder. Six crops and void come in turn over the parcels of a fold.

    Args:
      root: Folder to make.
      patches_per_fold: Number of patches in each of the four folds.
      parcels_per_patch: Number of parcels in each patch, rectangles with background between.
      size: Rows and columns of a patch.
      dates: Fewest and most dates of a series; patches and modalities differ in it.
      seed: Seed of all randomness.

    Returns:
      `root`.
    """
    rng = np.random.default_rng(seed)
    days = _make_folder(root, rng, patches_per_fold, dates)
    (root / "ANNOTATIONS").mkdir()
    norms, nomenclature = {fold: [] for fold in DATASET.folds}, DATASET.nomenclature
    values, first = np.array([one.value for one in nomenclature.classes]), 2**40 + 5
    for fold, patch, labels in _patches(patches_per_fold, parcels_per_patch):
        numbers = np.full(size, nomenclature.background_number)
        parcels = np.zeros(size, np.int64)
        boxes = _boxes(rng, size, len(labels))
        for parcel, (box, label) in enumerate(zip(boxes, labels, strict=True), start=1):
            numbers[box], parcels[box] = nomenclature.number_of(label), parcel
        fine = np.where(parcels > 0, 1000 + values[numbers], 0)
        # Identifiers fall where the parcels' numbers within the patch rise.
        ids = np.where(parcels > 0, first + len(labels) - parcels, 0)
        first += len(labels)
        target = np.stack((values[numbers], parcels, fine))
        np.save(root / "ANNOTATIONS" / f"TARGET_{patch}.npy", target.astype(np.int64))
        np.save(root / "ANNOTATIONS" / f"ParcelIDs_{patch}.npy", ids.astype(np.int64))
        norms[fold].append(_write_series(root, rng, patch, numbers, days[patch]))
    _write_norms(root, "NORM_{}_patch.json", norms)
    return root


def patch_id(number: int) -> int | str:
    """Identifier of the patch that comes `number`-th, from 0: text or an integer over 32 bits."""
    kinds = (f"P-{number + 7:02d}", 3301010000 + number, 2**40 + 3 + number)
    return kinds[number % len(kinds)]


def parcel_id(number: int) -> int | str:
    """Identifier of the parcel that comes `number`-th, from 0; "007" is another one than 7."""
    kinds = (f"00{number // 3 + 7}", 2**40 + 4 + number, number // 3 + 7)
    return kinds[number % len(kinds)]


def _patches(per_fold: int, parcels: int) -> Iterator[tuple[Fold, int | str, list[Code]]]:
    """Gives each patch's fold, its identifier and the codes of its parcels."""
    nomenclature = DATASET.nomenclature
    codes = [*(one.code for one in nomenclature.crops), nomenclature.void]
    for number in range(len(DATASET.folds) * per_fold):
        fold, within = divmod(number, per_fold)
        turns = range(within * parcels, (within + 1) * parcels)
        labels = [codes[turn % len(codes)] for turn in turns]
        yield DATASET.folds[fold], patch_id(number), labels


def _make_folder(
    root: pathlib.Path, rng: np.random.Generator, patches_per_fold: int, dates: tuple[int, int]
) -> dict[int | str, dict[str, np.ndarray]]:
    """Makes the folder with what both layouts share; returns the days of each patch."""
    for name in DATASET.names:
        (root / f"DATA_{name}").mkdir(parents=True)
    dataset_file.write(DATASET, root)
    days, features = {}, []
    for number, (fold, patch, _) in enumerate(_patches(patches_per_fold, 0)):
        properties = {"ID_PATCH": patch, "Fold": fold}
        days[patch] = {}
        for place, name in enumerate(DATASET.names):
            length = dates[0] + (number + place) % (dates[1] - dates[0] + 1)
            days[patch][name] = np.sort(rng.choice(SEASON, length, replace=False))
            listed = [int(f"{DATASET.date(day):%Y%m%d}") for day in days[patch][name]]
            properties[f"dates-{name}"] = {str(i): date for i, date in enumerate(listed)}
        features.append({"type": "Feature", "properties": properties, "geometry": None})
    document = {"type": "FeatureCollection", "features": features}
    (root / "metadata.geojson").write_text(json.dumps(document), "utf-8")
    return days


def _boxes(
    rng: np.random.Generator, size: tuple[int, int], count: int
) -> Iterator[tuple[slice, slice]]:
    """Draws rectangles that touch neither each other nor the border."""
    columns = math.ceil(math.sqrt(count * size[1] / size[0]))
    h, w = size[0] // math.ceil(count / columns), size[1] // columns
    for cell in rng.permutation(size[0] // h * columns)[:count]:
        row, column = cell // columns * h + 1, cell % columns * w + 1
        height, width = (int(rng.integers(side // 2, side - 1)) for side in (h, w))
        yield slice(row, row + height), slice(column, column + width)


def _write_series(
    root: pathlib.Path,
    rng: np.random.Generator,
    item: int | str,
    numbers: np.ndarray,
    days: Mapping[str, np.ndarray],
) -> Moments:
    """Writes the series of a parcel or patch."""
    moments = {}
    for modality in DATASET.modalities:
        values = _series(rng, modality, days[modality.name], numbers)
        np.save(root / f"DATA_{modality.name}" / f"{modality.name}_{item}.npy", values)
        missing = modality.missing(values)
        missing = np.ma.nomask if missing is None else missing
        measured = np.ma.masked_array(values, missing, np.float64)
        axes = (0, *range(2, values.ndim))
        moments[modality.name] = measured.mean(axes).data, measured.std(axes).data
    return moments


def _series(
    rng: np.random.Generator, modality: Modality, days: np.ndarray, numbers: np.ndarray
) -> np.ndarray:
    """Draws values (t, c, ...) of pixels whose classes have these `numbers` (...).

    In each modality a class has a level and a season of its own.
    """
    classes, step = len(DATASET.nomenclature.classes), {"PS": 1, "NDVI": 3, "SAR": 5}[modality.name]
    level = (np.arange(classes) * step % classes / classes)[numbers]
    peak = 60 + 250 * (np.arange(classes) * (step + 2) % classes / classes)[numbers]
    days = days.reshape(-1, 1, *[1] * numbers.ndim)
    shape = (len(days), len(modality.channels), *numbers.shape)
    green = np.exp(-(((days - peak) / 50) ** 2))
    noise = rng.normal(size=shape)
    channel = np.arange(shape[1]).reshape(-1, *[1] * numbers.ndim)
    if modality.unit == "reflectance x 10000":
        growth = np.where(channel == 3, 2500, -250) * green
        values = 700 + 150 * channel + 900 * level + growth + 40 * noise
    elif modality.unit == "index":
        values = 0.05 + 0.65 * level + 0.2 * green + 0.02 * noise
    else:
        values = 10 ** ((-16 - 6 * channel + 8 * level + 3 * green + 0.5 * noise) / 10)
    if modality.nodata is not None:
        missing = rng.random((shape[0], 1, *shape[2:])) < 0.04
        missing[0, 0].flat[0] = False  # never a whole item
        values = np.where(missing, modality.nodata, np.maximum(values, 0.01))
    return values.astype(modality.dtype)


def _write_norms(root: pathlib.Path, pattern: str, norms: Mapping[Fold, Sequence[Moments]]) -> None:
    """Writes the mean over a fold's items of their means, and of their standard deviations."""
    for name in DATASET.names:
        content = {}
        for fold, items in norms.items():
            mean, std = np.mean([item[name] for item in items], axis=0)
            content[f"Fold_{fold}"] = {"mean": mean.tolist(), "std": std.tolist()}
        (root / pattern.format(name)).write_text(json.dumps(content), "utf-8")
