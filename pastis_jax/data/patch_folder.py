"""Reader of the official patch folder of PASTIS-R (Zenodo record 5735646).

    DATA_S2/S2_<patch>.npy             int16    (t, 10, h, w)  surface reflectance x 10000
    DATA_S1A/S1A_<patch>.npy           float16  (t, 3, h, w)   VV, VH, VV-VH in dB, ascending orbit
    DATA_S1D/S1D_<patch>.npy           float16  (t, 3, h, w)   the same, descending orbit
    ANNOTATIONS/TARGET_<patch>.npy     integer  (3, h, w)      label, parcel within the patch, fine
    ANNOTATIONS/ParcelIDs_<patch>.npy  int32    (h, w)         ID_PARCEL; optional
    INSTANCE_ANNOTATIONS/...           INSTANCES, ZONES, HEATMAP of each patch; optional
    metadata.geojson                   fold and acquisition dates of each patch
    NORM_<sat>_patch.json              channel statistics of each fold

t counts dates and varies from patch to patch. Series are mapped into memory, so that only what is
sliced out of them is read: `check` reads a patch completely and refuses what cannot be right.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from pastis_jax.data import arrays, layout
from pastis_jax.data.arrays import RESTORE
from pastis_jax.data.instances import centerness, instances_from_parcels
from pastis_jax.data.metadata import PARCEL_METADATA, PATCH_METADATA, Patch, read_patches
from pastis_jax.data.nomenclature import MODALITIES, VOID
from pastis_jax.errors import DataError

ANNOTATIONS, INSTANCES = "ANNOTATIONS", "INSTANCE_ANNOTATIONS"

_DOWNLOAD = "give the folder of the PASTIS-R patches (zenodo.org/record/5735646)"
_RECOMPUTE = f"{RESTORE}, or remove {INSTANCES} to have it computed"
_AXES = ("dates", "channels", "rows", "columns")

Series = dict[str, tuple[np.ndarray, np.ndarray]]
"""Values (t, c, h, w) and days since 2018-09-01 (t,) int32 of each modality."""


@dataclasses.dataclass(frozen=True, eq=False)
class Annotations:
    """What grows where in one patch.

    Attributes:
      semantic: Official label, 0 to 19, of each pixel, (h, w) uint8.
      parcels: Number of the pixel's parcel within the patch, 0 for none, (h, w) int32.
      fine: Fine crop code, (h, w) int32.
      parcel_ids: ID_PARCEL, 0 for none, (h, w) int32; None where the folder has no such file.
    """

    semantic: np.ndarray
    parcels: np.ndarray
    fine: np.ndarray
    parcel_ids: np.ndarray | None


@dataclasses.dataclass(frozen=True, eq=False)
class Instances:
    """Panoptic targets of one patch.

    Attributes:
      instances: Instance of each pixel from 1, 0 on background, (h, w) int32.
      zones: Instance whose centre each pixel counts for, (h, w) int32.
      heatmap: Centerness, 0 to 1, exactly 1 at each centre, (h, w) float32.
    """

    instances: np.ndarray
    zones: np.ndarray
    heatmap: np.ndarray


class PatchFolder:
    """The official patch folder, opened and checked for completeness.

    Opening reads the metadata and lists the data folders; no array is read.

    Args:
      root: The folder.
      modalities: Modalities that must be there; None takes those that are.

    Attributes:
      root: The folder, absolute.
      modalities: Modalities to read, in the order S2, S1A, S1D.
      patches: The patches of `metadata.geojson` by identifier.

    Raises:
      DataError: If the folder, its metadata, a required modality, a patch's file or its annotations
        are missing, or the metadata is not as published.
    """

    def __init__(self, root: str | os.PathLike[str], modalities: Sequence[str] | None = None):
        self.root = layout.resolve(root)
        self.modalities = check_layout(self.root, modalities)
        self.patches = read_patches(self.root / PATCH_METADATA, self.modalities)
        if not self.patches:
            raise DataError("lists no patch", where=self.root / PATCH_METADATA, remedy=RESTORE)
        remedy = f"copy it again from the archive, or remove the patch from {PATCH_METADATA}"
        for name in (*self.modalities, "TARGET"):
            folder = ANNOTATIONS if name == "TARGET" else f"DATA_{name}"
            layout.check_files(self.root / folder, name, self.patches, remedy=remedy)
        self._extras = layout.list_names(self.root / ANNOTATIONS)
        self._extras |= layout.list_names(self.root / INSTANCES)

    def file(self, patch: Patch, name: str) -> pathlib.Path:
        """Returns where an array of `patch` lies.

        Args:
          patch: One of `patches`.
          name: A modality, TARGET, ParcelIDs, INSTANCES, ZONES or HEATMAP.
        """
        if name in MODALITIES:
            folder = f"DATA_{name}"
        else:
            folder = ANNOTATIONS if name in ("TARGET", "ParcelIDs") else INSTANCES
        return self.root / folder / f"{name}_{patch.id}.npy"

    def series(self, patch: Patch) -> Series:
        """Opens the series of one patch.

        Args:
          patch: One of `patches`.

        Returns:
          For each modality its values, (t, c, h, w) int16 for S2 and float16 for S1A and S1D, and
          its days since 2018-09-01, (t,) int32. Values are views of the file, not yet read, unless
          it holds another dtype.

        Raises:
          DataError: If a file is unreadable or its shape disagrees with the metadata or with the
            other modalities.
        """
        return {
            name: (arrays.as_stored(values, MODALITIES[name]), days)
            for name, (values, days) in self._open(patch).items()
        }

    def _open(self, patch: Patch) -> Series:
        series, size = {}, None
        for name in self.modalities:
            file, days = self.file(patch, name), patch.days[name]
            values = arrays.load_array(file, mapped=True)
            arrays.check_series_shape(values, _AXES, MODALITIES[name], len(days), file)
            if 0 in values.shape:
                raise DataError("holds no pixel", where=file, remedy=RESTORE)
            if size is not None and values.shape[2:] != size:
                what = f"{_by(values.shape[2:])} pixels where {self.modalities[0]} has {_by(size)}"
                raise DataError(what, where=file, remedy=RESTORE)
            size = values.shape[2:]
            series[name] = (values, days)
        return series

    def target(self, patch: Patch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reads `TARGET` of one patch.

        Returns:
          Official labels (h, w) uint8, parcel numbers (h, w) int32 and fine codes (h, w) int32.

        Raises:
          DataError: If the file is unreadable, of another form, or holds unknown labels.
        """
        file = self.file(patch, "TARGET")
        target = _integers(arrays.load_array(file), file)
        if target.ndim != 3 or len(target) != 3:
            what = f"shape {target.shape} where (3, rows, columns) is expected"
            raise DataError(what, where=file, remedy=RESTORE)
        semantic, parcels, fine = target
        if unknown := sorted(set(np.unique(semantic).tolist()) - set(range(VOID + 1))):
            remedy = "labels are 0 to 18, and 19 for void: correct them"
            raise DataError(f"unknown label {unknown[0]}", where=file, remedy=remedy)
        if parcels.size and parcels.min() < 0:
            what = f"parcel number {parcels.min()}"
            raise DataError(what, where=file, remedy="number parcels from 1, and 0 for none")
        return semantic.astype(np.uint8), parcels.astype(np.int32), fine.astype(np.int32)

    def annotations(self, patch: Patch) -> Annotations:
        """Reads the annotations of one patch.

        Raises:
          DataError: If a file is unreadable, of another form or size, or holds unknown labels.
        """
        semantic, parcels, fine = self.target(patch)
        ids, file = None, self.file(patch, "ParcelIDs")
        if file.name in self._extras:
            ids = _integers(_sized(arrays.load_array(file), semantic.shape, file), file)
            ids = ids.astype(np.int32)
        return Annotations(semantic=semantic, parcels=parcels, fine=fine, parcel_ids=ids)

    def instances(self, patch: Patch) -> Instances:
        """Reads the panoptic targets of one patch, or computes them where a file is missing.

        Raises:
          DataError: If a file is unreadable, of another form or size, or holds impossible values.
        """
        annotations = self.annotations(patch)
        if not self.has_instances(patch):
            instances, zones, heatmap = make_instances(annotations)
        else:
            size = annotations.semantic.shape
            instances, zones = (
                self._stored_numbers(patch, name, size) for name in ("INSTANCES", "ZONES")
            )
            file = self.file(patch, "HEATMAP")
            heatmap = _sized(arrays.load_array(file), size, file, remedy=_RECOMPUTE)
            if heatmap.dtype.kind != "f" or not (heatmap.min() >= 0 and heatmap.max() <= 1):
                raise DataError("values are not 0 to 1", where=file, remedy=_RECOMPUTE)
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
            numbers = _number(annotations)
        return numbers.astype(np.int32)

    def _stored_numbers(self, patch: Patch, name: str, size: tuple[int, ...]) -> np.ndarray:
        file = self.file(patch, name)
        numbers = _sized(arrays.load_array(file), size, file, remedy=_RECOMPUTE)
        if _integers(numbers, file, remedy=_RECOMPUTE).min() < 0:
            raise DataError(f"instance {numbers.min()}", where=file, remedy=_RECOMPUTE)
        return numbers

    def has_instances(self, patch: Patch) -> bool:
        """Whether the panoptic targets of `patch` are stored, not only computable."""
        files = (self.file(patch, name) for name in ("INSTANCES", "ZONES", "HEATMAP"))
        return all(file.name in self._extras for file in files)

    def check(self, patch: Patch) -> tuple[Series, Annotations]:
        """Reads one patch completely.

        Returns:
          Its series, in memory, and its annotations.

        Raises:
          DataError: If anything about it is unreadable, disagrees with the metadata or among its
            files, or is implausible.
        """
        series = {}
        for name, (values, days) in self._open(patch).items():
            values = np.array(values)
            arrays.check_series_values(values, MODALITIES[name], self.file(patch, name))
            series[name] = (arrays.as_stored(values, MODALITIES[name]), days)
        annotations = self.annotations(patch)
        size = series[self.modalities[0]][0].shape[2:]
        _sized(annotations.semantic, size, self.file(patch, "TARGET"))
        if self.has_instances(patch):
            self.instances(patch)
        return series, annotations


def make_instances(annotations: Annotations) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Computes INSTANCES, ZONES (int64) and HEATMAP (float64) of one patch, (h, w) each.

    Numbers follow `ParcelIDs`, as published, or else the parcels' numbers within the patch.
    """
    instances = _number(annotations)
    heatmap, zones = centerness(instances)
    return instances, zones, heatmap


def _number(annotations: Annotations) -> np.ndarray:
    ids = annotations.parcels if annotations.parcel_ids is None else annotations.parcel_ids
    return instances_from_parcels(ids, annotations.semantic)


def check_layout(root: pathlib.Path, modalities: Sequence[str] | None = None) -> tuple[str, ...]:
    """Refuses a folder that is not a patch folder, and says what it looks like instead.

    Args:
      root: The folder.
      modalities: Modalities that must be there; None takes those that are.

    Returns:
      The modalities, in the order S2, S1A, S1D.

    Raises:
      DataError: If `root` is no folder or lacks its metadata, annotations or a data folder.
    """
    present = layout.present_modalities(root, remedy=_DOWNLOAD)
    if not (root / ANNOTATIONS).is_dir():
        inner = next((path.parent for path in sorted(root.glob(f"*/{ANNOTATIONS}"))), None)
        if inner is not None:
            raise DataError("not a patch folder itself", where=root, remedy=f"give {inner}")
        if (root / PARCEL_METADATA).exists():
            what = "this is the pixel-set folder of PASTIS-R, not the patch folder"
            raise DataError(what, where=root, remedy=_DOWNLOAD)
        if present:
            what = "no folder of annotations"
            raise DataError(what, where=root / ANNOTATIONS, remedy="add it from the archive")
    return layout.wanted_modalities(root, modalities, kind="patch", remedy=_DOWNLOAD)


def _integers(values: np.ndarray, file: pathlib.Path, *, remedy: str = RESTORE) -> np.ndarray:
    if values.dtype.kind not in "iu":
        what = f"dtype {values.dtype} where integers are expected"
        raise DataError(what, where=file, remedy=remedy)
    return values


def _sized(
    values: np.ndarray, size: tuple[int, ...], file: pathlib.Path, *, remedy: str = RESTORE
) -> np.ndarray:
    if values.shape != size:
        what = f"{_by(values.shape)} pixels where the patch has {_by(size)}"
        raise DataError(what, where=file, remedy=remedy)
    return values


def _by(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))
