"""Loaders alone, on a simulated folder in the official layout: pixel sets and patches.

The published readers are those of pastis-benchmark and utae-paps, with the authors' collation of
series of unequal length, in this process and in as many others as there are cores. The files lie in
the disk's cache.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import pathlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from benchmarks.compare import report
from benchmarks.compare.timing import Way
from benchmarks.compare.work import OURS, PUBLISHED, Difference, Setting, Work, largest
from pastis_jax import training
from pastis_jax.data import BatchPlan, Splits, simulate
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.pixel_sets.packed import has_holes
from pastis_jax.data.splits import PixelSplits
from pastis_jax.nn.raw import all_series
from pastis_jax.runs.on_device import feed_of
from pastis_jax.tasks import (
    ParcelModel,
    ParcelRecords,
    ParcelTask,
    PatchRecords,
    SemanticModel,
    SemanticTask,
)
from pastis_jax.training.feed import place
from pastis_jax.types import Sample

MODALITIES = ("S2", "S1A", "S1D")
TRAINED, VOID = (1, 2, 3), 19
"""Folds of the first run, and the label that parcels are left out for."""
VALUES = 1e-5
"""What counts as equal, relative to the largest normalised value."""
RECORDS = "ours, from records"
SECONDS = 300
"""After which a published worker process is given up."""
SETTLED, DRAWN, LEAST = 1.0, 16, 2.0
"""Before a loader's turn, seconds in which the others fill their buffers and rest, and batches that
are drawn from its own, which its last turn left full; then the seconds of a turn."""


@contextlib.contextmanager
def simulated(*, parcels: int, patches: int = 0, size: int = 64) -> Iterator[pathlib.Path]:
    """A folder of simulated pixel sets, its `patches` beside them, that goes again."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "simulated")
        yield simulate.simulate(out, parcels=parcels, patches=patches, size=size, progress=False)


def plan(batch_size: int) -> BatchPlan:
    """One process makes all of every batch."""
    rows = range(batch_size)
    return BatchPlan(batch_size, 0, rows, batch_size, rows)


def open_parcels(root: pathlib.Path, batch_size: int, fusion: str = "late") -> Splits:
    """Our pixel sets of a folder."""
    options = ParcelRecords(data=root, cache_dir=root.parent / "cache")
    spec = ParcelModel(fusion=fusion, modalities=MODALITIES)
    return ParcelTask.open(options, root, spec, plan(batch_size))


def open_patches(root: pathlib.Path, batch_size: int, fusion: str = "late") -> Splits:
    """Our patches of a folder."""
    options = PatchRecords(data=root, cache_dir=root.parent / "cache")
    spec = SemanticModel(fusion=fusion, modalities=MODALITIES)
    return SemanticTask.open(options, root, spec, plan(batch_size))


def published_parcels(setting: Setting, root: pathlib.Path, folds, **options: Any) -> Any:
    """The published data set of pixel sets."""
    import pandas as pd

    if not hasattr(pd.Series, "iteritems"):
        pd.Series.iteritems = pd.Series.items  # The reader is older than its removal.
    module = setting.reference.module("pastis-benchmark", "dataloader_pixelset")
    kept = {"sats": [*MODALITIES], "geom_features": False, "ignore_label": VOID, **options}
    with contextlib.redirect_stdout(io.StringIO()):
        return module.PASTIS_Dataset_PixelSet(str(root), folds=[*folds], **kept)


def published_patches(setting: Setting, root: pathlib.Path, folds, **options: Any) -> Any:
    """The published data set of patches."""
    module = setting.reference.module("utae-paps", "src.dataset")
    with contextlib.redirect_stdout(io.StringIO()):
        return module.PASTIS_Dataset(str(root), folds=[*folds], sats=[*MODALITIES], **options)


def published_loader(setting: Setting, dataset: Any, batch_size: int, **options: Any) -> Any:
    """A loader of a published data set, with the authors' collation."""
    collate = setting.reference.module("utae-paps", "src.utils").pad_collate
    loader = setting.reference.torch.utils.data.DataLoader
    return loader(dataset, batch_size, collate_fn=collate, **options)


def ways(setting: Setting, dataset: Any, splits: Splits, batch_size: int) -> Mapping[str, Way]:
    """Both loaders of training batches, each call the next batch."""

    def endless(loader):
        return itertools.chain.from_iterable(itertools.repeat(loader))

    def way(batches):
        def prepare():
            time.sleep(SETTLED)
            for _ in range(DRAWN):
                next(batches)

        return Way(lambda: next(batches), prepare=prepare)

    kept = {"shuffle": True, "drop_last": True}
    found = {PUBLISHED: way(endless(published_loader(setting, dataset, batch_size, **kept)))}
    if (workers := min(report.cores(), 8)) > 1 and hasattr(os, "fork"):
        kept |= {"persistent_workers": True, "timeout": SECONDS}
        loader = published_loader(setting, dataset, batch_size, num_workers=workers, **kept)
        found[f"published, {workers} processes"] = way(endless(loader))
    placement = training.Placement()

    def placed(asked):
        batches = feed_of(splits, placement, placement, asked=asked).training()
        while True:
            yield jax.block_until_ready(place(next(batches), batches, placement))

    # On the device, as a step takes them.
    found[OURS] = way(placed("auto"))
    if isinstance(splits, PixelSplits):
        found[RECORDS] = way(placed("off"))
    return found


def compare_parcels(setting: Setting) -> Iterator[Work]:
    """Batches of pixel sets of three modalities."""
    size = 32 if setting.short else 128
    with simulated(parcels=150 if setting.short else 1500) as root:
        splits, dataset = open_parcels(root, size), published_parcels(setting, root, TRAINED)
        differences = []
        by_parcel = {int(parcel): i for i, parcel in enumerate(dataset.id_parcels)}
        source, compared = splits.sources["train"], 0
        for i in range(len(source)):
            item = dataset[by_parcel[int(source.identifier(i))]]
            sample = splits.encode(source[i], np.random.default_rng(0))
            real = int(sample.series["S2"].pixels.sum())
            values = {name: source[i][name]["values"] for name in MODALITIES}
            whole = values["S2"].shape[-1] <= splits.encode.pixels  # none is drawn
            # The published code takes a mark of what is missing for a reflectance.
            if whole and not any(has_holes(x, PASTIS_R[name]) for name, x in values.items()):
                compared += 1
                differences.append(difference_of_parcel(sample, item, real))
            if compared == 200:
                break
        yield Work(
            "pixel-sets",
            "loading",
            f"batches of {size} of {len(source)} parcels, three modalities, 32 pixels",
            size,
            "parcels",
            ways(setting, dataset, splits, size),
            [
                Difference(
                    f"values, days and labels of {compared} parcels",
                    max(differences, default=float("nan")),
                    VALUES,
                ),
                Difference("number of parcels", abs(len(source) - len(dataset)), 0),
            ],
            LEAST,
        )


def difference_of_parcel(sample: Sample, item: Mapping[str, Any], real: int) -> float:
    """Largest difference of a parcel that is small enough to be taken whole.

    Args:
      sample: Ours.
      item: The published one.
      real: Number of its pixels.
    """
    found = [float(abs(int(sample.label) - int(item["label"])))]
    for name, series in sample.series.items():
        pixels, mask = (x.numpy() for x in item[name])
        days = item[f"dates-{name}"].numpy()
        if int(mask.sum()) != real or int(series.valid.sum()) != len(days):
            return float("inf")
        own = series.values[series.valid][:, :real]
        found.append(largest(own, pixels[..., :real].transpose(0, 2, 1)))
        found.append(largest(series.days[series.valid], days))
    return max(found)


def compare_patches(setting: Setting) -> Iterator[Work]:
    """Batches of patches of three modalities, with a label at each pixel."""
    side, batch_size = (32, 2) if setting.short else (128, 2)
    with simulated(parcels=1, patches=10, size=side) as root:
        root = root / "patches"
        splits, dataset = open_patches(root, batch_size), published_patches(setting, root, TRAINED)
        by_patch = {int(patch): i for i, patch in enumerate(dataset.id_patches)}
        source = splits.sources["train"]
        sample = splits.encode(source[0], np.random.default_rng(0))
        (images, dates), label = dataset[by_patch[int(source.identifier(0))]]
        found = [largest(sample.label, label)]
        batch = jax.tree.map(lambda x: np.asarray(x)[None], sample.series)
        for name, series in all_series(batch).items():
            valid = np.asarray(series.valid[0])
            own = np.asarray(series.values[0])[valid].transpose(0, 3, 1, 2)
            found.append(largest(own, images[name].numpy()))
            found.append(largest(series.days[0][valid], dates[name].numpy()))
        yield Work(
            "patches",
            "loading",
            f"batches of {batch_size} patches of {side} x {side}, three modalities",
            batch_size,
            "patches",
            ways(setting, dataset, splits, batch_size),
            [
                Difference("values, days and labels of a patch", max(found), VALUES),
                Difference("number of patches", abs(len(source) - len(dataset)), 0),
            ],
            LEAST,
        )
