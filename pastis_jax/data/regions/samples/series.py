"""The lines of a table of samples in order: the series of each sample, and as they are stored."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Sequence

import numpy as np

from pastis_jax.data import arrays
from pastis_jax.data.modality import Modality
from pastis_jax.data.regions.samples.columns import Column
from pastis_jax.data.regions.samples.lines import Samples
from pastis_jax.errors import DataError


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """The lines of a table in order: of each sample its days, one line a day and modality.

    Attributes:
      modalities: How each is stored.
      values: By modality, (r, c) float32 in the order of the columns, NaN where missing.
      channels: By modality, place of each column among the stored channels.
      starts: Where the days of each sample start, and their number in all, (n + 1,).
      days: Of all samples, (g,) ordinals, rising within a sample.
      lines: By modality, which of `values` was observed on each of `days`, (g,); -1 for none.
      repeated: How many lines stand for a sample and day that another line stands for too.
    """

    modalities: tuple[Modality, ...]
    values: dict[str, np.ndarray]
    channels: dict[str, list[int]]
    starts: np.ndarray
    days: np.ndarray
    lines: dict[str, np.ndarray]
    repeated: int

    @classmethod
    def of(
        cls,
        read: Samples,
        columns: Sequence[Column],
        modalities: Sequence[Modality],
        file: pathlib.Path,
    ) -> Series:
        """Puts lines in order.

        Raises:
          DataError: If two lines of a sample and day differ in what both have.
        """
        order = np.lexsort((read.day, read.sample))
        sample, day = read.sample[order], read.day[order]
        new = np.ones(len(order), bool)
        new[1:] = (sample[1:] != sample[:-1]) | (day[1:] != day[:-1])
        first, group = np.flatnonzero(new), np.cumsum(new) - 1
        lines, channels = {}, {}
        for modality in modalities:
            values = read.values[modality.name]
            own = [column for column in columns if column.modality == modality.name]
            channels[modality.name] = [modality.channels.index(c.channel) for c in own]
            seen = np.flatnonzero(np.isfinite(values).any(1)[order])
            taken = np.full(len(first), -1, np.int64)
            taken[group[seen][::-1]] = order[seen][::-1]  # the first line of a day stays
            others = order[seen] != taken[group[seen]]
            same = np.array_equal(
                values[order[seen[others]]], values[taken[group[seen[others]]]], equal_nan=True
            )
            if not same:
                rows = values[order[seen]], values[taken[group[seen]]]
                unlike = ~((rows[0] == rows[1]) | (np.isnan(rows[0]) & np.isnan(rows[1]))).all(1)
                where = group[seen[unlike.argmax()]]
                name = read.ids[sample[first[where]]]
                date = datetime.date.fromordinal(int(day[first[where]]))
                fault = f"lines of sample {name} on {date} differ in {modality.name}"
                raise DataError(fault, where=file, remedy="keep one line for a sample and date")
            lines[modality.name] = taken
        return cls(
            modalities=tuple(modalities),
            values=read.values,
            channels=channels,
            starts=np.searchsorted(sample[first], np.arange(len(read.ids) + 1)),
            days=day[first],
            lines=lines,
            repeated=len(order) - len(first),
        )

    def of_sample(self, number: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Days of a sample, (d,), and its lines by modality, (d,); none of one that it lacks."""
        own = slice(*self.starts[number : number + 2])
        lines = {name: lines[own] for name, lines in self.lines.items()}
        return self.days[own], {name: x for name, x in lines.items() if (x >= 0).any()}

    def incomplete(self, name: str, lines: np.ndarray) -> bool:
        """Whether a channel is missing at all dates of a sample that has others."""
        return bool(np.isnan(self.values[name][lines[lines >= 0]]).all(0).any())

    def stored(self, modality: Modality, lines: np.ndarray) -> np.ndarray:
        """The series of a sample as it is stored, (t, c, 1).

        Args:
          modality: The modality.
          lines: Line of each date, -1 where it has none.

        Raises:
          DataError: If a value does not fit in the type, or would become the mark.
        """
        values = np.full((len(lines), len(modality.channels)), np.nan, np.float32)
        seen = lines >= 0
        values[np.ix_(seen, self.channels[modality.name])] = self.values[modality.name][lines[seen]]
        for difference, minuend, subtrahend in modality.differences:
            values[:, difference] = values[:, minuend] - values[:, subtrahend]
        missing = np.isnan(values)
        low, high = np.nanmin(values), np.nanmax(values)
        fault, integers = arrays.not_held(low, high, modality), modality.dtype.startswith("int")
        rounded = np.rint(values) if integers else values
        if fault is None and integers and (rounded == modality.nodata).any():
            fault = f"a value of {modality.nodata:g}, which marks what is missing"
        if fault:
            raise DataError(fault, where=modality.name, remedy="")
        if integers:
            rounded = np.where(missing, modality.nodata, rounded)
        return rounded.astype(modality.dtype)[..., None]
