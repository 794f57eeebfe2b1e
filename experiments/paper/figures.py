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
import json
import os
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import tyro

from experiments import arguments, common, restored
from experiments.paper import pictures, pooled, qualitative
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.errors import UserError
from pastis_jax.training import jsonable

S2, LATE = "S2 alone", "late fusion"
_CLASSIFIED = {S2: "S2-base", LATE: "late-both"}
_PANOPTIC = {S2: "S2-base", LATE: "late-temporal_dropout"}
_RADAR = {"S1A alone": "S1A-base", "S1D alone": "S1D-base"}


@dataclasses.dataclass(frozen=True)
class Figure:
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
    Figure("figure5", "parcel", _CLASSIFIED, maps=False),
    Figure("figure10", "panoptic", _PANOPTIC, maps=False),  # the classes in the order of figure 5
    Figure("figure8", "semantic", _CLASSIFIED, observed=True),
    Figure("figure9", "panoptic", _PANOPTIC, observed=True),
    Figure("figure11", "panoptic", _RADAR | _PANOPTIC),
)
SCORES = {"parcel": "IoU", "panoptic": "PQ"}
Cell = tuple[int, int]
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
    cache_dir: pathlib.Path | None = None
    """Where prepared and simulated data are kept, if no longer where the runs had them."""


class UndrawableError(Exception):
    """A figure cannot be drawn; the text says why."""


def run(config: Config) -> dict[str, Any]:
    """Draws what can be drawn; returns the content of figures.json.

    Raises:
      UserError: If that is nothing, or for a mistake in the configuration or a run.
    """
    check(config)
    drawn, missing = {}, {}
    predictions = functools.cache(functools.partial(predicted, config.cache_dir))
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
            common.say(f"{figure.name} not drawn: {error}")
            continue
        picture = config.out / f"{figure.name}.png"
        write_whole(picture, draw)
        drawn[figure.name] = facts
        common.say(f"{picture} drawn.")
    if not drawn:
        remedy = "give the --out of experiments.paper, when it has finished more runs"
        what = f"no figure can be drawn ({'; '.join(missing.values())})"
        raise UserError(what, where=config.runs, remedy=remedy)
    content = {"settings": arguments.stored(config), "figures": drawn, "missing": missing}
    text = json.dumps(jsonable(content), indent=2) + "\n"
    write_whole(config.out / "figures.json", lambda path: path.write_text(text))
    return content


def check(config: Config) -> None:
    """Refuses what cannot work, before any work.

    Raises:
      UserError: For every mistake in the configuration.
    """
    there = next(p for p in (config.out.absolute(), *config.out.absolute().parents) if p.exists())
    arguments.refuse(
        (config.patches < 1, "--patches", "must be at least 1", "give 3, say"),
        (not config.runs.is_dir(), "--runs", f"{config.runs} is no folder", "give one of runs"),
        (
            not there.is_dir() or not os.access(there, os.W_OK),
            "--out",
            f"cannot write to {there}",
            "give another folder",
        ),
    )


def find_cells(config: Config, task: str, model: str) -> dict[Cell, pathlib.Path]:
    """Returns the finished runs of a model, in the order of folds and seeds."""
    found = {}
    for folder in (config.runs / task / model).glob("fold*-seed*"):
        name = re.fullmatch(r"fold(\d+)-seed(\d+)", folder.name)
        if name and (folder / "result.json").exists():
            found[int(name[1]), int(name[2])] = folder
    return dict(sorted(found.items()))


def common_cells(config: Config, figure: Figure) -> dict[Cell, dict[str, pathlib.Path]]:
    """Returns the runs of a figure by fold and seed, where all its models have one.

    Raises:
      UndrawableError: If there is none.
    """
    found = {name: find_cells(config, figure.task, m) for name, m in figure.models.items()}
    lacking = [figure.models[name] for name, cells in found.items() if not cells]
    if lacking:
        models = " and ".join(f"{figure.task}/{model}" for model in lacking)
        raise UndrawableError(f"no finished run of {models}")
    shared = sorted(set.intersection(*(set(cells) for cells in found.values())))
    if not shared:
        models = " and ".join(f"{figure.task}/{model}" for model in figure.models.values())
        raise UndrawableError(f"no fold and seed of which all of {models} are finished")
    return {cell: {name: cells[cell] for name, cells in found.items()} for cell in shared}


def per_class(
    config: Config, figure: Figure, order: Sequence[str] | None
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
    cells = common_cells(config, figure)
    folds, seeds = pooled.complete(cells)
    used = {
        (model, fold, seed): cells[fold, seed][model]
        for model in figure.models
        for seed in seeds
        for fold in folds
    }
    read = {key: restored.read_run(folder)[0] for key, folder in used.items()}
    results = list(read.values())
    check_alike(results)
    scores = {
        model: np.stack(
            [summed(figure.task, [read[model, fold, seed] for fold in folds]) for seed in seeds]
        )
        for model in figure.models
    }
    left_out = [
        str(folder)
        for model in figure.models.values()
        for folder in find_cells(config, figure.task, model).values()
        if folder not in used.values()
    ]
    if left_out:
        common.say(f"{figure.name}: not every seed and model has {', '.join(left_out)}: left out.")
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
    found = pooled.pool(results)
    if task == "parcel":
        return np.array([found["iou"][crop.name] for crop in CROPS])
    return np.array([found["per_class"][crop.name]["PQ"] for crop in CROPS])


def check_alike(results: Sequence[Mapping[str, Any]]) -> None:
    """Refuses results of simulated and of given data side by side, and of grouped classes.

    Raises:
      UndrawableError: For these.
    """
    if len({one["data"] for one in results}) > 1:
        raise UndrawableError("some of its runs are of simulated data, some are not")
    crops = [crop.name for crop in CROPS]
    for one in results:
        names = list(one["test"].get("iou") or one["test"]["per_class"])
        if [name for name in names if name != BACKGROUND.name] != crops:
            raise UndrawableError("its runs are not all of the official classes")


def maps(
    config: Config, figure: Figure, predictions: Callable
) -> tuple[Callable[[pathlib.Path], None], dict[str, Any]]:
    """Maps of test patches: what draws them, and the facts for figures.json.

    Args:
      config: Settings.
      figure: 8, 9 or 11.
      predictions: `predicted` of a folder, remembered.

    Raises:
      UndrawableError: If runs are missing, or tested on different patches.
    """
    cells = {
        (fold, seed): folders
        for (fold, seed), folders in common_cells(config, figure).items()
        if config.fold in (None, fold) and config.seed in (None, seed)
    }
    if not cells:
        asked = f"fold {config.fold or 'any'}, seed {'any' if config.seed is None else config.seed}"
        models = " and ".join(f"{figure.task}/{model}" for model in figure.models.values())
        raise UndrawableError(f"{models} are not all finished for {asked}")
    (fold, seed), folders = next(iter(cells.items()))
    results = [restored.read_run(folder)[0] for folder in folders.values()]
    check_alike(results)
    found = {name: predictions(folder) for name, folder in folders.items()}
    if len({tuple(one) for _, one in found.values()}) > 1:
        raise UndrawableError("its runs were tested on different patches")
    data = found[LATE][0]
    if figure.observed and "S2" not in data.encode.lengths:
        raise UndrawableError(f"{folders[LATE]} uses no S2 to show")
    examples = qualitative.choose(
        data,
        {name: one for name, (_, one) in found.items()},
        compared=(S2, LATE),
        number=config.patches,
        observed=figure.observed,
    )
    draw = functools.partial(
        pictures.comparison_panel,
        examples.rows,
        data.classes.names,
        data.classes.colours,
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
    return draw, facts


def predicted(cache_dir: pathlib.Path | None, folder: pathlib.Path) -> tuple[Any, dict]:
    """The data of a run, and its predictions by id of the patch."""
    common.say(f"Predicting the test patches of {folder}.")
    found = restored.open_run(folder, cache_dir=cache_dir)
    maps = qualitative.predict(found)
    return found.parts.data, maps


def heading(
    folds: Sequence[int], seeds: Sequence[int], results: Sequence[Mapping[str, Any]]
) -> str:
    """Task, data, folds, seeds and epochs, for a title."""
    task, _, _ = results[0]["title"].partition(",")
    simulated = results[0]["data"] == "simulated"
    data = "simulated data" if simulated else pathlib.Path(results[0]["folder"]).name
    epochs = sorted({one["epochs"] for one in results})
    trained = f"{' or '.join(map(str, epochs))} epoch{'s' * (epochs != [1])}"
    return ", ".join([task, data, common.runs_name(folds, seeds), trained])


def write_whole(path: pathlib.Path, write: Callable[[pathlib.Path], Any]) -> None:
    """Writes a file as a whole, or leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".partial-{path.name}")
    write(scratch)
    scratch.replace(path)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parse = functools.partial(
        tyro.cli, Config, prog="python -m experiments.paper.figures", args=argv
    )
    config = parse()
    common.command(lambda: run(config))


if __name__ == "__main__":
    main()
