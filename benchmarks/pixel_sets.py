"""How many parcels a loader gives a second, and what the README's main job takes.

    python -m benchmarks.pixel_sets                     # loaders alone
    python -m benchmarks.pixel_sets --base CHECKOUT     # the main job, here and at another commit

Loaders: parcels with the dates of PASTIS-R, simulated and prepared in a folder that is removed
afterwards, three modalities, 32 pixels of each, batches of 128 of which each is normalised and laid
in the memory of the device. They take turns. Pages are in the disk's cache, as they are of what was
just written: what a slow disk adds is not measured.

- records: read, decoded and normalised by threads (`--data-on-device off`);
- packed: gathered, drawn and normalised by a compiled program from the packed parcels.

The main job is `python -m experiments.parcel --fusion mid`, run in turns in processes of their own,
on data that were simulated before.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import jax
import tyro

from pastis_jax import training
from pastis_jax.cli import config as configs
from pastis_jax.cli import train
from pastis_jax.data import simulate
from pastis_jax.runs.on_device import feed_of
from pastis_jax.training.feed import place

ROOT = pathlib.Path(__file__).parent.parent
PUBLISHED = 480
"""Parcels a second of the published loader, one process on such a machine as ours."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Measure loaders of pixel sets, or the main job at two commits."""

    parcels: int = 1500
    """Parcels to simulate; three of five folds are read."""
    batch_size: int = 128
    """Parcels in a batch."""
    seconds: float = 3.0
    """Time that each loader gets in a turn."""
    repeats: int = 3
    """Turns; medians are reported."""
    base: pathlib.Path | None = None
    """A checkout of another commit: measure the main job in both."""
    epochs: int = 12
    """Epochs of the main job."""


def loaders(config: Config) -> None:
    """Prints parcels a second of both loaders."""
    with tempfile.TemporaryDirectory() as folder:
        root = simulate.simulate(pathlib.Path(folder, "set"), parcels=config.parcels)
        given = {"data": root, "cache_dir": pathlib.Path(folder, "cache")}
        chosen = configs.configure("parcel", batch_size=config.batch_size, **given)
        placement, (splits, _) = training.Placement(), train.open_splits(train.for_data(chosen))
        feeds = {
            name: feed_of(splits, placement, placement, asked=asked)
            for name, asked in (("records", "off"), ("packed", "auto"))
        }
        print(feeds["packed"].where)
        batches = {name: feed.training() for name, feed in feeds.items()}
        rates: dict[str, list[float]] = {name: [] for name in batches}
        for turn in range(config.repeats + 1):
            for name, found in rates.items():
                seconds = config.seconds if turn else 0.1  # the first turn compiles
                found.append(rate(batches[name], placement, seconds) * config.batch_size)
    median = {name: statistics.median(found[1:]) for name, found in rates.items()}
    print(f"| loader | parcels/s | of the published loader's {PUBLISHED} | ({jax.devices()[0]})")
    print("|---|---|---|")
    for name, found in median.items():
        print(f"| {name} | {found:,.0f} | {found / PUBLISHED:.1f} |")
    print(f"packed over records: {median['packed'] / median['records']:.1f}")


def rate(batches: training.Batches, placement: training.Placement, seconds: float) -> float:
    """Batches a second on the device; the next is asked for before one is waited for."""
    count, start = 0, time.perf_counter()
    before = place(next(batches), batches, placement)
    while (elapsed := time.perf_counter() - start) < seconds:
        batch = place(next(batches), batches, placement)
        jax.block_until_ready(before)
        before, count = batch, count + 1
    jax.block_until_ready(before)
    return count / elapsed


def main_job(config: Config) -> None:
    """Prints what the main job takes in both checkouts."""
    checkouts = {"base": config.base.absolute(), "here": ROOT}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(config.repeats + 1):
            for name, checkout in checkouts.items():
                out, cache = pathlib.Path(folder, f"{name}-{turn}"), pathlib.Path(folder, name)
                # The first turn simulates and prepares, in one epoch.
                epochs = config.epochs if turn else 1
                result = run(checkout, out, cache, epochs)
                if turn:
                    found[name].append(result)
    columns = [*found["base"][0]]
    print("| commit | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    middle = {
        name: [statistics.median(one[column] for one in results) for column in columns]
        for name, results in found.items()
    }
    for name, values in middle.items():
        print(f"| {name} | " + " | ".join(f"{value:.3g}" for value in values) + " |")
    ratios = [here["wall"] / base["wall"] for here, base in zip(*found.values(), strict=True)]
    ratios = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"here over base: {middle['here'][0] / middle['base'][0]:.2f} (turns: {ratios})")


def run(
    checkout: pathlib.Path, out: pathlib.Path, cache: pathlib.Path, epochs: int
) -> dict[str, float]:
    """Seconds of a run in a process of its own, by part, and its test mIoU."""
    command = [sys.executable, "-m", "experiments.parcel", "--fusion", "mid", "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PASTIS_JAX_CACHE": str(cache)}
    options = {"cwd": checkout, "env": environment, "check": True, "capture_output": True}
    start = time.perf_counter()
    subprocess.run([*command, "--epochs", str(epochs)], **options)
    wall = time.perf_counter() - start
    result = json.loads((out / "result.json").read_text())
    seconds = {n: result["seconds"][n] for n in ("data", "compile", "train", "data wait")}
    rest = wall - seconds["data"] - seconds["compile"] - seconds["train"]
    return {"wall": wall, **seconds, "rest": rest, "mIoU": result["test"]["mIoU"]}


def main() -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m benchmarks.pixel_sets")
    if config.base is None:
        loaders(config)
    else:
        main_job(config)


if __name__ == "__main__":
    main()
