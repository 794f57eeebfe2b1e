"""One model over the official folds, and over seeds: the protocol of the paper's tables.

    python -m experiments.cross_validation --task parcel --seeds 0 1 --fusion late --auxiliary
    python -m experiments.cross_validation --task semantic --data FOLDER --fusion early

Every flag that is not its own goes to the experiment of the task. Confusion matrices (panoptic:
counts of segments) are summed over the folds before scores are computed (paper, section 4.2), once
for each seed.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import tyro

from experiments.paper import pooled
from experiments.paper.cells import Cell, Cells, Shard
from pastis_jax.cli import config as configs
from pastis_jax.cli import console, train
from pastis_jax.errors import UserError
from pastis_jax.tasks import TASKS
from pastis_jax.training import write_json


@dataclasses.dataclass(frozen=True)
class Config:
    """Train and test one model on several folds and seeds.

    With the same --out, a run that was stopped goes on and finished ones are read.
    """

    task: Literal["parcel", "semantic", "panoptic"]
    """Whose experiment to run."""
    folds: tuple[int, ...] | None = None
    """Runs of cross-validation, as in the experiments' --fold. Default: all that the dataset has,
    PASTIS-R five."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of training."""
    out: pathlib.Path | None = None
    """Folder of the runs and of cross_validation.json. Default: a new one below runs/."""
    workers: int = 1
    """Number of runs at a time; they share the devices, which a TPU does not allow."""
    shard: str | None = None
    """Run the part I/N of the runs only, on one of N machines that see the same --out; the last
    command without it collects them."""


def run(config: Config, flags: Sequence[str]) -> dict[str, Any] | None:
    """Runs what is missing, pools and shows the scores.

    Args:
      config: Folds and seeds.
      flags: Command line of the task's experiment.

    Returns:
      The content of cross_validation.json; None if runs are still missing, empty if these are
      other machines'.

    Raises:
      UserError: For a mistake in the arguments, before anything is run.
    """
    folds = folds_of(config, check(config, flags))
    out = config.out or train.default_out(f"{config.task}-cross-validation")
    out = out.expanduser()
    shard = Shard.parse(config.shard) if config.shard else None
    by_place = {
        (fold, seed): cell(config.task, flags, fold, seed)
        for seed, fold in itertools.product(config.seeds, folds)
    }
    cells = Cells(out, list(by_place.values()))
    cells.run(workers=config.workers, shard=shard)
    missing = [run.name for run in by_place.values() if cells.status(run) != "done"]
    if missing:
        console.say(
            f"Still missing below {out}: {', '.join(missing)}; the same command with --out {out} "
            "runs them."
        )
        mine = (shard or Shard()).of(list(by_place.values()))
        return None if any(run.name in missing for run in mine) else {}
    results = {
        seed: [json.loads((out / by_place[fold, seed].result).read_text()) for fold in folds]
        for seed in config.seeds
    }
    every = itertools.chain.from_iterable(results.values())
    scores = TASKS[config.task].scores_in(*(result["test"] for result in every))
    summary = summarise(results, scores)
    write_json(out / "cross_validation.json", {"command": list(flags), **summary})
    show(summary, scores)
    console.say(f"All of it is in {out / 'cross_validation.json'}.")
    return summary


def check(config: Config, flags: Sequence[str]) -> configs.Config:
    """Refuses what the experiment would refuse, whatever its data are.

    Returns:
      The configuration of the experiment.

    Raises:
      UserError: Naming the flag.
    """
    prog = f"python -m experiments.cross_validation --task {config.task}"
    experiment = configs.parse(config.task, list(flags), prog=prog)
    for flag in ("--fold", "--seed", "--out", "--overwrite", "--distributed"):
        if any(x == flag or x.startswith(f"{flag}=") for x in flags):
            remedy = "leave it out; there are --folds, --seeds and --out"
            raise UserError("this is set for each run", where=flag, remedy=remedy)
    check_runs(config.folds, config.seeds)
    if config.shard and config.out is None:
        fault, remedy = "the machines must see one folder", "name it by --out"
        raise UserError(fault, where="--shard", remedy=remedy)
    if config.workers < 1:
        raise UserError("must be at least 1", where="--workers", remedy="give 1, say")
    return experiment


def folds_of(config: Config, experiment: configs.Config) -> tuple[int, ...]:
    """The runs of cross-validation that are asked for, or all that the dataset has.

    Raises:
      UserError: If the dataset has not these, or its folder is none.
    """
    dataset = train.dataset_of(experiment)
    folds = tuple(range(1, dataset.runs + 1))
    if config.folds is None:
        return folds
    if not {*config.folds} <= {*folds}:
        fault = f"{dataset.name} has runs 1 to {dataset.runs}, got {config.folds}"
        raise UserError(fault, where="--folds", remedy="give some of these")
    return config.folds


def check_runs(folds: Sequence[int] | None, seeds: Sequence[int]) -> None:
    """Refuses folds and seeds that are none, or none that an experiment takes.

    Args:
      folds: The folds; None for all.
      seeds: The seeds.

    Raises:
      UserError: Naming the flag.
    """
    for flag, values in (("--folds", folds), ("--seeds", seeds)):
        if values is not None and (not values or len(set(values)) < len(values)):
            raise UserError(f"got {values}", where=flag, remedy="give at least one, each once")
    if not all(0 <= seed < 2**32 for seed in seeds):
        raise UserError(f"got {seeds}", where="--seeds", remedy="give 0 to 4294967295 each")


def cell(task: str, flags: Sequence[str], fold: int, seed: int, folder: str = "") -> Cell:
    """The run of `task` with `flags` on one fold with one seed, in `folder` (with its slash)."""
    name = f"{folder}fold{fold}-seed{seed}"
    command = (f"experiments.{task}", *flags, "--fold", str(fold), "--seed", str(seed))
    return Cell(name, command, out=name, result=f"{name}/result.json")


def summarise(
    results: Mapping[int, Sequence[Mapping[str, Any]]], scores: Sequence[str]
) -> dict[str, Any]:
    """Scores of the folds together by seed; mean and spread over seeds, and over all runs.

    Args:
      results: result.json of each fold, by seed.
      scores: Names of the scores.
    """

    def spreads(tests):
        tests = list(tests)
        return {name: pooled.spread([test[name] for test in tests]) for name in scores}

    together = {seed: pooled.pool(folds) for seed, folds in results.items()}
    first = next(iter(results.values()))
    return {
        "title": first[0]["title"].rsplit(", fold", 1)[0],
        "data": first[0]["data"],
        "folds": [result["fold"] for result in first],
        "seeds": list(results),
        "pooled": together,
        "over_seeds": spreads(together.values()),
        "over_runs": spreads(result["test"] for folds in results.values() for result in folds),
        "by_run": {
            f"fold{result['fold']}-seed{seed}": {n: result["test"][n] for n in scores}
            for seed, folds in results.items()
            for result in folds
        },
    }


def show(summary: Mapping[str, Any], scores: Sequence[str]) -> None:
    """Prints the scores, points."""
    title = f"{summary['title']}, folds {', '.join(map(str, summary['folds']))}"
    table = console.table(title, "", *scores)
    for name, values in summary["by_run"].items():
        table.add_row(name, *(f"{100 * values[n]:.1f}" for n in scores))
    table.add_section()
    for seed, values in summary["pooled"].items():
        table.add_row(f"seed {seed}, folds summed", *(f"{100 * values[n]:.1f}" for n in scores))
    for name, of in (("over_seeds", "pooled"), ("over_runs", "by_run")):
        if len(summary[of]) > 1:
            text = name.replace("over_", "mean over ")
            table.add_row(text, *(points(summary[name][n]) for n in scores))
    console.screen().print(table)


def points(spread: Mapping[str, float]) -> str:
    """Mean and standard deviation in points."""
    return f"{100 * spread['mean']:.1f} ± {100 * spread['std']:.1f}"


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    prog = "python -m experiments.cross_validation"
    config, flags = tyro.cli(Config, prog=prog, args=argv, return_unknown_args=True)
    summaries = []
    console.command(lambda: summaries.append(run(config, flags)))
    if summaries == [None]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
