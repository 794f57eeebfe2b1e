"""The same seed gives the same batches whatever threads and cores there are, and the same run."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import chex
import grain
import numpy as np
import patch_factory
import pixel_set_factory
import pytest
from tiers import long

from pastis_jax.data.batches import training_batches
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches.encoding import PatchEncoding
from pastis_jax.data.patches.prepare import prepare_patches
from pastis_jax.data.pixel_sets.encoding import PixelSetEncoding
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets

ROOT = pathlib.Path(__file__).parent.parent.parent
BATCHES, TRAIN = 8, (1, 2, 3)


def parcels(folder):
    """Source and encoding of parcels, of which pixels are drawn."""
    root = pixel_set_factory.make_pixel_set(folder / "sets", parcels_per_fold=5)
    prepared = prepare_pixel_sets(root, cache=folder / "cache", progress=False)
    classes = ClassMapping.crops(PASTIS_R.nomenclature)
    statistics = prepared.statistics(TRAIN)
    encode = PixelSetEncoding(PASTIS_R, prepared.lengths, statistics, classes, pixels=4)
    return prepared.source(TRAIN), encode


def patches(folder):
    """Source and encoding of patches, of which squares are drawn, mirrored and turned."""
    root = patch_factory.make_patches(folder / "patches")
    prepared = prepare_patches(root, cache=folder / "cache", progress=False)
    encode = PatchEncoding(
        dataset=PASTIS_R,
        lengths=prepared.lengths,
        statistics=prepared.statistics(TRAIN),
        classes=ClassMapping.of(PASTIS_R.nomenclature),
        size=prepared.size,
        crop=8,
        flips=True,
        turns=True,
    )
    return prepared.source(TRAIN), encode


@pytest.mark.parametrize("make", [parcels, patches])
def test_threads_of_the_loader_change_no_bit(make, tmp_path, monkeypatch):
    """Without threads, with one, and with more than there are batches ahead; on one core too."""
    source, encode = make(tmp_path)
    options, cores = grain.ReadOptions, os.sched_getaffinity(0)

    def batches(threads, on):
        def with_threads(**_):
            return options(num_threads=threads, prefetch_buffer_size=threads)

        monkeypatch.setattr(grain, "ReadOptions", with_threads)
        os.sched_setaffinity(0, on)
        try:
            stream = training_batches(source, encode, batch_size=3, seed=1)
            return [next(stream) for _ in range(BATCHES)]
        finally:
            os.sched_setaffinity(0, cores)

    expected = batches(0, cores)
    assert len({batch.number.tobytes() for batch in expected}) > 1
    for threads, on in ((1, cores), (2, cores), (4, {min(cores)}), (16, cores)):
        chex.assert_trees_all_equal(batches(threads, on), expected)


@long
def test_a_run_repeats_itself_on_as_many_cores(tmp_path):
    """Log and weights; on another number of cores XLA adds in another order, and bits differ."""
    data = pixel_set_factory.make_pixel_set(tmp_path / "set", parcels_per_fold=16)
    flags = ["--data", str(data), "--cache-dir", str(tmp_path / "cache"), "--fusion", "mid"]
    flags += ["--temporal-dropout", "--epochs", "3", "--batch-size", "8", "--seed", "5"]
    cores, found = sorted(os.sched_getaffinity(0)), []
    if len(cores) < 2:
        pytest.skip("there is one core")
    for number, on in enumerate((cores[:2], cores[:2])):
        out = tmp_path / f"run{number}"
        code = f"import os; os.sched_setaffinity(0, {on}); "
        code += f"from experiments import parcel; parcel.main({[*flags, '--out', str(out)]})"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
        subprocess.run(
            [sys.executable, "-c", code], env=environment, check=True, capture_output=True
        )
        lines = (out / "metrics.jsonl").read_text().splitlines()
        log = [{name: json.loads(line)[name] for name in ("train", "val")} for line in lines]
        with np.load(out / "weights.npz") as weights:
            found.append((log, {name: weights[name].tobytes() for name in weights.files}))
    assert found[0] == found[1]
