"""Maps of parcels: the pixels of each straight from the cube, no windows."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import numpy as np

from pastis_jax.data.pixel_sets.encoding import draw_pixels, encode_pixels
from pastis_jax.data.regions.grid import CHUNK
from pastis_jax.data.regions.records.chunk_columns import Columns
from pastis_jax.data.regions.records.pixel_sets import observed_in
from pastis_jax.mapping import parcel_pixels
from pastis_jax.mapping.ahead import ahead
from pastis_jax.mapping.blocks import Block, Content
from pastis_jax.mapping.inputs import observed
from pastis_jax.mapping.parcel_pixels import ParcelPixels
from pastis_jax.types import Series

if TYPE_CHECKING:
    from pastis_jax.mapping.mapper import Mapper

_STEP = 8
"""Dates by which series are padded: one program serves parcels of about as many."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Drawn:
    """Pixels of a parcel, read.

    Attributes:
      series: By modality, values as they are stored, (t, c, n), and days (t,).
      drawn: Which of the n pixels are taken, (s,).
      real: Which of these are real, (s,).
      outline: Features of its outline as the model takes them, (g,); None where it takes none.
    """

    series: dict[str, tuple[np.ndarray, np.ndarray]]
    drawn: np.ndarray
    real: np.ndarray
    outline: np.ndarray | None


class ParcelBlocks:
    """Predicts the parcels of a map, block by block.

    A parcel is of the block that holds its first pixel, row by row; all its pixels are read,
    wherever they lie, as in training. Those that are drawn are told by its identifier.

    Args:
      mapper: What it is predicted with.
    """

    def __init__(self, mapper: Mapper):
        assert mapper.polygons is not None  # else the mapper had refused the Region
        self._mapper, self._polygons = mapper, mapper.polygons
        self._pixels: int = mapper.run.saved.record_options().pixels  # type: ignore[attr-defined]

    def __call__(self, block: Block) -> Content:
        """Predicts the parcels of a block."""
        mapper, size = self._mapper, self._mapper.batch_size
        acquired = mapper.season.acquired
        among = {name: one.numbers for name, one in acquired.items()}
        columns = Columns(mapper.region, masks=mapper.max_cloud is not None, among=among)
        found = parcel_pixels.find(mapper.region, self._polygons, block)
        counts = _Counts(mapper, columns, block, self._polygons.numbers(block.rows, block.columns))
        k, m = len(mapper.run.classes.names), len(mapper.run.modalities)
        shares = np.full((len(found), k), np.nan, np.float32)
        dates = np.zeros((len(found), m), np.uint16)

        def read(start: int) -> tuple[int, dict[str, Series]]:
            some = []
            for parcel in found[start : start + size]:
                counts.see(parcel.home)
                some.append(self._read(columns, parcel))
            return start, self._stack(some)

        for start, series in ahead(read, range(0, len(found), size)):
            usable = mapper.run.usable(series)[: len(found) - start]
            part = slice(start, start + len(usable))
            for place, name in enumerate(mapper.run.modalities):
                dates[part, place] = series[name].valid[: len(usable)].sum(1)
            if usable.any():
                answer = np.asarray(mapper.run.answer(series))[: len(usable)]
                shares[part] = np.where(usable[:, None], answer, np.nan)
        return {
            "dates": counts.all(),
            "parcel": np.array([parcel.row for parcel in found], np.int32),
            "parcel_probability": shares,
            "parcel_dates": dates,
            "parcel_pixels": np.array([len(parcel) for parcel in found], np.int32),
        }

    def _read(self, columns: Columns, parcel: ParcelPixels) -> _Drawn:
        mapper = self._mapper
        drawn, real = draw_pixels(
            len(parcel), self._pixels, generator_of(str(self._polygons.id[parcel.row]))
        )
        outline = np.log1p(parcel.features()) if mapper.run.task.spec.geometric else None
        if mapper.max_cloud is None:  # else all its pixels tell how much of it is clouded
            taken = np.unique(drawn)
            parcel, drawn = parcel.part(taken), np.searchsorted(taken, drawn)
        home = parcel.y // CHUNK * mapper.region.grid.chunks[1] + parcel.x // CHUNK
        chunks, inside = np.unique(home), []
        for chunk in chunks:
            here = home == chunk
            inside.append((parcel.y[here] % CHUNK, parcel.x[here] % CHUNK))
        # From chunk after chunk to row by row.
        order = np.empty(len(parcel), np.int64)
        order[np.argsort(home, kind="stable")] = np.arange(len(parcel))
        series = {}
        for name, acquired in mapper.season.acquired.items():
            seen = acquired.among(observed_in(mapper.region, name, chunks))
            where = (seen.numbers, chunks.tolist(), inside, mapper.max_cloud)
            series[name] = columns.gather(name, *where)[:, :, order], seen.days
        return _Drawn(series, drawn, real, outline)

    def _stack(self, some: Sequence[_Drawn]) -> dict[str, Series]:
        """Normalises parcels and stacks them, ``b t s c``; those beyond them have no valid date."""
        batch, run = {}, self._mapper.run
        for name in run.modalities:
            most = max(len(one.series[name][1]) if name in one.series else 0 for one in some)
            length = max(-(-most // _STEP), 1) * _STEP
            samples = [self._encode(name, one, length) for one in some]
            blank = samples[0].replace(
                values=np.zeros_like(samples[0].values), valid=np.zeros(length, bool)
            )
            samples += [blank] * (self._mapper.batch_size - len(samples))
            batch[name] = jax.tree.map(lambda *x: np.stack(x), *samples)
        return batch

    def _encode(self, name: str, one: _Drawn, length: int) -> Series:
        run, sensor = self._mapper.run, self._mapper.run.dataset[name]
        values, days = np.zeros((0, len(sensor.channels), 0), sensor.dtype), np.zeros(0, np.int32)
        if name in one.series:
            values, days = one.series[name]
            sensor = self._mapper.region.dataset[name]
        moments = run.saved.learned.statistics[name]
        series = encode_pixels(values, days, sensor, moments, one.drawn, one.real, length=length)
        return series.replace(geometric=one.outline)


class _Counts:
    """Counts the acquisitions that observed each pixel of the parcels of a block.

    A chunk is counted when parcels in it are read, so that it is read once.
    """

    def __init__(self, mapper: Mapper, columns: Columns, block: Block, numbers: np.ndarray):
        self._mapper, self._columns, self._block = mapper, columns, block
        self._inside = numbers > 0
        self._counts = np.zeros((len(mapper.run.modalities), *block.shape), np.uint16)
        self._seen: set[tuple[int, int]] = set()

    def see(self, chunk: tuple[int, int]) -> None:
        """Counts a chunk of the block, by its row and column among chunks."""
        if chunk in self._seen:
            return
        self._seen.add(chunk)
        number = chunk[0] * self._mapper.region.grid.chunks[1] + chunk[1]
        rows, columns = self._columns.place(number)
        top, left = self._block.rows.start, self._block.columns.start
        place = (
            slice(rows.start - top, rows.stop - top),
            slice(columns.start - left, columns.stop - left),
        )
        if not self._inside[place].any():
            return
        for which, name in enumerate(self._mapper.run.modalities):
            if name in self._mapper.season.acquired:
                values = self._columns.column(name, number).values
                counts = observed(values, self._mapper.region.dataset[name]).sum(0)
                self._counts[which, *place] = np.where(self._inside[place], counts, 0)

    def all(self) -> np.ndarray:
        """Counts of all pixels, (m, h, w) uint16; 0 where no parcel is."""
        rows, columns = self._block.rows, self._block.columns
        for row in range(rows.start // CHUNK, -(-rows.stop // CHUNK)):
            for column in range(columns.start // CHUNK, -(-columns.stop // CHUNK)):
                self.see((row, column))
        return self._counts


def generator_of(identifier: str) -> np.random.Generator:
    """Draws the same for a parcel wherever it is met."""
    digest = hashlib.sha256(identifier.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))
