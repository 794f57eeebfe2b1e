"""A run and an official folder become maps of its patches, or a table of its parcels.

    patches/<patch>/crop.tif          as of a Region; of its own pixels, one image at a time
    patches/<patch>/confidence.tif, margin.tif, dates.tif, probabilities.tif on request
    patches/<patch>/instances.tif     of panoptic runs: the number of each pixel's instance, 0 none
    patches/<patch>/instances.csv     class and confidence of each
    parcels.csv, parcels.parquet      of parcel runs
    map.json                          what it was made of, where each patch lies, what was noticed

Labels are not needed. Rasters lie where the polygons of `metadata.geojson` say, and nowhere where
it has none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import tqdm

from pastis_jax.data.cache import fingerprint
from pastis_jax.data.calendar import not_trained_on
from pastis_jax.data.metadata import PARCEL_METADATA, PATCH_METADATA, Identifier, parse_identifier
from pastis_jax.data.pastis_r import describe
from pastis_jax.errors import DataError, UserError, refuse
from pastis_jax.files import check_new, write_whole
from pastis_jax.mapping.blocks import Content, file_of, read_block, write_block
from pastis_jax.mapping.fit import check_modalities, days_off
from pastis_jax.mapping.folder_parcels import ParcelSamples
from pastis_jax.mapping.folder_patches import PatchSamples
from pastis_jax.mapping.ledger import AGAIN, Ledger, digest
from pastis_jax.mapping.options import MapOptions
from pastis_jax.mapping.worker import version
from pastis_jax.runs import Run
from pastis_jax.text import named

_FORMAT = 1
_OF_REGIONS = ("season", "allow", "max_cloud", "stride", "parcels", "batch_size")
"""Options that say nothing of a folder."""


class Samples(Protocol):
    """What is predicted of a folder, by names under which it is kept until the end."""

    names: tuple[str, ...]
    notes: tuple[str, ...]

    def predict(self, name: str) -> Content:
        """Predicts a patch, or some parcels."""
        ...

    def finish(self, contents: Callable[[str], Content], out: pathlib.Path) -> dict[str, Any]:
        """Writes the files of the map; returns what map.json has of it."""
        ...


@dataclasses.dataclass(frozen=True)
class _Kept:
    """Names the file in which a prediction waits, as a block of a Region does."""

    name: str


def is_folder(root: str | os.PathLike[str]) -> bool:
    """Whether a folder is in an official layout, of patches or pixel sets."""
    return pathlib.Path(root, PATCH_METADATA).is_file()


def predict_folder(
    run: Run | str | os.PathLike[str],
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    options: MapOptions | None = None,
    patches: Sequence[Identifier] = (),
    overwrite: bool = False,
    progress: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Maps the patches, or the parcels, of an official folder by a run.

    Stopped at any moment, the same call goes on where it was left.

    Args:
      run: The run, or its folder.
      data: The folder: patches for a semantic or panoptic run, pixel sets for a parcel run.
      out: Folder to make.
      options: What else the map is made by: `until`, `reject` and `probabilities`.
      patches: Those to map, or whose parcels to tell of, by `ID_PATCH`; () for all.
      overwrite: Whether what another call left on the way to the same folder is removed.
      progress: Whether a bar with the time left is shown.
      say: Tells the reader a line.

    Returns:
      What map.json holds.

    Raises:
      UserError: For a mistake in the arguments, or if the folder does not fit the run.
      OSError: If something cannot be written.
    """
    options = options or MapOptions()
    plain = MapOptions()
    for name in _OF_REGIONS:
        given = getattr(options, name) != getattr(plain, name)
        refuse(name, given, "this is of Regions", "leave it out, or give a Region")
    run = run if isinstance(run, Run) else Run(run)
    root = pathlib.Path(os.path.abspath(os.path.expanduser(data)))
    out = pathlib.Path(os.path.abspath(os.path.expanduser(out)))
    check_new(out)
    samples, notes = _open(run, root, options, patches)
    for note in notes:
        say(f"Note: {note}")
    key, ledger = _key(run, root, options, samples), Ledger(out)
    with ledger.held():
        if ledger.resume({**key, "software": version()}, overwrite=overwrite):
            say(f"Continuing {out}.")
        kept = [_Kept(name) for name in samples.names]
        left = [one for one in kept if not file_of(ledger.blocks, one).exists()]
        total = {"total": len(kept), "initial": len(kept) - len(left)}
        try:
            for one in tqdm.tqdm(left, "Predicting", **total, disable=not progress):
                write_block(ledger.blocks, one, samples.predict(one.name))
            with ledger.files() as folder:
                made = samples.finish(lambda name: read_block(ledger.blocks, _Kept(name)), folder)
                notes = (*notes, *made.pop("notes", ()))
                summary = {"task": run.task.name, "made of": key, "notes": [*notes], **made}
                write_whole(folder / "map.json", json.dumps(summary, indent=1))
                return summary
        except (KeyboardInterrupt, UserError, OSError) as error:
            error.add_note(AGAIN)
            raise


def _open(
    run: Run, root: pathlib.Path, options: MapOptions, patches: Sequence[Identifier]
) -> tuple[Samples, tuple[str, ...]]:
    """Opens the folder for the run; what is odd about it, a line each."""
    parcels = run.task.name == "parcel"
    if not is_folder(root):
        fault, remedy = "is neither a Region nor an official folder", "give one of these"
        raise DataError(fault, where=root, remedy=f"{remedy}, with {PATCH_METADATA}")
    if (root / PARCEL_METADATA).is_file() != parcels:
        of = ("patches", "pixel sets")
        fault = f"holds {of[not parcels]}, a {run.task.name} run takes {of[parcels]}"
        raise DataError(fault, where=root, remedy="give such a folder, or another run")
    dataset = describe(root)
    there = tuple(name for name in dataset.names if (root / f"DATA_{name}").is_dir())
    notes = [*check_modalities(run, dataset, root, there), *days_off(run, dataset.season_start)]
    if dataset.pixel_size != run.dataset.pixel_size:
        sizes = f"{dataset.pixel_size:g} m wide, those that the run was trained on"
        notes.append(f"pixels are {sizes} {run.dataset.pixel_size:g} m")
    if run.saved.record_options().max_cloud is not None:
        notes.append("the folder holds no masks: acquisitions under clouds count too")
    names = tuple(name for name in run.modalities if name in there)
    kind = ParcelSamples if parcels else PatchSamples
    samples = kind(run, root, dataset, names, options, _chosen(patches))
    if samples.unknown:
        fault = f"has no patch {named(samples.unknown)}"
        raise DataError(fault, where=root / PATCH_METADATA, remedy="give others as `patches`")
    if not samples.names:
        until = "" if options.until is None else f" until {options.until}"
        fault = f"has no acquisition of {', '.join(run.modalities)}{until}"
        raise DataError(fault, where=root, remedy="give others as `patches`, or another `until`")
    notes += [note for note in (_odd(run, samples),) if note]
    return samples, (*notes, *samples.notes)


def _chosen(patches: Sequence[Identifier]) -> tuple[Identifier, ...]:
    try:
        return tuple(dict.fromkeys(parse_identifier(name) for name in patches))
    except ValueError as error:
        refuse("patches", True, str(error), "give values of ID_PATCH")
        raise


def _odd(run: Run, samples: PatchSamples | ParcelSamples) -> str | None:
    return not_trained_on(samples.days(), run.saved.days, name="these samples")


def _key(run: Run, root: pathlib.Path, options: MapOptions, samples: Any) -> dict[str, str]:
    """Digests of what the maps are made of, by what it is."""
    files = ("run.json", "dataset.json", "weights.npz")
    parts = [hashlib.sha256((run.folder / name).read_bytes()).hexdigest() for name in files]
    described = ("dataset.json", PATCH_METADATA, PARCEL_METADATA)
    data = fingerprint(
        root,
        files=[name for name in described if (root / name).exists()],
        folders=[(f"DATA_{name}", name) for name in samples.modalities],
    )
    return {
        "run": digest(parts),
        "folder": digest(dict(data.parts)),
        "options": digest([_FORMAT, options.to_json(), samples.names]),
    }
