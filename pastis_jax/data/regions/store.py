"""A Region, opened: scenes of one area on one grid, with the parcels in it.

    dataset.json                        modalities, classes, start of the season, folds
    region.json                         grid, folds, how it was made; the last file written
    cube.zarr/<modality>/values         (t, c, y, x)  in chunks of 128 and shards of 1024 pixels
    cube.zarr/<modality>/mask           (t, y, x)     0 clear, 1 clouded, 255 not known; optional
    cube.zarr/<modality>/observed       (t, ny, nx)   observed pixels of each chunk; and `clouded`
    cube.zarr/<modality>/time, x, y     coordinates, spatial_ref the coordinate system
    cube.zarr/parcels/numbers           (y, x)        rows of parcels.parquet from 1; 0 none
    parcels.parquet                     id, code, class, fold, pixels, geometry of each parcel
    manifest.csv, findings.json         what it was made from, and what was noticed

A Region is read without the extra `geo`, but for its table of parcels.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorstore

from pastis_jax.data import dataset_file, layout
from pastis_jax.data.cache import SAMPLED, Fingerprint
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.reading import read_json
from pastis_jax.data.regions import cube, raw, table
from pastis_jax.data.regions.cube import FOLDER, REMEDY
from pastis_jax.data.regions.grid import CHUNK, Grid
from pastis_jax.data.regions.table import ParcelTable
from pastis_jax.data.regions.writer import FILE, FORMAT
from pastis_jax.errors import DataError
from pastis_jax.text import named

_EDGE = 1 << 16
_AT_ONCE = 16
"""Acquisitions that TensorStore reads together: each with threads of its own."""


def is_region(root: str | os.PathLike[str]) -> bool:
    """Whether a folder is a Region.

    Examples:
      >>> is_region("no/such/folder")
      False
    """
    return pathlib.Path(root, FILE).is_file()


class Region:
    """A Region, opened; pickles, so that workers can share it. Reading may run in any thread.

    Args:
      root: The folder.
      dataset: What it holds, in place of what it says.

    Attributes:
      root: The folder, absolute.
      grid: Where its pixels lie.
      dataset: What it holds.
      folds: Where its folds lie, plain JSON.
      info: How it was made, plain JSON.

    Raises:
      DataError: If it is none, or damaged.
    """

    def __init__(self, root: str | os.PathLike[str], *, dataset: Dataset | None = None):
        self.root = layout.resolve(root)
        file = self.root / FILE
        if self.root.is_dir() and not is_region(self.root):
            fault, remedy = f"is no Region, it has no {FILE}", "give a folder that was ingested"
            raise DataError(fault, where=self.root, remedy=remedy)
        content = read_json(file, kind="the description of a Region", remedy=REMEDY)
        try:
            if (version := content["format"]) != FORMAT:
                raise ValueError(f"format {version} is not {FORMAT}, which this version reads")
            self.grid = Grid.from_json(content["grid"])
            self.folds, self.info = content["folds"], dict(content["info"])
            self._described = {name: dict(of) for name, of in content["modalities"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"is damaged ({error})", where=file, remedy=REMEDY) from error
        self._kept: dict[tuple[str, str], Any] = {}
        self.dataset = dataset or dataset_file.read(self.root / dataset_file.FILE)
        for name in self.dataset.names:
            if name not in self._described:
                fault = f"has no {name}, which {dataset_file.FILE} names"
                raise DataError(fault, where=file, remedy=REMEDY)

    def __reduce__(self):
        return _reopen, (self.root, self.dataset)

    def __repr__(self) -> str:
        return f"Region({str(self.root)!r})"

    def level(self, modality: str) -> str:
        """What was done to a modality before, ``sigma0`` say; nothing where not known."""
        return self._described[modality].get("level", "")

    def masked(self, modality: str) -> bool:
        """Whether masks are stored with a modality."""
        return bool(self._described[modality].get("masked"))

    def _once(self, key: tuple[str, str], make: Callable[[], Any]) -> Any:
        """What `make` gave when it was first asked for."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def _get(self, modality: str, name: str, where: Any) -> np.ndarray:
        folder = self.root / FOLDER / modality / name
        return cube.get(self._array(modality, name), where, folder)

    def _array(self, modality: str, name: str) -> tensorstore.TensorStore:
        folder = self.root / FOLDER / modality / name
        return self._once((modality, name), lambda: cube.open_array(folder))

    def _raw(self, modality: str) -> raw.RawArray | None:
        """The values of a modality as they lie in files; None where they are compressed."""
        folder = self.root / FOLDER / modality / "values"
        values = self._array(modality, "values")
        return self._once((modality, "raw"), lambda: raw.of(values, folder))

    def days(self, modality: str) -> np.ndarray:
        """Days of a modality's acquisitions since the start of the season, rising, (t,) int32."""
        return self._once((modality, "days"), lambda: self._days(modality))

    def _days(self, modality: str) -> np.ndarray:
        days = self._get(modality, "time", ()).astype(np.int32)
        days.flags.writeable = False
        return days

    def orbits(self, modality: str) -> tuple[str, ...]:
        """The relative orbit of each acquisition of a modality, or nothing."""
        return self._once((modality, "orbits"), lambda: self._orbits(modality))

    def _orbits(self, modality: str) -> tuple[str, ...]:
        file = self.root / FOLDER / modality / "zarr.json"
        content = read_json(file, kind="the description of a Zarr group", remedy=REMEDY)
        orbits = content.get("attributes", {}).get("orbits", [])
        if len(orbits) != len(self.days(modality)):
            raise DataError("lists other acquisitions than time", where=file, remedy=REMEDY)
        return tuple(map(str, orbits))

    def observed(self, modality: str) -> np.ndarray:
        """Observed pixels of each chunk at each acquisition, (t, ny, nx) int32."""
        return self._once((modality, "counts"), lambda: self._counts(modality, "observed"))

    def clouded(self, modality: str) -> np.ndarray:
        """Of these, the clouded ones; 0 where no masks are stored."""
        if not self.masked(modality):
            return np.zeros_like(self.observed(modality))
        return self._once((modality, "cloud counts"), lambda: self._counts(modality, "clouded"))

    def _counts(self, modality: str, name: str) -> np.ndarray:
        counts = self._get(modality, name, ())
        if (counts < 0).any():
            where = self.root / FOLDER / modality / name
            raise DataError("lacks some shards", where=where, remedy=REMEDY)
        return counts

    def read(
        self, modality: str, rows: slice, columns: slice, dates: Sequence[int] | None = None
    ) -> np.ndarray:
        """Reads a window, (t, c, h, w) in the modality's dtype; missing values are marked.

        Args:
          modality: Its name.
          rows: Within the grid.
          columns: The same.
          dates: Numbers of the acquisitions to read; None for all.

        Raises:
          DataError: If a file is damaged, or cannot be read.
        """
        stored = self._raw(modality)
        if stored is not None and stored.holds(rows, columns, dates):
            return stored.read(rows, columns, dates)
        which = slice(None) if dates is None else np.asarray(dates, np.int64)
        return self._get(modality, "values", (which, slice(None), rows, columns))

    def each(
        self, modality: str, rows: slice, columns: slice, dates: Sequence[int]
    ) -> Iterator[np.ndarray]:
        """Reads as `read` does, one acquisition after the other, (c, h, w) each."""
        stored = self._raw(modality)
        if stored is not None and stored.holds(rows, columns, dates):
            yield from stored.each(rows, columns, dates)
            return
        for start in range(0, len(dates), _AT_ONCE):
            yield from self.read(modality, rows, columns, dates[start : start + _AT_ONCE])

    def mask(
        self, modality: str, rows: slice, columns: slice, dates: Sequence[int] | None = None
    ) -> np.ndarray | None:
        """Reads the masks of a window, (t, h, w) uint8; None where none are stored.

        0 is clear, 1 clouded, 255 not known.

        Args:
          modality: Its name.
          rows: Within the grid.
          columns: The same.
          dates: Numbers of the acquisitions to read; None for all.
        """
        if not self.masked(modality):
            return None
        which = slice(None) if dates is None else np.asarray(dates, np.int64)
        return self._get(modality, "mask", (which, rows, columns))

    def numbers(self, rows: slice, columns: slice) -> np.ndarray:
        """Reads the parcels of a window, (h, w) int32.

        Numbers count the rows of `parcels` from 1; 0 is no parcel, -1 is claimed by several.
        """
        return self._get("parcels", "numbers", (rows, columns))

    @functools.cached_property
    def parcels(self) -> ParcelTable:
        """The table of its parcels; needs the extra `geo`."""
        return table.read_table(self.root, self.dataset.folds)

    def fingerprint(self, modalities: Sequence[str]) -> Fingerprint:
        """Digest of what it holds of some modalities, wherever it lies.

        All names and sizes of files count, and the ends of at most `SAMPLED` of each modality.

        Raises:
          DataError: If something cannot be read, or a file with values is lost.
        """
        parts, total = {}, 0
        try:
            for name in (FILE, dataset_file.FILE, table.FILE):
                file = self.root / name
                content = file.read_bytes() if file.exists() else b"missing"
                parts[name] = hashlib.sha256(content).hexdigest()[:16]
            for name in (*modalities, "parcels"):
                needed = [] if name == "parcels" else self._needed(name)
                parts[f"{FOLDER}/{name}"], size = _of_arrays(self.root / FOLDER / name, needed)
                total += size
        except OSError as error:
            where, remedy = error.filename or self.root, "make the folder readable"
            raise DataError(
                f"cannot be read ({error.strerror})", where=where, remedy=remedy
            ) from error
        return Fingerprint(parts, total)

    def _needed(self, modality: str) -> list[str]:
        """Files that a modality must have, from its folder: those with an observed pixel."""
        values = cube.open_array(self.root / FOLDER / modality / "values")
        side = values.chunk_layout.write_chunk.shape[-1] // CHUNK
        dates, rows, columns = np.nonzero(self.observed(modality))
        places = np.unique(np.stack((dates, rows // side, columns // side), 1), axis=0)
        return [f"values/c/{t}/0/{y}/{x}" for t, y, x in places.tolist()]


def _reopen(root: pathlib.Path, dataset: Dataset) -> Region:
    return Region(root, dataset=dataset)


def _of_arrays(folder: pathlib.Path, needed: Sequence[str]) -> tuple[str, int]:
    """Digest and bytes of the arrays in a folder; refuses it if it lacks some of the files."""
    files = sorted((file.relative_to(folder).as_posix(), file) for file in folder.rglob("*"))
    sizes = [(name, file, file.stat().st_size) for name, file in files if file.is_file()]
    # TensorStore reads what is lost as never observed.
    if lost := sorted({*needed} - {name for name, _, _ in sizes}):
        fault = f"lacks {len(lost):,} of its {len(needed):,} files of values: {named(lost)}"
        raise DataError(fault, where=folder, remedy=REMEDY)
    digest = hashlib.sha256("".join(f"{name} {size}\n" for name, _, size in sizes).encode())
    count = min(SAMPLED, len(sizes))
    for number in range(count):
        _, file, size = sizes[number * len(sizes) // count]
        with open(file, "rb") as stream:
            digest.update(stream.read(_EDGE))
            stream.seek(max(size - _EDGE, 0))
            digest.update(stream.read(_EDGE))
    return digest.hexdigest()[:16], sum(size for _, _, size in sizes)
