"""The sound folders that faults are put in: both layouts, official and other data."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import foreign
import numpy as np
import patch_factory
import pixel_set_factory

from pastis_jax.data.patches.annotations import INSTANCES
from pastis_jax.data.patches.folder import PatchFolder
from pastis_jax.data.patches.prepare import prepare_patches
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets


@dataclasses.dataclass(frozen=True)
class Layout:
    """One of the layouts.

    Attributes:
      make: Writes a sound folder.
      prepare: Opens one.
      modalities: What it holds.
      norm: Pattern of the names of its statistics.
      own: Whether it carries a `dataset.json`.
    """

    make: Callable[[pathlib.Path], Any]
    prepare: Callable[..., Any]
    modalities: tuple[str, ...]
    norm: str
    own: bool

    @property
    def patches(self) -> bool:
        """Whether it is of patches."""
        return self.prepare is prepare_patches


def _make_patches(root: pathlib.Path) -> None:
    patch_factory.make_patches(root, size=(8, 8), dates=(2, 3))
    folder = PatchFolder(root)
    (root / INSTANCES).mkdir()
    for patch in folder.patches.values():
        for name, array in vars(folder.instances(patch)).items():
            np.save(root / INSTANCES / f"{name.upper()}_{patch.id}.npy", array)


_PARCELS = {"parcels_per_fold": 1, "dates": (2, 3), "pixels": (1, 4)}
_OWN_PARCELS = {"patches_per_fold": 1, "parcels_per_patch": 2, "dates": (2, 3), "pixels": (1, 4)}
_OWN_PATCHES = {"parcels_per_patch": 2, "size": (12, 16), "dates": (2, 3)}

LAYOUTS = {
    "pixel sets": Layout(
        functools.partial(pixel_set_factory.make_pixel_set, **_PARCELS),
        prepare_pixel_sets,
        tuple(pixel_set_factory.CHANNELS),
        "NORM_PARCEL_{}_set.json",
        own=False,
    ),
    "patches": Layout(
        _make_patches,
        prepare_patches,
        tuple(patch_factory.CHANNELS),
        "NORM_{}_patch.json",
        own=False,
    ),
    "own pixel sets": Layout(
        functools.partial(foreign.make_pixel_sets, **_OWN_PARCELS),
        prepare_pixel_sets,
        foreign.DATASET.names,
        "NORM_PARCEL_{}_set.json",
        own=True,
    ),
    "own patches": Layout(
        functools.partial(foreign.make_patches, **_OWN_PATCHES),
        prepare_patches,
        foreign.DATASET.names,
        "NORM_{}_patch.json",
        own=True,
    ),
}


def linked(folder: pathlib.Path, copy: pathlib.Path) -> pathlib.Path:
    """Copies a folder by links, in milliseconds: faults replace files, and never write in one."""
    return pathlib.Path(shutil.copytree(folder, copy, copy_function=os.link))


def replace(file: pathlib.Path, content: bytes | str) -> None:
    """Puts another file in the place of one."""
    file.unlink(missing_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
