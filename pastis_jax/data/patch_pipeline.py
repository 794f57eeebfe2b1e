"""From records of patches to padded, masked, normalised images with a label at each pixel."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.instances import centerness, instances_from_parcels, largest, measure
from pastis_jax.data.nomenclature import BACKGROUND, MODALITIES, REFERENCE_DATE
from pastis_jax.data.pipeline import Statistics, fill_missing
from pastis_jax.errors import DataError, UserError
from pastis_jax.types import Batch, PanopticTarget, Series


@dataclasses.dataclass(frozen=True)
class PatchEncoding:
    """How a patch's record becomes arrays of fixed shape.

    What is drawn (crop, flips, turns) is the same for every modality and the labels.

    Attributes:
      lengths: Number of dates ``t`` to pad to, by modality; with `date` it is 1 instead.
      statistics: Mean and standard deviation per channel, by modality, of the train folds.
      size: Rows and columns ``h w`` of the patches.
      crop: Side of the square to cut out at a random place; None keeps the whole patch.
      flips: Whether to mirror rows and columns at random.
      turns: Whether to turn by a random multiple of 90 degrees.
      date: One acquisition instead of all: the one closest to a day 'YYYY-MM-DD', the earlier of
        two equally close, or the one of this number, negative from the end.
      classes: Classes of the labels.
      instances: Number of slots ``i`` of panoptic targets; None makes none. Where a cut holds more
        instances, the largest are kept: the pixels of the others have none, and their number is
        `dropped`.

    Raises:
      UserError: If `crop` does not fit in the patches, or what is turned is not square, or `date`
        is not a day, or there are panoptic targets but the background is no class of its own.
    """

    lengths: Mapping[str, int]
    statistics: Statistics
    size: tuple[int, int]
    crop: int | None = None
    flips: bool = False
    turns: bool = False
    date: str | int | None = None
    classes: ClassMapping = dataclasses.field(default_factory=ClassMapping.official)
    instances: int | None = None

    def __post_init__(self):
        if self.crop is not None and not 1 <= self.crop <= min(self.size):
            remedy = f"give 1 to {min(self.size)}, the smaller side of the patches"
            raise UserError(f"got {self.crop}", where="--crop", remedy=remedy)
        if self.turns and self.crop is None and self.size[0] != self.size[1]:
            what = f"patches of {self.size[0]} x {self.size[1]} pixels cannot be turned"
            raise UserError(what, where="--turns", remedy="leave it out, or add --crop")
        if isinstance(self.date, str):
            try:
                datetime.date.fromisoformat(self.date)
            except ValueError:
                what = f"{self.date} is not a day"
                raise UserError(what, where="--date", remedy="write it as YYYY-MM-DD") from None
        if self.instances is not None:
            if self.instances < 1:
                raise ValueError(f"panoptic targets need at least 1 slot, got {self.instances}")
            if not np.array_equal(np.flatnonzero(self.classes.lookup == 0), [BACKGROUND]):
                what = "parcels cannot be told from the background, which is grouped with others"
                remedy = "leave Background out of every group"
                raise UserError(what, where="--class-mapping", remedy=remedy)

    def for_evaluation(self) -> PatchEncoding:
        """Returns the same encoding of whole patches as they are: every pixel once."""
        return dataclasses.replace(self, crop=None, flips=False, turns=False)

    def __call__(self, record: Mapping[str, Any], rng: np.random.Generator) -> Batch:
        """Encodes one record.

        Raises:
          DataError: If the patch has no acquisition of the number `date`.
        """
        view = self._view(rng)
        semantic = view(record["semantic"])
        label = self.classes.lookup[semantic].astype(np.int32)
        return Batch(
            series={m: self._series(m, record, view) for m in self.lengths},
            label=label,
            real=np.True_,
            id=np.int32(record["patch"]),
            panoptic=self._panoptic(record, view, semantic, label),
        )

    def _view(self, rng):
        """Draws what to cut out and how to turn it, for arrays that end in ``h w``."""
        h, w = self.size if self.crop is None else (self.crop, self.crop)
        top, left = (rng.integers(n - m + 1) for n, m in zip(self.size, (h, w), strict=True))
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
        instances = instances_from_parcels(view(record["instances"]), semantic)
        instances, dropped = largest(instances, self.instances)
        heatmap, zones = centerness(instances)
        size, label_of = measure(instances, label, self.instances)
        return PanopticTarget(
            heatmap=heatmap.astype(np.float32),
            instances=instances.astype(np.int32),
            zones=zones.astype(np.int32),
            size=size,
            label=label_of,
            real=np.arange(self.instances) < instances.max(),
            dropped=np.int32(dropped),
        )

    def _series(self, modality, record, view) -> Series:
        values, days = view(record[modality]["values"]), record[modality]["days"]
        mean, std = (one[:, None, None] for one in self.statistics[modality])
        nodata = MODALITIES[modality].nodata
        chosen = self.acquisitions(modality, days, record["patch"])
        length = self.lengths[modality] if self.date is None else 1
        c, h, w = values.shape[1:]
        padded = np.zeros((length, h, w, c), np.float32)
        padded_days = np.zeros(length, np.int32)
        valid = np.zeros(length, bool)
        # Date by date: what is read, converted and normalised stays in the processor's cache.
        for i, date in enumerate(chosen):
            padded_days[i] = days[date]
            frame = values[date].astype(np.float32)
            if nodata is not None and (missing := frame == nodata).any():
                flat, observed = fill_missing(frame.reshape(1, c, -1), missing.reshape(1, c, -1))
                if not observed[0]:
                    continue
                frame = flat.reshape(c, h, w)
            frame -= mean
            frame /= std
            padded[i] = frame.transpose(1, 2, 0)
            valid[i] = True
        return Series(values=padded, days=padded_days, valid=valid)

    def acquisitions(self, modality: str, days: np.ndarray, patch: int) -> Sequence[int]:
        """Returns which acquisitions of `days` (t,) to keep, by number.

        Raises:
          DataError: If the patch has none of the number `date`.
        """
        if self.date is None:
            return range(len(days))
        if isinstance(self.date, str):
            day = (datetime.date.fromisoformat(self.date) - REFERENCE_DATE).days
            return [min(range(len(days)), key=lambda i: (abs(days[i] - day), days[i]))]
        if not -len(days) <= self.date < len(days):
            what = f"patch {patch} has {len(days)} dates of {modality}, none of number {self.date}"
            remedy = f"give {-len(days)} to {len(days) - 1}, or a day YYYY-MM-DD"
            raise DataError(what, where="--date", remedy=remedy)
        return [range(len(days))[self.date]]


def frame_capacity(dates: Sequence[int], batch_size: int, kept: float = 1.0) -> int:
    """Returns how many valid frames of one modality a batch needs room for.

    Without temporal dropout this is the largest total that can occur. A batch of `training_batches`
    is the end of one epoch, in which no record occurs twice, and then a stretch from the start of
    the next: a record occurs twice in it where an epoch ends, and no more unless the batch is
    larger than the source.

    With dropout, the number of frames is binomial, save that one of each series is always kept. The
    capacity is then four standard deviations above the mean of the batch with the most dates. That
    one needs more about once in 10,000 times, others less often: the caller must bear it.

    Args:
      dates: Number of dates of each record.
      batch_size: Number of records in a batch.
      kept: Probability that a date is kept by temporal dropout, above 0 and at most 1.
    """
    dates = np.sort(np.asarray(dates, np.int64))[::-1]
    largest = _largest(dates, batch_size)
    if kept == 1:
        return math.ceil(largest)
    mean = _largest(kept * dates + (1 - kept) ** dates, batch_size)  # E max(binomial, 1)
    return min(math.ceil(largest), math.ceil(mean + 4 * math.sqrt(largest * kept * (1 - kept))))


def _largest(falling: np.ndarray, batch_size: int) -> float:
    """Returns the largest sum over a batch of records with these values, largest first."""
    n = len(falling)
    best = np.concatenate([[0], np.cumsum(falling)])  # sum of the k largest
    head = np.arange(min(n, batch_size) + 1)  # records left of an epoch
    epochs, rest = np.divmod(batch_size - head, n)
    return float((best[head] + epochs * best[n] + best[rest]).max())
