"""Single modalities against fusion schemes on the simulated set, also with dates removed.

    python -m experiments.simulated_table

Writes docs/simulated_parcels.md: test mIoU of every model, also with 70 % of the optical dates
removed at test, and whether what the paper found on real data holds here. About two minutes a run
on two CPU cores. Runs that are there already are read or continued, so it can be interrupted.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import tyro

from experiments import arguments, common, parcel
from pastis_jax.errors import UserError
from pastis_jax.training import jsonable

REMOVED = 0.7
MODELS = {
    "S2": {"fusion": "single", "modalities": ("S2",)},
    "S1A": {"fusion": "single", "modalities": ("S1A",)},
    "S1D": {"fusion": "single", "modalities": ("S1D",)},
    "Early fusion": {"fusion": "early", "temporal_dropout": True},
    "Mid fusion": {"fusion": "mid", "temporal_dropout": True, "auxiliary": True},
    "Late fusion": {"fusion": "late", "temporal_dropout": True, "auxiliary": True},
    "Decision fusion": {"fusion": "decision", "temporal_dropout": True, "auxiliary": True},
}
PAPER = {
    "S2": 73.9,
    "S1A": 63.3,
    "S1D": 64.5,
    "Early fusion": 76.5,
    "Mid fusion": 76.5,
    "Late fusion": 77.2,
    "Decision fusion": 75.8,
}
"""Table 1 of the paper, PASTIS-R: single modalities base, schemes with their enhancements."""
FUSIONS = [name for name in MODELS if "fusion" in name]


@dataclasses.dataclass(frozen=True)
class Config:
    """Compare modalities and fusion schemes on the simulated set, and write the table to docs/."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of training; the simulated set is the same for all."""
    epochs: int | None = None
    """Default: that of experiments.parcel."""
    runs: pathlib.Path = pathlib.Path("runs/simulated_table")
    """Where the single runs stand, one folder each."""
    page: pathlib.Path = pathlib.Path("docs/simulated_parcels.md")
    """Page to write."""
    cache_dir: pathlib.Path | None = None
    """As in experiments.parcel."""


def run(config: Config) -> None:
    """Runs what is missing and writes the page."""
    if not config.seeds:
        raise UserError("no seed given", where="--seeds", remedy="give 0 1 2, say")
    if config.page.is_dir() or not config.page.absolute().parent.is_dir():
        raise UserError("cannot be written", where=config.page, remedy="give a file in a folder")
    results = {name: [one_run(config, name, seed) for seed in config.seeds] for name in MODELS}
    config.page.write_text(page(results, config))
    print(config.page.read_text())


def one_run(config: Config, name: str, seed: int) -> dict[str, Any]:
    """Returns the result of one model and seed, trained now unless it was before."""
    out = config.runs / f"{name.lower().replace(' ', '_')}-seed{seed}"
    wanted = parcel.complete(
        parcel.Config(
            **MODELS[name],
            data=common.simulated_pixel_set(config.cache_dir),
            batch_size=parcel.SIMULATED_BATCH,
            epochs=parcel.SIMULATED_EPOCHS if config.epochs is None else config.epochs,
            seed=seed,
            removed_optical=()
            if MODELS[name].get("modalities", ("S2",)) != ("S2",)
            else (REMOVED,),
            out=out,
            cache_dir=config.cache_dir,
        )
    )
    if out.exists():
        if not (out / "config.json").exists():
            raise UserError("this is not a run", where=out, remedy="give another --runs")
        stored, same = json.loads((out / "config.json").read_text()), jsonable(settings(wanted))
        if {name: stored.get(name) for name in same} != same:  # Other settings or data.
            wanted = dataclasses.replace(wanted, overwrite=True)
        elif (out / "result.json").exists():
            return json.loads((out / "result.json").read_text())
    result = parcel.run(wanted)
    jax.clear_caches()
    return result


def settings(config: parcel.Config) -> dict[str, Any]:
    """What makes a run the same."""
    return {k: v for k, v in arguments.stored(config).items() if k not in arguments.MAY_DIFFER}


def page(results: Mapping[str, list[dict[str, Any]]], config: Config) -> str:
    """Writes the table and the statements as Markdown."""
    clear = {name: [100 * r["test"]["mIoU"] for r in rs] for name, rs in results.items()}
    cloudy = {  # Radar alone does not notice.
        name: [100 * r["test_removed_optical"].get(str(REMOVED), r["test"])["mIoU"] for r in rs]
        for name, rs in results.items()
    }
    lost = {name: np.subtract(clear[name], cloudy[name]) for name in results}
    mean = functools.cache(lambda name: float(np.mean(clear[name])))
    lines = [
        "# Parcels on the simulated set",
        "",
        "**Simulated data**: the numbers show that models and schemes do what they should; they",
        "say nothing about real crops. Written by `python -m experiments.simulated_table`.",
        "",
        f"Fold 1, {results['S2'][0]['epochs']} epochs, test mIoU in points, mean and standard "
        f"deviation over {len(config.seeds)} seeds. Single modalities are trained plainly, the "
        "fusion schemes with temporal dropout and auxiliary supervision (early: the former alone).",
        "",
        "The last column is Table 1 of the paper, five folds of PASTIS-R, for the same settings.",
        "",
        f"| model | parameters | OA | mIoU | {REMOVED:.0%} of S2 dates removed | lost | paper |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, rs in results.items():
        accuracy = [100 * r["test"]["OA"] for r in rs]
        lines.append(
            f"| {name} | {rs[0]['parameters']:,} | {np.mean(accuracy):.1f} | {spread(clear[name])} "
            f"| {spread(cloudy[name])} | {np.mean(lost[name]):.1f} | {PAPER[name]} |"
        )
    s2, late = float(np.mean(lost["S2"])), float(np.mean(lost["Late fusion"]))
    statements = [
        *(
            (
                f"S2 beats {m} by at least 5 points",
                f"{mean('S2') - mean(m):+.2f}",
                mean("S2") - mean(m) >= 5,
            )
            for m in ("S1A", "S1D")
        ),
        *(
            (f"{name} beats S2 alone", f"{mean(name) - mean('S2'):+.2f}", mean(name) > mean("S2"))
            for name in FUSIONS
        ),
        (
            f"With {REMOVED:.0%} of the optical dates removed, S1D alone beats S2 alone",
            f"{mean('S1D') - np.mean(cloudy['S2']):+.2f}",
            mean("S1D") > np.mean(cloudy["S2"]),
        ),
        (
            "Late fusion then loses less than half of what S2 loses",
            f"{late:.1f} of {s2:.1f}",
            late < s2 / 2,
        ),
    ]
    lines += ["", "| statement | points | holds |", "|---|---|---|"]
    lines += [
        f"| {text} | {points} | {'yes' if ok else '**no**'} |" for text, points, ok in statements
    ]
    order = " > ".join(sorted(FUSIONS, key=mean, reverse=True))
    paper_order = " > ".join(sorted(FUSIONS, key=PAPER.get, reverse=True))
    lines += [
        "",
        f"Order of the schemes here: {order}. In the paper: {paper_order} (early and mid equal).",
        "",
    ]
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    return f"{np.mean(values):.1f} ± {np.std(values):.1f}"


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m experiments.simulated_table", args=argv)
    common.command(lambda: run(config))


if __name__ == "__main__":
    main()
