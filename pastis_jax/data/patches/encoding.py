"""From records of patches to padded, masked images as they are stored, with labels."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.metadata import Identifier
from pastis_jax.data.modality import Modality
from pastis_jax.data.normalisation import marks_of, showing, travelling
from pastis_jax.data.npy import parts
from pastis_jax.data.patches.agreement import in_parcels
from pastis_jax.data.patches.instances import (
    centerness,
    instances_from_parcels,
    largest,
    measure,
)
from pastis_jax.data.statistics import Statistics
from pastis_jax.errors import ArgumentError
from pastis_jax.types import Batch, PanopticTarget, Stored

_NEITHER = np.nextafter(np.float32(1), np.float32(0))
"""Centerness of pixels that are no centre, nor known to be away from one."""


@dataclasses.dataclass(frozen=True)
class PatchEncoding:
    """How a patch's record becomes arrays of fixed shape.

    What is drawn (crop, flips, turns) is the same for every modality and the labels.

    Attributes:
      dataset: What the records are of.
      lengths: Number of dates ``t`` to pad to, by modality; with `date` it is 1 instead.
      statistics: Mean and standard deviation per channel in its unit, by modality, of the train
        folds.
      classes: Classes of the labels.
      size: Rows and columns ``h w`` of the patches.
      crop: Side of the square to cut out at a random place; None keeps the whole patch.
      flips: Whether to mirror rows and columns at random.
      turns: Whether to turn by a random multiple of 90 degrees.
      date: One acquisition instead of all: the one closest to a day 'YYYY-MM-DD', the earlier of
        two equally close, or the one of this number in the order of the calendar, negative from the
        end.
      instances: Number of slots ``i`` of panoptic targets; None makes none. Where a cut holds more
        instances, the largest are kept: the pixels of the others have none, and their number is
        `dropped`.
      draws: Whether windows of a Region, which may lie anywhere, are drawn; else they are the
        regular ones.

    Raises:
      ArgumentError: If `crop` does not fit in the patches, or what is turned is not square, or
        `date` is not a day, or there are panoptic targets but the background is no class of its
        own.
    """

    dataset: Dataset
    lengths: Mapping[str, int]
    statistics: Statistics
    classes: ClassMapping
    size: tuple[int, int]
    crop: int | None = None
    flips: bool = False
    turns: bool = False
    date: str | int | None = None
    instances: int | None = None
    draws: bool = True

    def __post_init__(self):
        least = min(self.size)
        if self.crop is not None and not 1 <= self.crop <= least:
            remedy = f"give 1 to {least}, the smaller side of the patches"
            raise ArgumentError(f"got {self.crop}", argument="crop", remedy=remedy)
        if self.turns and self.crop is None and self.size[0] != self.size[1]:
            fault = f"patches of {self.size[0]} x {self.size[1]} pixels cannot be turned"
            raise ArgumentError(fault, argument="turns", remedy="leave it out, or add `crop`")
        if isinstance(self.date, str):
            try:
                datetime.date.fromisoformat(self.date)
            except ValueError:
                fault, remedy = f"{self.date} is not a day", "write it as YYYY-MM-DD"
                raise ArgumentError(fault, argument="date", remedy=remedy) from None
        if self.instances is not None:
            if self.instances < 1:
                raise ValueError(f"panoptic targets need at least 1 slot, got {self.instances}")
            if self.classes.background is None:
                fault = "parcels cannot be told from the background, which is no class of its own"
                remedy = (
                    "leave it out of every group; a dataset without one has no panoptic targets"
                )
                raise ArgumentError(fault, argument="class_mapping", remedy=remedy)

    def for_evaluation(self) -> PatchEncoding:
        """Returns the same encoding of whole patches as they are: every pixel once."""
        return dataclasses.replace(self, crop=None, flips=False, turns=False, draws=False)

    def __call__(self, record: Mapping[str, Any], rng: np.random.Generator) -> Batch:
        """Encodes one record.

        Raises:
          ArgumentError: If the patch has no acquisition of the number `date`.
        """
        if self.draws and (draw := getattr(record, "draw", None)) is not None:
            record = draw(rng)
        view = self._view(record["semantic"].shape, rng)
        semantic = view(record["semantic"])
        label = self.classes.lookup[semantic]
        return Batch(
            series={m: self._series(m, record, view) for m in self.lengths},
            label=label,
            real=np.True_,
            number=np.int32(record["number"]),
            panoptic=self._panoptic(record, view, semantic, label),
        )

    def _view(self, size, rng):
        """Draws what to cut out and how to turn it, for arrays that end in ``h w``."""
        h, w = self.size if self.crop is None else (self.crop, self.crop)
        top, left = (rng.integers(n - m + 1) for n, m in zip(size, (h, w), strict=True))
        up, back = rng.integers(2, size=2) if self.flips else (0, 0)
        quarters = rng.integers(4) if self.turns else 0

        def view(values: np.ndarray) -> np.ndarray:
            cut = values[..., top : top + h, left : left + w]
            cut = cut[..., :: -1 if up else 1, :: -1 if back else 1]
            return np.rot90(cut, quarters, (-2, -1))

        return view

    def _panoptic(self, record, view, semantic, label) -> PanopticTarget | None:
        """Makes the instances of what was cut out, as if it were a patch.

        A parcel that the cut takes a piece of, or several, is one instance of its class, however
        small: unlike the official patches, cuts make no parcel void that is mostly outside.
        """
        if self.instances is None:
            return None
        instances = view(record["instances"])
        inside = in_parcels(semantic, instances, self.dataset.nomenclature)
        instances = instances_from_parcels(instances, inside)
        instances, dropped = largest(instances, self.instances)
        heatmap, zones = centerness(instances)
        heatmap = heatmap.astype(np.float32)
        if "unknown" in record:
            # The loss weighs pixels by what they lack to 1, which is a centre: these by nothing.
            heatmap[view(record["unknown"]) & (heatmap < 1)] = _NEITHER
        size, label_of = measure(instances, label, self.instances, self.classes.void)
        return PanopticTarget(
            heatmap=heatmap,
            instances=instances.astype(np.int32),
            zones=zones.astype(np.int32),
            size=size,
            label=label_of,
            real=np.arange(self.instances) < instances.max(),
            dropped=np.int32(dropped),
        )

    def _series(self, modality, record, view) -> Stored:
        values, days = record[modality]["values"], record[modality]["days"]
        chosen = self.acquisitions(modality, values, days, record["patch"])
        return store_frames(
            map(view, parts(values, chosen)),
            [days[date] for date in chosen],
            self.dataset[modality],
            self.statistics[modality],
            length=self.lengths[modality] if self.date is None else 1,
            size=self.size if self.crop is None else (self.crop, self.crop),
        )

    def acquisitions(
        self, modality: str, values: np.ndarray, days: np.ndarray, patch: Identifier
    ) -> Sequence[int]:
        """Returns which acquisitions to keep, by their places.

        One in which a channel is missing at every pixel shows nothing: where a single one is to be
        kept, the closest other one takes its place, if there is any.

        Args:
          modality: Name of the modality.
          values: What is kept of the patch, (t, c, h, w).
          days: Days (t,) of the acquisitions, in any order.
          patch: Identifier of the patch.

        Raises:
          ArgumentError: If there is none of the number `date`.
        """
        if self.date is None or not len(days):
            return range(len(days))
        wanted = self.wanted(modality, days, patch)
        order = sorted(
            range(len(days)), key=lambda i: (i != wanted, abs(days[i] - days[wanted]), days[i])
        )
        return [next((i for i in order if self.shows(modality, values[i])), wanted)]

    def shows(self, modality: str, values: np.ndarray) -> bool:
        """Whether every channel of an acquisition (c, h, w) was observed at some pixel."""
        missing = self.dataset[modality].missing(values)
        return missing is None or not missing.all((1, 2)).any()

    def wanted(self, modality: str, days: np.ndarray, patch: Identifier) -> int:
        """Returns the place of the acquisition that `date` names among `days` (t,), in any order.

        Raises:
          ArgumentError: If there is none of the number `date`.
        """
        if isinstance(self.date, str):
            day = self.dataset.day(datetime.date.fromisoformat(self.date))
            return min(range(len(days)), key=lambda i: (abs(days[i] - day), days[i]))
        if not -len(days) <= self.date < len(days):
            fault = f"patch {patch} has {len(days)} dates of {modality}, none of number {self.date}"
            remedy = f"give {-len(days)} to {len(days) - 1}, or a day YYYY-MM-DD"
            raise ArgumentError(fault, argument="date", remedy=remedy)
        return int(np.argsort(days, kind="stable")[self.date])


def store_frames(
    frames: Iterable[np.ndarray],
    days: Sequence[int],
    sensor: Modality,
    moments: tuple[np.ndarray, np.ndarray],
    *,
    length: int,
    size: tuple[int, int],
) -> Stored:
    """Pads the acquisitions of one modality, as they are stored.

    Args:
      frames: Each acquisition as it is stored, (c, h, w).
      days: Day of each, since the start of the season.
      sensor: The modality.
      moments: Mean and standard deviation per channel in its unit.
      length: Number of dates ``t`` to pad to, at least as many as there are.
      size: Rows and columns of the acquisitions.

    Returns:
      What is stored, ``t c h w``; an acquisition in which a channel was observed nowhere is not
      valid.
    """
    mean, deviation = moments
    padded = np.zeros((length, len(sensor.channels), *size), travelling(sensor))
    padded_days = np.zeros(length, np.int32)
    valid = np.zeros(length, bool)
    # Date by date: what was read is still in the processor's cache.
    for i, (day, frame) in enumerate(zip(days, frames, strict=True)):
        padded_days[i], padded[i] = day, frame
        valid[i] = showing(padded[i : i + 1], sensor)[0]
        if not valid[i]:
            padded[i] = 0
    return Stored(
        values=padded,
        days=padded_days,
        valid=valid,
        mean=(mean - np.float32(sensor.offset)).astype(np.float32),
        deviation=deviation.astype(np.float32),
        marks=marks_of(sensor),
    )
