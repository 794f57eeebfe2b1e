"""Reader of a folder of pixel sets, in the layout of PASTIS-R (Zenodo record 5745151).

    dataset.json                             what the folder holds; without it, PASTIS-R
    DATA_<modality>/<modality>_<parcel>.npy  (t, c, s)  of S2: int16, reflectance x 10000
    metadata.geojson                         acquisition dates of each patch
    metadata_parcel.csv                      patch, label, fold and outline of each parcel
    NORM_PARCEL_<modality>_set.json          channel statistics of each fold

t counts dates, c channels and s the parcel's pixels; t and s vary from parcel to parcel. Every
value that leaves this module has been checked: a folder that was normalised, scaled, truncated or
mixed up is refused with the name of the file at fault.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from pastis_jax.data import arrays, dataset_file, layout
from pastis_jax.data.assignment import Assignment
from pastis_jax.data.cache import Fingerprint, fingerprint
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.metadata import (
    PARCEL_METADATA,
    PATCH_METADATA,
    Parcel,
    read_parcels,
    read_patches,
)
from pastis_jax.data.npy import load_array
from pastis_jax.data.pastis_r import check_labels, check_official, describe
from pastis_jax.data.reading import restore
from pastis_jax.errors import DataError

DOWNLOAD = "give the folder of the PASTIS-R pixel sets (zenodo.org/record/5745151)"
_AXES = ("dates", "channels", "pixels")


class PixelSetFolder:
    """A folder of pixel sets, opened and checked for completeness.

    Opening reads the metadata and lists the data folders; no array is read before `read`.

    Args:
      root: The folder.
      modalities: Modalities that must be there; None takes those that are.
      dataset: What it holds, in place of what it says.
      assignment: Lists of parcels that take the place of the folds.
      complete: Whether every file must be there; else `read` or `check` refuses what is missing.

    Attributes:
      root: The folder, absolute.
      dataset: What it holds.
      modalities: Names of the modalities to read, in the dataset's order.
      parcels: Every parcel of `metadata_parcel.csv`, void ones included; with an assignment, those
        that are in a list.
      patches: The patches of `metadata.geojson` by identifier.

    Raises:
      ArgumentError: If a modality is none of the dataset's.
      DataError: If the folder, a metadata file, a required modality or a parcel's file is missing,
        or the metadata is not as published.
    """

    METADATA = PARCEL_METADATA
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
        self.parcels = read_parcels(self.root / PARCEL_METADATA, self.dataset, self.patches)
        check_labels(self.root, self.dataset, {parcel.label for parcel in self.parcels})
        if assignment is not None:
            assignment.check((parcel.id for parcel in self.parcels), "parcels")
            self.dataset = assignment.dataset(self.dataset)
            self.parcels = tuple(
                dataclasses.replace(parcel, fold=assignment.split[parcel.id])
                for parcel in self.parcels
                if parcel.id in assignment.split
            )
        remedy = layout.again(self.root, f"remove its line from {PARCEL_METADATA}")
        for name in self.modalities if complete else ():
            days = {patch.id: patch.days[name] for patch in self.patches.values()}
            dated = [p.id for p in self.parcels if len(days[p.patch]) and not self.is_void(p)]
            undated = [p.id for p in self.parcels if not len(days[p.patch])]
            layout.check_series(self.root, name, dated, undated, remedy=remedy)

    @property
    def norms(self) -> dict[str, str]:
        """Names of the files of statistics, by modality."""
        return {name: f"NORM_PARCEL_{name}_set.json" for name in self.modalities}

    @property
    def others(self) -> tuple[str, ...]:
        """Modalities that the folder holds beside these."""
        every = check_layout(self.root, self.dataset)
        return tuple(name for name in every if name not in self.modalities)

    def identity(self) -> Fingerprint:
        """Fingerprint of what is read."""
        return fingerprint(
            self.root,
            files=(dataset_file.FILE, PATCH_METADATA, PARCEL_METADATA),
            folders=[(f"DATA_{name}", name) for name in self.modalities],
        )

    def is_void(self, parcel: Parcel) -> bool:
        """Whether `parcel` is neither trained nor counted."""
        return parcel.label == self.dataset.nomenclature.void_number

    def file(self, parcel: Parcel, modality: str) -> pathlib.Path:
        """Returns where the series of `parcel` lies."""
        return self.root / f"DATA_{modality}" / f"{modality}_{parcel.id}.npy"

    def read(self, parcel: Parcel) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Reads and checks one parcel.

        Args:
          parcel: One of `parcels`.

        Returns:
          For each modality its values, (t, c, s) in its dtype, and its days since the start of the
          season, (t,) int32; t = 0 of a modality that the parcel lacks, or that is missing at
          every date and pixel. A parcel without a pixel has s = 0.

        Raises:
          ImplausibleError: If values are none that a sensor measures.
          DataError: If a file is unreadable, or disagrees with the metadata or with the other
            modalities.
        """
        series, pixels, first = {}, None, None
        for name in self.modalities:
            if self._lacks(parcel, name):
                continue
            file, days = self.file(parcel, name), self.patches[parcel.patch].days[name]
            modality, values = self.dataset[name], load_array(file)
            arrays.check_series_shape(values, _AXES, modality, len(days), file)
            if pixels is not None and values.shape[2] != pixels:
                fault = f"{values.shape[2]} pixels where {first} has {pixels}"
                raise DataError(fault, where=file, remedy=restore(file))
            pixels, first = values.shape[2], first or name
            if layout.check_values(values, modality, file):
                series[name] = (arrays.as_stored(values, modality), days)
        return {
            name: series.get(name) or layout.empty_series(self.dataset[name], (pixels or 0,))
            for name in self.modalities
        }

    def _lacks(self, parcel: Parcel, name: str) -> bool:
        """Whether a parcel lacks a modality: without dates, or void, which may lack files too."""
        file = self.file(parcel, name)
        if len(self.patches[parcel.patch].days[name]):
            return self.is_void(parcel) and not file.exists()
        if file.exists():
            raise layout.without_dates(file, name)
        return True


def check_layout(
    root: pathlib.Path, dataset: Dataset, modalities: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Refuses a folder that is not of pixel sets, and says what it looks like instead.

    Args:
      root: The folder.
      dataset: What it should hold.
      modalities: Modalities that must be there; None takes those that are.

    Returns:
      The modalities, in the dataset's order.

    Raises:
      ArgumentError: If a modality is none of the dataset's.
      DataError: If `root` lacks a metadata file or a data folder.
    """
    if not (root / PARCEL_METADATA).exists():
        inner = next((file.parent for file in sorted(root.glob(f"*/{PARCEL_METADATA}"))), None)
        if inner is not None:
            raise DataError("not a pixel-set folder itself", where=root, remedy=f"give {inner}")
        if (root / "ANNOTATIONS").is_dir() or (root / "INSTANCE_ANNOTATIONS").is_dir():
            fault = f"this is the patch folder of {dataset.name}, not the pixel-set folder"
            raise DataError(fault, where=root, remedy=layout.download(root, DOWNLOAD))
        if layout.present_modalities(root, dataset):
            raise DataError(
                "file not found",
                where=root / PARCEL_METADATA,
                remedy=layout.found_instead(root, PARCEL_METADATA),
            )
    return layout.wanted_modalities(
        root, dataset, modalities, kind="pixel-set", remedy=layout.download(root, DOWNLOAD)
    )
