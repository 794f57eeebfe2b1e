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

from pastis_jax.data.metadata import (
    PARCEL_METADATA,
    PATCH_METADATA,
    Parcel,
    read_parcels,
    read_patches,
)
from pastis_jax.data.nomenclature import MODALITIES, Modality
from pastis_jax.errors import DataError

_DOWNLOAD = "give the folder of the PASTIS-R pixel sets (zenodo.org/record/5745151)"
_RAW = "give the published values: reflectance x 10000 for S2, dB for S1A and S1D"
_RESTORE = "copy the file again from the archive"


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
        self.root = pathlib.Path(os.path.expanduser(root)).resolve()
        self.modalities = check_layout(self.root, modalities)
        self.patches = read_patches(self.root / PATCH_METADATA, self.modalities)
        self.parcels = read_parcels(self.root / PARCEL_METADATA, self.patches)
        for modality in self.modalities:
            self._check_files(modality)

    def file(self, parcel: Parcel, modality: str) -> pathlib.Path:
        """Returns where the series of `parcel` lies."""
        return self.root / f"DATA_{modality}" / f"{modality}_{parcel.id}.npy"

    def _check_files(self, modality: str) -> None:
        # One listing: asking for each file takes minutes on a network disk.
        with os.scandir(self.root / f"DATA_{modality}") as entries:
            names = {entry.name for entry in entries}
        absent = [p for p in self.parcels if f"{modality}_{p.id}.npy" not in names]
        if absent:
            what = "file not found" + (f" ({len(absent)} are missing)" if len(absent) > 1 else "")
            remedy = f"copy it again from the archive, or remove its line from {PARCEL_METADATA}"
            raise DataError(what, where=self.file(absent[0], modality), remedy=remedy)

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
            values = _load(file)
            _check_shape(values, MODALITIES[name], len(days), file)
            if pixels is not None and values.shape[2] != pixels:
                what = f"{values.shape[2]} pixels where {self.modalities[0]} has {pixels}"
                raise DataError(what, where=file, remedy=_RESTORE)
            pixels = values.shape[2]
            series[name] = (_checked_values(values, MODALITIES[name], file), days)
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
    if not root.is_dir():
        what = "not a folder" if root.exists() else "folder not found"
        raise DataError(what, where=root, remedy=_DOWNLOAD)
    present = tuple(m for m in MODALITIES if (root / f"DATA_{m}").is_dir())
    if not (root / PARCEL_METADATA).exists():
        inner = next((file.parent for file in sorted(root.glob(f"*/{PARCEL_METADATA}"))), None)
        if inner is not None:
            raise DataError("not a pixel-set folder itself", where=root, remedy=f"give {inner}")
        if (root / "ANNOTATIONS").is_dir() or (root / "INSTANCE_ANNOTATIONS").is_dir():
            what = "this is the patch folder of PASTIS-R, not the pixel-set folder"
            raise DataError(what, where=root, remedy=_DOWNLOAD)
        if present:
            raise DataError("file not found", where=root / PARCEL_METADATA, remedy=_RESTORE)
    if not present:
        names = ", ".join(f"DATA_{m}" for m in MODALITIES)
        what = f"not a pixel-set folder: it has none of {names}"
        raise DataError(what, where=root, remedy=_DOWNLOAD)
    if not (root / PATCH_METADATA).exists():
        raise DataError("file not found", where=root / PATCH_METADATA, remedy=_RESTORE)
    wanted = present if modalities is None else tuple(m for m in MODALITIES if m in modalities)
    for modality in wanted:
        if modality not in present:
            what = f"no folder of modality {modality}"
            remedy = f"add it, or leave {modality} out of --modalities"
            raise DataError(what, where=root / f"DATA_{modality}", remedy=remedy)
    return wanted


def _load(file: pathlib.Path) -> np.ndarray:
    try:
        with file.open("rb") as stream:
            # read_array, not np.load: it takes nothing but one array, never a pickle or an archive.
            return np.lib.format.read_array(stream, allow_pickle=False)
    except FileNotFoundError:
        raise DataError("file not found", where=file, remedy=_RESTORE) from None
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        what = f"not a readable .npy array, truncated perhaps ({error})"
        raise DataError(what, where=file, remedy=_RESTORE) from error


def _check_shape(values: np.ndarray, modality: Modality, dates: int, file: pathlib.Path) -> None:
    if values.ndim != 3:
        what = f"shape {values.shape} where (dates, channels, pixels) is expected"
        raise DataError(what, where=file, remedy=_RESTORE)
    if values.dtype.kind not in "iuf":
        raise DataError(f"dtype {values.dtype} is not numeric", where=file, remedy=_RESTORE)
    if values.shape[1] != len(modality.channels):
        what = f"{values.shape[1]} channels where {modality.name} has {len(modality.channels)}"
        remedy = f"store {', '.join(modality.channels)} on the second axis"
        raise DataError(what, where=file, remedy=remedy)
    if values.shape[0] != dates:
        what = (
            f"{values.shape[0]} dates where dates-{modality.name} of {PATCH_METADATA} lists {dates}"
        )
        raise DataError(what, where=file, remedy="use arrays and metadata of one release")


def _checked_values(values: np.ndarray, modality: Modality, file: pathlib.Path) -> np.ndarray:
    """Returns `values` in the stored dtype once they are plausible."""
    if not values.size:
        return values.astype(modality.dtype)
    wide = values.astype(np.float32) if values.dtype == np.float16 else values
    low, high = wide.min(), wide.max()  # NaN where a value is NaN
    if not np.isfinite(low) or not np.isfinite(high):
        remedy = "replace them by measured values, or remove the parcel from the metadata"
        raise DataError("NaN or infinite values", where=file, remedy=remedy)
    implausible = _implausible_s2 if modality.name == "S2" else _implausible_s1
    what = implausible(wide, low, high)
    if what:
        raise DataError(what, where=file, remedy=_RAW)
    if modality.dtype == "int16" and wide.dtype.kind == "f":
        wide = np.rint(wide)
    return wide.astype(modality.dtype) if values.dtype != modality.dtype else values


# The bounds are loose on purpose: they judge a parcel's whole series, so that one odd but real
# pixel (metal roof, snow, water) passes and a wrong scale, which shows everywhere, does not.


def _implausible_s2(values: np.ndarray, low: float, high: float) -> str | None:
    nodata = MODALITIES["S2"].nodata
    if low == high == nodata:
        return f"every value is the nodata mark {low:g}"
    if low == nodata and (dead := (values == nodata).all((0, 2))).any():
        bands = ", ".join(np.array(MODALITIES["S2"].channels)[dead])
        return f"every value of {bands} is the nodata mark {nodata}"
    if low < -10000 or high > np.iinfo(np.int16).max:
        return f"values from {low:g} to {high:g} are outside -10000 to 32767"
    if high < 256:
        return f"the largest value is {high:g}: already normalised or divided"
    return None


def _implausible_s1(values: np.ndarray, low: float, high: float) -> str | None:
    if max(-low, high) > 100:
        return f"values from {low:g} to {high:g} are not backscatter in dB"
    vh = values[:, 1].mean()
    if not -60 <= vh <= -1:
        return f"mean VH of {vh:g} is not in dB: linear power, normalised or divided"
    return None
