"""What was measured, as Markdown and JSON, with all that a reader needs to judge it."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from benchmarks.compare.timing import Ratio
from benchmarks.compare.work import Setting, Work
from pastis_jax import machine

HEAD = "| work | part | way | seconds | per second | times faster | largest difference |"
RULE = "|---|---|---|---|---|---|---|"


def processor() -> str:
    """Name of the processor."""
    file = pathlib.Path("/proc/cpuinfo")
    if file.is_file():
        for line in file.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def circumstances(setting: Setting) -> dict[str, Any]:
    """Hardware, versions and threads."""
    torch = setting.reference.torch
    names = ("jax", "jaxlib", "flax", "numpy")
    return {
        "device": {
            "jax": machine.devices(),
            "torch": torch.cuda.get_device_name() if setting.device == "cuda" else setting.device,
        },
        "processor": processor(),
        "cores": cores(),
        "threads": {"torch": torch.get_num_threads(), "xla": cores()},
        "memory_bytes": machine.memory(),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in names},
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
        },
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "code": machine.code_version(),
        "published": setting.reference.commits(),
    }


def result(work: Work, measured: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """One row as JSON: seconds of every turn, medians, and how many times as long others took.

    Args:
      work: The row.
      measured: Seconds of every turn by way; empty where the check failed.
    """
    first = next(iter(measured.values()), None)
    return {
        "row": work.row,
        "part": work.part,
        "what": work.what,
        "amount": work.amount,
        "unit": work.unit,
        "equal": work.equal,
        "differences": [dataclasses.asdict(d) for d in work.differences],
        "ways": {
            name: {
                "seconds": [*turns],
                "median": statistics.median(turns),
                "per_second": work.amount / statistics.median(turns),
                "published_takes": dataclasses.asdict(Ratio.of(first, turns)),
            }
            for name, turns in measured.items()
        },
    }


def lines(row: Mapping[str, Any]) -> list[str]:
    """The lines of a row's table."""
    checked = ", ".join(f"{d['what']} {d['largest']:.0e}" for d in row["differences"])
    if not row["ways"]:
        return [f"| {row['row']}: {row['what']} | {row['part']} | not equal | | | | {checked} |"]
    found = []
    for number, (name, way) in enumerate(row["ways"].items()):
        first = number == 0
        work = (f"{row['row']}: {row['what']}", row["part"]) if first else ("", "")
        ratio = way["published_takes"]
        times = f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})"
        cells = (
            *work,
            name,
            f"{way['median']:.3g}",
            f"{way['per_second']:,.0f} {row['unit']}",
            "1" if first else times,
            checked if first else "",
        )
        found.append(f"| {' | '.join(cells)} |")
    return found


def preface(about: Mapping[str, Any]) -> str:
    """What a table was measured with, in a paragraph."""
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items() if v)
    device = " and ".join(dict.fromkeys(about["device"].values()))
    return (
        f"Device: {device}; {about['processor']}, {about['cores']} cores, "
        f"{about['threads']['torch']} threads of PyTorch. {versions}. Code {about['code']}."
    )
