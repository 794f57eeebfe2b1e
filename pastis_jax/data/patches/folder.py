"""Reader of a folder of patches, in the layout of PASTIS-R (Zenodo record 5735646).

    dataset.json                            what the folder holds; without it, PASTIS-R
    DATA_<modality>/<modality>_<patch>.npy  (t, c, h, w)  of S2: int16, reflectance x 10000
    ANNOTATIONS/TARGET_<patch>.npy          (3, h, w)     label, parcel within the patch, fine code
    ANNOTATIONS/ParcelIDs_<patch>.npy       (h, w)        ID_PARCEL; optional
    INSTANCE_ANNOTATIONS/...                INSTANCES, ZONES, HEATMAP of each patch; optional
    metadata.geojson                        fold and acquisition dates of each patch
    NORM_<modality>_patch.json              channel statistics of each fold

t counts dates and varies from patch to patch. Of series only what is asked for is read: `check`
reads a patch completely and refuses what cannot be right.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from pastis_jax.data import arrays, dataset_file, layout
from pastis_jax.data.assignment import Assignment
from pastis_jax.data.cache import Fingerprint, fingerprint
from pastis_jax.data.dataset import Dataset, Modality
from pastis_jax.data.metadata import PATCH_METADATA, Patch, read_patches
from pastis_jax.data.npy import StoredArray, load_array
from pastis_jax.data.pastis_r import check_official, describe
from pastis_jax.data.patches.agreement import Contradiction, contradictions, in_parcels
from pastis_jax.data.patches.annotations import (
    ANNOTATIONS,
    INSTANCES,
    Annotations,
    Instances,
    by,
    integers,
    recompute,
    sized,
)
from pastis_jax.data.patches.found import DOWNLOAD, check_layout
from pastis_jax.data.patches.instances import centerness, instances_from_parcels
from pastis_jax.data.reading import restore
from pastis_jax.errors import DataError

_AXES = ("dates", "channels", "rows", "columns")

StoredSeries = dict[str, tuple[np.ndarray | StoredArray, np.ndarray]]
"""Values (t, c, h, w), in memory or in a file, and days since the start of the season (t,) int32 of
each modality."""


class PatchFolder:
    """A folder of patches, opened and checked for completeness.

    Opening reads the metadata and lists the data folders; no array is read.

    Args:
      root: The folder.
      modalities: Modalities that must be there; None takes those that are.
      dataset: What it holds, in place of what it says.
      assignment: Lists of patches that take the place of the folds.
      complete: Whether every file must be there; else `read` or `check` refuses what is missing.

    Attributes:
      root: The folder, absolute.
      dataset: What it holds.
      modalities: Names of the modalities to read, in the dataset's order.
      patches: The patches of `metadata.geojson` by identifier; with an assignment, those that are
        in a list.
      whole: Whether these are all that it lists.

    Raises:
      ArgumentError: If a modality is none of the dataset's.
      DataError: If the folder, its metadata, a required modality, a patch's file or its annotations
        are missing, or the metadata is not as published.
    """

    METADATA = PATCH_METADATA
    notes: tuple[str, ...] = ()
    """What was left out, a line each: nothing."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        modalities: Sequence[str] | None = None,
        *,
        dataset: Dataset | None = None,
        assignment: Assignment | None = None,
        complete: bool = True,
    ):
        self.root = layout.resolve(root)
        self.dataset = dataset or describe(self.root, remedy=DOWNLOAD)
        self.modalities = check_layout(self.root, self.dataset, modalities)
        self.patches = read_patches(self.root / PATCH_METADATA, self.dataset, self.modalities)
        check_official(self.root, self.patches)
        listed = len(self.patches)
        if assignment is not None:
            assignment.check(self.patches, "patches")
            self.dataset = assignment.dataset(self.dataset)
            self.patches = {
                name: dataclasses.replace(patch, fold=assignment.split[name])
                for name, patch in self.patches.items()
                if name in assignment.split
            }
        self.whole = len(self.patches) == listed
        if not self.patches:
            file = self.root / PATCH_METADATA
            raise DataError("lists no patch", where=file, remedy=restore(file))
        if complete:
            self._check_series()
            self.check_annotations()
        self._extras = layout.list_names(self.root / ANNOTATIONS)
        self._extras |= layout.list_names(self.root / INSTANCES)

    @property
    def _again(self) -> str:
        return layout.again(self.root, f"remove the patch from {PATCH_METADATA}")

    def _check_series(self) -> None:
        for name in self.modalities:
            dated = [patch.id for patch in self.patches.values() if len(patch.days[name])]
            undated = [patch.id for patch in self.patches.values() if not len(patch.days[name])]
            layout.check_series(self.root, name, dated, undated, remedy=self._again)

    @property
    def norms(self) -> Mapping[str, str]:
        """Names of the files of statistics, by modality."""
        return {name: f"NORM_{name}_patch.json" for name in self.modalities}

    @property
    def others(self) -> tuple[str, ...]:
        """Modalities that the folder holds beside these."""
        every = check_layout(self.root, self.dataset)
        return tuple(name for name in every if name not in self.modalities)

    def identity(self) -> Fingerprint:
        """Fingerprint of what is read."""
        annotations = [
            (ANNOTATIONS, "ParcelIDs"),
            *((INSTANCES, word) for word in ("INSTANCES", "ZONES", "HEATMAP")),
        ]
        arrays = [(f"DATA_{name}", name) for name in self.modalities]
        arrays += [(name, word) for name, word in annotations if (self.root / name).is_dir()]
        return fingerprint(
            self.root,
            files=(dataset_file.FILE, PATCH_METADATA),
            folders=arrays,
            whole=[(ANNOTATIONS, "TARGET")],
        )

    def check_annotations(self) -> None:
        """Refuses a folder without the `TARGET` of a patch.

        Raises:
          DataError: Naming the first file that is missing.
        """
        layout.check_files(self.root / ANNOTATIONS, "TARGET", self.patches, remedy=self._again)

    @property
    def labels_at(self) -> pathlib.Path:
        """Where its labels lie."""
        return self.root / ANNOTATIONS

    def file(self, patch: Patch, name: str) -> pathlib.Path:
        """Returns where an array of `patch` lies.

        Args:
          patch: One of `patches`.
          name: A modality, TARGET, ParcelIDs, INSTANCES, ZONES or HEATMAP.
        """
        if name in self.dataset.names:
            folder = f"DATA_{name}"
        else:
            folder = ANNOTATIONS if name in ("TARGET", "ParcelIDs") else INSTANCES
        return self.root / folder / f"{name}_{patch.id}.npy"

    def series(self, patch: Patch) -> StoredSeries:
        """Opens the series of one patch.

        Args:
          patch: One of `patches`.

        Returns:
          For each modality its values, (t, c, h, w) in its dtype, and its days since the start of
          the season, (t,) int32; t = 0 of a modality that the patch lacks. Values are in their
          file, not yet read, unless it holds another dtype.

        Raises:
          DataError: If a file is unreadable or its shape disagrees with the metadata or with the
            other modalities.
        """
        return {
            name: (_as_stored(values, self.dataset[name]), days)
            for name, (values, days) in self._open(patch).items()
        }

    def _open(self, patch: Patch) -> StoredSeries:
        series, size = {}, None
        for name in self.modalities:
            file, days = self.file(patch, name), patch.days[name]
            if not len(days):
                if file.exists():
                    raise layout.without_dates(file, name)
                continue
            values = StoredArray(file)
            arrays.check_series_shape(values, _AXES, self.dataset[name], len(days), file)
            if 0 in values.shape:
                raise DataError("holds no pixel", where=file, remedy=restore(file))
            if size is not None and values.shape[2:] != size:
                fault = f"{by(values.shape[2:])} pixels where {next(iter(series))} has {by(size)}"
                raise DataError(fault, where=file, remedy=restore(file))
            size = values.shape[2:]
            series[name] = (values, days)
        if size is None:
            size = StoredArray(self.file(patch, "TARGET")).shape[-2:]
        return {
            name: series.get(name) or layout.empty_series(self.dataset[name], size)
            for name in self.modalities
        }

    def target(self, patch: Patch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reads `TARGET` of one patch.

        Returns:
          Numbers of the classes (h, w) int32, parcel numbers (h, w) int64 and fine codes (h, w)
          int64.

        Raises:
          DataError: If the file is unreadable, of another form, or holds unknown labels.
        """
        file = self.file(patch, "TARGET")
        target = integers(load_array(file), file)
        if target.ndim != 3 or len(target) != 3:
            fault = f"shape {target.shape} where (3, rows, columns) is expected"
            raise DataError(fault, where=file, remedy=restore(file))
        labels, parcels, fine = target
        try:
            semantic = self.dataset.nomenclature.numbers(labels)
        except KeyError as error:
            known = ", ".join(map(str, self.dataset.nomenclature.values[0])) or "not given"
            remedy = f"values of classes are {known}: correct it, or the dataset's nomenclature"
            raise DataError(f"unknown label {error}", where=file, remedy=remedy) from None
        if parcels.size and parcels.min() < 0:
            fault = f"parcel number {parcels.min()}"
            raise DataError(fault, where=file, remedy="number parcels from 1, and 0 for none")
        return semantic, parcels.astype(np.int64), fine.astype(np.int64)

    def annotations(self, patch: Patch) -> Annotations:
        """Reads the annotations of one patch.

        Raises:
          DataError: If a file is unreadable, of another form or size, or holds unknown labels.
        """
        semantic, parcels, fine = self.target(patch)
        ids, file = None, self.file(patch, "ParcelIDs")
        if file.name in self._extras:
            ids = integers(sized(load_array(file), semantic.shape, file), file)
            ids = ids.astype(np.int64)
        return Annotations(semantic=semantic, parcels=parcels, fine=fine, parcel_ids=ids)

    def instances(self, patch: Patch) -> Instances:
        """Reads the panoptic targets of one patch, or computes them where a file is missing.

        Raises:
          DataError: If a file is unreadable, of another form or size, or holds impossible values.
        """
        annotations = self.annotations(patch)
        if not self.has_instances(patch):
            instances, zones, heatmap = self.make_instances(annotations)
        else:
            size = annotations.semantic.shape
            instances, zones = (
                self._stored_numbers(patch, name, size) for name in ("INSTANCES", "ZONES")
            )
            file = self.file(patch, "HEATMAP")
            heatmap = sized(load_array(file), size, file, remedy=recompute)
            if heatmap.dtype.kind != "f" or not (heatmap.min() >= 0 and heatmap.max() <= 1):
                raise DataError("values are not 0 to 1", where=file, remedy=recompute(file))
        return Instances(
            instances=instances.astype(np.int32),
            zones=zones.astype(np.int32),
            heatmap=heatmap.astype(np.float32),
        )

    def instance_numbers(self, patch: Patch, annotations: Annotations) -> np.ndarray:
        """Returns the INSTANCES of one patch, (h, w) int32, read or numbered as published.

        Args:
          patch: One of `patches`.
          annotations: Its annotations.

        Raises:
          DataError: If the file is unreadable, of another form or size, or holds negative numbers.
        """
        if self.has_instances(patch):
            numbers = self._stored_numbers(patch, "INSTANCES", annotations.semantic.shape)
        else:
            numbers = self.number(annotations)
        return numbers.astype(np.int32)

    def _stored_numbers(self, patch: Patch, name: str, size: tuple[int, ...]) -> np.ndarray:
        file = self.file(patch, name)
        numbers = sized(load_array(file), size, file, remedy=recompute)
        numbers = integers(numbers, file, remedy=recompute)
        if numbers.min() < 0:
            raise DataError(f"instance {numbers.min()}", where=file, remedy=recompute(file))
        if numbers.max() > np.iinfo(np.int32).max:
            fault = f"instance {numbers.max()} is beyond 32 bits: they are numbered from 1"
            raise DataError(fault, where=file, remedy=recompute(file))
        return numbers

    def has_instances(self, patch: Patch) -> bool:
        """Whether the panoptic targets of `patch` are stored, not only computable."""
        files = (self.file(patch, name) for name in ("INSTANCES", "ZONES", "HEATMAP"))
        return all(file.name in self._extras for file in files)

    def contradictions(
        self, patch: Patch, annotations: Annotations, *, stored: bool = True
    ) -> list[Contradiction]:
        """Returns what the annotations of one patch, read before, say against each other.

        Args:
          patch: One of `patches`.
          annotations: Its annotations.
          stored: Whether stored instances count too.

        Raises:
          DataError: If stored instances are unreadable, of another form or size, or out of range.
        """
        numberings, zones = {"TARGET": annotations.parcels}, None
        if annotations.parcel_ids is not None:
            numberings["ParcelIDs"] = annotations.parcel_ids
        if stored and self.has_instances(patch):
            size = annotations.semantic.shape
            numberings["INSTANCES"], zones = (
                self._stored_numbers(patch, name, size) for name in ("INSTANCES", "ZONES")
            )
        nomenclature = self.dataset.nomenclature
        every = list(contradictions(annotations.semantic, numberings, nomenclature, zones))
        # Zones are made from instances: where these are wrong, it says no more that zones are.
        wrong = any(x.name == "INSTANCES" for x in every)
        return [x for x in every if not (wrong and x.name == "ZONES")]

    def refusal(self, patch: Patch, contradiction: Contradiction, more: str = "") -> DataError:
        """Returns the error that tells a contradiction of `patch`, with `more` words on it."""
        remedy = "give each crop pixel its parcel, one label to a parcel, all files of one patch"
        file = self.file(patch, contradiction.name)
        if contradiction.name in ("INSTANCES", "ZONES"):
            remedy = recompute(file)
        return DataError(contradiction.fault + more, where=file, remedy=remedy)

    def check(self, patch: Patch) -> tuple[StoredSeries, Annotations]:
        """Reads one patch completely.

        Returns:
          Its series, in memory, and its annotations; t = 0 of a modality that it lacks, or that is
          missing at every date and pixel, which training masks.

        Raises:
          ImplausibleError: If values are none that a sensor measures.
          DataError: If anything about it is unreadable, or disagrees with the metadata or among its
            files.
        """
        series = {}
        for name, (values, days) in self._open(patch).items():
            values = np.asarray(values)
            modality = self.dataset[name]
            if layout.check_values(values, modality, self.file(patch, name)):
                series[name] = (arrays.as_stored(values, modality), days)
            else:
                series[name] = layout.empty_series(modality, values.shape[2:])
        annotations = self.annotations(patch)
        size = series[self.modalities[0]][0].shape[2:]
        sized(annotations.semantic, size, self.file(patch, "TARGET"))
        if self.has_instances(patch):
            self.instances(patch)
        return series, annotations

    def make_instances(self, annotations: Annotations) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Computes INSTANCES, ZONES (int64) and HEATMAP (float64) of one patch, (h, w) each.

        Numbers follow `ParcelIDs`, as published, or else the parcels' numbers within the patch.
        """
        instances = self.number(annotations)
        heatmap, zones = centerness(instances)
        return instances, zones, heatmap

    def number(self, annotations: Annotations) -> np.ndarray:
        """Numbers the instances of one patch as published, (h, w) int64."""
        ids = annotations.parcels if annotations.parcel_ids is None else annotations.parcel_ids
        inside = in_parcels(annotations.semantic, ids, self.dataset.nomenclature)
        return instances_from_parcels(ids, inside)


def _as_stored(values: StoredArray, modality: Modality) -> np.ndarray | StoredArray:
    return values if values.dtype == modality.dtype else arrays.as_stored(values[:], modality)
