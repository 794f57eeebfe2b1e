"""What the two official folders, pixel sets and patches, have in common."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Sequence

from pastis_jax.data.dataset import Dataset
from pastis_jax.data.metadata import PATCH_METADATA, Identifier
from pastis_jax.data.reading import is_own, restore
from pastis_jax.errors import ArgumentError, DataError


def resolve(path: str | os.PathLike[str]) -> pathlib.Path:
    """Returns `path`, absolute and with `~` replaced.

    Raises:
      DataError: If no file can lie there: links that lead in a circle, a name that is too long or
        not in UTF-8, which no run could be written with.
    """
    try:
        os.fspath(path).encode()
        resolved = pathlib.Path(os.path.expanduser(path)).resolve()
        resolved.exists()
    except UnicodeEncodeError:
        shown = os.fspath(path).encode(errors="backslashreplace").decode()
        raise DataError("not a path in UTF-8", where=shown, remedy="rename it") from None
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


def found_instead(root: pathlib.Path, name: str) -> str:
    """What to do about a missing file of metadata: another form of it may be there."""
    stem, remedy = name.partition(".")[0], restore(root / name)
    others = sorted(other for other in list_names(root) if other.startswith(f"{stem}."))
    return f"convert {others[0]} to it, or {remedy}" if others else remedy


def download(root: pathlib.Path, official: str) -> str:
    """What to do about a folder that is none of data: of official data, or of other."""
    return "give a folder in one of the layouts of docs/data.md" if is_own(root) else official


def check_files(
    folder: pathlib.Path, prefix: str, ids: Iterable[Identifier], *, instead: str
) -> None:
    """Refuses a folder that lacks `<prefix>_<id>.npy` of one of `ids`.

    Args:
      folder: The folder.
      prefix: What the files' names begin with.
      ids: The identifiers.
      instead: What can be done instead of adding a file.

    Raises:
      DataError: Naming the first missing file.
    """
    # One listing: asking for each file takes minutes on a network disk.
    names = list_names(folder)
    absent = [name for i in ids if (name := f"{prefix}_{i}.npy") not in names]
    if absent:
        fault = "file not found" + (f" ({len(absent)} are missing)" if len(absent) > 1 else "")
        official = "copy it again from the archive"
        remedy = "add it" if is_own(folder.parent) else official
        raise DataError(fault, where=folder / absent[0], remedy=f"{remedy}, or {instead}")


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
