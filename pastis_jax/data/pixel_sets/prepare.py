"""From a folder of pixel sets to records that training reads at random, prepared once."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from pastis_jax.data import declared, layout, survey, surveyed
from pastis_jax.data.assignment import Assignment
from pastis_jax.data.cache import (
    Fingerprint,
    amount,
    default_cache,
    fingerprint,
    is_sound,
    known_as,
    writing,
)
from pastis_jax.data.calendar import Days
from pastis_jax.data.dataset import Dataset, Fold
from pastis_jax.data.folder_builder import split_name
from pastis_jax.data.gaps import Gaps
from pastis_jax.data.metadata import PARCEL_METADATA
from pastis_jax.data.pastis_r import describe
from pastis_jax.data.pixel_sets.crop_pixel_sets_dataset_builder import Builder
from pastis_jax.data.pixel_sets.folder import DOWNLOAD
from pastis_jax.data.pixel_sets.opening import PixelSets, open_pixel_sets
from pastis_jax.data.pixel_sets.packed import PackedPixelSets
from pastis_jax.data.pixel_sets.packing import PACKED_VERSION, open_or_pack
from pastis_jax.data.pixel_sets.source import PixelSetSource
from pastis_jax.data.pixel_sets.written import open_written
from pastis_jax.data.prepared import Prepared
from pastis_jax.data.statistics import (
    FoldStatistics,
    Statistics,
    fold_statistics_from_norm,
    statistics_from_json,
)
from pastis_jax.data.surveyed import Surveyed


def prepare_pixel_sets(
    root: str | os.PathLike[str],
    *,
    modalities: Sequence[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    compute_statistics: bool | None = False,
    dataset: Dataset | None = None,
    assignment: Assignment | None = None,
    skip_implausible: bool = False,
    max_cloud: float | None = None,
    progress: bool = True,
) -> PreparedPixelSets:
    """Checks pixel sets, or a Region, and writes a TFDS dataset, or reuses what it wrote.

    The dataset lies in `cache` under a fingerprint of the folder's contents (`cache.fingerprint`),
    so a copy of the folder elsewhere is known again. A folder that changed is prepared anew; what
    was prepared from it before stays until deleted. What was prepared and is damaged is made anew,
    with a line that says so. The folder itself is never written to, and nothing stays in the cache
    when preparation fails or is interrupted.

    Args:
      root: The folder.
      modalities: Modalities to prepare, by default all that it holds. Others are not looked at;
        what was prepared with others too is used again.
      cache: Where to write; by default `$PASTIS_JAX_CACHE`, else `pastis_jax` in
        `$XDG_CACHE_HOME` or `~/.cache`.
      compute_statistics: Whether to use channel statistics computed from the data instead of those
        of the `NORM_PARCEL_<modality>_set.json` files; always so of a Region, which has none, and
        with an assignment, which these know nothing of. None: no statistics are needed.
      dataset: What it holds, in place of what it says: with other marks of what is missing, say.
      assignment: Lists of parcels that take the place of the folds.
      skip_implausible: Whether to leave out parcels with values that no sensor measures, in place
        of refusing the folder; `gaps` of the result lists them.
      max_cloud: Of a Region with masks, the largest clouded share of the observed pixels of a
        parcel: an acquisition with more counts as missing there. None takes all.
      progress: Whether to draw a progress bar while writing.

    Returns:
      The records, with their modalities in the dataset's order.

    Raises:
      ArgumentError: If a modality is none of the dataset's.
      DataError: If the folder is not a sound pixel-set folder with these modalities and, unless
        computed, their statistics, these cannot be of its values, or the cache cannot be written.
    """
    root = layout.resolve(root)
    described = dataset or describe(root, remedy=DOWNLOAD)
    options = {"dataset": described, "assignment": assignment, "max_cloud": max_cloud}
    folder = open_pixel_sets(root, modalities, complete=False, **options)
    dataset, modalities, observed = folder.dataset, folder.modalities, _observed(folder)
    if compute_statistics is not None and (assignment is not None or not folder.norms):
        compute_statistics = True
    norms = folder.norms if compute_statistics is False else {}
    published = {
        m: fold_statistics_from_norm(
            root / file,
            dataset[m],
            dataset.folds,
            without={fold for fold, days in observed.items() if not any(len(x[m]) for x in days)},
        )
        for m, file in norms.items()
    }
    cache, others = layout.resolve(cache or default_cache()), folder.others
    arrays = folder.identity().adding(declared.parts(described, root))
    if assignment is not None:
        arrays = arrays.adding({"lists of samples": assignment.digest})
    if skip_implausible:
        # What is left out for one modality would be missed in the others.
        arrays, others = arrays.adding({"implausible samples": "left out"}), ()

    def place(identity: Fingerprint) -> pathlib.Path:
        return cache / f"pixel_sets-{identity.adding({'version': str(Builder.VERSION)}).name}"

    def prepared(identity: Fingerprint) -> bool:
        data_dir = place(identity)
        return is_sound(data_dir, lambda: open_written(data_dir, dataset, modalities))

    known = known_as(arrays, root, others, prepared)
    data_dir = place(known)
    if not data_dir.exists():
        _write(
            root,
            data_dir,
            described,
            modalities,
            size=arrays.bytes,
            # The reader of a Region looked through all of it: it is not made again.
            folder=functools.partial(open_pixel_sets, max_cloud=max_cloud)
            if folder.norms
            else lambda *_, **__: folder,
            assignment=assignment,
            skip_implausible=skip_implausible,
            progress=progress,
        )

    info = open_written(data_dir, dataset, modalities)
    measured, computed = survey.from_json(info.metadata["survey"], dataset), None
    surveyed.check_files(measured, published, root, norms)
    if compute_statistics:
        computed = statistics_from_json(info.metadata["statistics"], dataset)
    return PreparedPixelSets(
        root=root,
        dataset=dataset,
        path=pathlib.Path(info.data_dir),
        modalities=modalities,
        lengths={m: info.metadata["lengths"][m] for m in modalities},
        counts={
            dataset.fold(fold): {int(label): n for label, n in labels.items()}
            for fold, labels in info.metadata["counts"].items()
        },
        geometric_features=info.metadata["geometric_features"],
        observed=observed,
        gaps=Gaps.from_json(info.metadata["gaps"], dataset),
        survey={m: measured[m] for m in modalities},
        published=published,
        fold_statistics=computed or published,
        fingerprint=arrays.adding(fingerprint(root, files=norms.values()).parts),
        info=info,
        listing=folder.METADATA,
        left_out=folder.notes,
    )


@dataclasses.dataclass(frozen=True)
class PreparedPixelSets(Prepared):
    """A folder of pixel sets, checked and ready for random access.

    Attributes:
      root: The folder it was prepared from.
      dataset: What it holds.
      path: Where its TFDS dataset lies; `tfds.builder_from_directory` opens it.
      modalities: Names of the modalities that records hold.
      lengths: Most dates of a parcel, by modality.
      counts: Number of parcels by fold and number of their class, void included.
      geometric_features: Number of features of an outline.
      observed: Days of the patches with crop parcels, by fold.
      gaps: What parcels lack.
      survey: What the values are like, by modality.
      published: Statistics of the NORM files; nothing where they are not used.
      fold_statistics: Channel means and standard deviations by modality and fold.
      fingerprint: Of what these modalities' records and statistics are made from.
      info: The TFDS description: features, splits and metadata.
      listing: Name of the file that lists the parcels.
      left_out: What was left out of a Region, a line each.
    """

    root: pathlib.Path
    dataset: Dataset
    path: pathlib.Path
    modalities: tuple[str, ...]
    lengths: Mapping[str, int]
    counts: Mapping[Fold, Mapping[int, int]]
    geometric_features: int
    observed: Mapping[Fold, Sequence[Days]] = dataclasses.field(repr=False)
    gaps: Gaps = dataclasses.field(repr=False)
    survey: Mapping[str, Surveyed] = dataclasses.field(repr=False)
    published: Mapping[str, FoldStatistics] = dataclasses.field(repr=False)
    fold_statistics: Mapping[str, FoldStatistics] = dataclasses.field(repr=False)
    fingerprint: Fingerprint = dataclasses.field(repr=False)
    info: tfds.core.DatasetInfo = dataclasses.field(repr=False)
    listing: str = PARCEL_METADATA
    left_out: tuple[str, ...] = ()

    SAMPLE: ClassVar[str] = "crop parcel"

    def source(self, folds: Sequence[Fold]) -> PixelSetSource:
        """Returns random access to the crop parcels of `folds`, fold after fold.

        Raises:
          DataError: If a fold has no crop parcel.
        """
        self.check_folds(folds)
        return self._source(folds)

    def _source(self, folds: Sequence[Fold]) -> PixelSetSource:
        files = [
            file for fold in folds for file in self.info.splits[split_name(fold)].file_instructions
        ]
        observed = [days for fold in folds for days in self.observed[fold]]
        return PixelSetSource(files, self.dataset, self.modalities, observed)

    def packed(self, *, progress: bool = True) -> PackedPixelSets:
        """The crop parcels of all folds, packed once beside the records and mapped from there.

        Raises:
          DataError: If they cannot be written or read.
        """
        folds = [fold for fold in self.dataset.folds if self.samples_in(fold)]
        sizes = {split_name(fold): self.samples_in(fold) for fold in folds}
        folder = self.path.parent.parent / f"packed-{PACKED_VERSION}"
        made = (self._source(folds), sizes, self.lengths, self.dataset)
        return open_or_pack(folder, *made, progress=progress)

    def notes(
        self, folds: Mapping[str, Sequence[Fold]], run: Statistics | None = None
    ) -> tuple[str, ...]:
        """Returns what a reader should know of these splits, a line each."""
        return *self.left_out, *super().notes(folds, run)

    def samples_in(self, fold: Fold) -> int:
        """Number of crop parcels of a fold."""
        void = self.dataset.nomenclature.void_number
        return sum(n for label, n in self.counts.get(fold, {}).items() if label != void)


def _observed(folder: PixelSets) -> dict[Fold, list[Days]]:
    """Days of the patches that have crop parcels, by fold."""
    places = dict.fromkeys((p.fold, p.patch) for p in folder.parcels if not folder.is_void(p))
    observed: dict[Fold, list[Days]] = {fold: [] for fold in folder.dataset.folds}
    for fold, patch in places:
        observed[fold].append(folder.patches[patch].days)
    return observed


def _write(
    root: pathlib.Path,
    data_dir: pathlib.Path,
    dataset: Dataset,
    modalities: Sequence[str],
    *,
    size: int,
    **options: Any,
) -> None:
    """Writes the TFDS dataset of `root` under `data_dir`, entirely or not at all.

    Args:
      root: The folder.
      data_dir: Where to write.
      dataset: What it holds.
      modalities: Modalities to write.
      size: Of their arrays (B).
      **options: What else the builder takes.
    """
    cache = data_dir.parent
    with writing(cache):
        free = shutil.disk_usage(cache).free
        if free < 1.05 * size:
            raise OSError(f"{amount(1.05 * size)} needed on its disk, which has {amount(free)}")
        staging = tempfile.mkdtemp(prefix=".preparing-", dir=cache)
        try:
            staged = pathlib.Path(staging, "data")
            builder = Builder(
                data_dir=staged,
                dataset=dataset,
                modalities=modalities,
                **options,
            )
            builder.download_and_prepare(
                download_dir=pathlib.Path(staging, "downloads"),  # nothing, but TFDS wants a place
                download_config=tfds.download.DownloadConfig(manual_dir=root),
            )
            try:
                os.rename(staged, data_dir)
            except OSError:
                if not data_dir.exists():  # else another process was faster: its result is as good
                    raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)
