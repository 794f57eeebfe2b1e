"""Makes a Region in its staging folder: arrays, shards, parcels, and its place at the end."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from pastis_jax.data.dataset import Dataset
from pastis_jax.data.regions import _geo, cube, manifest, writer
from pastis_jax.data.regions.cube import FOLDER
from pastis_jax.data.regions.ingestion import noticed
from pastis_jax.data.regions.ingestion.outlines import Outlines, Wanted
from pastis_jax.data.regions.ingestion.plan import Acquisition, Plan
from pastis_jax.data.regions.ingestion.running import Filler
from pastis_jax.data.regions.ingestion.shards import Maker
from pastis_jax.data.regions.ingestion.staging import AGAIN, Key, Staging, digest, stamp
from pastis_jax.data.regions.manifest import Layer, write_manifest
from pastis_jax.data.regions.sources.opened import OpenedLayer
from pastis_jax.data.regions.writer import FORMAT, Acquisitions, Writer
from pastis_jax.errors import DataError
from pastis_jax.files import write_whole

FINDINGS = "findings.json"
"""What was noticed, a list of kinds and texts."""
Several = Mapping[str, tuple[Acquisition, ...]]


@dataclasses.dataclass(frozen=True)
class Job:
    """A Region to be made, of which nothing is wrong so far.

    Attributes:
      plan: Its grid and acquisitions.
      dataset: What it holds.
      opened: Its layers.
      outlines: Its parcels.
      wanted: How they were read.
      levels: What was done to each modality before, or nothing.
      findings: What was noticed so far.
      form: How the arrays lie on disk, options of `writer.create`.
    """

    plan: Plan
    dataset: Dataset
    opened: Mapping[Layer, OpenedLayer]
    outlines: Outlines
    wanted: Wanted
    levels: Mapping[str, str]
    findings: tuple[dict[str, Any], ...]
    form: Mapping[str, bool]

    def acquisitions(self, several: Several) -> dict[str, Acquisitions]:
        """What the store knows of acquisitions."""
        return {
            name: Acquisitions(
                dates=tuple(one.date for one in own),
                orbits=tuple(one.orbit for one in own),
                masked=name in self.plan.masked,
                level=self.levels[name],
            )
            for name, own in several.items()
        }

    def key(self, several: Several) -> Key:
        """What the Region is made of, but for what does not change a byte of it."""
        wanted = dataclasses.asdict(self.wanted)
        files = [stamp(f) for f in (self.wanted.file, self.wanted.classes) if f is not None]
        options = [FORMAT, self.plan.grid.to_json(), dataclasses.asdict(self.dataset), self.levels]
        return Key(
            options=digest(*options, wanted, files, self.form, sorted(self.plan.masked)),
            acquisitions={
                one.name: digest([self._of_layer(layer) for layer in one.layers])
                for own in several.values()
                for one in own
            },
        )

    def _of_layer(self, layer: Layer) -> list[Any]:
        return [dataclasses.asdict(self.opened[layer]), stamp(layer.path)]


def make(
    job: Job,
    out: pathlib.Path,
    *,
    skip_damaged: bool,
    overwrite: bool,
    workers: int,
    progress: bool,
) -> pathlib.Path:
    """Makes a Region.

    Args:
      job: What is made.
      out: The folder to be.
      skip_damaged: Whether scenes that cannot be read are left out.
      overwrite: Whether what another command left is removed.
      workers: Shards that are made at once.
      progress: Whether a bar is shown.

    Returns:
      The folder.

    Raises:
      UserError: If a scene is damaged or implausible, or another command left something.
      OSError: If it cannot be written.
    """
    staging = Staging(out)
    with staging.held():
        try:
            several, damaged = _fill(job, staging, skip_damaged, overwrite, workers, progress)
            root, kept, empty = _leave_out(job, staging, several)
            told = [*noticed.of_damaged(damaged), *noticed.of_unobserved(empty)]
            _finish(job, staging, root, kept, told)
        except DataError as error:
            if not staging.discard():
                raise
            remedy = f"{error.remedy}; then {AGAIN}"
            raise DataError(error.fault, where=error.where, remedy=remedy) from error
        except BaseException as error:
            if staging.discard():
                error.add_note(AGAIN)
            raise
    return out


def _fill(job, staging, skip_damaged, overwrite, workers, progress) -> tuple[Several, list[str]]:
    """Makes all shards.

    Returns:
      The acquisitions without the scenes that are damaged, and the files that are.
    """
    grid, known = job.plan.grid, staging.damaged() if skip_damaged else {}
    damaged = {path for path, before in known.items() if stamp(path) == before}
    several = _without(job.plan.acquisitions, damaged)
    changed = staging.resume(job.key(several), overwrite=overwrite)
    for place in _places(several, changed or ()):
        staging.undo(*place)
    if staging.kept() is not None:
        return several, sorted(damaged)
    writer.create(staging.all, grid, job.dataset, job.acquisitions(several), **job.form)
    staging.begin(job.key(several))
    filler = Filler(
        plan=job.plan,
        dataset=job.dataset,
        maker=Maker(grid, job.opened),
        writer=Writer(staging.all, grid, job.dataset),
        workers=workers,
        progress=progress,
    )
    while found := filler.fill(several, skip_damaged=skip_damaged):
        for place, error in sorted(found.items(), key=lambda item: item[0]):
            staging.add_damaged(error.layer.path)
            damaged.add(error.layer.path)
            staging.undo(*place)
        several = _without(job.plan.acquisitions, damaged)
        for place in _places(several, _others(staging.key, job.key(several))):
            staging.undo(*place)
        staging.begin(job.key(several))
    return several, sorted(damaged)


def _without(several: Several, damaged: set[str]) -> Several:
    """Acquisitions without the scenes of which a file is damaged."""
    return {
        name: tuple(
            dataclasses.replace(
                one,
                scenes=tuple(
                    scene
                    for scene in one.scenes
                    if not damaged & {layer.path for layer in (*scene.layers, *scene.masks)}
                ),
            )
            for one in own
        )
        for name, own in several.items()
    }


def _others(before: Key, now: Key) -> list[str]:
    return [n for n, own in now.acquisitions.items() if before.acquisitions[n] != own]


def _places(several: Several, names) -> list[tuple[str, int]]:
    """Modality and number of the acquisitions with these names."""
    return [
        (name, t) for name, own in several.items() for t, one in enumerate(own) if one.name in names
    ]


def _leave_out(
    job: Job, staging: Staging, several: Several
) -> tuple[pathlib.Path, Several, list[str]]:
    """Leaves out acquisitions that show nothing.

    Returns:
      Where the Region lies, its acquisitions, and the names of those that were left out.
    """
    numbers = staging.kept()
    if numbers is None:
        numbers = {}
        for name in several:
            folder = staging.all / FOLDER / name / "observed"
            counts = cube.get(cube.open_array(folder), (), folder)
            numbers[name] = [t for t, own in enumerate(counts) if own.any()]
    kept = {name: tuple(several[name][t] for t in own) for name, own in numbers.items() if own}
    empty = [
        one.name for name, own in several.items() for one in own if one not in kept.get(name, ())
    ]
    if not kept:
        where = next(iter(job.opened)).path
        remedy = "correct `bounds`, or nodata in the manifest"
        raise DataError("no scene shows a pixel of the region", where=where, remedy=remedy)
    if not empty:
        return staging.all, several, []
    root = staging.keep(
        numbers,
        job.plan.grid,
        _holding(job.dataset, kept),
        job.acquisitions(kept),
        **job.form,
    )
    return root, kept, empty


def _holding(dataset: Dataset, kept: Several) -> Dataset:
    modalities = tuple(one for one in dataset.modalities if one.name in kept)
    return dataclasses.replace(dataset, modalities=modalities)


def _finish(
    job: Job, staging: Staging, root: pathlib.Path, kept: Several, told: list[dict[str, Any]]
) -> None:
    """Writes all but the scenes, and lets the Region take its place."""
    grid, dataset = job.plan.grid, _holding(job.dataset, kept)
    out = Writer(root, grid, dataset)
    findings = [*job.findings, *told, *job.outlines.write(out, root, grid)]
    layers = [layer for own in kept.values() for one in own for layer in one.layers]
    write_manifest(layers, root / manifest.FILE)
    text = json.dumps(findings, indent=1, ensure_ascii=False)
    write_whole(root / FINDINGS, text + "\n")
    blocks = job.outlines.blocks
    folds = None if blocks is None else blocks.to_json()
    out.finish(job.acquisitions(kept), folds, _info(job))
    staging.publish(root)


def _info(job: Job) -> dict[str, Any]:
    """How the Region was made, but not when."""
    import pastis_jax

    rasterio = _geo.need("rasterio")
    wanted = {
        name: pathlib.Path(value).name if isinstance(value, os.PathLike) else value
        for name, value in dataclasses.asdict(job.wanted).items()
    }
    return {
        "levels": dict(job.levels),
        "parcels": wanted,
        "versions": {
            "pastis-jax": pastis_jax.__version__,
            "rasterio": rasterio.__version__,
            "gdal": rasterio.__gdal_version__,
        },
    }
