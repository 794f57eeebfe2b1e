"""From an official patch folder to records that training reads at random, checked once.

Patches are large (70 GB in all) and are not copied: records are slices of the folder's own files.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tqdm

from pastis_jax.data import layout
from pastis_jax.data.cache import default_cache, fingerprint, writing
from pastis_jax.data.metadata import PATCH_METADATA, Patch
from pastis_jax.data.nomenclature import MODALITIES
from pastis_jax.data.patch_folder import ANNOTATIONS, INSTANCES, PatchFolder, check_layout
from pastis_jax.data.patch_summary import PatchSummary
from pastis_jax.data.statistics import (
    FoldStatistics,
    fold_statistics_from_norm,
    split_statistics,
    statistics_from_json,
)
from pastis_jax.errors import DataError

_VERSION = "2"
_WORKERS = 4  # each holds one patch, 100 to 200 MB


def prepare_patches(
    root: str | os.PathLike[str],
    *,
    modalities: Sequence[str] = tuple(MODALITIES),
    cache: str | os.PathLike[str] | None = None,
    compute_statistics: bool = False,
    progress: bool = True,
) -> PreparedPatches:
    """Checks a patch folder completely, once, and remembers what training needs to know of it.

    What was found lies in `cache`, one small file under a fingerprint of the folder: its path, its
    metadata, and the name, size and time of change of every file. A folder that changed is checked
    anew. Computed statistics lie in a second file. The folder itself is never written to, and
    nothing stays in the cache when a patch is refused or the check is interrupted.

    Args:
      root: The official patch folder.
      modalities: Modalities to serve; all that the folder holds are checked.
      cache: Where to write; by default `$PASTIS_JAX_CACHE`, else `pastis_jax` in
        `$XDG_CACHE_HOME` or `~/.cache`.
      compute_statistics: Whether to use channel statistics computed from the data instead of
        those of the `NORM_<sat>_patch.json` files.
      progress: Whether to draw a progress bar while checking.

    Returns:
      The patches, with their modalities in the order S2, S1A, S1D.

    Raises:
      ValueError: If `modalities` is empty or holds an unknown name.
      DataError: If the folder is not a sound patch folder with these modalities and, unless
        computed, their statistics, its patches differ in size, or the cache cannot be written.
    """
    layout.check_names(modalities)
    root = layout.resolve(root)
    modalities = check_layout(root, modalities)
    published = {
        m: fold_statistics_from_norm(root / f"NORM_{m}_patch.json", m)
        for m in modalities
        if not compute_statistics
    }
    folder = PatchFolder(root, modalities)
    cache = layout.resolve(cache or default_cache())
    extras = [name for name in (ANNOTATIONS, INSTANCES) if (root / name).is_dir()]
    name, _ = fingerprint(
        root,
        _VERSION,
        files=(PATCH_METADATA,),
        folders=[*(f"DATA_{m}" for m in check_layout(root)), *extras],
    )
    paths = {"facts": cache / f"patches-{name}.json"}
    if compute_statistics:
        paths["statistics"] = cache / f"patches-{name}-statistics.json"
    if not all(path.exists() for path in paths.values()):
        _examine(root, paths, progress=progress)
    read = {what: _read(path) for what, path in paths.items()}

    facts = read["facts"]
    computed = statistics_from_json(read["statistics"]) if compute_statistics else None
    return PreparedPatches(
        folder=folder,
        modalities=modalities,
        lengths={m: facts["lengths"][m] for m in modalities},
        size=tuple(facts["size"]),
        patches={int(fold): n for fold, n in facts["patches"].items()},
        counts={
            int(fold): {int(label): n for label, n in labels.items()}
            for fold, labels in facts["pixels"].items()
        },
        most_instances=max(facts["most_instances"], 1),
        fold_statistics=computed or published,
    )


@dataclasses.dataclass(frozen=True)
class PreparedPatches:
    """A patch folder, checked and ready for random access.

    Attributes:
      folder: The folder's reader.
      modalities: Modalities that records hold.
      lengths: Most dates of a patch, by modality.
      size: Rows and columns h, w of every patch.
      patches: Number of patches by fold.
      counts: Number of pixels by fold and official label, background (0) and void (19) included.
      most_instances: Slots that hold the instances of any patch: the most of one patch, void ones
        included, and at least 1.
      fold_statistics: Channel means and standard deviations by modality and fold.
    """

    folder: PatchFolder = dataclasses.field(repr=False)
    modalities: tuple[str, ...]
    lengths: Mapping[str, int]
    size: tuple[int, int]
    patches: Mapping[int, int]
    counts: Mapping[int, Mapping[int, int]]
    most_instances: int
    fold_statistics: Mapping[str, FoldStatistics] = dataclasses.field(repr=False)

    @property
    def root(self) -> pathlib.Path:
        """The official folder."""
        return self.folder.root

    def source(
        self, folds: Sequence[int], *, in_memory: bool = False, instances: bool = False
    ) -> PatchSource:
        """Returns random access to the patches of `folds`, fold after fold, in metadata order.

        Args:
          folds: The folds.
          in_memory: Whether to keep every patch in memory once it was read; `nbytes` of the source
            says how much that takes in the end.
          instances: Whether records hold `instances`, which panoptic targets are made from.

        Raises:
          DataError: If a fold has no patch.
        """
        self._check(folds)
        every = self.folder.patches.values()
        patches = [patch for fold in folds for patch in every if patch.fold == fold]
        return PatchSource(
            self.folder, patches, self.size, in_memory=in_memory, instances=instances
        )

    def statistics(self, train_folds: Sequence[int]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Returns the channel statistics to normalise with when training on `train_folds`.

        Returns:
          Mean and standard deviation, (c,) float32 each, of each modality in its stored unit.

        Raises:
          DataError: If a fold has no patch, or a channel that never varies.
        """
        self._check(train_folds)
        return split_statistics(self.fold_statistics, self.modalities, train_folds, self.root)

    def _check(self, folds: Sequence[int]) -> None:
        for fold in folds:
            if not self.patches.get(fold):
                raise DataError(
                    f"no patch in fold {fold}",
                    where=self.root / PATCH_METADATA,
                    remedy="choose another --fold, or give the whole dataset",
                )


class PatchSource:
    """Random access to checked patches; pickles, so that Grain workers can share it.

    An item is a dict with, for each modality, a dict of `values`, (t, c, h, w) int16 for S2 and
    float16 for S1A and S1D, and `days`, (t,) int32 since 2018-09-01; and with `semantic`, (h, w)
    uint8 official labels, `parcels`, (h, w) int32 numbers within the patch, `patch` and `fold`
    (int); on request with `instances`, (h, w) int32, those of INSTANCE_ANNOTATIONS, or in the order
    of ParcelIDs, or else of `parcels`. Values are maps of the files, read when sliced, unless kept
    in memory; they and the annotations are read-only.

    Attributes:
      dates: Number of dates of each record, (records,) int, by modality.
      nbytes: Size of all arrays (B), which is what memory holds in the end with `in_memory`.
    """

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
        self._kept: dict[int, dict[str, Any]] | None = {} if in_memory else None
        self.dates = {
            m: np.array([len(patch.days[m]) for patch in patches]) for m in folder.modalities
        }
        frame = {
            m: len(MODALITIES[m].channels) * np.dtype(MODALITIES[m].dtype).itemsize
            for m in folder.modalities
        }
        pixel = sum(frame[m] * int(n.sum()) for m, n in self.dates.items())
        pixel += (9 if instances else 5) * len(patches)
        self.nbytes = size[0] * size[1] * pixel

    def __repr__(self) -> str:  # without an address: Grain compares it when it restores a state
        return f"PatchSource({len(self)} patches, {', '.join(self.dates)})"

    def __getstate__(self) -> dict[str, Any]:
        kept = None if self._kept is None else {}  # a copy reads for itself
        return self.__dict__ | {"_kept": kept}

    def __len__(self) -> int:
        return len(self._patches)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if self._kept is None:
            return self._item(index)
        index = range(len(self))[index]
        if index not in self._kept:
            self._kept[index] = self._item(index)
        return self._kept[index]

    def _item(self, index: int) -> dict[str, Any]:
        patch = self._patches[index]
        item = {}
        for modality, (values, days) in self._folder.series(patch).items():
            values = values if self._kept is None else np.array(values)
            item[modality] = {"values": values, "days": days}
        if self._instances:
            annotations = self._folder.annotations(patch)
            maps = {"semantic": annotations.semantic, "parcels": annotations.parcels}
            maps["instances"] = self._folder.instance_numbers(patch, annotations)
        else:
            semantic, parcels, _ = self._folder.target(patch)
            maps = {"semantic": semantic, "parcels": parcels}
        for array in (*maps.values(), *(item[m]["values"] for m in item)):
            array.flags.writeable = False
        return item | maps | {"patch": patch.id, "fold": patch.fold}


def _examine(root: pathlib.Path, paths: Mapping[str, pathlib.Path], *, progress: bool) -> None:
    """Checks every patch of `root`, and writes what was found to `paths`."""
    cache = paths["facts"].parent
    with writing(cache), tempfile.TemporaryDirectory(prefix=".preparing-", dir=cache) as staging:
        folder = PatchFolder(root)
        summary = PatchSummary(folder, statistics="statistics" in paths)
        patches = list(folder.patches.values())

        def work(patch: Patch):
            return summary.measure(patch, *folder.check(patch))

        bar = tqdm.tqdm(
            total=len(patches),
            desc="Checking patches (once)",
            unit=" patches",
            disable=not progress,
        )
        # Threads: NumPy frees the interpreter in all that is long here.
        with bar, ThreadPoolExecutor(_WORKERS) as pool:
            try:
                for patch, measures in zip(patches, pool.map(work, patches), strict=True):
                    summary.add(patch, measures)
                    bar.update()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        for what, path in paths.items():
            staged = pathlib.Path(staging, path.name)
            staged.write_text(json.dumps(getattr(summary, what)(), indent=1))
            os.replace(staged, path)


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        what = f"not what was written ({error})"
        raise DataError(what, where=path, remedy="delete it to have it made anew") from error
