"""From a folder of patches to records that training reads at random, checked once.

Patches are large (70 GB in PASTIS-R) and are not copied: records are slices of the folder's own
files.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import tqdm

from pastis_jax.data import declared, layout, survey, surveyed
from pastis_jax.data.assignment import Assignment
from pastis_jax.data.cache import (
    Fingerprint,
    default_cache,
    fingerprint,
    is_sound,
    known_as,
    writing,
)
from pastis_jax.data.dataset import Dataset, Fold
from pastis_jax.data.gaps import Gaps
from pastis_jax.data.layout import ImplausibleError
from pastis_jax.data.metadata import Patch
from pastis_jax.data.pastis_r import check_labels, describe
from pastis_jax.data.patches import facts as kept
from pastis_jax.data.patches.agreement import Contradiction, SharedParcels, tell_shared
from pastis_jax.data.patches.folder import PatchFolder
from pastis_jax.data.patches.found import DOWNLOAD
from pastis_jax.data.patches.opening import open_patches
from pastis_jax.data.patches.source import PatchSource
from pastis_jax.data.patches.summary import Measures, PatchSummary
from pastis_jax.data.prepared import Prepared
from pastis_jax.data.regions.records.random_windows import RandomWindows
from pastis_jax.data.regions.records.windows import RegionWindows
from pastis_jax.data.statistics import (
    FoldStatistics,
    Statistics,
    fold_statistics_from_norm,
    statistics_from_json,
)
from pastis_jax.data.surveyed import Surveyed
from pastis_jax.errors import DataError, refuse

_VERSION = "7"
_WORKERS = 4  # each holds one patch, 100 to 200 MB


def prepare_patches(
    root: str | os.PathLike[str],
    *,
    modalities: Sequence[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    compute_statistics: bool | None = False,
    dataset: Dataset | None = None,
    assignment: Assignment | None = None,
    skip_implausible: bool = False,
    window: int = 0,
    max_cloud: float | None = None,
    progress: bool = True,
) -> PreparedPatches:
    """Checks a patch folder or a Region completely, once, and remembers what training needs.

    What was found lies in `cache`, one small file under a fingerprint of the folder's contents
    (`cache.fingerprint`; of the labels, all count), so a copy of the folder elsewhere is known
    again. A folder that changed is checked anew, and so is one whose file is damaged, with a line
    that says so. Computed statistics lie in a second file. The folder itself is never written to,
    and nothing stays in the cache when a patch is refused or the check is interrupted.

    Args:
      root: The folder.
      modalities: Modalities to check, by default all that it holds. Others are not looked at; what
        was checked with others too is not checked again.
      cache: Where to write; by default `$PASTIS_JAX_CACHE`, else `pastis_jax` in
        `$XDG_CACHE_HOME` or `~/.cache`.
      compute_statistics: Whether to use channel statistics computed from the data instead of those
        of the `NORM_<modality>_patch.json` files; always so of a Region, which has none, and with
        an assignment, which these know nothing of. None: no statistics are needed.
      dataset: What it holds, in place of what it says: with other marks of what is missing, say.
      assignment: Lists of patches that take the place of the folds.
      skip_implausible: Whether to leave out patches with values that no sensor measures, in place
        of refusing the folder; `gaps` of the result lists them.
      window: Of a Region, the side of its windows, pixels; 0 for 128, or less in a smaller one.
      max_cloud: Of a Region with masks, the largest clouded share of the observed pixels of a
        window: an acquisition with more counts as missing there. None takes all.
      progress: Whether to draw a progress bar while checking.

    Returns:
      The patches, with their modalities in the dataset's order.

    Raises:
      ArgumentError: If a modality is none of the dataset's.
      DataError: If the folder is not a sound patch folder with these modalities and, unless
        computed, their statistics, these cannot be of its values, its patches differ in size, or
        the cache cannot be written.
    """
    root = layout.resolve(root)
    described = dataset or describe(root, remedy=DOWNLOAD)
    options = {"dataset": described, "assignment": assignment}
    folder = open_patches(root, modalities, window=window, max_cloud=max_cloud, **options)
    dataset, modalities = folder.dataset, folder.modalities
    if compute_statistics is not None and (assignment is not None or not folder.norms):
        compute_statistics = True
    norms = folder.norms if compute_statistics is False else {}
    published = {
        m: fold_statistics_from_norm(
            root / file,
            dataset[m],
            dataset.folds,
            without={*dataset.folds}
            - {patch.fold for patch in folder.patches.values() if len(patch.days[m])},
        )
        for m, file in norms.items()
    }
    cache = layout.resolve(cache or default_cache())
    identity, others = folder.identity().adding(declared.parts(described, root)), folder.others
    if assignment is not None:
        identity = identity.adding({"lists of samples": assignment.digest})
    if skip_implausible:
        # What is left out for one modality would be missed in the others.
        identity, others = identity.adding({"implausible samples": "left out"}), ()

    def places(known: Fingerprint) -> dict[str, pathlib.Path]:
        name = known.adding({"version": _VERSION}).name
        facts, statistics = (cache / f"patches-{name}{end}.json" for end in ("", "-statistics"))
        return {"facts": facts} | ({"statistics": statistics} if compute_statistics else {})

    def checked(known: Fingerprint) -> bool:
        return all(
            is_sound(path, functools.partial(kept.read, kind, path, folder))
            for kind, path in places(known).items()
        )

    known = known_as(identity, root, others, checked)
    paths = places(known)
    if not checked(known):
        _examine(folder, paths, skip_implausible=skip_implausible, progress=progress)
    read = {kind: kept.read(kind, path, folder) for kind, path in paths.items()}

    facts, computed = read["facts"], None
    measured = survey.from_json(facts["survey"], dataset)
    surveyed.check_files(measured, published, root, norms)
    gaps = Gaps.from_json(facts["gaps"], dataset)
    # A part of PASTIS-R may well hold the first classes alone.
    if folder.whole and not gaps.skipped:
        check_labels(root, dataset, {int(n) for some in facts["pixels"].values() for n in some})
    if compute_statistics:
        computed = statistics_from_json(read["statistics"], dataset)
    return PreparedPatches(
        folder=folder,
        modalities=modalities,
        lengths={m: facts["lengths"][m] for m in modalities},
        size=tuple(facts["size"]),
        patches={dataset.fold(fold): n for fold, n in facts["patches"].items()},
        counts={
            dataset.fold(fold): {int(label): n for label, n in labels.items()}
            for fold, labels in facts["pixels"].items()
        },
        most_instances=max(facts["most_instances"], 1),
        gaps=gaps,
        survey={m: measured[m] for m in modalities},
        published=published,
        fold_statistics=computed or published,
        contradictions=kept.contradictions_of(facts),
        shared_parcels=kept.shared_parcels_of(facts, dataset),
        fingerprint=identity.adding(fingerprint(root, files=norms.values()).parts),
    )


@dataclasses.dataclass(frozen=True)
class PreparedPatches(Prepared):
    """A patch folder, checked and ready for random access.

    Attributes:
      folder: The folder's reader.
      modalities: Names of the modalities that records hold.
      lengths: Most dates of a patch, by modality.
      size: Rows and columns h, w of every patch.
      patches: Number of patches by fold.
      counts: Number of pixels by fold and number of their class, background and void included.
      most_instances: Slots that hold the instances of any patch: the most of one patch, void ones
        included, and at least 1.
      gaps: What patches lack.
      survey: What the values are like, by modality.
      published: Statistics of the NORM files; nothing where they are not used.
      fold_statistics: Channel means and standard deviations by modality and fold.
      contradictions: What the annotations of a patch say against each other, the first thing of
        each such patch, by its identifier as text.
      shared_parcels: Parcels that have crop pixels in patches of several folds.
      fingerprint: Of what these modalities' records and statistics are made from.
    """

    folder: PatchFolder = dataclasses.field(repr=False)
    modalities: tuple[str, ...]
    lengths: Mapping[str, int]
    size: tuple[int, int]
    patches: Mapping[Fold, int]
    counts: Mapping[Fold, Mapping[int, int]]
    most_instances: int
    gaps: Gaps = dataclasses.field(repr=False)
    survey: Mapping[str, Surveyed] = dataclasses.field(repr=False)
    published: Mapping[str, FoldStatistics] = dataclasses.field(repr=False)
    fold_statistics: Mapping[str, FoldStatistics] = dataclasses.field(repr=False)
    contradictions: Mapping[str, Contradiction] = dataclasses.field(repr=False)
    shared_parcels: Sequence[SharedParcels] = dataclasses.field(repr=False)
    fingerprint: Fingerprint = dataclasses.field(repr=False)

    SAMPLE: ClassVar[str] = "patch"

    @property
    def root(self) -> pathlib.Path:
        """The folder."""
        return self.folder.root

    @property
    def dataset(self) -> Dataset:
        """What it holds."""
        return self.folder.dataset

    @property
    def listing(self) -> str:
        """Name of the file that lists the patches."""
        return self.folder.METADATA

    def training_source(
        self, folds: Sequence[Fold], *, crop: int | None = None, **options: bool
    ) -> PatchSource | RandomWindows:
        """Returns what is trained on: of a Region, windows that lie anywhere in `folds`.

        With lists of samples these are the listed windows, as of a folder its patches.

        Args:
          folds: The folds.
          crop: Side of the squares that are cut out; of a Region, of what is read at all.
          **options: Those of `source`.

        Raises:
          ArgumentError: If a Region is to be kept in memory.
          DataError: As for `source`.
        """
        folder, source = self.folder, self.source(folds, **options)
        if not isinstance(folder, RegionWindows):
            return source
        fault = "windows of a Region are drawn anew in each epoch"
        refuse("cache", options.get("in_memory"), fault, "leave it out")
        if folder.lists is not None:
            return source
        return RandomWindows(
            folder,
            folds,
            self.size if crop is None else (crop, crop),
            instances=options.get("instances", False),
            avoided=tuple(self.gaps.skipped),
        )

    def source(
        self, folds: Sequence[Fold], *, in_memory: bool = False, instances: bool = False
    ) -> PatchSource:
        """Returns random access to the patches of `folds`, fold after fold, in metadata order.

        Args:
          folds: The folds.
          in_memory: Whether to keep every patch in memory once it was read; `nbytes` of the source
            says how much that takes in the end.
          instances: Whether records hold `instances`, which panoptic targets are made from.

        Raises:
          DataError: If a fold has no patch; with instances, if annotations of a patch contradict
            each other, or say of no crop pixel which parcel it is of.
        """
        self.check_folds(folds)
        sound = [x for x in self.folder.patches.values() if x.id not in self.gaps.skipped]
        patches = [patch for fold in folds for patch in sound if patch.fold == fold]
        if instances and (error := self._first_contradiction(patches, absent=True)):
            raise error
        return PatchSource(
            self.folder, patches, self.size, in_memory=in_memory, instances=instances
        )

    def samples_in(self, fold: Fold) -> int:
        """Number of patches of a fold."""
        return self.patches.get(fold, 0)

    def notes(
        self, folds: Mapping[str, Sequence[Fold]], run: Statistics | None = None
    ) -> tuple[str, ...]:
        """Returns what a reader should know of these splits, a line each.

        That is annotations that contradict each other, whatever is read of them, parcels that are
        trained on as well as scored, and what is odd about the values.

        Args:
          folds: Folds of each split.
          run: Statistics of a run that takes the place of the folder's own.
        """
        chosen = {fold for names in folds.values() for fold in names}
        patches = [patch for patch in self.folder.patches.values() if patch.fold in chosen]
        first, train = self._first_contradiction(patches), set(folds["train"])
        scored = {fold for name in ("val", "test") for fold in folds[name]}
        leaking = [
            some for some in self.shared_parcels if train & {*some.folds} and scored & {*some.folds}
        ]
        shared = tell_shared(leaking, "train and of val or test")
        told = (str(note) for note in (first, shared) if note is not None)
        return (*told, *self.folder.notes, *super().notes(folds, run))

    def _first_contradiction(
        self, patches: Sequence[Patch], *, absent: bool = False
    ) -> DataError | None:
        """The error that tells the first contradiction, with the number of patches that have one.

        Args:
          patches: Where to look.
          absent: Whether it counts too that nothing numbers the parcels.
        """
        of_patches = [(patch, self.contradictions.get(str(patch.id))) for patch in patches]
        wrong = [(patch, x) for patch, x in of_patches if x and (absent or not x.absent)]
        if not wrong:
            return None
        more = f" ({len(wrong):,} of {len(patches):,} patches; `pastis-jax inspect` lists all)"
        return self.folder.refusal(*wrong[0], more)


def _examine(
    folder: PatchFolder,
    paths: Mapping[str, pathlib.Path],
    *,
    skip_implausible: bool,
    progress: bool,
) -> None:
    """Checks every patch of `folder`, and writes what was found to `paths`."""
    cache = paths["facts"].parent
    with writing(cache), tempfile.TemporaryDirectory(prefix=".preparing-", dir=cache) as staging:
        summary = PatchSummary(folder, statistics="statistics" in paths)
        patches = list(folder.patches.values())

        def work(patch: Patch) -> Measures | ImplausibleError:
            try:
                return summary.measure(patch, *folder.check(patch))
            except ImplausibleError as error:
                if not skip_implausible:
                    raise
                return error

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
                    if isinstance(measures, ImplausibleError):
                        summary.gaps.skip(patch.id, measures)
                    else:
                        summary.add(patch, measures)
                    bar.update()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        for fault, path in paths.items():
            staged = pathlib.Path(staging, path.name)
            staged.write_text(json.dumps(getattr(summary, fault)(), indent=1))
            os.replace(staged, path)
