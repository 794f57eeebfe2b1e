"""Packs the records of pixel sets once, beside them in the cache."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import filelock
import numpy as np
import tqdm

from pastis_jax.data.cache import amount, is_sound, writing
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.modality import Modality
from pastis_jax.data.npy import Watched
from pastis_jax.data.pixel_sets import packed
from pastis_jax.data.pixel_sets.packed import PackedPixelSets
from pastis_jax.data.pixel_sets.source import PixelSetSource
from pastis_jax.errors import DataError
from pastis_jax.files import remove_left, whole

PACKED_VERSION = 1
"""Of the form: another one is packed anew, in a folder of its own."""
SAMPLED = 64
"""Parcels by which the size of all is told before anything is written."""
_MARGIN = 1.05


def open_or_pack(
    folder: pathlib.Path,
    source: PixelSetSource,
    folds: Mapping[str, int],
    lengths: Mapping[str, int],
    dataset: Dataset,
    *,
    progress: bool = True,
) -> PackedPixelSets:
    """Opens the packed form of records, and packs first what is missing of it or damaged.

    Nothing is left of what is not packed to its end, but by a process that was killed; the next one
    removes that.

    Args:
      folder: Where it lies.
      source: All crop parcels, fold after fold.
      folds: Number of parcels of each fold, by its name as a split, in this order.
      lengths: Number of dates that days are padded to, by modality; what is wanted.
      dataset: What the records are of.
      progress: Whether to draw a progress bar while writing.

    Raises:
      DataError: If it cannot be written or read, the disk has not enough room, or there are more
        rows than an int32 counts.
    """
    made_from, opened = source.made_from, {}

    def parcels() -> None:
        opened["parcels"] = packed.open_parcels(folder, made_from)

    def sound(name: str) -> bool:
        def series() -> None:
            pixels = opened["parcels"]["pixels"]
            opened[name] = packed.open_series(folder, name, made_from, pixels)

        return is_sound(_facts(folder, name), series)

    def missing() -> list[str]:
        facts = is_sound(folder / packed.PARCELS, parcels)
        return [name for name in lengths if not (facts and sound(name))]

    if missing():
        with _telling_of_off(folder), writing(folder.parent), _alone(folder):
            # Another process may have packed meanwhile.
            if wanted := missing():
                remove_left(folder)
                _check_room(folder, source, wanted)
                wanted = {name: lengths[name] for name in wanted}
                _pack(folder, source, folds, wanted, dataset, progress=progress)
    if left := missing():
        fault, remedy = "changes while it is read", "let nothing else write there"
        raise DataError(fault, where=_facts(folder, left[0]), remedy=remedy)
    names = (
        packed.PARCELS,
        *(f(n) for n in lengths for f in ("{}.npz".format, packed.VALUES.format)),
    )
    files = Watched(folder / name for name in names)
    return PackedPixelSets(
        {name: opened[name] for name in lengths}, **opened["parcels"], files=files
    )


def _facts(folder: pathlib.Path, modality: str) -> pathlib.Path:
    return folder / f"{modality}.npz"


@contextlib.contextmanager
def _telling_of_off(folder: pathlib.Path):
    """Says, where it cannot be written, that training does without."""
    try:
        yield
    except DataError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        reason = error.__cause__.strerror or error.__cause__
        remedy = "name another `cache_dir`, or give `data_on_device` off"
        fault = f"parcels cannot be packed there ({reason})"
        raise DataError(fault, where=folder, remedy=remedy) from error


@contextlib.contextmanager
def _alone(folder: pathlib.Path):
    """Makes the folder, and waits until no other process writes there."""
    folder.mkdir(exist_ok=True)
    with filelock.FileLock(folder / "lock", fallback_to_soft=False):
        yield


def _check_room(folder: pathlib.Path, source: PixelSetSource, names: Sequence[str]) -> None:
    """Tells before anything is written what cannot be.

    Raises:
      OSError: If the disk has not enough room.
      DataError: If a modality has too many rows.
    """
    numbers = {i * len(source) // SAMPLED for i in range(SAMPLED)}
    rows, size = dict.fromkeys(names, 0.0), 0.0
    for number in numbers:
        record = source[number]
        for name in names:
            t, c, n = record[name]["values"].shape
            few = packed.rows_of(t) * n * len(source) / len(numbers)
            rows[name] += few
            dtype = packed.packed_type(record[name]["values"].dtype)
            size += few * packed.DATES * c * dtype.itemsize
    if (most := max(rows, key=rows.get)) and rows[most] > packed.MOST_ROWS:
        raise _too_many(folder, most, rows[most])
    free = shutil.disk_usage(folder).free
    if free < _MARGIN * size:
        raise OSError(f"{amount(_MARGIN * size)} needed on its disk, which has {amount(free)}")


def _too_many(folder: pathlib.Path, modality: str, rows: float) -> DataError:
    fault = f"{modality} would be packed into about {rows:,.0f} rows of {packed.DATES} dates, of "
    fault += f"at most {packed.MOST_ROWS:,}"
    return DataError(fault, where=folder, remedy="split the parcels into several folders")


def _pack(
    folder: pathlib.Path,
    source: PixelSetSource,
    folds: Mapping[str, int],
    lengths: Mapping[str, int],
    dataset: Dataset,
    *,
    progress: bool,
) -> None:
    """Writes modalities, and what is known of the parcels."""
    size = len(source)
    of_parcels: dict[str, list[Any]] = {n: [] for n in ("label", "pixels", "geometric", "parcel")}
    with contextlib.ExitStack() as files:
        opened = {
            name: files.enter_context(whole(folder / packed.VALUES.format(name)))
            for name in lengths
        }
        series = {
            name: _Series(folder, dataset[name], file, size, lengths[name])
            for name, file in opened.items()
        }
        bar = tqdm.tqdm(source, "packing", unit="parcel", disable=not progress, mininterval=0.5)
        for record in bar:
            number = record["number"]
            pixels = {record[name]["values"].shape[2] for name in series}
            for name, one in series.items():
                one.add(number, record[name]["values"], record[name]["days"])
            of_parcels["label"].append(record["label"])
            of_parcels["pixels"].append(pixels.pop())
            of_parcels["geometric"].append(record["geometric_features"])
            of_parcels["parcel"].append(str(record["parcel"]))
    columns = {
        "label": np.array(of_parcels["label"], np.int32),
        "pixels": np.array(of_parcels["pixels"], np.int32),
        "geometric": np.stack(of_parcels["geometric"]).astype(np.float32),
        "parcel": np.array(of_parcels["parcel"]),
        "folds": np.array([*folds]),
        "bounds": np.cumsum([0, *folds.values()]),
    }
    # Last, as they tell that the values are there.
    for name, one in series.items():
        _write(_facts(folder, name), source.made_from, one.columns())
    if not (folder / packed.PARCELS).exists():  # or runs that have it open would end
        _write(folder / packed.PARCELS, source.made_from, columns)


def _write(file: pathlib.Path, made_from: str, columns: Mapping[str, np.ndarray]) -> None:
    with whole(file) as stream:
        np.savez(stream, made_from=np.array(made_from), **columns)


class _Series:
    """A modality while it is written."""

    def __init__(
        self, folder: pathlib.Path, modality: Modality, file: BinaryIO, size: int, length: int
    ):
        self._folder, self._modality, self._file = folder, modality, file
        self._holes = np.zeros(size, bool)
        self._first, self._dates = (np.zeros(size, np.int32) for _ in range(2))
        self._days = np.zeros((size, length), np.int32)
        self._rows, self._shape, self._dtype = 0, (), np.dtype(np.int8)
        self._sums, self._sum, self._filled = [], 0, 0

    def add(self, number: int, values: np.ndarray, days: np.ndarray) -> None:
        """Appends the parcel of this number."""
        rows = packed.packed_rows(values)
        self._first[number], self._dates[number] = self._rows, len(days)
        self._days[number, : len(days)] = days
        self._holes[number] = packed.has_holes(values, self._modality)
        self._rows += len(rows)
        if self._rows > packed.MOST_ROWS:
            raise _too_many(self._folder, self._modality.name, self._rows)
        self._shape, self._dtype = rows.shape[1:], rows.dtype
        content = memoryview(rows).cast("B") if rows.size else memoryview(b"")
        self._file.write(content)
        while len(content):
            part = content[: packed.BLOCK - self._filled]
            self._sum, self._filled = zlib.crc32(part, self._sum), self._filled + len(part)
            content = content[len(part) :]
            if self._filled == packed.BLOCK:
                self._end_block()

    def _end_block(self) -> None:
        self._sums.append(self._sum)
        self._sum = self._filled = 0

    def columns(self) -> dict[str, np.ndarray]:
        """What is known of it, when all was written."""
        if self._filled:
            self._end_block()
        return {
            "first": self._first,
            "dates": self._dates,
            "days": self._days,
            "holes": self._holes,
            "shape": np.array((self._rows, *self._shape)),
            "dtype": np.array(self._dtype.str),
            "checksums": np.array(self._sums, np.uint32),
        }
