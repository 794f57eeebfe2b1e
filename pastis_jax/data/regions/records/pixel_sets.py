"""Parcels of a Region as pixel sets: all pixels of each, whatever windows they lie in."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from pastis_jax.data import layout
from pastis_jax.data.assignment import Assignment
from pastis_jax.data.cache import Fingerprint
from pastis_jax.data.dataset import Dataset, Fold
from pastis_jax.data.layout import ImplausibleError
from pastis_jax.data.metadata import Identifier, Parcel, Patch
from pastis_jax.data.outline import outline
from pastis_jax.data.regions import table
from pastis_jax.data.regions.cube import FOLDER
from pastis_jax.data.regions.grid import CHUNK
from pastis_jax.data.regions.records.choice import chosen_modalities
from pastis_jax.data.regions.records.chunk_columns import Columns
from pastis_jax.data.regions.records.clouds import check_masks
from pastis_jax.data.regions.records.index import ParcelIndex, find_parcels, identifiers
from pastis_jax.data.regions.records.labels import check_folds
from pastis_jax.data.regions.store import Region
from pastis_jax.data.regions.table import NO_FOLD
from pastis_jax.errors import DataError
from pastis_jax.text import named

_TOGETHER = 4
"""Rows and columns of chunks that are read one after the other: their columns fit in memory."""


class RegionPixelSets:
    """The parcels of a Region as `PixelSetFolder` has those of a folder.

    The patch of a parcel is its home: the chunk that its first pixel lies in, row by row. The days
    of a home are those of acquisitions that observed any chunk in which its parcels have pixels;
    other orbits, which saw other parts of the Region, leave no days there.

    Args:
      root: The Region.
      modalities: Modalities to read; None takes all.
      dataset: What it holds, in place of what it says.
      assignment: Lists of parcels that take the place of the folds.
      complete: As for a folder; a Region is complete.
      max_cloud: Largest clouded share of the observed pixels of a parcel: an acquisition with more
        counts as missing there. None takes all.

    Attributes:
      root: The folder, absolute.
      dataset: What it holds.
      modalities: Names of the modalities to read, in the dataset's order.
      parcels: The parcels with a pixel and a fold or, with an assignment, a place in a list, void
        ones included; neighbours follow each other.
      patches: Their homes, by identifier.
      notes: What was left out, or has another name, a line each.

    Raises:
      ArgumentError: If a modality is none of the dataset's, or there are no masks to go by.
      DataError: If the Region is damaged, or has no parcel.
    """

    METADATA = table.FILE
    norms: Mapping[str, str] = {}
    """Names of files of statistics, by modality: there are none, they are computed."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        modalities: Sequence[str] | None = None,
        *,
        dataset: Dataset | None = None,
        assignment: Assignment | None = None,
        complete: bool = True,
        max_cloud: float | None = None,
    ):
        del complete
        self.region = Region(root, dataset=dataset)
        self.root, self.dataset = self.region.root, self.region.dataset
        self.modalities = chosen_modalities(self.root, self.dataset, modalities)
        check_folds(self.region)
        check_masks(self.region, self.modalities, max_cloud)
        self._index = find_parcels(self.region)
        self._columns = Columns(self.region, masks=max_cloud is not None)
        self._max_cloud = max_cloud
        folds = self._folds(assignment)
        if assignment is not None:
            self.dataset = assignment.dataset(self.dataset)
        self.notes = tuple(self._left_out(assignment))
        self._make(folds)
        if not self.parcels:
            fault = "has no parcel with a pixel and a fold"
            remedy = "ingest the scenes with parcels that lie in them"
            raise DataError(fault, where=self.root, remedy=remedy)

    @property
    def others(self) -> tuple[str, ...]:
        """Modalities that may have been prepared beside these."""
        return ()

    def identity(self) -> Fingerprint:
        """Fingerprint of what is read."""
        found = dataclasses.replace(self.region.fingerprint(self.modalities), bytes=self._nbytes())
        if self._max_cloud is None:
            return found
        return found.adding({"clouded acquisitions": f"up to {self._max_cloud:g}"})

    def _nbytes(self) -> int:
        """Size of all series (B)."""
        total = 0
        for parcel in self.parcels:
            pixels = int(self._index.pixels[self._rows[parcel.id]])
            for name, days in self.patches[parcel.patch].days.items():
                modality = self.dataset[name]
                values = len(days) * len(modality.channels) * pixels
                total += values * np.dtype(modality.dtype).itemsize
        return total

    def is_void(self, parcel: Parcel) -> bool:
        """Whether `parcel` is neither trained nor counted."""
        return parcel.label == self.dataset.nomenclature.void_number

    def file(self, parcel: Parcel, modality: str) -> pathlib.Path:
        """Returns where the series of `parcel` lies among all others."""
        del parcel
        return self.root / FOLDER / modality

    def home(self, patch: Patch) -> tuple[slice, slice]:
        """Rows and columns of the chunk that is a home."""
        return self._columns.place(self._homes[patch.id])

    def _folds(self, assignment: Assignment | None) -> dict[int, Fold]:
        """Folds of the parcels that are read, by row of the table."""
        names, parcels = identifiers(self.region), self.region.parcels
        there = np.flatnonzero(self._index.pixels > 0).tolist()
        self._names = names
        if assignment is not None:
            assignment.check((names[row] for row in there), "parcels")
            split = assignment.split
            return {row: split[names[row]] for row in there if names[row] in split}
        folds = self.dataset.folds
        return {row: folds[parcels.fold[row]] for row in there if parcels.fold[row] != NO_FOLD}

    def _left_out(self, assignment: Assignment | None):
        parcels, there = self.region.parcels, self._index.pixels > 0
        numbered = self._names == [*range(1, len(parcels) + 1)]
        if numbered and [*map(str, self._names)] != parcels.id.tolist():
            yield (
                "identifiers of parcels cannot all be parts of the names of files: each has its "
                f"number in {table.FILE} in place of its own"
            )
        for lost, fault in (
            (~there, "have no pixel of their own and are left out"),
            (
                there & (parcels.fold == NO_FOLD) & (assignment is None),
                "lie where folds meet and are in none: left out",
            ),
        ):
            if lost.any():
                some = parcels.id[lost].tolist()
                yield f"{len(some):,} of {len(parcels):,} parcels {fault} ({named(some)})"

    def _make(self, folds: Mapping[int, Fold]) -> None:
        grid, index, parcels = self.region.grid, self._index, self.region.parcels
        homes: dict[tuple[int, int, Fold], list[int]] = {}
        for row in sorted(folds, key=self._place):
            y, x = divmod(int(index.first[row]), grid.width)
            homes.setdefault((*_chunk(y, x), folds[row]), []).append(row)
        several: dict[tuple[int, int], int] = {}
        for down, right, _ in homes:
            several[down, right] = several.get((down, right), 0) + 1
        self.patches: dict[Identifier, Patch] = {}
        self._dates: dict[Identifier, dict[str, np.ndarray]] = {}
        self._rows: dict[Identifier, int] = {}
        self._homes: dict[Identifier, int] = {}
        made = []
        for (down, right, fold), rows in homes.items():
            name = home_name(down, right, fold if several[down, right] > 1 else None)
            chunks = np.unique(np.concatenate([index.chunks_of(row) for row in rows]))
            dates = {m: observed_in(self.region, m, chunks) for m in self.modalities}
            days = {m: self.region.days(m)[which] for m, which in dates.items()}
            self.patches[name] = Patch(name, fold, "", days)
            self._dates[name] = dates
            self._homes[name] = down * grid.chunks[1] + right
            for row in rows:
                features = np.array(outline_of(index, row), np.float32)
                parcel = Parcel(self._names[row], name, int(parcels.label[row]), fold, features)
                made.append(parcel)
                self._rows[parcel.id] = row
        self.parcels: tuple[Parcel, ...] = tuple(made)

    def _place(self, row: int) -> tuple[int, ...]:
        """What parcels are sorted by, so that neighbours follow each other."""
        y, x = divmod(int(self._index.first[row]), self.region.grid.width)
        down, right = _chunk(y, x)
        return down // _TOGETHER, right // _TOGETHER, down, right, y, x

    def read(self, parcel: Parcel) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Reads and checks one parcel.

        Args:
          parcel: One of `parcels`.

        Returns:
          For each modality its values, (t, c, s) in its dtype, pixels row by row, and its days
          since the start of the season, (t,) int32; t = 0 of a modality that never observed it.

        Raises:
          ImplausibleError: If values are none that a sensor measures.
          DataError: If something is damaged.
        """
        series = {}
        for name, (values, days) in self.stored(parcel).items():
            modality = self.dataset[name]
            try:
                file = self.file(parcel, name)
                measured = len(days) and layout.check_values(values, modality, file)
            except ImplausibleError as error:
                fault = f"parcel {parcel.id}: {error.fault}"
                raise ImplausibleError(fault, where=error.where, remedy=error.remedy) from error
            empty = layout.empty_series(modality, values.shape[2:])
            series[name] = (values, days) if measured else empty
        return series

    def stored(self, parcel: Parcel) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Reads one parcel as it is: as `read`, but with all days of its home."""
        chunks = self._index.chunks_of(self._rows[parcel.id]).tolist()
        places, inside = [], []
        for chunk in chunks:
            rows, columns = self._columns.place(chunk)
            y, x = np.nonzero(self._columns.numbers(chunk) == self._rows[parcel.id] + 1)
            inside.append((y, x))
            places.append((y + rows.start) * self.region.grid.width + x + columns.start)
        order = np.argsort(np.concatenate(places))
        days, dates = self.patches[parcel.patch].days, self._dates[parcel.patch]
        series = {}
        for name in self.modalities:
            # A date that observed a chunk of the parcel observed its home, too.
            where = (dates[name], chunks, inside, self._max_cloud)
            series[name] = self._columns.gather(name, *where)[:, :, order], days[name]
        return series


def observed_in(region: Region, modality: str, chunks: np.ndarray) -> np.ndarray:
    """Numbers of the acquisitions that observed a pixel of any of `chunks`, row by row, (t,)."""
    rows, columns = np.divmod(chunks, region.grid.chunks[1])
    return np.flatnonzero(region.observed(modality)[:, rows, columns].any(1))


def outline_of(index: ParcelIndex, row: int) -> tuple[int, int, float, float]:
    """The features of a parcel's outline, by the row of the table."""
    top, left, bottom, right = index.box[row].tolist()
    pixels = int(index.pixels[row])
    return outline(int(index.perimeter[row]), pixels, bottom - top + 1, right - left + 1)


def home_name(row: int, column: int, fold: Fold | None = None) -> str:
    """Name of a window by its row and column among windows, and its fold where it needs one."""
    return f"r{row:04d}c{column:04d}" + ("" if fold is None else f"_{fold}")


def _chunk(y: int, x: int) -> tuple[int, int]:
    """Row and column of the chunk of a pixel."""
    return y // CHUNK, x // CHUNK
