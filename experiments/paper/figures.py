"""Figures 5 and 8 to 11 of the paper, from finished runs.

    python -m experiments.paper.figures --runs reproduction --out reproduction/figures

Figures 5 and 10: IoU of parcels and PQ of parcels as instances by class, S2 alone and late fusion.
Figures 8, 9 and 11: maps of test patches, with the parcels marked that only one of the two gets
right. Runs are looked for as `experiments.paper` names them:
<task>/<model>-<enhancement>/fold<F>-seed<S>. What cannot be drawn is named, with what is missing.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import tyro

from experiments.paper import finished, pictures, pooled, qualitative
from pastis_jax.cli import console
from pastis_jax.data.metadata import Identifier
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.splits import PatchSplits
from pastis_jax.errors import UserError, refuse
from pastis_jax.training import write_json

S2, LATE = "S2 alone", "late fusion"
_CLASSIFIED = {S2: "S2-base", LATE: "late-both"}
_PANOPTIC = {S2: "S2-base", LATE: "late-temporal_dropout"}
_RADAR = {"S1A alone": "S1A-base", "S1D alone": "S1D-base"}


@dataclasses.dataclass(frozen=True)
class PaperFigure:
    """What a figure is made of.

    Attributes:
      name: Of its file.
      task: Of its runs.
      models: Their folders below that of the task, by what they are called.
      maps: Whether it shows maps of patches, or else scores by class.
      observed: Whether the maps have observations beside them.
    """

    name: str
    task: str
    models: Mapping[str, str]
    maps: bool = True
    observed: bool = False


FIGURES = (
    PaperFigure("figure5", "parcel", _CLASSIFIED, maps=False),
    # The classes of figure 10 are in the order of figure 5.
    PaperFigure("figure10", "panoptic", _PANOPTIC, maps=False),
    PaperFigure("figure8", "semantic", _CLASSIFIED, observed=True),
    PaperFigure("figure9", "panoptic", _PANOPTIC, observed=True),
    PaperFigure("figure11", "panoptic", _RADAR | _PANOPTIC),
)
SCORES = {"parcel": "IoU", "panoptic": "PQ"}
Place = tuple[int, int]
"""Fold and seed of a run."""
CROPS = PASTIS_R.nomenclature.crops
BACKGROUND = PASTIS_R.nomenclature.classes[PASTIS_R.nomenclature.background_number]


@dataclasses.dataclass(frozen=True)
class Config:
    """Draw figures 5 and 8 to 11 of the paper from finished runs."""

    runs: pathlib.Path
    """The --out of experiments.paper."""
    out: pathlib.Path
    """Folder of the pictures, and of figures.json, which says what they were made from."""
    only: tuple[Literal["figure5", "figure8", "figure9", "figure10", "figure11"], ...] = ()
    """Figures to draw. Default: all."""
    patches: int = 3
    """Test patches in figures 8, 9 and 11: those on which S2 alone and late fusion differ most."""
    fold: Literal[1, 2, 3, 4, 5] | None = None
    """Fold of figures 8, 9 and 11. Default: the first of which their runs are there. Figures 5 and
    10 take all folds and seeds."""
    seed: int | None = None
    """Seed likewise."""
    data: pathlib.Path | None = None
    """Folder of the patches of figures 8, 9 and 11, if no longer where the runs had them."""
    cache_dir: pathlib.Path | None = None
    """Where prepared and simulated data are kept. Default: $PASTIS_JAX_CACHE or ~/.cache."""


class UndrawableError(Exception):
    """A figure cannot be drawn; the text says why."""


def run(config: Config) -> dict[str, Any]:
    """Draws what can be drawn; returns the content of figures.json.

    Raises:
      UserError: If that is nothing, or for a mistake in the configuration or a run.
    """
    check(config)
    drawn, missing = {}, {}
    predictions = functools.cache(functools.partial(predicted, config.data, config.cache_dir))
    for figure in FIGURES:
        if config.only and figure.name not in config.only:
            continue
        try:
            if figure.maps:
                draw, facts = maps(config, figure, predictions)
            else:
                draw, facts = per_class(config, figure, drawn.get("figure5", {}).get("classes"))
        except (UndrawableError, UserError) as error:
            missing[figure.name] = str(error)
            console.say(f"{figure.name} not drawn: {error}")
            continue
        picture = config.out / f"{figure.name}.png"
        draw(picture)
        drawn[figure.name] = facts
        console.say(f"{picture} drawn.")
    if not drawn:
        remedy = "give the --out of experiments.paper, when it has finished more runs"
        fault = f"no figure can be drawn ({'; '.join(missing.values())})"
        raise UserError(fault, where=config.runs, remedy=remedy)
    settings = {
        name: value.absolute() if isinstance(value, pathlib.Path) else value
        for name, value in dataclasses.asdict(config).items()
    }
    content = {"settings": settings, "figures": drawn, "missing": missing}
    write_json(config.out / "figures.json", content)
    return content


def check(config: Config) -> None:
    """Refuses what cannot work, before any work.

    Raises:
      UserError: For every mistake in the configuration.
    """
    refuse("patches", config.patches < 1, "must be at least 1", "give 3, say")
    fault = f"{config.runs} is no folder"
    refuse("runs", not config.runs.is_dir(), fault, "give one of runs")
    console.check_folder(config.out)


def find_places(config: Config, task: str, model: str) -> dict[Place, pathlib.Path]:
    """Returns the finished runs of a model, in the order of folds and seeds."""
    folders = {}
    for folder in (config.runs / task / model).glob("fold*-seed*"):
        name = re.fullmatch(r"fold(\d+)-seed(\d+)", folder.name)
        if name and (folder / "result.json").exists():
            folders[int(name[1]), int(name[2])] = folder
    return dict(sorted(folders.items()))


def shared_places(config: Config, figure: PaperFigure) -> dict[Place, dict[str, pathlib.Path]]:
    """Returns the runs of a figure by fold and seed, where all its models have one.

    Raises:
      UndrawableError: If there is none.
    """
    places = {name: find_places(config, figure.task, m) for name, m in figure.models.items()}
    lacking = [figure.models[name] for name, folders in places.items() if not folders]
    if lacking:
        models = " and ".join(f"{figure.task}/{model}" for model in lacking)
        raise UndrawableError(f"no finished run of {models}")
    shared = sorted(set.intersection(*map(set, places.values())))
    if not shared:
        models = " and ".join(f"{figure.task}/{model}" for model in figure.models.values())
        raise UndrawableError(f"no fold and seed of which all of {models} are finished")
    return {place: {name: folders[place] for name, folders in places.items()} for place in shared}


def per_class(
    config: Config, figure: PaperFigure, order: Sequence[str] | None
) -> tuple[Callable[[pathlib.Path], None], dict[str, Any]]:
    """Scores by class: what draws them, and the facts for figures.json.

    Counts are summed over the folds that every seed has; the spread is over seeds.

    Args:
      config: Settings.
      figure: 5 or 10.
      order: Names of classes; by default those of the runs, by the falling score of S2 alone.

    Raises:
      UndrawableError: If runs are missing, or do not fit together.
    """
    places = shared_places(config, figure)
    folds, seeds = pooled.complete(places)
    used = {
        (model, fold, seed): places[fold, seed][model]
        for model in figure.models
        for seed in seeds
        for fold in folds
    }
    read, configs = {}, []
    for key, folder in used.items():
        read[key], config_of_run = finished.read_run(folder)
        configs.append(config_of_run)
    results = list(read.values())
    check_alike(results)
    common_rule(configs)
    scores = {
        model: np.stack(
            [summed(figure.task, [read[model, fold, seed] for fold in folds]) for seed in seeds]
        )
        for model in figure.models
    }
    left_out = [
        str(folder)
        for model in figure.models.values()
        for folder in find_places(config, figure.task, model).values()
        if folder not in used.values()
    ]
    if left_out:
        console.say(f"{figure.name}: not every seed and model has {', '.join(left_out)}: left out.")
    score, names = SCORES[figure.task], [crop.name for crop in CROPS]
    sequence = "classes in the order of figure 5"
    if order is None:
        falling = np.argsort(-np.nan_to_num(scores[S2], nan=-1).mean(0), kind="stable")
        order = [names[i] for i in falling]
        sequence = f"classes by falling {score} of {S2}"
    columns = [names.index(name) for name in order]
    shown = {name: values[:, columns] for name, values in scores.items()}
    draw = functools.partial(
        pictures.compare_per_class,
        shown,
        order,
        [CROPS[i].colour for i in columns],
        score=score,
        title=f"{heading(folds, seeds, results)}\n{sequence}",
    )
    facts = {
        "runs": [str(folder) for folder in used.values()],
        "left_out": left_out,
        "score": score,
        "sequence": sequence,
        "classes": order,
        "scores": {figure.models[name]: values for name, values in shown.items()},
    }
    return draw, facts


def summed(task: str, results: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """IoU or PQ of each crop, from the counts of all `results` together."""
    scores = pooled.pool(results)
    if task == "parcel":
        return np.array([scores["iou"][crop.name] for crop in CROPS])
    return np.array([scores["per_class"][crop.name]["PQ"] for crop in CROPS])


def check_alike(results: Sequence[Mapping[str, Any]]) -> None:
    """Refuses results of simulated and of given data side by side, and of other classes.

    Raises:
      UndrawableError: For these.
    """
    if len({result["data"] for result in results}) > 1:
        raise UndrawableError("some of its runs are of simulated data, some are not")
    crops = [crop.name for crop in CROPS]
    for result in results:
        names = list(result["test"].get("iou") or result["test"]["per_class"])
        if [name for name in names if name != BACKGROUND.name] != crops:
            raise UndrawableError("its runs are not all of the official classes")
        if (name := finished.dataset_name(result)) != PASTIS_R.name:
            raise UndrawableError(f"its runs are not all of {PASTIS_R.name}, one is of {name}")


def common_rule(configs: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the runs of these config.json are scored by the earlier rule for void parcels.

    Raises:
      UndrawableError: If some are and some are not.
    """
    rules = {bool(config.get("legacy_void")) for config in configs}
    if len(rules) > 1:
        raise UndrawableError("some of its runs are of --legacy-void, some are not")
    return rules.pop()


def maps(
    config: Config, figure: PaperFigure, predictions: Callable
) -> tuple[Callable[[pathlib.Path], None], dict[str, Any]]:
    """Maps of test patches: what draws them, and the facts for figures.json.

    Args:
      config: Settings.
      figure: 8, 9 or 11.
      predictions: `predicted` of a folder, remembered.

    Raises:
      UndrawableError: If runs are missing, or tested on different patches.
    """
    places = {
        (fold, seed): folders
        for (fold, seed), folders in shared_places(config, figure).items()
        if config.fold in (None, fold) and config.seed in (None, seed)
    }
    if not places:
        asked = f"fold {config.fold or 'any'}, seed {'any' if config.seed is None else config.seed}"
        models = " and ".join(f"{figure.task}/{model}" for model in figure.models.values())
        raise UndrawableError(f"{models} are not all finished for {asked}")
    (fold, seed), folders = next(iter(places.items()))
    results, configs = zip(*map(finished.read_run, folders.values()), strict=True)
    check_alike(results)
    legacy_void = common_rule(configs)
    predicted_by = {name: predictions(folder) for name, folder in folders.items()}
    if len({tuple(maps_of) for _, maps_of in predicted_by.values()}) > 1:
        raise UndrawableError("its runs were tested on different patches")
    splits, _ = predicted_by[LATE]
    if figure.observed and None in qualitative.shown_modalities(splits):
        raise UndrawableError(f"{folders[LATE]} uses nothing optical or no radar to show")
    examples = qualitative.choose(
        splits,
        {name: maps_of for name, (_, maps_of) in predicted_by.items()},
        compared=(S2, LATE),
        number=config.patches,
        observed=figure.observed,
        legacy_void=legacy_void,
    )
    draw = functools.partial(
        pictures.comparison_panel,
        examples.rows,
        splits.classes.names,
        splits.classes.colours,
        title=heading([fold], [seed], results),
        gained="right with late fusion only",
        lost="right with S2 only",
    )
    facts = {
        "runs": [str(folder) for folder in folders.values()],
        "patches": examples.ids,
        "parcels_only_late_gets_right": examples.gained,
        "parcels_only_s2_gets_right": examples.lost,
    }
    if figure.task == "panoptic":
        facts["void_rule"] = "legacy" if legacy_void else "corrected"
    return draw, facts


def predicted(
    data: pathlib.Path | None, cache_dir: pathlib.Path | None, folder: pathlib.Path
) -> tuple[PatchSplits, dict[Identifier, pictures.ClassMap]]:
    """The data of a run, and its predictions by identifier of the patch."""
    console.say(f"Predicting the test patches of {folder}.")
    opened = finished.open_data(folder, data=data, cache_dir=cache_dir)
    return opened.splits, qualitative.predict(opened)


def heading(
    folds: Sequence[int], seeds: Sequence[int], results: Sequence[Mapping[str, Any]]
) -> str:
    """Task, data, folds, seeds and epochs, for a title."""
    task, _, _ = results[0]["title"].partition(",")
    simulated = results[0]["data"] == "simulated"
    data = "simulated data" if simulated else pathlib.Path(results[0]["folder"]).name
    epochs = sorted({result["epochs"] for result in results})
    trained = f"{' or '.join(map(str, epochs))} epoch{'s' * (epochs != [1])}"
    return ", ".join([task, data, finished.runs_name(folds, seeds), trained])


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m experiments.paper.figures", args=argv)
    console.command(lambda: run(config))


if __name__ == "__main__":
    main()
