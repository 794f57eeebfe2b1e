"""Reader of the official pixel-set folder of PASTIS-R (Zenodo record 5745151).

    DATA_S2/S2_<parcel>.npy      int16    (t, 10, s)  surface reflectance x 10000
    DATA_S1A/S1A_<parcel>.npy    float16  (t, 3, s)   VV, VH, VV-VH in dB, ascending orbit
    DATA_S1D/S1D_<parcel>.npy    float16  (t, 3, s)   the same, descending orbit
    metadata.geojson             acquisition dates of each patch
    metadata_parcel.csv          patch, label, fold and geometric features of each parcel
    NORM_PARCEL_<sat>_set.json   channel statistics of each fold

t counts dates and s the parcel's pixels; both vary from parcel to parcel. Every value that leaves
this module has been checked: a folder that was normalised, scaled, truncated or mixed up is
refused with the name of the file at fault.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from pastis_jax.data import arrays, layout
from pastis_jax.data.arrays import RESTORE
from pastis_jax.data.metadata import (
    PARCEL_METADATA,
    PATCH_METADATA,
    Parcel,
    read_parcels,
    read_patches,
)
from pastis_jax.data.nomenclature import MODALITIES
from pastis_jax.errors import DataError

_DOWNLOAD = "give the folder of the PASTIS-R pixel sets (zenodo.org/record/5745151)"
_AXES = ("dates", "channels", "pixels")


class PixelSetFolder:
    """The official pixel-set folder, opened and checked for completeness.

    Opening reads the metadata and lists the data folders; no array is read before `read`.

    Args:
      root: The folder.
      modalities: Modalities that must be there; None takes those that are.

    Attributes:
      root: The folder, absolute.
      modalities: Modalities to read, in the order S2, S1A, S1D.
      parcels: Every parcel of `metadata_parcel.csv`, void ones (label 19) included.
      patches: The patches of `metadata.geojson` by identifier.

    Raises:
      DataError: If the folder, a metadata file, a required modality or a parcel's file is missing,
        or the metadata is not as published.
    """

    def __init__(self, root: str | os.PathLike[str], modalities: Sequence[str] | None = None):
        self.root = layout.resolve(root)
        self.modalities = check_layout(self.root, modalities)
        self.patches = read_patches(self.root / PATCH_METADATA, self.modalities)
        self.parcels = read_parcels(self.root / PARCEL_METADATA, self.patches)
        remedy = f"copy it again from the archive, or remove its line from {PARCEL_METADATA}"
        for modality in self.modalities:
            ids = (parcel.id for parcel in self.parcels)
            layout.check_files(self.root / f"DATA_{modality}", modality, ids, remedy=remedy)

    def file(self, parcel: Parcel, modality: str) -> pathlib.Path:
        """Returns where the series of `parcel` lies."""
        return self.root / f"DATA_{modality}" / f"{modality}_{parcel.id}.npy"

    def read(self, parcel: Parcel) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Reads and checks one parcel.

        Args:
          parcel: One of `parcels`.

        Returns:
          For each modality its values, (t, c, s) int16 for S2 and float16 for S1A and S1D, and its
          days since 2018-09-01, (t,) int32. A parcel without a pixel has s = 0.

        Raises:
          DataError: If a file is unreadable, disagrees with the metadata or with the other
            modalities, or holds values that no sensor measures.
        """
        series, pixels = {}, None
        for name in self.modalities:
            file, days = self.file(parcel, name), self.patches[parcel.patch].days[name]
            values = arrays.load_array(file)
            arrays.check_series_shape(values, _AXES, MODALITIES[name], len(days), file)
            if pixels is not None and values.shape[2] != pixels:
                what = f"{values.shape[2]} pixels where {self.modalities[0]} has {pixels}"
                raise DataError(what, where=file, remedy=RESTORE)
            pixels = values.shape[2]
            arrays.check_series_values(values, MODALITIES[name], file)
            series[name] = (arrays.as_stored(values, MODALITIES[name]), days)
        return series


def check_layout(root: pathlib.Path, modalities: Sequence[str] | None = None) -> tuple[str, ...]:
    """Refuses a folder that is not a pixel-set folder, and says what it looks like instead.

    Args:
      root: The folder.
      modalities: Modalities that must be there; None takes those that are.

    Returns:
      The modalities, in the order S2, S1A, S1D.

    Raises:
      DataError: If `root` is no folder or lacks a metadata file or a data folder.
    """
    present = layout.present_modalities(root, remedy=_DOWNLOAD)
    if not (root / PARCEL_METADATA).exists():
        inner = next((file.parent for file in sorted(root.glob(f"*/{PARCEL_METADATA}"))), None)
        if inner is not None:
            raise DataError("not a pixel-set folder itself", where=root, remedy=f"give {inner}")
        if (root / "ANNOTATIONS").is_dir() or (root / "INSTANCE_ANNOTATIONS").is_dir():
            what = "this is the patch folder of PASTIS-R, not the pixel-set folder"
            raise DataError(what, where=root, remedy=_DOWNLOAD)
        if present:
            raise DataError("file not found", where=root / PARCEL_METADATA, remedy=RESTORE)
    return layout.wanted_modalities(root, modalities, kind="pixel-set", remedy=_DOWNLOAD)
