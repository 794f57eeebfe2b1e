"""How fast patches come from the disk as they are stored, beside float32 made on the host.

    python -m benchmarks.patch_loading [--patches 8] [--batch-size 4]

Writes patches of noise of PASTIS-R's full size into a temporary folder: 128 x 128 pixels, 61 dates
of Sentinel-2, 70 and 70 of Sentinel-1. They are read from the disk's cache: the time of what the
processor does, not of a disk. Readers take turns, so that a busy machine slows all alike:

- float32: each date is filled, normalised and turned channels last on the host, as it was before;
- stored: 16 bits travel, and a compiled step does the rest on the device.

`read` is one thread that makes samples; `batches` is what a training step gets, made by threads;
`to the model` is until normalised values lie on the device. A CPU is its own device.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import tyro
from absl import flags

from pastis_jax import training
from pastis_jax.data import batches
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.normalisation import fill_missing
from pastis_jax.data.npy import StoredArray, parts
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches.encoding import PatchEncoding
from pastis_jax.nn import all_series
from pastis_jax.types import Batch, Series

DATES = {"S2": 61, "S1A": 70, "S1D": 70}
MOMENTS = {"S2": (2000.0, 400.0), "S1A": (-12.0, 3.0), "S1D": (-12.0, 3.0)}


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Patches a second from disk to model."""

    patches: int = 8
    """Patches on the disk, 34 MB each."""
    side: int = 128
    """Rows and columns of a patch."""
    crop: int | None = None
    """Side of random squares to read, flipped and turned; None reads whole patches."""
    batch_size: int = 4
    """Patches in a batch."""
    repeats: int = 5
    """Turns that each reader gets; medians are reported."""
    step: float = 0.5
    """Seconds that a training step takes: how long of it would be waited."""


class Records:
    """Patches on the disk, as a source of records."""

    def __init__(self, folder: pathlib.Path, given: Arguments):
        rng, side = np.random.default_rng(0), (given.side, given.side)
        for name, (mean, std) in MOMENTS.items():
            modality = PASTIS_R[name]
            shape = (DATES[name], len(modality.channels), *side)
            noise = rng.normal(mean, std, shape).astype(modality.dtype)
            for number in range(given.patches):
                np.save(folder / f"{name}_{number}.npy", np.roll(noise, number, -1))
        self._folder, self._count = folder, given.patches
        self._semantic = np.ones(side, np.int32)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Any]:
        index = range(len(self))[index]
        series = {
            name: {
                "values": StoredArray(self._folder / f"{name}_{index}.npy"),
                "days": np.arange(number, dtype=np.int32) * 5,
            }
            for name, number in DATES.items()
        }
        return series | {"semantic": self._semantic, "patch": index, "number": index}


class Float32(PatchEncoding):
    """Makes float32 on the host, date by date."""

    def _series(self, modality: str, record: Mapping[str, Any], view: Callable) -> Series:
        values, days = record[modality]["values"], record[modality]["days"]
        sensor, (t, c) = self.dataset[modality], values.shape[:2]
        mean, std = (x[:, None, None] for x in self.statistics[modality])
        size = self.size if self.crop is None else (self.crop, self.crop)
        padded, valid = np.zeros((t, *size, c), np.float32), np.zeros(t, bool)
        for i, frame in enumerate(map(view, parts(values, range(t)))):
            frame = frame.astype(np.float32)
            missing = sensor.missing(frame, (0, 1, 2))
            if missing is not None and missing.any():
                flat, seen = fill_missing(frame.reshape(1, c, -1), missing.reshape(1, c, -1))
                if not seen[0]:
                    continue
                frame = flat.reshape(c, *size)
            frame -= mean
            frame /= std
            padded[i], valid[i] = frame.transpose(1, 2, 0), True
        return Series(values=padded, days=days, valid=valid)


def main() -> None:
    """Runs the benchmark."""
    given = tyro.cli(Arguments, prog="python -m benchmarks.patch_loading")
    flags.FLAGS.mark_as_parsed()  # Grain asks for absl's flags.
    moments = {
        name: tuple(np.full(len(PASTIS_R[name].channels), x, np.float32) for x in MOMENTS[name])
        for name in DATES
    }
    cut = {"crop": given.crop, "flips": given.crop is not None, "turns": given.crop is not None}
    shared = (PASTIS_R, DATES, moments, ClassMapping.of(PASTIS_R.nomenclature))
    with tempfile.TemporaryDirectory() as folder:
        source, size = Records(pathlib.Path(folder), given), (given.side, given.side)
        readers = {
            "float32": Float32(*shared, size, **cut),
            "stored": PatchEncoding(*shared, size, **cut),
        }
        result = measure(source, readers, given)
    print(f"| {given.batch_size} patches a step | " + " | ".join(readers) + " |")
    print("|---|---|---|")
    for what in result["float32"]:
        print(f"| {what} | " + " | ".join(f"{result[name][what]:,.3g}" for name in readers) + " |")
    print(json.dumps(result))


def measure(
    source: Records, readers: Mapping[str, PatchEncoding], given: Arguments
) -> dict[str, dict[str, float]]:
    """Measures readers in turns, several times over."""
    placement, normalise = training.Placement(), jax.jit(all_series)
    streams = {
        name: batches.training_batches(source, encode, batch_size=given.batch_size, seed=0)
        for name, encode in readers.items()
    }
    times: dict[str, dict[str, list[float]]] = {name: {} for name in readers}
    held: dict[str, Batch] = {}

    def taken(name: str, what: str, work: Callable[[], Any], turn: int) -> None:
        began = time.perf_counter()
        work()
        if turn:  # The first one compiles, and opens files.
            times[name].setdefault(what, []).append(time.perf_counter() - began)

    for turn in range(given.repeats + 1):
        for name, encode in readers.items():
            rng, held[name] = np.random.default_rng(turn), next(streams[name])

            def read(encode=encode, rng=rng) -> None:
                for number in range(given.batch_size):
                    encode(source[number % len(source)], rng)

            def made(name=name) -> None:
                for _ in range(2 * batches.AHEAD):  # More than wait already.
                    held[name] = next(streams[name])

            def to_the_model(name=name) -> None:
                jax.block_until_ready(normalise(placement.batch(held[name].series)))

            def waited(name=name) -> None:
                time.sleep(given.step)
                held[name] = next(streams[name])

            taken(name, "read", read, turn)
            taken(name, "batches", made, turn)
            taken(name, "to the model", to_the_model, turn)
            taken(name, "waited", waited, turn)
    result = {}
    for name in readers:
        median = {what: statistics.median(each) for what, each in times[name].items()}
        step = sum(x.nbytes for x in jax.tree.leaves(held[name].series))
        result[name] = {
            "MB a step": step / 1e6,
            "read, one thread, patches/s": given.batch_size / median["read"],
            "batches, patches/s": 2 * batches.AHEAD * given.batch_size / median["batches"],
            "to the model, ms": 1e3 * median["to the model"],
            f"share of steps of {given.step:g} s waited": median["waited"] / given.step - 1,
        }
    return result


if __name__ == "__main__":
    main()
