"""Every table and figure of the paper by one command.

    python -m experiments.paper --smoke                       # all of it in short, simulated
    python -m experiments.paper --only table1                 # simulated, about an hour on a CPU
    python -m experiments.paper --data PIXEL_SET PATCHES --folds 1 2 3 4 5 --out runs/paper

Each cell of a table, and each measurement for a figure, is a command in a folder of its own below
--out: stop and go on at will. `python -m experiments.paper.report` makes a page of what is there.
docs/reproduction.md has the scores and hours to expect.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Literal

import jax
import tyro

from experiments import cross_validation
from experiments.paper import cloud_cover, dataset_figures, figures
from experiments.paper.cells import ROOT, Cell, Cells, Shard
from pastis_jax.cli import console
from pastis_jax.data import simulate
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches.prepare import prepare_patches
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets
from pastis_jax.errors import UserError

Part = Literal[
    *(f"table{number}" for number in range(1, 5)),
    *(f"figure{number}" for number in (1, 4, *range(5, 12))),
    "attention",
]
PARTS: tuple[str, ...] = Part.__args__

MODELS = {
    **{m: ("--fusion", "single", "--modalities", m) for m in ("S2", "S1D", "S1A")},
    **{scheme: ("--fusion", scheme) for scheme in ("early", "mid", "late", "decision")},
}
ENHANCEMENTS = {
    "base": (),
    "temporal_dropout": ("--temporal-dropout",),
    "auxiliary": ("--auxiliary",),
    "both": ("--temporal-dropout", "--auxiliary"),
}
Row = tuple[str, str, str]
"""Task, model and enhancement of a run."""


def _rows(task: str, **enhancements: str) -> tuple[Row, ...]:
    return tuple((task, m, e) for m, names in enhancements.items() for e in names.split())


_TWO, _THREE, _FOUR = "base temporal_dropout", "base temporal_dropout both", " ".join(ENHANCEMENTS)
ROWS: dict[str, tuple[Row, ...]] = {
    "table1": _rows(
        "parcel",
        **dict.fromkeys(("S2", "S1D", "S1A", "early"), _TWO),
        **dict.fromkeys(("mid", "late", "decision"), _FOUR),
    ),
    # The paper has no mid fusion of images, and no base of late and decision fusion.
    "table2": _rows(
        "semantic",
        S2=_TWO,
        S1D=_TWO,
        S1A=_TWO,
        early=_TWO,
        mid=_THREE,
        late=_THREE,
        decision=_THREE,
    ),
    "table3": _rows(
        "panoptic",
        **dict.fromkeys(("S2", "S1D", "S1A"), "base"),
        **dict.fromkeys(("early", "mid", "late"), "temporal_dropout"),
    ),
    "table4": (
        *_rows("parcel", early="temporal_dropout", mid="both", late="both", decision="both"),
        *_rows("semantic", early="temporal_dropout", mid="both", late="both", decision="both"),
        *_rows("panoptic", **dict.fromkeys(("early", "mid", "late"), "temporal_dropout")),
    ),
    **dict.fromkeys(("figure1", "figure4", "figure6"), ()),
    "figure5": _rows("parcel", S2="base", late="both"),
    "figure8": _rows("semantic", S2="base", late="both"),
    "figure9": _rows("panoptic", S2="base", late="temporal_dropout"),
    "figure10": _rows("panoptic", S2="base", late="temporal_dropout"),
    "figure11": _rows("panoptic", S2="base", S1A="base", S1D="base", late="temporal_dropout"),
    "attention": (*_rows("parcel", mid="both", late="both"), *_rows("semantic", late="both")),
}
"""The runs that each table and figure shows."""
ROWS["figure7"] = (*ROWS["table1"], *ROWS["table2"], *ROWS["table3"])
OF_ONE_RUN = ("table4", "figure6", "figure8", "figure9", "figure11", "attention")
"""They show the first fold with the first seed; the others all folds and seeds."""

SETS = {
    "pixel sets": (simulate.default_pixel_sets, prepare_pixel_sets),
    "patches": (simulate.default_patches, prepare_patches),
}
NARROW = (
    *("--encoder-widths", "8", "16", "--decoder-widths", "8", "16"),
    *("--heads", "2", "--model-features", "16", "--crop", "16"),
)
SMOKE = {
    "parcel": ("--epochs", "2", "--batch-size", "16"),
    "semantic": (*NARROW, "--head-widths", "8", "--epochs", "1"),
    "panoptic": (*NARROW, "--max-instances", "32", "--epochs", "2"),
}
SMOKE_ENVIRONMENT = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
"""So short runs compile longer than they compute."""
if jax.__version_info__ < (0, 11):  # An unknown flag would end the process.
    SMOKE_ENVIRONMENT["XLA_FLAGS"] = " ".join(
        [os.environ.get("XLA_FLAGS", ""), "--xla_cpu_use_fusion_emitters=false"]
    )
SMOKE_FLOW = ("--epochs", "3")
SMOKE_CLOUDS = ("--ratios", "0", "0.3", "0.7", "1", "--draws", "1")


@dataclasses.dataclass(frozen=True)
class Config:
    """Run or collect every cell of the paper's tables, and what its figures need.

    Without --data, on the simulated sets of the experiments, with their numbers of epochs. With
    --data, by the paper's protocol.
    """

    data: tuple[pathlib.Path, ...] = ()
    """Official folders: of pixel sets (Table 1), of patches (Tables 2 and 3), or both."""
    only: tuple[Part, ...] = ()
    """Tables and figures to make. Default: all."""
    folds: tuple[Literal[1, 2, 3, 4, 5], ...] = (1,)
    """Official runs; the paper's tables are of all five."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of training."""
    epochs: int | None = None
    """Epochs of every run. Default: as the experiments'."""
    smoke: bool = False
    """Narrow models for an epoch or two on a tiny simulated set: shows that everything runs."""
    out: pathlib.Path | None = None
    """Where the cells stand. What is there is not run again. Default: runs/paper, with --smoke
    runs/paper-smoke."""
    shard: str | None = None
    """Run the part I/N of the cells only, on one of N machines that see the same --out; the last
    command without it does what is left, and draws."""
    workers: int = 1
    """Number of cells to run at a time; they share the devices, which a TPU does not allow."""
    compute_statistics: bool = False
    """Normalise by statistics computed from the data, for folders without NORM files."""
    cache_dir: pathlib.Path | None = None
    """As in the experiments."""


def run(config: Config) -> bool:
    """Runs what is missing and draws the figures; returns whether all that it is to run is done.

    Raises:
      UserError: For a mistake in the arguments or the data.
    """
    out = config.out or pathlib.Path("runs/paper-smoke" if config.smoke else "runs/paper")
    config = dataclasses.replace(config, out=out.expanduser())
    console.check_folder(config.out)  # The check of the data may simulate them.
    check(config)
    shard = Shard.parse(config.shard) if config.shard else None
    wanted = cells(config)
    kept = Cells(config.out, wanted)
    if any(kept.status(cell) != "done" for cell in wanted):
        prepare(config, wanted)
        environment = SMOKE_ENVIRONMENT if config.smoke else {}
        kept.run(workers=config.workers, shard=shard, environment=environment)
    statuses = [kept.status(cell) for cell in wanted]
    counts = {name: statuses.count(name) for name in ("done", "failed", "missing")}
    console.say(
        f"{len(wanted)} cells in {config.out}: " + ", ".join(f"{n} {k}" for k, n in counts.items())
    )
    if shard is None:
        draw(config)
        console.say(f"Next: python -m experiments.paper.report --runs {config.out} --out report")
    mine = (shard or Shard()).of(wanted)
    return all(kept.status(cell) == "done" for cell in mine)


def check(config: Config) -> None:
    """Refuses what makes no sense, before anything is run.

    Raises:
      UserError: Naming the flag.
    """
    cross_validation.check_runs(config.folds, config.seeds)
    for flag, value in (("--epochs", config.epochs), ("--workers", config.workers)):
        if value is not None and value < 1:
            raise UserError(f"got {value}", where=flag, remedy="give 1 or more")
    if config.smoke and (config.data or config.epochs):
        fault, remedy = (
            "this is a tiny simulated set, an epoch or two",
            "leave out --data, --epochs",
        )
        raise UserError(fault, where="--smoke", remedy=remedy)
    folders = given(config)
    for kind in sorted({kind_of(cell) for cell in cells(config)} - set(folders)):
        if config.data:
            remedy = "add their folder, or choose tables and figures by --only"
            raise UserError(f"no folder of {kind}", where="--data", remedy=remedy)


def given(config: Config) -> Mapping[str, pathlib.Path]:
    """The folders of the data, by what they hold; none for the default simulated sets.

    Raises:
      UserError: If a folder is missing, or there are two of a kind.
    """
    folders = simulate.default_small(config.cache_dir) if config.smoke else config.data
    by_kind: dict[str, pathlib.Path] = {}
    for folder in folders:
        folder = folder.expanduser().absolute()
        if not folder.is_dir():
            raise UserError("no such folder", where=folder, remedy="give an official folder")
        kind = "pixel sets" if (folder / "metadata_parcel.csv").exists() else "patches"
        if kind in by_kind:
            remedy = "give one folder of pixel sets and one of patches"
            raise UserError(f"{by_kind[kind]} holds {kind} too", where=folder, remedy=remedy)
        by_kind[kind] = folder
    return by_kind


def cells(config: Config) -> list[Cell]:
    """Everything that `config` asks for, each cell after those that it needs."""
    parts = [part for part in PARTS if part in (config.only or PARTS)]
    places = list(itertools.product(config.folds, config.seeds))
    first = places[0]
    wanted = [
        training(config, row, *place)
        for part in parts
        for row in ROWS[part]
        for place in ([first] if part in OF_ONE_RUN else places)
    ]
    if "figure7" in parts:
        wanted += [clouds(config, row, *place) for row in ROWS["figure7"] for place in places]
    if "figure6" in parts:
        wanted += gradient_flow(config, *first)
    if "attention" in parts:
        wanted += [attention(config, row, *first) for row in ROWS["attention"]]
    if "table4" in parts:
        wanted += [inference(config, row, *first) for row in ROWS["table4"]]
    return list(dict.fromkeys(wanted))


def training(config: Config, row: Row, fold: int, seed: int) -> Cell:
    """A run of Tables 1 to 3."""
    task, model, enhancement = row
    flags = [*MODELS[model], *ENHANCEMENTS[enhancement], *source(config, task)]
    if config.smoke:
        flags += SMOKE[task]
    if config.data and task != "parcel" and model in ("mid", "late", "decision"):
        flags.append("--remat")  # They need up to 52 GB without (docs/performance.md).
    if task == "panoptic":
        flags.append("--legacy-void")  # The rule that Table 3 was made by.
    if config.epochs:
        flags += ["--epochs", str(config.epochs)]
    return cross_validation.cell(task, flags, fold, seed, folder=f"{task}/{model}-{enhancement}/")


def clouds(config: Config, row: Row, fold: int, seed: int) -> Cell:
    """A curve of Figure 7."""
    run, flags = training(config, row, fold, seed), SMOKE_CLOUDS if config.smoke else ()
    return _measured(config, "cloud_cover", f"cloud_cover/{run.name}", run, flags)


def attention(config: Config, row: Row, fold: int, seed: int) -> Cell:
    """Which dates a model attends to."""
    run = training(config, row, fold, seed)
    name = f"attention/{'-'.join(row)}-fold{fold}-seed{seed}"
    return _measured(config, "attention", name, run)


def inference(config: Config, row: Row, fold: int, seed: int) -> Cell:
    """A cell of Table 4."""
    task, model, _ = row
    run = training(config, row, fold, seed)
    name = f"inference/{task}-{model}/fold{fold}-seed{seed}"
    return dataclasses.replace(_measured(config, "inference_time", name, run), alone=True)


def _measured(config: Config, module: str, name: str, run: Cell, flags: Sequence[str] = ()) -> Cell:
    """What `experiments.paper.<what>` measures of a run."""
    command = (f"experiments.paper.{module}", "--run", f"{ROOT}/{run.out}", *flags, *_cache(config))
    return Cell(name, command, out=f"{name}.json", result=f"{name}.json", needs=(run.name,))


def gradient_flow(config: Config, fold: int, seed: int) -> list[Cell]:
    """The halves of Figure 6; the second draws both."""
    flags = (*source(config, "parcel"), *(SMOKE_FLOW * config.smoke))
    if config.epochs:
        flags = (*flags, "--epochs", str(config.epochs))
    command = ("experiments.paper.gradient_flow", *flags, "--fold", str(fold), "--seed", str(seed))
    base, both = (f"gradient_flow/{x}-fold{fold}-seed{seed}" for x in ("base", "auxiliary"))
    beside = ("--auxiliary", "--beside", f"{ROOT}/{base}.json")
    return [
        Cell(base, command, out=f"{base}.json", result=f"{base}.json"),
        Cell(both, (*command, *beside), out=f"{both}.json", result=f"{both}.json", needs=(base,)),
    ]


def source(config: Config, task: str) -> tuple[str, ...]:
    """Flags that say where the data of a task are; none for the simulated set."""
    folders, kind = given(config), "pixel sets" if task == "parcel" else "patches"
    data = ("--data", str(folders[kind])) if kind in folders else ()
    return (*data, *(("--compute-statistics",) * config.compute_statistics), *_cache(config))


def _cache(config: Config) -> tuple[str, ...]:
    return ("--cache-dir", str(config.cache_dir)) if config.cache_dir else ()


def prepare(config: Config, wanted: Sequence[Cell]) -> None:
    """Simulates and prepares the data of the cells, which several might try at once.

    Raises:
      UserError: For every mistake in the data.
    """
    folders = given(config)
    for kind in sorted({kind_of(cell) for cell in wanted}):
        simulated, prepared = SETS[kind]
        root = folders.get(kind) or simulated(config.cache_dir)
        console.say(f"Looking at {root}.")
        prepared(
            root,
            modalities=PASTIS_R.names,
            cache=config.cache_dir,
            compute_statistics=config.compute_statistics,
        )


def kind_of(cell: Cell) -> str:
    """The kind of data that a cell reads."""
    words = re.split("[/-]", cell.name)
    return "patches" if "semantic" in words or "panoptic" in words else "pixel sets"


def draw(config: Config) -> None:
    """Draws what `config` asks for, and is there, into the folder `figures`."""
    parts, folder = set(config.only or PARTS), config.out / "figures"
    for part in parts:
        for earlier in folder.glob(f"{part}[!0-9]*png"):
            earlier.unlink()
    only = tuple(figure.name for figure in figures.FIGURES if figure.name in parts)
    if only:
        with console.told():
            figures.run(
                figures.Config(
                    runs=config.out,
                    out=folder,
                    only=only,
                    fold=config.folds[0],
                    seed=config.seeds[0],
                    cache_dir=config.cache_dir,
                )
            )
    if of_data := tuple(name for name in dataset_figures.NAMES if name in parts):
        with console.told():
            data, cache = _patches(config), config.cache_dir
            dataset_figures.run(dataset_figures.Config(folder, data, of_data, cache_dir=cache))
    if "figure7" in parts:
        with console.told():
            cloud_cover.draw(config.out / "cloud_cover", folder / "figure7.png")
    place = f"fold{config.folds[0]}-seed{config.seeds[0]}"
    drawn = {f"figure6-{place}.png": config.out / "gradient_flow" / f"auxiliary-{place}.png"}
    for picture in sorted((config.out / "attention").glob(f"*-{place}_*.png")):
        drawn[f"attention-{picture.name}"] = picture
    for name, picture in drawn.items():
        if picture.exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, folder / name)


def _patches(config: Config) -> pathlib.Path | None:
    """The folder of patches; None for the default simulated one."""
    folder = given(config).get("patches")
    if config.data and folder is None:
        raise UserError("no folder of patches", where="--data", remedy="add it for figures 1, 4")
    return folder


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m experiments.paper", args=argv)
    complete = []
    console.command(lambda: complete.append(run(config)))
    if complete == [False]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
