"""What the two official folders, pixel sets and patches, have in common."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from pastis_jax.data.arrays import RESTORE
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.metadata import PATCH_METADATA, Identifier
from pastis_jax.errors import ArgumentError, DataError


def resolve(path: str | os.PathLike[str]) -> pathlib.Path:
    """Returns `path`, absolute and with `~` replaced."""
    return pathlib.Path(os.path.expanduser(path)).resolve()


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object of JSON, as `object_pairs_hook`; a key that stands twice is refused."""
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise ValueError(f"{json.dumps(name)} stands twice")
        content[name] = value
    return content


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
        names = ", ".join(f"DATA_{name}" for name in dataset.names)
        raise DataError(f"not a {kind} folder: it has none of {names}", where=root, remedy=remedy)
    if not (root / PATCH_METADATA).exists():
        raise DataError("file not found", where=root / PATCH_METADATA, remedy=RESTORE)
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


def check_files(
    folder: pathlib.Path, prefix: str, ids: Iterable[Identifier], *, remedy: str
) -> None:
    """Refuses a folder that lacks `<prefix>_<id>.npy` of one of `ids`.

    Raises:
      DataError: Naming the first missing file.
    """
    # One listing: asking for each file takes minutes on a network disk.
    names = list_names(folder)
    absent = [name for i in ids if (name := f"{prefix}_{i}.npy") not in names]
    if absent:
        fault = "file not found" + (f" ({len(absent)} are missing)" if len(absent) > 1 else "")
        raise DataError(fault, where=folder / absent[0], remedy=remedy)


def list_names(folder: pathlib.Path) -> frozenset[str]:
    """Returns the names of what lies in `folder`; none if it is not there."""
    if not folder.is_dir():
        return frozenset()
    with os.scandir(folder) as entries:
        return frozenset(entry.name for entry in entries)
