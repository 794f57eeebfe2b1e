"""Ours beside the authors' published code: the same weights, the same results, then the time.

    git clone https://github.com/VSainteuf/utae-paps reference/utae-paps
    git clone https://github.com/VSainteuf/pytorch-psetae reference/pytorch-psetae
    git clone https://github.com/VSainteuf/pastis-benchmark reference/pastis-benchmark
    python -m benchmarks.compare --reference reference
    python -m benchmarks.compare --reference reference --only parcels utae --out compared

Needs PyTorch, which the extra `torch` brings. Of each row the weights are carried over and the
results compared first; a row whose results are not equal is not timed, and the command ends with
code 1. Ways take turns, so ratios carry over to other machines, and seconds do not. The largest
differences and what counts as equal are part of the result.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Literal

import jax
import tyro

from benchmarks.compare import loaders, paps, parcels, report, table4, utae
from benchmarks.compare.reference import Reference
from benchmarks.compare.timing import take_turns
from benchmarks.compare.work import Setting, Work
from pastis_jax.cli import console
from pastis_jax.errors import UserError, refuse
from pastis_jax.training import write_json

PARTS = ("utae-paps", "pytorch-psetae")
READERS = ("utae-paps", "pastis-benchmark")
ROWS: dict[str, tuple[Callable[[Setting], Iterator[Work]], tuple[str, ...]]] = {
    "parcels": (parcels.compare, PARTS),
    "utae": (utae.compare, PARTS[:1]),
    "paps": (paps.compare, PARTS[:1]),
    "pixel-sets": (loaders.compare_parcels, READERS),
    "patches": (loaders.compare_patches, READERS[:1]),
    "table4-parcels": (table4.compare_parcels, (*PARTS, *READERS[1:])),
    "table4-patches": (table4.compare_patches, PARTS[:1]),
}
"""What makes each row, and the repositories that it needs."""
Row = Literal[tuple(ROWS)]


@dataclasses.dataclass(frozen=True)
class Config:
    """Compare the time of ours with that of the published code."""

    reference: pathlib.Path
    """Folder of clones of the authors' repositories, each under its own name."""
    only: tuple[Row, ...] = ()
    """Rows to measure. Default: all."""
    repeats: int = 5
    """Turns that each way gets; medians are reported."""
    out: pathlib.Path | None = None
    """Folder for compare.md and compare.json."""
    device: Literal["cpu", "gpu"] | None = None
    """Where both run. Default: where JAX runs."""
    compile: bool = False
    """Compare with the published code under torch.compile too, which needs a C++ compiler."""
    bf16: bool = False
    """Compare both in bfloat16 too."""
    short: bool = False
    """Take small work, to try the command."""


def run(config: Config) -> None:
    """Compares, prints, and writes what was found.

    Raises:
      UserError: If something is missing.
      SystemExit: With code 1 if a row's results are not equal.
    """
    refuse("repeats", config.repeats < 1, "must be at least 1", "give 5, say")
    if config.device is not None:
        jax.config.update("jax_platforms", {"cpu": "cpu", "gpu": "cuda"}[config.device])
    reference = Reference(config.reference)
    names = config.only or tuple(ROWS)
    for repository in dict.fromkeys(name for row in names for name in ROWS[row][1]):
        reference.clone(repository)
    device = _device(reference)
    setting = Setting(reference, device, config.short, config.compile, config.bf16)
    about = report.circumstances(setting)
    print(f"{report.preface(about)}\n\n{report.HEAD}\n{report.RULE}", flush=True)
    rows = []
    for name in names:
        for work in ROWS[name][0](setting):
            turns = {"repeats": config.repeats, "least": work.least}
            measured = take_turns(work.ways, **turns) if work.equal else {}
            rows.append(report.result(work, measured))
            print("\n".join(report.lines(rows[-1])), flush=True)
            if not work.equal:
                wrong = ", ".join(str(d) for d in work.differences if not d.small)
                print(f"error: {name}, {work.part}: results differ: {wrong}", file=sys.stderr)
            del work
            gc.collect()
    if config.out is not None:
        config.out.mkdir(parents=True, exist_ok=True)
        table = [report.preface(about), "", report.HEAD, report.RULE]
        table += [line for row in rows for line in report.lines(row)]
        (config.out / "compare.md").write_text("\n".join(table) + "\n")
        write_json(config.out / "compare.json", {"kind": "compare", **about, "rows": rows})
    if not all(row["equal"] for row in rows):
        raise SystemExit(1)


def _device(reference: Reference) -> str:
    """PyTorch's name of the device that JAX runs on."""
    if jax.default_backend() == "cpu":
        return "cpu"
    torch = reference.torch
    if not torch.cuda.is_available():
        remedy = "install PyTorch for it, or give --device cpu"
        raise UserError("it does not find the GPU that JAX runs on", where="torch", remedy=remedy)
    return "cuda"


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    # Two libraries share a GPU: neither may take all of its memory at once.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    config = tyro.cli(Config, prog="python -m benchmarks.compare", args=argv)
    console.command(lambda: run(config))


if __name__ == "__main__":
    main()
