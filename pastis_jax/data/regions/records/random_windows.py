"""Windows anywhere in a Region, drawn anew whenever they are trained on."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.calendar import Days
from pastis_jax.data.dataset import Fold
from pastis_jax.data.metadata import Identifier
from pastis_jax.data.npy import Watched
from pastis_jax.data.regions.records.index import boxed_bound, find_parcels
from pastis_jax.data.regions.records.labels import Window
from pastis_jax.data.regions.records.pixel_sets import home_name
from pastis_jax.data.regions.records.windows import RegionWindows

_TRIES = 10


class RandomWindows:
    """A record for each regular window that has pixels of the train folds: a window near it.

    The centre of what is drawn lies anywhere in the regular window, with equal probability: an
    epoch covers the train folds about once. What touches no pixel of these is drawn anew. Labels of
    other folds are void. Records are `PatchSource`'s where they are not drawn: the regular windows,
    with the labels of all train folds.

    Args:
      folder: The windows.
      folds: The train folds.
      size: Rows and columns of what is drawn.
      instances: Whether records hold `instances`, and `unknown`, pixels of which nobody may know
        whether they are of a parcel, (h, w) bool.
      avoided: Patches that were left out, which nothing that is drawn may touch.

    Attributes:
      dates: Most dates of what may be drawn for each record, (records,) int, by modality.
      most_instances: Most parcels that what is drawn may touch, wherever it lies.
      observed: Days of acquisitions that may be in each record.
      nbytes: What memory keeps (B): nothing.
    """

    nbytes = 0

    def __init__(
        self,
        folder: RegionWindows,
        folds: Sequence[Fold],
        size: tuple[int, int],
        *,
        instances: bool = False,
        avoided: Sequence[Identifier] = (),
    ):
        self._folder, self._size, self._instances = folder, size, instances
        self._positions = [folder.dataset.folds.index(fold) for fold in folds]
        self._avoided = {folder.places[name] for name in avoided}
        used = (patch for patch in folder.patches.values() if patch.fold in folds)
        places = dict.fromkeys(folder.places[patch.id] for patch in used)
        self._places = [place for place in places if place not in self._avoided]
        self._files = Watched()
        around = [self._around(folder.cells[place]) for place in self._places]
        dates = [{m: folder.dates(m, near) for m in folder.modalities} for near in around]
        self.dates = {m: np.array([len(of[m]) for of in dates]) for m in folder.modalities}
        days = {m: folder.region.days(m) for m in folder.modalities}
        self.observed: list[Days] = [{m: days[m][of[m]] for m in of} for of in dates]

    @functools.cached_property
    def most_instances(self) -> int:
        region = self._folder.region
        shape = region.grid.height, region.grid.width
        own = np.isin(region.parcels.fold, self._positions)
        return boxed_bound(find_parcels(region), self._size, shape, own)

    def __repr__(self) -> str:  # without an address: Grain compares it when it restores a state
        side = f"{self._size[0]} x {self._size[1]} pixels"
        return f"RandomWindows({len(self)} of {side}, {', '.join(self.dates)})"

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> WindowRecord:
        return WindowRecord(self, range(len(self))[index])

    def identifier(self, number: int) -> Identifier:
        """Returns the name of the regular window that this record lies near."""
        return home_name(*self._places[number])

    def unchanged(self) -> None:
        """Compares the Region with what it was.

        Raises:
          DataError: If it was changed since it was read first.
        """
        self._files.check()

    def whole(self, number: int) -> dict[str, Any]:
        """The regular window of a record."""
        return self._record(number, self._folder.cells[self._places[number]])

    def draw(self, number: int, rng: np.random.Generator) -> dict[str, Any]:
        """A window near that of a record."""
        cell = self._folder.cells[self._places[number]]
        for _ in range(_TRIES):
            drawn = self._at(*(rng.integers(span.start, span.stop) for span in cell.own))
            if self._sees(drawn).any() and not self._touches_avoided(drawn):
                return self._record(number, drawn)
        # Around one of the pixels that count: whatever is drawn so sees them.
        rows, columns = cell.own
        there = np.argwhere(self._sees(Window(rows, columns)))
        y, x = there[rng.integers(len(there))]
        return self._record(number, self._at(y + rows.start, x + columns.start, cell))

    def _at(self, y: int, x: int, within: Window | None = None) -> Window:
        """The window around a pixel, shifted into the Region, or into another window."""
        grid = self._folder.region.grid
        rows, columns = slice(0, grid.height), slice(0, grid.width)
        if within is not None:
            rows, columns = within.rows, within.columns
        h, w = self._size
        top = int(np.clip(y - h // 2, rows.start, rows.stop - h))
        left = int(np.clip(x - w // 2, columns.start, columns.stop - w))
        return Window(slice(top, top + h), slice(left, left + w))

    def _sees(self, window: Window) -> np.ndarray:
        """Which pixels of a window are of the train folds, (h, w) bool."""
        return np.isin(self._folder.labels.folds(window.rows, window.columns), self._positions)

    def _touches_avoided(self, window: Window) -> bool:
        return any(
            _meet(window.rows, other.rows) and _meet(window.columns, other.columns)
            for other in (self._folder.cells[place] for place in self._avoided)
        )

    def _around(self, cell: Window) -> Window:
        """All that may be drawn for a regular window."""
        rows, columns = cell.own
        first = self._at(rows.start, columns.start)
        last = self._at(rows.stop - 1, columns.stop - 1)
        rows = slice(min(first.rows.start, cell.rows.start), max(last.rows.stop, cell.rows.stop))
        columns = slice(
            min(first.columns.start, cell.columns.start),
            max(last.columns.stop, cell.columns.stop),
        )
        return Window(rows, columns)

    def _record(self, number: int, window: Window) -> dict[str, Any]:
        folder, record = self._folder, {}
        for name, (values, days) in folder.series_of(window).items():
            if not isinstance(values, np.ndarray):
                values.watch(self._files)
            record[name] = {"values": values, "days": days}
        found = folder.labels.read(window, self._positions)
        record |= {"semantic": found.semantic, "parcels": found.parcels}
        if self._instances:
            record["instances"] = folder.number(found).astype(np.int32)
            void = folder.dataset.nomenclature.is_void(found.semantic)
            record["unknown"] = void & (found.parcel_ids == 0)
        return record | {"patch": self.identifier(number), "number": number}


def _meet(one: slice, other: slice) -> bool:
    return one.start < other.stop and other.start < one.stop


class WindowRecord(Mapping):
    """A record that can be drawn; as it is, it is that of the regular window.

    Args:
      source: Of which it is one.
      number: Its number there.
    """

    def __init__(self, source: RandomWindows, number: int):
        self._source, self._number = source, number

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Returns the record of a window near by."""
        return self._source.draw(self._number, rng)

    @functools.cached_property
    def _whole(self) -> dict[str, Any]:
        return self._source.whole(self._number)

    def __getitem__(self, key: str) -> Any:
        return self._whole[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole)

    def __len__(self) -> int:
        return len(self._whole)
