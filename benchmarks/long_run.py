"""Whether a long run stays as small as it began: memory, open files and threads, epoch by epoch.

    python -m benchmarks.long_run                       # parcels, 2,000 steps
    python -m benchmarks.long_run --task semantic

The trainer itself, `pastis_jax.cli.train`, with its loader, validation and checkpoints after each
epoch, on the small simulated set. Of the memory of a process, that which it has asked for is what
can leak (RssAnon in Linux); pages of files and code that lie in memory are counted apart.
docs/reliability.md shows the result.
"""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
import threading
import time
from typing import Any, Literal

import numpy as np
import tyro

from pastis_jax.cli import train
from pastis_jax.cli.config import Config as RunConfig
from pastis_jax.cli.config import configure
from pastis_jax.data import simulate
from pastis_jax.training import RunFolder

SETTLED = 0.25
"""Share of the run after which it should not grow any more."""
TASKS: dict[str, dict[str, Any]] = {
    "parcel": {"fusion": "mid", "batch_size": 8, "temporal_dropout": True},
    "semantic": {
        **{"fusion": "single", "modalities": ("S2",), "batch_size": 2, "crop": 16},
        **{"encoder_widths": (8, 8), "decoder_widths": (8, 8), "head_widths": (8,)},
        **{"heads": 2, "model_features": 8},
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Measure a run of many steps."""

    task: Literal["parcel", "semantic"] = "parcel"
    """Parcels, or patches, by a tiny model."""
    steps: int = 2000
    """Least number of training steps."""
    rows: int = 11
    """Epochs to print, evenly spaced from the first to the last."""
    cache_dir: pathlib.Path | None = None
    """Where the simulated data are kept. Default: as for training."""
    keep_in_memory: bool = False
    """Keep patches in memory, as with --cache."""


@dataclasses.dataclass(frozen=True)
class Held:
    """What this process holds after an epoch.

    Attributes:
      epoch: Number of epochs that are over.
      asked: Memory that it has asked for, MB.
      mapped: Memory that pages of files take, MB.
      files: Open files and the like.
      threads: Threads.
      python_threads: Those among them that Python knows of.
    """

    epoch: int
    asked: float
    mapped: float
    files: int
    threads: int
    python_threads: int


def look(epoch: int) -> Held:
    """Looks what this process holds (Linux)."""
    process = pathlib.Path("/proc/self")
    lines = (process / "status").read_text().splitlines()
    status = {name: text.split() for name, _, text in (line.partition(":") for line in lines)}
    megabytes = {name: int(status[name][0]) / 1024 for name in ("RssAnon", "RssFile")}
    return Held(
        epoch=epoch,
        asked=megabytes["RssAnon"],
        mapped=megabytes["RssFile"],
        files=len(list((process / "fd").iterdir())),
        threads=int(status["Threads"][0]),
        python_threads=threading.active_count(),
    )


class WatchedFolder(RunFolder):
    """The folder of a run that looks, at every line of the log, what the process holds."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.held: list[Held] = []

    def log(self, **values: Any) -> None:
        """Adds a line to metrics.jsonl."""
        super().log(**values)
        self.held.append(look(values["epoch"]))


def measure(config: Config, out: pathlib.Path) -> tuple[list[Held], int]:
    """Trains, and returns what was held after each epoch, and the number of steps of one."""
    pixels, patches = simulate.default_small(config.cache_dir)
    changes: dict[str, Any] = {"data": pixels if config.task == "parcel" else patches}
    if config.task == "semantic":
        changes["cache"] = config.keep_in_memory
    changes |= {"cache_dir": config.cache_dir, "out": out, **TASKS[config.task]}
    run: RunConfig = train.for_data(configure(config.task, epochs=1, **changes))
    splits, _ = train.open_splits(run)
    steps = splits.steps_per_epoch
    run = run.replaced(epochs=-(-config.steps // steps))
    folder = WatchedFolder(out, run.stored())
    try:
        train.train(run, folder, time.perf_counter())
    finally:
        folder.close()
    return folder.held, steps


def growth(held: list[Held], name: str) -> float:
    """How much more there is in an epoch, fitted to those after the run has settled."""
    settled = held[int(SETTLED * len(held)) :]
    slope, _ = np.polyfit(
        [one.epoch for one in settled], [getattr(one, name) for one in settled], 1
    )
    return float(slope)


def main() -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m benchmarks.long_run")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        held, steps = measure(config, pathlib.Path(folder) / "run")
    seconds = time.perf_counter() - start
    print(
        f"{config.task}, {len(held)} epochs of {steps} steps, {len(held) * steps:,} in all, "
        f"{seconds:.0f} s"
    )
    names = ("asked", "mapped", "files", "threads")
    print("| epoch | memory (MB) | mapped files (MB) | open files | threads |")
    print("|---|---|---|---|---|")
    for place in np.unique(np.linspace(0, len(held) - 1, config.rows).round().astype(int)):
        one = held[place]
        cells = " | ".join(f"{getattr(one, name):.0f}" for name in names)
        print(f"| {one.epoch} | {cells} |")
    cells = " | ".join(f"{100 * growth(held, name):+.1f}" for name in names)
    print(f"| in 100 epochs, from {SETTLED:.0%} of the run on | {cells} |")


if __name__ == "__main__":
    main()
