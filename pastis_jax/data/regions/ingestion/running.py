"""Fills a Region shard by shard, several at once, going on where it was left."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import threading
import warnings
from collections.abc import Callable, Mapping

import tqdm

from pastis_jax.data.dataset import Dataset
from pastis_jax.data.regions import _geo
from pastis_jax.data.regions.grid import SHARD
from pastis_jax.data.regions.ingestion.plan import Acquisition, Plan
from pastis_jax.data.regions.ingestion.shards import DamagedError, Maker
from pastis_jax.data.regions.sources.opened import close_all
from pastis_jax.data.regions.writer import Writer

Found = dict[tuple[str, int], DamagedError]
"""What was found damaged, by modality and number of the acquisition."""


@dataclasses.dataclass(frozen=True)
class Row:
    """Shards of one acquisition beside each other: what one worker makes, one after the other.

    So a file whose rows are stored whole is decoded once.
    """

    modality: str
    t: int
    windows: tuple[tuple[slice, slice], ...]


@dataclasses.dataclass(frozen=True)
class Filler:
    """Fills the arrays of a Region.

    Attributes:
      plan: What is ingested.
      dataset: What the Region holds.
      maker: Makes shards.
      writer: Writes them.
      workers: How many shards are made at once.
      progress: Whether a bar with the time left is shown.
    """

    plan: Plan
    dataset: Dataset
    maker: Maker
    writer: Writer
    workers: int = 1
    progress: bool = False

    def fill(
        self, acquisitions: Mapping[str, tuple[Acquisition, ...]], *, skip_damaged: bool = False
    ) -> Found:
        """Makes all shards that are not there yet; those are the same in whichever order.

        Args:
          acquisitions: Of each modality, without the scenes that are left out.
          skip_damaged: Whether a file that cannot be read is returned, rather than refused; not all
            shards of its acquisition are made then.

        Raises:
          DataError: If a file cannot be read, or its values are implausible.
          OSError: If a shard cannot be written.
        """
        total, left = self._missing()
        made = total - sum(len(row.windows) for row in left)
        bar = tqdm.tqdm(
            total=total,
            initial=made,
            desc="Ingesting",
            unit=" shards",
            disable=not self.progress,
        )
        stopped, found, guard = threading.Event(), {}, threading.Lock()

        def work(row: Row) -> None:
            for rows, columns in row.windows:
                if stopped.is_set() or (row.modality, row.t) in found:
                    return
                try:
                    self._shard(acquisitions[row.modality][row.t], row, rows, columns)
                except DamagedError as error:
                    if not skip_damaged:
                        raise
                    found[row.modality, row.t] = error
                    return
                with guard:
                    bar.update()

        try:
            with bar, warnings.catch_warnings():
                # rasterio hides this one by itself, but filters are shared by all threads.
                hidden = _geo.need("rasterio.errors").NotGeoreferencedWarning
                warnings.simplefilter("ignore", hidden)
                _each(work, left, self.workers, stopped)
        finally:
            close_all()
        return found

    def _missing(self) -> tuple[int, list[Row]]:
        """The number of all shards, and those that are not there yet."""
        total, rows = 0, []
        for name, several in self.plan.acquisitions.items():
            for t in range(len(several)):
                beside = collections.defaultdict(list)
                for window in self.plan.grid.blocks(SHARD):
                    total += 1
                    if not self.writer.done(name, t, *window):
                        beside[window[0].start].append(window)
                rows += [Row(name, t, tuple(windows)) for windows in beside.values()]
        return total, rows

    def _shard(self, acquisition: Acquisition, row: Row, rows: slice, columns: slice) -> None:
        modality = self.dataset[row.modality]
        part = self.plan.grid.part(rows, columns)
        masked = row.modality in self.plan.masked
        made = self.maker.make(acquisition, modality, part, masked=masked)
        self.writer.write_shard(row.modality, row.t, rows, columns, made.values, made.mask)


def _each(
    work: Callable[[Row], None], rows: list[Row], workers: int, stopped: threading.Event
) -> None:
    """Works on each row; what is begun ends before an error leaves.

    Threads: GDAL, TensorStore and NumPy free the interpreter in all that is long here.
    """
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    try:
        for future in concurrent.futures.as_completed([pool.submit(work, row) for row in rows]):
            future.result()
    except BaseException:
        stopped.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
