"""Regular windows of a Region as patches."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pastis_jax.data import layout
from pastis_jax.data.assignment import Assignment
from pastis_jax.data.cache import Fingerprint
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.layout import ImplausibleError
from pastis_jax.data.metadata import Identifier, Patch
from pastis_jax.data.patches.annotations import Annotations
from pastis_jax.data.patches.folder import PatchFolder, StoredSeries
from pastis_jax.data.regions.cube import FOLDER
from pastis_jax.data.regions.grid import CHUNK, touched
from pastis_jax.data.regions.records.choice import chosen_modalities
from pastis_jax.data.regions.records.clouds import check_masks
from pastis_jax.data.regions.records.labels import Labels, Window
from pastis_jax.data.regions.records.pixel_sets import home_name
from pastis_jax.data.regions.records.window_series import WindowSeries
from pastis_jax.data.regions.store import Region
from pastis_jax.data.regions.writer import FILE
from pastis_jax.errors import DataError

Place = tuple[int, int]
"""Row and column of a window among all."""


class RegionWindows(PatchFolder):
    """Windows of a Region as `PatchFolder` has the patches of a folder.

    They lie side by side from the upper left corner; the last ones are shifted inwards, and what
    an earlier one covers is void there: every pixel counts once. A window is a patch for each fold
    that has a pixel in it, with the labels of that fold alone. Days are those of acquisitions that
    observed any chunk that it touches.

    Args:
      root: The Region.
      modalities: Modalities to read; None takes all.
      dataset: What it holds, in place of what it says.
      assignment: Lists of windows that take the place of the folds.
      complete: As for a folder; a Region is complete.
      window: Side of the windows, pixels, 0 for that of a chunk; the Region's own where that is
        less.
      max_cloud: Largest clouded share of the observed pixels of a window: an acquisition with more
        counts as missing there. None takes all.

    Attributes:
      root, dataset, modalities, patches, whole: As of `PatchFolder`.
      region: The Region.
      labels: What reads its labels.
      size: Rows and columns of the windows.
      cells: All windows with a fold and an acquisition, by their place.
      places: Place of each patch.
      max_cloud: As given.
      notes: What was left out, a line each.

    Raises:
      ArgumentError: If a modality is none of the dataset's, or there are no masks to go by.
      DataError: If the Region is damaged, or nothing of it was observed.
    """

    METADATA = FILE

    def __init__(
        self,
        root: str | os.PathLike[str],
        modalities: Sequence[str] | None = None,
        *,
        dataset: Dataset | None = None,
        assignment: Assignment | None = None,
        complete: bool = True,
        window: int = 0,
        max_cloud: float | None = None,
    ):
        del complete
        self.region = Region(root, dataset=dataset)
        self.root, self.dataset = self.region.root, self.region.dataset
        self.modalities = chosen_modalities(self.root, self.dataset, modalities)
        check_masks(self.region, self.modalities, max_cloud)
        self.labels, self.max_cloud = Labels(self.region), max_cloud
        grid, side = self.region.grid, window or CHUNK
        self.size = min(side, grid.height), min(side, grid.width)
        self._extras, self.lists = frozenset(), assignment
        self.patches, self.cells, self.places = {}, {}, {}
        self._positions: dict[Identifier, int] = {}
        self._find()
        if not self.patches:
            fault = f"no window of it has a fold and an acquisition of {', '.join(self.modalities)}"
            raise DataError(fault, where=self.root, remedy="ingest scenes that show it")
        listed = len(self.patches)
        if assignment is not None:
            self._assign(assignment)
        self.whole = len(self.patches) == listed

    def _find(self) -> None:
        unseen = 0
        for place, window in tiles((self.region.grid.height, self.region.grid.width), self.size):
            present = np.unique(self.labels.folds(*window.own))
            present = present[present >= 0].tolist()
            days = {m: self.region.days(m)[self.dates(m, window)] for m in self.modalities}
            if not any(map(len, days.values())):
                unseen += bool(present)
                continue
            if present:
                self.cells[place] = window
            for position in present:
                fold = self.dataset.folds[position]
                name = home_name(*place, fold if len(present) > 1 else None)
                self.patches[name] = Patch(name, fold, "", days)
                self.places[name], self._positions[name] = place, position
        fault = f"{unseen:,} windows of it were never observed, and are left out"
        self.notes = (fault,) if unseen else ()

    def _assign(self, assignment: Assignment) -> None:
        assignment.check(self.patches, "windows")
        self.dataset = assignment.dataset(self.dataset)
        self.patches = {
            name: Patch(name, assignment.split[name], "", patch.days)
            for name, patch in self.patches.items()
            if name in assignment.split
        }

    @property
    def norms(self) -> Mapping[str, str]:
        """Names of files of statistics: there are none, they are computed."""
        return {}

    @property
    def others(self) -> tuple[str, ...]:
        """Modalities that may have been checked beside these."""
        return ()

    def identity(self) -> Fingerprint:
        """Fingerprint of what is read."""
        parts = {"windows": f"{self.size[0]} x {self.size[1]}"}
        if self.max_cloud is not None:
            parts["clouded acquisitions"] = f"up to {self.max_cloud:g}"
        return self.region.fingerprint(self.modalities).adding(parts)

    def window(self, patch: Patch) -> Window:
        """Where a patch lies."""
        return self.cells[self.places[patch.id]]

    def dates(self, modality: str, window: Window) -> np.ndarray:
        """Numbers of the acquisitions that observed any chunk that a window touches, (t,)."""
        rows, columns = touched(window.rows), touched(window.columns)
        return np.flatnonzero(self.region.observed(modality)[:, rows, columns].any((1, 2)))

    def series_of(self, window: Window) -> StoredSeries:
        """The series of a window anywhere, as `series` has those of a patch."""
        size = (window.rows.stop - window.rows.start, window.columns.stop - window.columns.start)
        series = {}
        for name in self.modalities:
            if not len(dates := self.dates(name, window)):
                series[name] = layout.empty_series(self.dataset[name], size)
                continue
            place = (window.rows, window.columns)
            values = WindowSeries(self.region, name, *place, dates, self.max_cloud)
            series[name] = values, self.region.days(name)[dates]
        return series

    @property
    def labels_at(self) -> pathlib.Path:
        """Where its labels lie."""
        return self.root / FOLDER / "parcels"

    def file(self, patch: Patch, name: str) -> pathlib.Path:
        """Returns where an array lies, for all windows together."""
        del patch
        return self.root / FOLDER / (name if name in self.dataset.names else "parcels")

    def check_annotations(self) -> None:
        """Refuses nothing: every window has annotations."""

    def _open(self, patch: Patch) -> StoredSeries:
        return self.series_of(self.window(patch))

    def target(self, patch: Patch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reads the labels of one window; see `PatchFolder.target`. Fine codes are 0."""
        found = self.annotations(patch)
        return found.semantic, found.parcels, found.fine

    def annotations(self, patch: Patch) -> Annotations:
        """Reads the annotations of one window; `parcel_ids` are numbers of the Region."""
        return self.labels.read(self.window(patch), [self._positions[patch.id]])

    def check(self, patch: Patch) -> tuple[StoredSeries, Annotations]:
        """Reads one window completely; see `PatchFolder.check`."""
        try:
            return super().check(patch)
        except ImplausibleError as error:
            fault = f"window {patch.id}: {error.fault}"
            raise ImplausibleError(fault, where=error.where, remedy=error.remedy) from error


def tiles(shape: tuple[int, int], size: tuple[int, int]) -> Iterator[tuple[Place, Window]]:
    """Places windows side by side, the last ones shifted inwards.

    Args:
      shape: Rows and columns of the whole.
      size: Of a window, at most as many.

    Returns:
      The place of each among all, and the window, row by row.
    """
    rows, columns = (
        [(start, min(start, whole - side)) for start in range(0, whole, side)]
        for whole, side in zip(shape, size, strict=True)
    )
    for i, (row, top) in enumerate(rows):
        for j, (column, left) in enumerate(columns):
            yield (
                (i, j),
                Window(
                    slice(top, top + size[0]),
                    slice(left, left + size[1]),
                    (row - top, column - left),
                ),
            )
