"""Finished runs tested with optical dates removed, as more clouds would (paper, Figure 7).

    python -m experiments.paper.cloud_cover --run runs/late --out clouds/late.json
    python -m experiments.paper.cloud_cover --draw clouds --out clouds/cloud_cover.png

Beside the paper's random dates, spells of dates are removed as a whole, which is what clouds do.
The paper: S2 alone falls below radar alone at 70 %, fusion stays nearly constant up to 50 %, early
fusion is the least and decision fusion the most robust; panoptic with 70 % removed, S2 33.0 PQ,
late fusion 37.6.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import tqdm
import tyro

from experiments import arguments, common, restored
from experiments.paper import pictures, pooled
from experiments.paper.date_removal import remaining, removal_rank
from pastis_jax.errors import UserError
from pastis_jax.metrics import ConfusionMatrix
from pastis_jax.panoptic import PanopticQuality
from pastis_jax.training import write_json
from pastis_jax.types import Batch

KIND = "cloud_cover"
OPTICAL = "S2"


@dataclasses.dataclass(frozen=True)
class Config:
    """Test a finished run with shares of the S2 dates removed; or draw what was measured."""

    out: pathlib.Path
    """File to write: .json with --run, .png with --draw."""
    run: pathlib.Path | None = None
    """Folder of a finished run. Of one without S2, the score is the same at every share."""
    draw: pathlib.Path | None = None
    """Draw Figure 7 from all that was measured in this folder and below."""
    ratios: tuple[float, ...] = tuple(i / 10 for i in range(11))
    """Shares of the S2 dates to remove, 0 to 1."""
    draws: int = 5
    """Number of random orders to remove the dates of a sample in."""
    spells: tuple[int, ...] = (1, 6)
    """Numbers of dates that are removed together: 1 is the paper's, 6 five to seven weeks."""
    seed: int = 0
    """Of these orders, which are the same for every run."""
    cache_dir: pathlib.Path | None = None
    """Where prepared and simulated data are kept. Default: where the run had them."""


class Removal(NamedTuple):
    """Which dates are removed; of spell 0 where none or all are, so that draws do not differ."""

    ratio: float
    spell: int = 0
    draw: int = 0


def run(config: Config) -> None:
    """Measures or draws, as `config` says.

    Raises:
      UserError: For every mistake in the configuration, the run or its data.
    """
    check(config)
    if config.draw is not None:
        draw(config.draw, config.out)
    else:
        opened = restored.open_run(config.run, cache_dir=config.cache_dir)
        measured = measure(
            opened,
            ratios=config.ratios,
            draws=config.draws,
            spells=config.spells,
            seed=config.seed,
        )
        write_json(
            config.out,
            {"kind": KIND, **restored.origin(config.run, opened.result), **measured},
            indent=None,
        )
        for curve in measured["curves"]:
            means = map(np.mean, curve["scores"])
            removed = ", ".join(map("{:.0%} {:.3f}".format, curve["ratios"], means))
            common.say(f"{measured['score']} by share removed, {curve_name(curve)}: {removed}")
    common.say(f"Written: {config.out}")


def check(config: Config) -> None:
    """Refuses what makes no sense.

    Raises:
      UserError: Naming the flag.
    """
    arguments.refuse(
        (
            (config.run is None) == (config.draw is None),
            "--run, --draw",
            "exactly one of them is needed",
            "give --run to measure, or --draw to draw",
        ),
        (
            not config.ratios or not all(0 <= ratio <= 1 for ratio in config.ratios),
            "--ratios",
            "shares go from 0 to 1",
            "give 0.7 for 70 %",
        ),
        (config.draws < 1, "--draws", "must be at least 1", "give 5, say"),
        (
            not config.spells or min(config.spells) < 1,
            "--spells",
            "a spell has at least 1 date",
            "give 1 6, say",
        ),
        (config.seed < 0, "--seed", "must not be negative", "give 0, say"),
    )
    if config.draw is None:
        common.check_out(config.out, ".json", kind=KIND)
    else:
        common.check_out(config.out, ".png")


def measure(
    opened: restored.Restored,
    *,
    ratios: Iterable[float],
    draws: int,
    spells: Iterable[int],
    seed: int,
) -> dict[str, Any]:
    """Tests a run with dates removed.

    Args:
      opened: The run.
      ratios: Shares of the S2 dates to remove.
      draws: Number of random orders.
      spells: Numbers of dates that are removed together.
      seed: Of the orders.

    Returns:
      `title` of the task; `score`, its name; `settings`; `curves`, for each spell its `ratios` and
      at each of them the `scores` and `counts` of all draws, of one where they do not differ.
    """
    ratios, spells = (sorted(set(values)) for values in (ratios, spells))
    optical = OPTICAL in opened.result["modalities"]

    def removals(spell, ratio):
        if optical and 0 < ratio < 1:
            return [Removal(ratio, spell, number) for number in range(draws)]
        return [Removal(ratio if optical else 0.0)]

    wanted = {one: removals(*one) for one in itertools.product(spells, ratios)}
    tests = test(opened, dict.fromkeys(itertools.chain(*wanted.values())), seed=seed)
    score = opened.parts.task.score

    def at_each(spell, value):
        return [[value(tests[one]) for one in wanted[spell, ratio]] for ratio in ratios]

    return {
        "title": opened.parts.task.title,
        "score": score,
        "settings": {"ratios": ratios, "draws": draws, "spells": spells, "seed": seed},
        "curves": [
            {
                "spell": spell,
                "ratios": ratios,
                "scores": at_each(spell, lambda metric: metric.compute()[score]),
                "counts": at_each(spell, pooled.counts),
            }
            for spell in spells
        ],
    }


def test(
    opened: restored.Restored, removals: Iterable[Removal], *, seed: int
) -> dict[Removal, ConfusionMatrix | PanopticQuality]:
    """Tests on the test fold under each of `removals`.

    Every batch is loaded once, and one compiled program scores it under all of them.
    """
    data, totals = opened.parts.data, {}
    count = -(-len(data.sources["test"]) // data.evaluation_size)
    for batch in tqdm.tqdm(data.evaluation("test"), total=count, unit="batch", dynamic_ncols=True):
        for removal, left in without_dates(batch, removals, seed=seed):
            found = opened.evaluate([left]).metrics.task
            totals[removal] = totals[removal].merge(found) if removal in totals else found
    return jax.device_get(totals)


def without_dates(
    batch: Batch, removals: Iterable[Removal], *, seed: int
) -> Iterator[tuple[Removal, Batch]]:
    """Gives `batch`, on the host, under each of `removals`."""
    ranks = {}
    for removal in removals:
        if not removal.ratio:
            yield removal, batch
            continue
        series, order = batch.series[OPTICAL], (removal.spell or 1, removal.draw)
        if order not in ranks:
            spell, draw = order
            ranks[order] = removal_rank(
                series.valid, batch.number, spell=spell, seed=seed, draw=draw
            )
        left = series.replace(valid=remaining(series.valid, ranks[order], removal.ratio))
        yield removal, batch.replace(series={**batch.series, OPTICAL: left})


def draw(folder: pathlib.Path, path: pathlib.Path) -> None:
    """Draws Figure 7: for each task and spell, the score of every model by the share removed.

    Args:
      folder: All that was measured in it and below is drawn.
      path: PNG to write; its folder is made.

    Raises:
      UserError: If there is nothing to draw, or what there is cannot be compared.
    """
    found = read(folder)
    spells = found[0]["settings"]["spells"]
    panels = []
    for task in restored.TASKS:
        of_task = [one for one in found if one["task"] == task]
        if of_task and (runs := _shared(of_task)):
            panels.append([_panel(of_task, runs, i) for i in range(len(spells))])
    if not panels:
        what = "there is no fold and seed of which all models were measured"
        raise UserError(what, where="--draw", remedy="measure them, or draw models apart")
    data = "simulated data" if found[0]["data"] == "simulated" else "real data"
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures.cloud_cover(panels, path, title=f"Test with S2 dates removed, {data}")


Runs = tuple[tuple[int, ...], tuple[int, ...]]
"""Folds and seeds."""


def _shared(found: list[dict[str, Any]]) -> Runs | None:
    """The folds and seeds of which all models of a task were measured; says what is left out."""
    task = found[0]["task"]
    measured: dict[tuple[str, str], set[tuple[int, int]]] = {}
    for one in found:
        measured.setdefault(_key(one), set()).add((one["fold"], one["seed"]))
    shared = set.intersection(*measured.values())
    if not shared:
        common.say(f"No fold and seed was measured of every {task} model: these are left out.")
        return None
    folds, seeds = map(tuple, pooled.complete(shared))
    used = {*itertools.product(folds, seeds)}
    left_out = [
        f"{model} {enhancement} fold {fold} seed {seed}"
        for (model, enhancement), runs in measured.items()
        for fold, seed in sorted(runs - used)
    ]
    if left_out:
        common.say(f"Not measured of every {task} model, left out: {', '.join(left_out)}.")
    return folds, seeds


def _panel(found: list[dict[str, Any]], runs: Runs, number: int) -> pictures.CloudPanel:
    """What was measured of a task on folds with seeds, at one spell of the settings."""
    folds, seeds = runs
    models: dict[tuple[str, str], dict[tuple[int, int], dict[str, Any]]] = {}
    for one in found:
        if one["fold"] in folds and one["seed"] in seeds:
            curves = models.setdefault(_key(one), {})
            curves[one["fold"], one["seed"]] = one["curves"][number]
    task, score, curve = found[0]["task"], found[0]["score"], found[0]["curves"][number]
    return pictures.CloudPanel(
        title=f"{found[0]['title']}: {curve_name(curve)}\n{common.runs_name(folds, seeds)}",
        score=score,
        curves=[
            pictures.CloudCurve(*model, curve["ratios"], pooled_scores(task, score, curves))
            for model, curves in models.items()
        ],
    )


def _key(one: Mapping[str, Any]) -> tuple[str, str]:
    return _scheme(one), one["enhancement"]


def pooled_scores(
    task: str, score: str, curves: Mapping[tuple[int, int], Mapping[str, Any]]
) -> list[np.ndarray]:
    """Scores at each share removed: of the folds together, one for each seed and draw.

    Args:
      task: Of the runs.
      score: Its name.
      curves: Of runs that differ in fold and seed, by these. Seeds without all folds of the one
        with most are left out.
    """
    folds, seeds = pooled.complete(curves)
    return [
        np.array(
            [
                pooled.count(task, tests).compute()[score]
                for seed in seeds
                for tests in zip(*(curves[fold, seed]["counts"][i] for fold in folds), strict=True)
            ]
        )
        for i in range(len(curves[folds[0], seeds[0]]["ratios"]))
    ]


def _scheme(one: Mapping[str, Any]) -> str:
    """The model of a measurement, whatever modalities its fusion scheme has."""
    return one["model"].partition(" of ")[0]


def read(folder: pathlib.Path) -> list[dict[str, Any]]:
    """Reads all that was measured in `folder` and below.

    Raises:
      UserError: If there is nothing, it differs in settings or data, a scheme is there of different
        modalities, or a run twice.
    """
    found = {
        file: content
        for file in sorted(folder.glob("**/*.json"))
        if (content := common.json_content(file)).get("kind") == KIND
    }
    if not found:
        remedy = "measure runs first, by --run"
        raise UserError("nothing was measured here", where=folder, remedy=remedy)
    first, *others = found
    for file in others:
        for name in ("settings", "data"):
            if found[file][name] != found[first][name]:
                what = f"its {name} are not those of {first}"
                raise UserError(what, where=file, remedy="measure both alike, or draw them apart")
    for file, one in found.items():
        if not all("counts" in curve for curve in one["curves"]):
            raise UserError("it lacks counts", where=file, remedy="measure it anew")
    seen: dict[tuple, pathlib.Path] = {}
    schemes: dict[tuple, tuple[str, pathlib.Path]] = {}
    for file, one in found.items():
        run = tuple(one[name] for name in ("task", "model", "enhancement", "fold", "seed"))
        if (other := seen.setdefault(run, file)) != file:
            what = f"it is of the same model, fold and seed as {other}"
            raise UserError(what, where=file, remedy="move one of them elsewhere")
        model, other = schemes.setdefault((one["task"], _scheme(one)), (one["model"], file))
        if model != one["model"]:
            what = f"it is of {one['model']}, {other} of {model}"
            raise UserError(what, where=file, remedy="draw them apart")
    return list(found.values())


def curve_name(curve: dict[str, Any]) -> str:
    """What is removed together, for readers."""
    return "random dates" if curve["spell"] == 1 else f"spells of {curve['spell']} dates"


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parse = functools.partial(
        tyro.cli, Config, prog="python -m experiments.paper.cloud_cover", args=argv
    )
    config = parse()
    common.command(lambda: run(config))


if __name__ == "__main__":
    main()
