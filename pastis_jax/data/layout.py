"""What the two official folders, pixel sets and patches, have in common."""

from __future__ import annotations

import os
import pathlib
import shlex
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from pastis_jax.data import arrays
from pastis_jax.data.dataset import Dataset, Modality
from pastis_jax.data.metadata import PATCH_METADATA, Identifier
from pastis_jax.data.reading import is_own, restore
from pastis_jax.errors import ArgumentError, DataError

_SCENES = (".tif", ".tiff", ".jp2", ".nc", ".safe")
"""Ends of names of scenes, which `ingest` makes a Region of."""
LOOK = "look at them by pastis-jax inspect"
"""What to do where all samples are left out."""


class ImplausibleError(DataError):
    """Values that no sensor measures, in a file that is sound otherwise."""


def resolve(path: str | os.PathLike[str]) -> pathlib.Path:
    """Returns `path`, absolute and with `~` replaced.

    Raises:
      DataError: If no file can lie there: links that lead in a circle, a name that is too long.
    """
    try:
        resolved = pathlib.Path(os.path.expanduser(path)).resolve()
        resolved.exists()
    except (OSError, RuntimeError, ValueError) as error:
        fault = f"not a path ({getattr(error, 'strerror', None) or error})"
        raise DataError(fault, where=path, remedy="give another") from error
    return resolved


def present_modalities(root: pathlib.Path, dataset: Dataset) -> tuple[str, ...]:
    """Returns the modalities with a data folder in `root`, in the dataset's order."""
    return tuple(name for name in dataset.names if (root / f"DATA_{name}").is_dir())


def wanted_modalities(
    root: pathlib.Path,
    dataset: Dataset,
    modalities: Sequence[str] | None,
    *,
    kind: str,
    remedy: str,
) -> tuple[str, ...]:
    """Refuses a folder without the data or the patch metadata that are wanted.

    Args:
      root: The folder.
      dataset: What it should hold.
      modalities: Modalities that must be there; None takes those that are.
      kind: What the folder should be, for the message.
      remedy: What to do when it holds no data at all.

    Returns:
      The modalities, in the dataset's order.

    Raises:
      ArgumentError: If `modalities` is empty or names what is no modality of the dataset.
      DataError: If a data folder or the metadata is missing.
    """
    present = present_modalities(root, dataset)
    if not present:
        refuse_scenes(root)
        names = ", ".join(f"DATA_{name}" for name in dataset.names)
        raise DataError(f"not a {kind} folder: it has none of {names}", where=root, remedy=remedy)
    if not (root / PATCH_METADATA).exists():
        raise DataError(
            "file not found",
            where=root / PATCH_METADATA,
            remedy=found_instead(root, PATCH_METADATA),
        )
    if modalities is None:
        return present
    unknown = [name for name in modalities if name not in dataset.names]
    if unknown or not modalities:
        fault = f"{root} has no {', '.join(unknown)}" if modalities else "there is none"
        remedy = f"choose among {', '.join(present)}"
        raise ArgumentError(fault, argument="modalities", remedy=remedy)
    for name in modalities:
        if name not in present:
            fault, remedy = f"no folder of modality {name}", f"add it, or leave {name} out"
            raise DataError(fault, where=root / f"DATA_{name}", remedy=f"{remedy} of `modalities`")
    return tuple(name for name in dataset.names if name in modalities)


def refuse_scenes(root: pathlib.Path) -> None:
    """Refuses a folder that holds scenes, or folders of scenes: a Region is made of them first.

    Names are looked at alone, so that nothing is needed to read scenes.

    Args:
      root: A folder that is in none of the official layouts.

    Raises:
      DataError: If it is so.
    """
    folders = [root, *sorted(root / name for name in list_names(root))]
    inside = (name for folder in folders if folder.is_dir() for name in list_names(folder))
    if any(name.lower().endswith(_SCENES) for name in (root.name, *inside)):
        remedy = f"make a Region of them: pastis-jax ingest {shlex.quote(str(root))} --out REGION"
        raise DataError("holds scenes", where=root, remedy=remedy)


def found_instead(root: pathlib.Path, name: str) -> str:
    """What to do about a missing file of metadata: another form of it may be there."""
    stem, remedy = name.partition(".")[0], restore(root / name)
    others = sorted(other for other in list_names(root) if other.startswith(f"{stem}."))
    return f"convert {others[0]} to it, or {remedy}" if others else remedy


def download(root: pathlib.Path, official: str) -> str:
    """What to do about a folder that is none of data: of official data, or of other."""
    return "give a folder in one of the layouts of docs/data.md" if is_own(root) else official


def again(root: pathlib.Path, instead: str) -> str:
    """What to do about a missing array: of a user's own data, or of official ones.

    Args:
      root: The folder.
      instead: What can be done in place of adding it.
    """
    return f"{'add it' if is_own(root) else 'copy it again from the archive'}, or {instead}"


def check_files(
    folder: pathlib.Path, prefix: str, ids: Iterable[Identifier], *, remedy: str
) -> None:
    """Refuses a folder that lacks `<prefix>_<id>.npy` of one of `ids`.

    Args:
      folder: The folder.
      prefix: What the files' names begin with.
      ids: The identifiers.
      remedy: What to do where a file is missing.

    Raises:
      DataError: Naming the first missing file.
    """
    # One listing: asking for each file takes minutes on a network disk.
    _check_names(folder, list_names(folder), [f"{prefix}_{i}.npy" for i in ids], remedy)


def _check_names(
    folder: pathlib.Path, names: Collection[str], wanted: Sequence[str], remedy: str
) -> None:
    if absent := [name for name in wanted if name not in names]:
        fault = "file not found" + (f" ({len(absent)} are missing)" if len(absent) > 1 else "")
        raise DataError(fault, where=folder / absent[0], remedy=remedy)


def check_series(
    root: pathlib.Path,
    modality: str,
    dated: Iterable[Identifier],
    undated: Iterable[Identifier],
    *,
    remedy: str,
) -> None:
    """Refuses the files of a modality that do not go with the dates in the metadata.

    A sample may lack a modality, but then it has neither dates nor a file. Dates without a file are
    what an interrupted copy leaves.

    Args:
      root: The folder.
      modality: The modality.
      dated: Samples that must have a file.
      undated: Samples of which the metadata list no dates.
      remedy: What to do where a file is missing.

    Raises:
      DataError: Naming the first file that is missing or has no dates; the folder of the modality,
        if it holds none at all.
    """
    folder = root / f"DATA_{modality}"
    wanted, others = ([f"{modality}_{i}.npy" for i in ids] for ids in (dated, undated))
    names = list_names(folder)
    if wanted + others and not names.intersection(wanted + others):
        fault = f"no series of {modality}: none of the {len(wanted + others)} samples has one"
        remedy = f"add them, or leave {modality} out of `modalities`"
        raise DataError(fault, where=folder, remedy=remedy)
    if unlisted := [name for name in others if name in names]:
        raise without_dates(folder / unlisted[0], modality, len(unlisted))
    _check_names(folder, names, wanted, remedy)


def without_dates(file: pathlib.Path, modality: str, count: int = 1) -> DataError:
    """What is wrong with a series of which the metadata list no dates."""
    fault = f"a series, but its patch has no dates-{modality} in {PATCH_METADATA}"
    fault += f" ({count} are so)" if count > 1 else ""
    return DataError(fault, where=file, remedy="use arrays and metadata of one release")


def check_values(values: np.ndarray, modality: Modality, file: pathlib.Path) -> bool:
    """Refuses values that cannot have been measured, as `arrays.check_series_values` tells.

    Returns:
      Whether anything was measured; else the sample lacks the modality.

    Raises:
      ImplausibleError: In place of a DataError.
    """
    try:
        return arrays.check_series_values(values, modality, file)
    except DataError as error:
        remedy = f"{error.remedy}, or leave such samples out of training by `skip_implausible`"
        raise ImplausibleError(error.fault, where=error.where, remedy=remedy) from error


def empty_series(modality: Modality, space: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Values (0, c, ...) and days (0,) of a modality that a sample lacks."""
    values = np.zeros((0, len(modality.channels), *space), modality.dtype)
    return values, np.zeros(0, np.int32)


def list_names(folder: pathlib.Path) -> frozenset[str]:
    """Returns the names of what lies in `folder`; none if it is not there.

    Raises:
      DataError: If it cannot be read.
    """
    if not folder.is_dir():
        return frozenset()
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries)
    except OSError as error:
        fault, remedy = f"cannot be read ({error.strerror})", "make the folder readable"
        raise DataError(fault, where=folder, remedy=remedy) from error
