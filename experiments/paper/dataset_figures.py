"""Figures 1 and 4 of the paper: the dataset, and the series of a patch.

    python -m experiments.paper.dataset_figures --out figures                   # simulated
    python -m experiments.paper.dataset_figures --data PATCH_FOLDER --out figures

Figure 1: patches of several folds, one acquisition of each modality, classes and parcels. Figure 4:
acquisitions of one patch over the season, clouds among them. Any folder of patches does; the counts
in the titles are of its metadata. Patches with most classes are shown.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import tyro

from experiments.paper import pictures, qualitative
from pastis_jax import viz
from pastis_jax.cli import console
from pastis_jax.data import simulate
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.metadata import Patch
from pastis_jax.data.patches.folder import PatchFolder
from pastis_jax.data.patches.instances import instances_from_parcels
from pastis_jax.errors import refuse

Name = Literal["figure1", "figure4"]
NAMES: tuple[str, ...] = Name.__args__


@dataclasses.dataclass(frozen=True)
class Config:
    """Draw figures 1 and 4 of the paper, of any folder of patches."""

    out: pathlib.Path
    """Folder of the pictures."""
    data: pathlib.Path | None = None
    """Folder of patches. Default: the simulated one."""
    only: tuple[Name, ...] = ()
    """Figures to draw. Default: both."""
    patches: int = 3
    """Patches in figure 1."""
    dates: int = 7
    """Acquisitions of each modality in figure 4, evenly from the first to the last."""
    cache_dir: pathlib.Path | None = None
    """Where simulated data are kept."""


def run(config: Config) -> list[pathlib.Path]:
    """Draws; returns the pictures.

    Raises:
      UserError: For a mistake in the arguments or the data.
    """
    for name in ("patches", "dates"):
        refuse(name, getattr(config, name) < 1, "must be at least 1", "give 3, say")
    console.check_folder(config.out)
    root = config.data or simulate.default_patches(config.cache_dir)
    folder = PatchFolder(root)
    classes = ClassMapping.of(folder.dataset.nomenclature)
    drawn, shown = [], chosen(folder, config.patches)
    for name in config.only or NAMES:
        drawn.append(config.out / f"{name}.png")
        if name == "figure1":
            pictures.dataset_panel(
                [annotated(folder, classes, patch) for patch in shown],
                classes.names,
                classes.colours,
                drawn[-1],
                title=about(folder),
            )
        else:
            pictures.series_panel(
                series(folder, classes, shown[0], config.dates),
                classes.names,
                classes.colours,
                drawn[-1],
                title=f"{title_of(folder)}: series and annotations of patch {shown[0].id}",
            )
        console.say(f"{drawn[-1]} drawn.")
    return drawn


def title_of(folder: PatchFolder) -> str:
    """The name of the dataset, and whether it is simulated."""
    simulated = simulate.is_simulated(folder.root)
    return f"{folder.dataset.name}, simulated" if simulated else folder.dataset.name


def about(folder: PatchFolder) -> str:
    """What a dataset has, for a title."""
    patches = folder.patches.values()
    images = (
        f"{sum(len(patch.days[name]) for patch in patches):,} images of {name}"
        for name in folder.modalities
    )
    return f"{title_of(folder)}: {len(patches):,} patches, {', '.join(images)}"


def chosen(folder: PatchFolder, number: int) -> list[Patch]:
    """The patches with most classes, of as many folds as there are.

    Of equally rich ones those that come first in the metadata. Annotations of all are read.
    """
    crops = {
        folder.dataset.nomenclature.number_of(c.code) for c in folder.dataset.nomenclature.crops
    }
    rich = {
        patch: len(crops & {*np.unique(folder.target(patch)[0]).tolist()})
        for patch in folder.patches.values()
    }
    order, rank = sorted(rich, key=lambda patch: -rich[patch]), {}
    for patch in order:
        rank[patch] = sum(patch.fold == other.fold for other in rank)
    return sorted(order, key=rank.__getitem__)[:number]


def annotated(folder: PatchFolder, classes: ClassMapping, patch: Patch) -> pictures.AnnotatedPatch:
    """A patch with one acquisition of each modality, those of one time.

    That of the first optical modality is its clearest of the middle third of the season.
    """
    series, dataset = folder.series(patch), folder.dataset
    optical = [name for name in series if dataset[name].optical and len(series[name][1])]
    near = None
    if optical:
        values, days = series[optical[0]]
        middle = np.flatnonzero(np.abs(days - (days.min() + days.max()) / 2) <= np.ptp(days) / 6)
        middle = middle if len(middle) else np.arange(len(days))
        near = days[middle[qualitative.clearest(values[middle], dataset[optical[0]])]]
    shown = {}
    for name, (_, days) in series.items():
        at = (
            np.abs(days - (np.median(days) if near is None else near)).argmin() if len(days) else []
        )
        shown[name] = acquisitions(folder, series, name, np.atleast_1d(at))
    return pictures.AnnotatedPatch(f"patch {patch.id}", shown, truth(folder, classes, patch))


def series(
    folder: PatchFolder, classes: ClassMapping, patch: Patch, number: int
) -> pictures.AnnotatedPatch:
    """A patch with `number` acquisitions of each modality, evenly in their order."""
    stored, shown = folder.series(patch), {}
    for name, (_, days) in stored.items():
        order, count = np.argsort(days, kind="stable"), min(number, len(days))
        places = np.linspace(0, max(len(days) - 1, 0), count).round().astype(int)
        text = f"{name}: {len(days)} acquisitions"
        shown[text] = acquisitions(folder, stored, name, order[places])
    return pictures.AnnotatedPatch(f"patch {patch.id}", shown, truth(folder, classes, patch))


def acquisitions(
    folder: PatchFolder,
    series: Mapping[str, tuple[np.ndarray, np.ndarray]],
    name: str,
    numbers: Sequence[int],
) -> list[pictures.Acquisition]:
    """Acquisitions of a modality, ready to be drawn."""
    values, days = series[name]
    return [
        pictures.Acquisition(
            viz.picture(np.asarray(values[i]).transpose(1, 2, 0), folder.dataset[name]),
            f"{folder.dataset.date(days[i]):%d %b %Y}",
        )
        for i in numbers
    ]


def truth(folder: PatchFolder, classes: ClassMapping, patch: Patch) -> pictures.ClassMap:
    """The classes of a patch, and its parcels."""
    semantic, parcels, _ = folder.target(patch)
    grown = ~folder.dataset.nomenclature.is_background(semantic)
    return pictures.ClassMap(classes.lookup[semantic], instances_from_parcels(parcels, grown))


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m experiments.paper.dataset_figures", args=argv)
    console.command(lambda: run(config))


if __name__ == "__main__":
    main()
