"""What the two official folders, pixel sets and patches, have in common."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Sequence

from pastis_jax.data.arrays import RESTORE
from pastis_jax.data.metadata import PATCH_METADATA
from pastis_jax.data.nomenclature import MODALITIES
from pastis_jax.errors import DataError


def resolve(path: str | os.PathLike[str]) -> pathlib.Path:
    """Returns `path`, absolute and with `~` replaced."""
    return pathlib.Path(os.path.expanduser(path)).resolve()


def check_names(modalities: Sequence[str]) -> None:
    """Raises ValueError if `modalities` is empty or holds an unknown name."""
    if not modalities or not set(modalities) <= set(MODALITIES):
        raise ValueError(f"modalities must be among {tuple(MODALITIES)}, got {modalities}")


def present_modalities(root: pathlib.Path, *, remedy: str) -> tuple[str, ...]:
    """Returns the modalities with a data folder in `root`, in the order S2, S1A, S1D.

    Raises:
      DataError: If `root` is no folder.
    """
    if not root.is_dir():
        what = "not a folder" if root.exists() else "folder not found"
        raise DataError(what, where=root, remedy=remedy)
    return tuple(m for m in MODALITIES if (root / f"DATA_{m}").is_dir())


def wanted_modalities(
    root: pathlib.Path, modalities: Sequence[str] | None, *, kind: str, remedy: str
) -> tuple[str, ...]:
    """Refuses a folder without the data or the patch metadata that are wanted.

    Args:
      root: The folder.
      modalities: Modalities that must be there; None takes those that are.
      kind: What the folder should be, for the message.
      remedy: What to do when it holds no data at all.

    Returns:
      The modalities, in the order S2, S1A, S1D.

    Raises:
      DataError: If a data folder or the metadata is missing.
    """
    present = present_modalities(root, remedy=remedy)
    if not present:
        names = ", ".join(f"DATA_{m}" for m in MODALITIES)
        raise DataError(f"not a {kind} folder: it has none of {names}", where=root, remedy=remedy)
    if not (root / PATCH_METADATA).exists():
        raise DataError("file not found", where=root / PATCH_METADATA, remedy=RESTORE)
    wanted = present if modalities is None else tuple(m for m in MODALITIES if m in modalities)
    for modality in wanted:
        if modality not in present:
            what = f"no folder of modality {modality}"
            remedy = f"add it, or leave {modality} out of --modalities"
            raise DataError(what, where=root / f"DATA_{modality}", remedy=remedy)
    return wanted


def check_files(folder: pathlib.Path, prefix: str, ids: Iterable[int], *, remedy: str) -> None:
    """Refuses a folder that lacks `<prefix>_<id>.npy` of one of `ids`.

    Raises:
      DataError: Naming the first missing file.
    """
    # One listing: asking for each file takes minutes on a network disk.
    names = list_names(folder)
    absent = [name for i in ids if (name := f"{prefix}_{i}.npy") not in names]
    if absent:
        what = "file not found" + (f" ({len(absent)} are missing)" if len(absent) > 1 else "")
        raise DataError(what, where=folder / absent[0], remedy=remedy)


def list_names(folder: pathlib.Path) -> frozenset[str]:
    """Returns the names of what lies in `folder`; none if it is not there."""
    if not folder.is_dir():
        return frozenset()
    with os.scandir(folder) as entries:
        return frozenset(entry.name for entry in entries)
