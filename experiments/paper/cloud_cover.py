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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import tqdm
import tyro

from experiments.paper import finished, pictures, pooled
from experiments.paper.date_removal import remaining, removal_rank
from pastis_jax.cli import console
from pastis_jax.data.metadata import Identifier
from pastis_jax.errors import UserError, refuse
from pastis_jax.metrics import ConfusionMatrix
from pastis_jax.panoptic import VoidRules
from pastis_jax.runs import OpenedData
from pastis_jax.tasks import TASKS
from pastis_jax.training import write_json
from pastis_jax.types import Batch

KIND = "cloud_cover"


@dataclasses.dataclass(frozen=True)
class Config:
    """Test a finished run with shares of the optical dates removed; or draw what was measured."""

    out: pathlib.Path
    """File to write: .json with --run, .png with --draw."""
    run: pathlib.Path | None = None
    """Folder of a finished run. Of one without anything optical (S2 in PASTIS-R), the score is the
    same at every share."""
    draw: pathlib.Path | None = None
    """Draw Figure 7 from all that was measured in this folder and below."""
    ratios: tuple[float, ...] = tuple(i / 10 for i in range(11))
    """Shares of the optical dates to remove, 0 to 1."""
    draws: int = 5
    """Number of random orders to remove the dates of a sample in."""
    spells: tuple[int, ...] = (1, 6)
    """Numbers of dates that are removed together: 1 is the paper's, 6 five to seven weeks."""
    seed: int = 0
    """Of these orders, which are the same for every run."""
    data: pathlib.Path | None = None
    """Folder of the run's data. Default: where the run had them."""
    cache_dir: pathlib.Path | None = None
    """Where prepared and simulated data are kept. Default: $PASTIS_JAX_CACHE or ~/.cache."""


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
        opened = finished.open_data(config.run, data=config.data, cache_dir=config.cache_dir)
        measured = measure(
            opened,
            ratios=config.ratios,
            draws=config.draws,
            spells=config.spells,
            seed=config.seed,
        )
        write_json(
            config.out,
            {"kind": KIND, **finished.origin(config.run, opened), **measured},
            indent=None,
        )
        for curve in measured["curves"]:
            means = map(np.mean, curve["scores"])
            removed = ", ".join(map("{:.0%} {:.3f}".format, curve["ratios"], means))
            console.say(f"{measured['score']} by share removed, {curve_name(curve)}: {removed}")
    console.say(f"Written: {config.out}")


def check(config: Config) -> None:
    """Refuses what makes no sense.

    Raises:
      UserError: Naming the argument.
    """
    refuse(
        "run`, `draw",
        (config.run is None) == (config.draw is None),
        "exactly one of them is needed",
        "give `run` to measure, or `draw` to draw",
    )
    shares = config.ratios and all(0 <= ratio <= 1 for ratio in config.ratios)
    refuse("ratios", not shares, "shares go from 0 to 1", "give 0.7 for 70 %")
    refuse("draws", config.draws < 1, "must be at least 1", "give 5, say")
    spells = config.spells and min(config.spells) >= 1
    refuse("spells", not spells, "a spell has at least 1 date", "give 1 6, say")
    refuse("seed", config.seed < 0, "must not be negative", "give 0, say")
    if config.draw is None:
        console.check_out(config.out, ".json", kind=KIND)
    else:
        console.check_out(config.out, ".png")


def measure(
    opened: OpenedData,
    *,
    ratios: Iterable[float],
    draws: int,
    spells: Iterable[int],
    seed: int,
) -> dict[str, Any]:
    """Tests a run with dates removed.

    Args:
      opened: The run.
      ratios: Shares of the optical dates to remove.
      draws: Number of random orders.
      spells: Numbers of dates that are removed together.
      seed: Of the orders.

    Returns:
      `title` of the task; `score`, its name; `settings`; `curves`, for each spell its `ratios` and
      at each of them the `scores` and `counts` of all draws, of one where they do not differ.
    """
    ratios, spells = (sorted(set(values)) for values in (ratios, spells))
    optical = optical_modalities(opened)

    def removals(spell, ratio):
        if optical and 0 < ratio < 1:
            return [Removal(ratio, spell, number) for number in range(draws)]
        return [Removal(ratio if optical else 0.0)]

    wanted = {key: removals(*key) for key in itertools.product(spells, ratios)}
    tests = test(opened, dict.fromkeys(itertools.chain(*wanted.values())), seed=seed)
    score = opened.task.scores[0]

    def at_each(spell, value):
        return [[value(tests[removal]) for removal in wanted[spell, ratio]] for ratio in ratios]

    return {
        "title": opened.task.title,
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


def optical_modalities(opened: OpenedData) -> tuple[str, ...]:
    """What clouds hide of the modalities that a run takes."""
    names = opened.run.modalities
    return tuple(name for name in names if opened.run.dataset[name].optical)


def test(
    opened: OpenedData, removals: Iterable[Removal], *, seed: int
) -> dict[Removal, ConfusionMatrix | VoidRules]:
    """Tests on the test fold under each of `removals`.

    Every batch is loaded once, and one compiled program scores it under all of them.
    """
    splits, optical, totals = opened.splits, optical_modalities(opened), {}
    source, size = splits.sources["test"], splits.plan.evaluation_size
    batches, count = splits.evaluation("test"), -(-len(source) // size)
    for batch in tqdm.tqdm(batches, total=count, unit="batch", dynamic_ncols=True):
        identifiers = [source.identifier(int(number)) for number in batch.number]
        for removal, left in without_dates(
            batch, identifiers, removals, optical=optical, seed=seed
        ):
            metric = opened.evaluate([left]).metrics.task.metric
            totals[removal] = totals[removal].merge(metric) if removal in totals else metric
    return jax.device_get(totals)


def without_dates(
    batch: Batch,
    identifiers: Sequence[Identifier],
    removals: Iterable[Removal],
    *,
    optical: Sequence[str],
    seed: int,
) -> Iterator[tuple[Removal, Batch]]:
    """Gives `batch`, on the host, under each of `removals`.

    Args:
      batch: The samples.
      identifiers: Theirs.
      removals: Which dates are removed.
      optical: Names of the modalities that dates are removed of.
      seed: Of the orders.
    """

    @functools.cache
    def rank(number: int, spell: int, draw: int):
        acquisitions = batch.series[optical[number]]
        drawn = {"spell": spell, "seed": seed, "draw": draw, "series": number}
        return removal_rank(acquisitions.valid, acquisitions.days, identifiers, **drawn)

    for removal in removals:
        series = dict(batch.series)
        for number, name in enumerate(optical if removal.ratio else ()):
            valid, order = series[name].valid, rank(number, removal.spell or 1, removal.draw)
            series[name] = series[name].replace(valid=remaining(valid, order, removal.ratio))
        yield removal, batch.replace(series=series)


def draw(folder: pathlib.Path, path: pathlib.Path) -> None:
    """Draws Figure 7: for each task and spell, the score of every model by the share removed.

    Args:
      folder: All that was measured in it and below is drawn.
      path: PNG to write; its folder is made.

    Raises:
      UserError: If there is nothing to draw, or what there is cannot be compared.
    """
    measurements = read(folder)
    spells = measurements[0]["settings"]["spells"]
    panels = []
    for task in TASKS:
        of_task = [content for content in measurements if content["task"] == task]
        if of_task and (shared := _shared(of_task)):
            panels.append([_panel(of_task, shared, i) for i in range(len(spells))])
    if not panels:
        fault = "there is no fold and seed of which all models were measured"
        refuse("draw", True, fault, "measure them, or draw models apart")
    data = "simulated data" if measurements[0]["data"] == "simulated" else "real data"
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures.cloud_cover(panels, path, title=f"Test with optical dates removed, {data}")


FoldsAndSeeds = tuple[tuple[int, ...], tuple[int, ...]]


def _shared(measurements: Sequence[Mapping[str, Any]]) -> FoldsAndSeeds | None:
    """The folds and seeds of which all models of a task were measured; says what is left out."""
    task = measurements[0]["task"]
    measured: dict[tuple[str, str], set[tuple[int, int]]] = {}
    for content in measurements:
        measured.setdefault(_key(content), set()).add((content["fold"], content["seed"]))
    shared = set.intersection(*measured.values())
    if not shared:
        console.say(f"No fold and seed was measured of every {task} model: these are left out.")
        return None
    folds, seeds = map(tuple, pooled.complete(shared))
    used = {*itertools.product(folds, seeds)}
    left_out = [
        f"{model} {enhancement} fold {fold} seed {seed}"
        for (model, enhancement), runs in measured.items()
        for fold, seed in sorted(runs - used)
    ]
    if left_out:
        console.say(f"Not measured of every {task} model, left out: {', '.join(left_out)}.")
    return folds, seeds


def _panel(
    measurements: Sequence[Mapping[str, Any]], shared: FoldsAndSeeds, number: int
) -> pictures.CloudPanel:
    """What was measured of a task on folds with seeds, at one spell of the settings."""
    folds, seeds = shared
    models: dict[tuple[str, str], dict[tuple[int, int], dict[str, Any]]] = {}
    for content in measurements:
        place = content["fold"], content["seed"]
        if place in itertools.product(folds, seeds):
            models.setdefault(_key(content), {})[place] = content["curves"][number]
    first, *_ = measurements
    task, score, curve = first["task"], first["score"], first["curves"][number]
    return pictures.CloudPanel(
        title=f"{first['title']}: {curve_name(curve)}\n{finished.runs_name(folds, seeds)}",
        score=score,
        curves=[
            pictures.CloudCurve(*model, curve["ratios"], pooled_scores(task, score, curves))
            for model, curves in models.items()
        ],
    )


def _key(measurement: Mapping[str, Any]) -> tuple[str, str]:
    return _scheme(measurement), measurement["enhancement"]


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


def _scheme(measurement: Mapping[str, Any]) -> str:
    """The model of a measurement, whatever modalities its fusion scheme has."""
    return measurement["model"].partition(" of ")[0]


def read(folder: pathlib.Path) -> list[dict[str, Any]]:
    """Reads all that was measured in `folder` and below.

    Raises:
      UserError: If there is nothing, it differs in settings or data, a scheme is there of different
        modalities, or a run twice.
    """
    measurements = {
        file: content
        for file in sorted(folder.glob("**/*.json"))
        if (content := console.json_content(file)).get("kind") == KIND
    }
    if not measurements:
        remedy = "measure runs first, by --run"
        raise UserError("nothing was measured here", where=folder, remedy=remedy)
    first, *others = measurements
    for file in others:
        own, of_first = measurements[file], measurements[first]
        for name in ("settings", "data"):
            if own[name] != of_first[name]:
                fault = f"its {name} are not those of {first}"
                raise UserError(fault, where=file, remedy="measure both alike, or draw them apart")
        if (name := finished.dataset_name(own)) != finished.dataset_name(of_first):
            fault = f"it is of {name}, {first} of {finished.dataset_name(of_first)}"
            raise UserError(fault, where=file, remedy="draw them apart")
    for file, content in measurements.items():
        if not all("counts" in curve for curve in content["curves"]):
            raise UserError("it lacks counts", where=file, remedy="measure it anew")
    seen: dict[tuple, pathlib.Path] = {}
    schemes: dict[tuple, tuple[str, pathlib.Path]] = {}
    for file, content in measurements.items():
        run = tuple(content[name] for name in ("task", "model", "enhancement", "fold", "seed"))
        if (other := seen.setdefault(run, file)) != file:
            fault = f"it is of the same model, fold and seed as {other}"
            raise UserError(fault, where=file, remedy="move one of them elsewhere")
        of_scheme = content["task"], _scheme(content)
        model, other = schemes.setdefault(of_scheme, (content["model"], file))
        if model != content["model"]:
            fault = f"it is of {content['model']}, {other} of {model}"
            raise UserError(fault, where=file, remedy="draw them apart")
    return list(measurements.values())


def curve_name(curve: dict[str, Any]) -> str:
    """What is removed together, for readers."""
    return "random dates" if curve["spell"] == 1 else f"spells of {curve['spell']} dates"


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m experiments.paper.cloud_cover", args=argv)
    console.command(lambda: run(config))


if __name__ == "__main__":
    main()
