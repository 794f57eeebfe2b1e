"""Maps of pixels whose blocks are drawn by chance: no run, no Region, no model."""

from __future__ import annotations

import datetime
import pathlib
import types

import numpy as np
from region_factory import dataset_of

from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.regions.grid import Grid
from pastis_jax.mapping.blocks import NODATA, UNCLASSIFIED, blocks_of, write_block
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.options import MapOptions
from pastis_jax.mapping.season import Acquired, Season

START = datetime.date(2023, 9, 1)
GRID = Grid("EPSG:32631", left=600000.0, top=5200000.0, pixel_size=10.0, height=1100, width=120)
KEY = {"run": "1" * 32, "Region": "2" * 32, "options": "3" * 32}
DAYS = {"S2": (10, 40, 200), "S1A": (5, 100)}


def make_map(
    folder: pathlib.Path, *, grid: Grid = GRID, probabilities: bool = False, seed: int = 0
):
    """Writes the blocks of a map: fields of 50 pixels, a margin of nodata, some unclassified.

    Returns:
      The map, and the whole of its layers by name.
    """
    rng = np.random.default_rng(seed)
    dataset = dataset_of()
    classes = ClassMapping.of(dataset.nomenclature)
    h, w, k = grid.height, grid.width, len(classes.names)
    fields = rng.integers(0, k, (h // 50 + 1, w // 50 + 1), np.uint8)
    crop = fields.repeat(50, 0).repeat(50, 1)[:h, :w].copy()
    confidence = rng.integers(20, 101, (h, w), np.uint8)
    crop[confidence < 30] = UNCLASSIFIED
    margin = confidence // 2
    for layer in (crop, confidence, margin):
        layer[:, -9:] = NODATA
    layers = {"crop": crop, "confidence": confidence, "margin": margin}
    layers["dates"] = rng.integers(0, 4, (len(DAYS), h, w)).astype(np.uint16)
    if probabilities:
        shares = rng.integers(0, 101, (k, h // 50 + 1, w // 50 + 1), np.uint8)
        layers["probabilities"] = shares.repeat(50, 1).repeat(50, 2)[:, :h, :w]
    blocks = tuple(blocks_of(grid))
    folder.mkdir(parents=True)
    for block in blocks:
        content = {n: layer[..., block.rows, block.columns] for n, layer in layers.items()}
        write_block(folder, block, content)
    days = {n: np.array(of, np.int32) for n, of in DAYS.items()}
    mapper = types.SimpleNamespace(
        run=types.SimpleNamespace(
            folder=pathlib.Path("runs/one"),
            task=types.SimpleNamespace(
                name="semantic",
                spec=types.SimpleNamespace(fusion="late", modalities=tuple(DAYS)),
                scores=("mIoU",),
            ),
            result={"test": {"mIoU": 0.5}},
            saved=types.SimpleNamespace(code="0.0.1"),
            modalities=tuple(DAYS),
            classes=classes,
        ),
        region=types.SimpleNamespace(grid=grid, dataset=dataset, root=pathlib.Path("one region")),
        season=Season(START, {n: Acquired(np.arange(len(of)), of) for n, of in days.items()}, ()),
        options=MapOptions(probabilities=probabilities),
        max_cloud=None,
        notes=("something is odd",),
    )
    return Made(mapper, blocks, folder, KEY), layers
