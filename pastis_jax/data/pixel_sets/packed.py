"""Pixel sets packed into a few long arrays, as they are stored: mapped from the disk.

    parcels.npz        of every crop parcel, fold after fold: label, number of pixels, outline
    <modality>.npz     where the rows of each parcel begin, days, checksums of the values
    <modality>.values  rows of a few dates, of all pixels of all parcels one after the other

A pixel's series is one run of rows, so a drawn pixel is read in one piece, and a row has few enough
values that the number of any row is an int32, also in an array of tens of gigabytes. Values are in
the machine's own byte order, of 16 bits or less as they are stored, wider ones in float32, which is
what a model takes of them. A modality is packed once, when it is first needed.
"""

from __future__ import annotations

import dataclasses
import io
import os
import pathlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.modality import Modality
from pastis_jax.data.npy import Watched
from pastis_jax.files import open_regular

DATES = 4
"""Dates in a row: the last row of a pixel is filled up with zeros."""
BLOCK = 1 << 24
"""Bytes of the values that have a checksum of their own."""
CHECKED = 16
"""Blocks that are compared with their checksums when values are opened, evenly spaced."""
MOST_ROWS = np.iinfo(np.int32).max
PARCELS, VALUES = "parcels.npz", "{}.values"


@dataclasses.dataclass(frozen=True)
class PackedSeries:
    """One modality of all parcels.

    Attributes:
      values: As they are stored, ``r d c``: rows of `DATES` dates, of zeros behind the last one.
      first: Number of the first row of each parcel, ``n`` int32; its pixels follow each other, each
        in as many rows as its dates need.
      dates: Number of dates of each parcel, ``n`` int32.
      days: Since the start of the season, ``n t`` int32; 0 behind the last date.
      holes: Whether something may be missing in a parcel: a value is a mark, or a pixel of a date
        is 0 in all channels where that is not measured, ``n`` bool.
    """

    values: np.ndarray
    first: np.ndarray
    dates: np.ndarray
    days: np.ndarray
    holes: np.ndarray

    def of(self, numbers: np.ndarray) -> PackedSeries:
        """The same for some parcels; the values stay where they are."""
        few = (x[numbers] for x in (self.first, self.dates, self.days, self.holes))
        return PackedSeries(self.values, *few)


@dataclasses.dataclass(frozen=True)
class PackedPixelSets:
    """Crop parcels in memory or mapped from the disk.

    Attributes:
      series: By modality.
      label: Number of the class, ``n`` int32.
      pixels: Number of pixels, ``n`` int32.
      geometric: Features of the outline, ``n g`` float32.
      parcel: Identifiers, ``n``, as text.
      folds: Numbers of the parcels of each fold, by its name as a split.
      files: The files, and what they were.
    """

    series: Mapping[str, PackedSeries]
    label: np.ndarray
    pixels: np.ndarray
    geometric: np.ndarray
    parcel: np.ndarray
    folds: Mapping[str, range]
    files: Watched = dataclasses.field(default_factory=Watched, repr=False)

    def __len__(self) -> int:
        return len(self.label)

    @property
    def nbytes(self) -> int:
        """Size of the values of all modalities (B)."""
        return sum(one.values.nbytes for one in self.series.values())

    def of(self, folds: Sequence[str]) -> PackedPixelSets:
        """The parcels of these folds, fold after fold; the values stay where they are."""
        chosen = [self.folds[name] for name in folds]
        numbers = np.concatenate([np.arange(r.start, r.stop) for r in chosen])
        starts = np.cumsum([0, *map(len, chosen)]).tolist()
        return dataclasses.replace(
            self,
            series={name: one.of(numbers) for name, one in self.series.items()},
            folds={f: range(starts[i], starts[i + 1]) for i, f in enumerate(folds)},
            **{name: getattr(self, name)[numbers] for name in _OF_PARCELS},
        )


_OF_PARCELS = ("label", "pixels", "geometric", "parcel")


def packed_type(dtype: np.dtype | str) -> np.dtype:
    """Type that values are packed in: their own up to 16 bits, else float32."""
    dtype = np.dtype(dtype)
    return dtype.newbyteorder("=") if dtype.itemsize <= 2 else np.dtype(np.float32)


def rows_of(dates: Any) -> Any:
    """Number of rows that so many dates take."""
    return -(-dates // DATES)


def packed_rows(values: np.ndarray) -> np.ndarray:
    """The rows of a parcel, ``r d c``, of its values as they are stored, (t, c, n)."""
    t, c, n = values.shape
    rows = np.zeros((n, rows_of(t) * DATES, c), packed_type(values.dtype))
    rows[:, :t] = values.transpose(2, 0, 1)
    return rows.reshape(-1, DATES, c)


def has_holes(values: np.ndarray, modality: Modality) -> bool:
    """Whether something may be missing in a parcel, whichever of its pixels are looked at.

    Args:
      values: As they are stored, (t, c, n).
      modality: Their modality.
    """
    marked = modality.missing(values)
    if marked is not None and marked.any():
        return True
    return modality.never_zero and bool((values == 0).all(1).any())


def open_parcels(folder: pathlib.Path, made_from: str) -> dict[str, Any]:
    """Reads what is known of the parcels; as `PackedPixelSets` has it.

    Args:
      folder: The folder.
      made_from: Of which records it must be.

    Raises:
      ValueError: Telling what is damaged.
    """
    content = _read(folder / PARCELS, made_from)
    numbers = len(content["label"])
    bounds = content["bounds"].tolist()
    folds = {name: range(*bounds[i : i + 2]) for i, name in enumerate(content["folds"].tolist())}
    if any(len(content[name]) != numbers for name in _OF_PARCELS) or bounds[-1] != numbers:
        raise ValueError("other numbers of parcels")
    return {**{name: content[name] for name in _OF_PARCELS}, "folds": folds}


def open_series(
    folder: pathlib.Path, modality: str, made_from: str, pixels: np.ndarray
) -> PackedSeries:
    """Maps the values of a modality, and compares some of them with their checksums.

    Args:
      folder: The folder.
      modality: Its name.
      made_from: Of which records it must be.
      pixels: Number of pixels of each parcel.

    Raises:
      ValueError: Telling what is damaged.
    """
    content = _read(folder / f"{modality}.npz", made_from)
    names = ("first", "dates", "days", "holes", "checksums")
    first, dates, days, holes, sums = (content[name] for name in names)
    shape, dtype = tuple(content["shape"].tolist()), np.dtype(str(content["dtype"]))
    ends = first + rows_of(dates.astype(np.int64)) * pixels
    if {len(x) for x in (first, dates, days, holes)} != {len(pixels)} or ends.max(
        initial=0
    ) > shape[0]:
        raise ValueError("other numbers of parcels")
    file = folder / VALUES.format(modality)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    with _telling(file), open_regular(file) as raw, io.BufferedReader(raw) as stream:
        found = os.fstat(stream.fileno()).st_size
        if found != size or len(sums) != -(-size // BLOCK):
            raise ValueError(f"{found:,} bytes where {size:,} were written")
        count = min(CHECKED, len(sums))
        for block in {number * (len(sums) - 1) // max(count - 1, 1) for number in range(count)}:
            stream.seek(block * BLOCK)
            if zlib.crc32(stream.read(BLOCK)) != sums[block]:
                raise ValueError("values have another checksum than they were written with")
        values = np.memmap(stream, dtype, "r", shape=shape) if size else np.zeros(shape, dtype)
    return PackedSeries(np.asarray(values), first, dates, days, holes)


def _read(file: pathlib.Path, made_from: str) -> dict[str, np.ndarray]:
    with _telling(file), open_regular(file) as stream:
        with np.load(stream, allow_pickle=False) as content:
            arrays = dict(content)
        if str(arrays["made_from"]) != made_from:
            raise ValueError("made from other records")
    return arrays


class _telling:  # noqa: N801 - reads as a statement
    """Turns what reading a damaged file raises into a ValueError that names it."""

    def __init__(self, file: pathlib.Path):
        self._file = file

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, KeyError | ValueError | EOFError | FileNotFoundError | _BROKEN):
            text = error.strerror if isinstance(error, OSError) else str(error)
            raise ValueError(f"{self._file.name}: {text}") from error


_BROKEN = zipfile.BadZipFile | zlib.error
