"""Small Regions made in a moment, without scenes: through the store's own writer."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib

import numpy as np

from pastis_jax.data.dataset import Dataset
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.regions import writer
from pastis_jax.data.regions.folds import FoldBlocks
from pastis_jax.data.regions.grid import CHUNK, SHARD, Grid
from pastis_jax.data.regions.writer import Acquisitions, Writer

START = datetime.date(2023, 9, 1)
GRID = Grid("EPSG:32631", left=600000.0, top=5200000.0, pixel_size=10.0, height=300, width=400)
DAYS = {"S2": (10, 40, 40, 200), "S1A": (5, 100, 210), "S1D": (7, 120)}


def dataset_of(folds=(1, 2, 3)) -> Dataset:
    """PASTIS-R's sensors and classes in a season of one's own."""
    return dataclasses.replace(PASTIS_R, name="A region", season_start=START, folds=folds)


def make_region(
    root: pathlib.Path,
    *,
    grid: Grid = GRID,
    days: dict[str, tuple[int, ...]] = DAYS,
    masked: tuple[str, ...] = ("S2",),
    fields: int = 20,
    folds: tuple[int, ...] = (1, 2, 3),
    seed: int = 0,
    shards: bool = True,
    compress: bool = False,
) -> dict[str, np.ndarray]:
    """Writes a Region of square parcels, `fields` pixels wide with a margin of two; returns truth.

    Every second date of S1A leaves the left third of the Region unobserved. Folds are columns of
    chunks; a parcel that lies in several has none.

    Returns:
      Values by modality, (t, c, h, w); "S2 mask", (t, h, w); "numbers", (h, w); "label", (n,).
    """
    import geopandas
    import shapely

    rng, dataset = np.random.default_rng(seed), dataset_of(folds)
    dataset = dataclasses.replace(
        dataset, modalities=tuple(dataset[name] for name in dataset.names if name in days)
    )
    h, w = grid.height, grid.width
    acquisitions = {
        name: Acquisitions(
            tuple(dataset.date(day) for day in of),
            tuple(str(8 + place) for place in range(len(of))),
            masked=name in masked,
            level="L2A" if name == "S2" else "sigma0",
        )
        for name, of in days.items()
    }
    writer.create(root, grid, dataset, acquisitions, shards=shards, compress=compress)
    numbers = np.zeros((h, w), np.int32)
    boxes, count = [], 0
    for row in range(2, h - fields, fields):
        for column in range(2, w - fields, fields):
            count += 1
            side = fields - 4
            numbers[row : row + side, column : column + side] = count
            left, top = grid.left + column * grid.pixel_size, grid.top - row * grid.pixel_size
            reach = side * grid.pixel_size
            boxes.append(shapely.box(left, top - reach, left + reach, top))
    crops = [i for i, c in enumerate(dataset.nomenclature.classes) if c.code not in (0, 19)]
    label = rng.choice(crops[:6], count).astype(np.int32)
    level = np.concatenate([[0], label])[numbers]
    truth = {"numbers": numbers, "label": label}
    out = Writer(root, grid, dataset)
    for name, of in days.items():
        modality, c = dataset[name], len(dataset[name].channels)
        shape = (len(of), c, h, w)
        if modality.unit == "dB":
            values = rng.normal(-12, 2, shape) - level / 5 - np.arange(c)[:, None, None] * 3
            values[:, 2] = values[:, 0] - values[:, 1]
        else:
            values = rng.normal(2000, 300, shape) + 50 * level
        values = values.astype(modality.dtype)
        if name == "S1A":
            values[::2, :, :, : w // 3] = writer.missing_value(modality)
        mask = None
        if name in masked:
            mask = (rng.random((len(of), h, w)) < 0.2).astype(np.uint8)
            mask[0, :CHUNK, :CHUNK] = 1
            truth[f"{name} mask"] = mask
        for t in range(len(of)):
            for rows, columns in grid.blocks(SHARD):
                masks = None if mask is None else mask[t, rows, columns]
                out.write_shard(name, t, rows, columns, values[t, :, rows, columns], masks)
        truth[name] = values
    for rows, columns in grid.blocks(SHARD):
        out.write_numbers(rows, columns, numbers[rows, columns])
    fold = np.full(count, -1)
    for number in range(1, count + 1):
        places = {int(x) // CHUNK % len(folds) for x in np.flatnonzero((numbers == number).any(0))}
        fold[number - 1] = places.pop() if len(places) == 1 else -1
    truth["fold"] = fold
    frame = geopandas.GeoDataFrame(
        {
            "id": [f"p{n}" for n in range(1, count + 1)],
            "code": [str(dataset.nomenclature.classes[n].code) for n in label],
            "label": label,
            "class": [dataset.nomenclature.classes[n].name for n in label],
            "fold": [None if place < 0 else str(folds[place]) for place in fold],
            "pixels": np.bincount(numbers.ravel(), minlength=count + 1)[1:].astype(np.int32),
            "area": [box.area for box in boxes],
        },
        geometry=boxes,
        crs=grid.crs,
    )
    frame.to_parquet(root / "parcels.parquet")
    (root / "findings.json").write_text(json.dumps([]))
    high, wide = grid.chunks
    blocks = FoldBlocks(
        row_edges=(*range(0, h, CHUNK), h),
        column_edges=(*range(0, w, CHUNK), w),
        positions=tuple(tuple(place % len(folds) for place in range(wide)) for _ in range(high)),
        gap=0.0,
        pixel_size=grid.pixel_size,
    )
    out.finish(acquisitions, blocks.to_json(), {})
    return truth
