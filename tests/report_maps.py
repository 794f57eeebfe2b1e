"""Maps whose blocks are made up, so that nothing is predicted: for what is made of them."""

from __future__ import annotations

import dataclasses

import map_factory
import numpy as np
import region_factory as factory

from pastis_jax.data.regions.grid import Grid
from pastis_jax.data.regions.store import Region
from pastis_jax.mapping.blocks import Block
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.mapper import Mapper
from pastis_jax.mapping.options import MapOptions
from pastis_jax.mapping.parcel_results import ParcelResults

GRID = Grid("EPSG:32631", 600000.0, 5200000.0, 10.0, height=70, width=100)
KEY = {"run": "a" * 32, "Region": "b" * 32, "options": "c" * 32}


def opened(folder, task, *, grid=GRID, fusion="late", options=None, **others):
    """A small Region, a run of it that nothing was learned by, and the two together."""
    factory.make_region(folder / "R", grid=grid)
    run = map_factory.make_run(folder / "run", task, folder / "R", fusion=fusion, **others)
    return Mapper(run, Region(folder / "R"), options or MapOptions())


@dataclasses.dataclass(frozen=True, eq=False)
class Held(Made):
    """A map whose blocks lie nowhere; `whole` are its layers."""

    whole: dict[str, np.ndarray]

    def read(self, *names):
        """Cuts the layers into blocks."""
        for block in self.blocks:
            part = (..., block.rows, block.columns)
            yield block, {name: self.whole[name][part] for name in names}


def pixels_made(mapper, *, size=40, seed=0):
    """A map of pixels, made up."""
    grid, rng = mapper.region.grid, np.random.default_rng(seed)
    shape = (grid.height, grid.width)
    whole = {
        "crop": rng.integers(0, 5, shape).astype(np.uint8),
        "confidence": rng.integers(30, 101, shape).astype(np.uint8),
        "margin": rng.integers(0, 60, shape).astype(np.uint8),
        "dates": rng.integers(0, 30, (len(mapper.run.modalities), *shape)).astype(np.uint16),
    }
    nothing = slice(0, 10), slice(0, 20)
    for name in ("crop", "confidence", "margin"):
        whole[name][nothing] = 255
    whole["confidence"][(whole["crop"] == 3) & (rng.random(shape) < 0.1)] = 255
    blocks = tuple(Block(*part) for part in grid.blocks(size))
    return Held(mapper, blocks, mapper.region.root, KEY, whole)


def results_of(mapper, *, seed=0, right=0.8, ids=None):
    """Made-up results of the parcels of a Region: most are right; the last ones are held out."""
    import geopandas

    region, rng, k = mapper.region, np.random.default_rng(seed), len(mapper.run.classes.names)
    classes, n = mapper.run.classes, len(region.parcels)
    truth = np.asarray(classes.lookup)[region.parcels.label]
    truth = np.where(truth == classes.void, -1, truth).astype(np.int32)
    told = np.where(rng.random(n) < right, np.maximum(truth, 0), rng.integers(0, k, n))
    share = rng.uniform(0.4, 0.95, n)
    probability = np.repeat((1 - share)[:, None] / (k - 1), k, 1)
    probability[np.arange(n), told] = share
    frame = geopandas.read_parquet(region.root / "parcels.parquet")
    return ParcelResults(
        id=np.array(region.parcels.id if ids is None else ids, object),
        label=told.astype(np.uint8),
        probability=probability.astype(np.float32),
        pixels=region.parcels.pixels.astype(float),
        dates=np.full((n, len(mapper.run.modalities)), 3, np.uint16),
        hectares=frame.geometry.area.to_numpy() / 10_000,
        truth=truth,
        held_out=np.arange(n) >= n // 3,
        geometry=np.asarray(frame.geometry.values),
    )
