"""Random access to the patches of a folder that was checked before."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from pastis_jax.data.calendar import Days
from pastis_jax.data.metadata import Identifier, Patch
from pastis_jax.data.npy import Watched, stamp_of
from pastis_jax.data.patches.folder import PatchFolder


class PatchSource:
    """Random access to checked patches; pickles, so that Grain workers can share it.

    An item is a dict with, for each modality, a dict of `values`, (t, c, h, w) in its dtype, and
    `days`, (t,) int32 since the start of the season; and with `number`, that of the record here,
    `semantic`, (h, w) int32 numbers of the classes, `parcels`, (h, w) int64 numbers within the
    patch, and `patch`, its identifier; on request with `instances`, (h, w) int32, those of
    INSTANCE_ANNOTATIONS, or in the order of ParcelIDs, or else of `parcels`. Values are in their
    files, read when they are indexed or made an array, unless kept in memory; they and the
    annotations are read-only.

    Attributes:
      dates: Number of dates of each record, (records,) int, by modality.
      nbytes: Size of all arrays (B), which is what memory holds in the end with `in_memory`.
      most_instances: Most parcels of a record, where that may be more than of a patch: it is not.
    """

    most_instances = 0

    def __init__(
        self,
        folder: PatchFolder,
        patches: Sequence[Patch],
        size: tuple[int, int],
        *,
        in_memory: bool = False,
        instances: bool = False,
    ):
        self._folder, self._patches, self._instances = folder, tuple(patches), instances
        self._files = Watched()
        self._kept: dict[int, dict[str, Any]] | None = {} if in_memory else None
        self.dates = {
            m: np.array([len(patch.days[m]) for patch in patches]) for m in folder.modalities
        }
        frame = {
            m: len(folder.dataset[m].channels) * np.dtype(folder.dataset[m].dtype).itemsize
            for m in folder.modalities
        }
        pixel = sum(frame[m] * int(n.sum()) for m, n in self.dates.items())
        pixel += (16 if instances else 12) * len(patches)
        self.nbytes = size[0] * size[1] * pixel

    def __repr__(self) -> str:  # without an address: Grain compares it when it restores a state
        return f"PatchSource({len(self)} patches, {', '.join(self.dates)})"

    def __getstate__(self) -> dict[str, Any]:
        kept = None if self._kept is None else {}  # a copy reads for itself
        return self.__dict__ | {"_kept": kept}

    def __len__(self) -> int:
        return len(self._patches)

    def __getitem__(self, index: int) -> dict[str, Any]:
        index = range(len(self))[index]
        if self._kept is None:
            return self._item(index)
        if index not in self._kept:
            self._kept[index] = self._item(index)
        return self._kept[index]

    def _item(self, index: int) -> dict[str, Any]:
        patch = self._patches[index]
        item = {}
        if self._kept is None:
            for name in self._annotations(patch):
                file = self._folder.file(patch, name)
                with contextlib.suppress(FileNotFoundError):
                    self._files.see(file, stamp_of(file.stat()))
        for modality, (values, days) in self._folder.series(patch).items():
            if self._kept is None and not isinstance(values, np.ndarray):
                values.watch(self._files)
            else:
                values = np.array(values)
            item[modality] = {"values": values, "days": days}
        if self._instances:
            annotations = self._folder.annotations(patch)
            maps = {"semantic": annotations.semantic, "parcels": annotations.parcels}
            maps["instances"] = self._folder.instance_numbers(patch, annotations)
        else:
            semantic, parcels, _ = self._folder.target(patch)
            maps = {"semantic": semantic, "parcels": parcels}
        for array in (*maps.values(), *(item[m]["values"] for m in item)):
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
        return item | maps | {"patch": patch.id, "number": index}

    def _annotations(self, patch: Patch) -> tuple[str, ...]:
        """Names of the files that labels and instances of a patch are read from."""
        if not self._instances:
            return ("TARGET",)
        numbers = "INSTANCES" if self._folder.has_instances(patch) else "ParcelIDs"
        return ("TARGET", numbers)

    def unchanged(self) -> None:
        """Compares the files that were read with what they were when first read.

        Files that are kept in memory are read once, and compared then.

        Raises:
          DataError: If one of them was changed since.
        """
        self._files.check()

    @property
    def observed(self) -> list[Days]:
        """Days of the patches."""
        return [patch.days for patch in self._patches]

    def identifier(self, number: int) -> Identifier:
        """Returns the identifier of the patch of this record."""
        return self._patches[number].id
