"""What the values of a folder are like, fold by fold, and what cannot be of them.

Statistics that are to normalise them are held against it, whenever they are used. So statistics in
another unit, of another modality or with a number that cannot be do not pass, wherever they come
from: a file of the folder, or a run that is given other data.

The bounds follow from measurements. In small samples of PASTIS-R (a patch or two of a fold, three
dates), held against statistics of the whole data, means of a fold lie up to 1.1 standard deviations
off, and spreads are 0.2 to 1.8 of them. Statistics of the patches among pixel sets lie 0.1 to 0.4
standard deviations off, no more than such samples do by chance: they are told of only where many
patches leave no doubt that they are of other data.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from pastis_jax.data.dataset import Fold
from pastis_jax.data.modality import Modality
from pastis_jax.data.statistics import COMPUTE, FoldStatistics, Statistics
from pastis_jax.errors import DataError

_FARTHEST, _WIDEST, _NARROWEST = 4.0, 8.0, 1 / 50
"""Bounds of normalised values: mean of a fold, and least and largest standard deviation."""
_OFF, _SURE, PATCHES = 0.15, 5.0, 10
"""Least difference of means that is told of, in standard deviations and in standard errors, and
number of patches from which these are known."""
_UNLIKE, _ALIKE, _FLAT = 0.7, 0.8, 0.2
"""Largest correlation of channel means that are in another order, least one of those that are in
the same, and least spread of these means, in standard deviations, that tells. In small samples of
PASTIS-R, folds correlate by 0.79 or more with the others, all of them by 0.98 with statistics of
the whole. Its bands sorted by name would by 0.27, those of 10 m before those of 20 m by 0.75, red,
green and blue turned by 0.99."""
_SHIFT = 0.07, 0.13
"""Reflectance by which every channel lies above that of others where an offset of 0.1 was not
taken away: as since processing baseline 04.00 of Sentinel-2."""
_BASELINE = "as by the offset of Sentinel-2 products since baseline 04.00"


@dataclasses.dataclass(frozen=True)
class MeasuredFold:
    """A modality in one fold, as it is stored.

    Attributes:
      mean: Mean over parcels or patches of their channel means, (c,).
      within: Standard deviation within a parcel or patch: root of their mean variance, (c,).
      spread: Standard deviation of all their values, (c,).
      median: Median of their medians, (c,).
      dark: Median of what a twentieth of their values is below, (c,).
    """

    mean: np.ndarray
    within: np.ndarray
    spread: np.ndarray
    median: np.ndarray
    dark: np.ndarray


@dataclasses.dataclass(frozen=True)
class Surveyed:
    """What a modality is like in a folder.

    Attributes:
      modality: The modality.
      folds: By fold, where anything was measured.
      error: Standard error of the channel means of all patches, (c,); None where there are few.
      acquisitions: Number of acquisitions of all parcels or patches.
      blank: How many of them are 0 in every channel at every pixel.
    """

    modality: Modality
    folds: Mapping[Fold, MeasuredFold]
    error: np.ndarray | None
    acquisitions: int
    blank: int

    def of(self, folds: Collection[Fold]) -> Surveyed:
        """Returns the same of some folds alone, but for the acquisitions."""
        kept = {fold: own for fold, own in self.folds.items() if fold in folds}
        return dataclasses.replace(self, folds=kept)

    def stored(self, moments: tuple[np.ndarray, np.ndarray]) -> FoldStatistics:
        """Returns mean and standard deviation in the unit as statistics of each fold."""
        mean, std = moments
        return dict.fromkeys(self.folds, (mean - np.float32(self.modality.offset), std))

    def check(
        self, statistics: FoldStatistics, *, where: pathlib.Path, whose: str, remedy: str
    ) -> None:
        """Refuses statistics that cannot be of these values.

        Args:
          statistics: Mean and standard deviation of each channel by fold, as it is stored.
          where: Where they are from.
          whose: What they are called, `{}` for the fold.
          remedy: What to do.

        Raises:
          DataError: Naming the channel, and what was measured of it.
        """
        for fold, own in self.folds.items():
            if fold not in statistics:
                continue
            mean, std = statistics[fold]
            with np.errstate(all="ignore"):
                off, width = (own.mean - mean) / std, own.within / std
            wrong = ~(np.abs(off) <= _FARTHEST) | ~(width <= _WIDEST)
            # Of a height, say, parcels differ far more than their pixels do.
            wrong |= (own.spread > 0) & (own.spread < _NARROWEST * std)
            if wrong.any():
                i = int(wrong.argmax())
                fault = (
                    f"{whose.format(fold)} gives {self.modality.channels[i]} a mean of "
                    f"{mean[i]:.4g} and a standard deviation of {std[i]:.4g}, measured are "
                    f"{own.mean[i]:.4g} and {own.within[i]:.4g}"
                )
                raise DataError(fault, where=where, remedy=remedy)

    def notes(self, statistics: FoldStatistics | None = None, *, own: bool = True) -> Iterator[str]:
        """Gives what is odd about the values, or about statistics beside them, a line each.

        Args:
          statistics: As `check` takes them.
          own: Whether they should be of these values, not of others.
        """
        name = self.modality.name
        if self.blank:
            yield (
                f"{self.blank:,} of {self.acquisitions:,} acquisitions of {name} are 0 in every "
                "channel at every pixel: they count as missing"
            )
        yield from self._shifted()
        yield from self._turned()
        if statistics is not None:
            yield from self._of_others(statistics, own)

    def _shifted(self) -> Iterator[str]:
        """Folds whose reflectance is that of the others with the offset of newer products."""
        if "reflectance" not in self.modality.unit or len(self.folds) < 3:
            return
        scale = self._scale
        for fold, own in self.folds.items():
            others = [other for name, other in self.folds.items() if name != fold]
            # The darkest values shift too, where clouds would move the medians alone.
            shifts = [
                (getattr(own, x) - np.median([getattr(other, x) for other in others], 0)) / scale
                for x in ("median", "dark")
            ]
            sizes = np.abs(shifts)
            alike = np.min(shifts) > 0 or np.max(shifts) < 0
            if alike and _SHIFT[0] <= sizes.min() and sizes.max() <= _SHIFT[1]:
                yield (
                    f"{self.modality.name}: in fold {fold} the median of every channel lies "
                    f"{_apart(shifts[0] * scale)} that of the other folds, {_BASELINE}: take it "
                    "from the scenes that have it, or where all have it by "
                    f"`offset` {self.modality.name}={-0.1 * scale:g}"
                )

    def _turned(self) -> Iterator[str]:
        """Folds whose channels seem to be in another order."""
        for fold, own in self.folds.items():
            others = [other for name, other in self.folds.items() if name != fold]
            if len(others) < 2:
                continue
            usual = np.median([other.mean for other in others], 0)
            spread = np.median([other.spread for other in others], 0)
            # Where the others are not alike, that this one is not says nothing.
            if any(_correlation(other.mean, usual) < _ALIKE for other in others):
                continue
            if (alike := _likeness(own.mean, usual, spread)) is not None:
                yield (
                    f"{self.modality.name}: the channel means in fold {fold} run unlike those of "
                    f"the other folds (correlation {alike:.2f}): are its channels in another order?"
                )

    def _of_others(self, statistics: FoldStatistics, own_data: bool) -> Iterator[str]:
        """Statistics that seem to be of other data, or of channels in another order."""
        folds = [fold for fold in self.folds if fold in statistics]
        if not folds:
            return
        own = np.mean([self.folds[fold].mean for fold in folds], 0)
        mean, std = (np.mean([statistics[fold][i] for fold in folds], 0) for i in (0, 1))
        name, channels = self.modality.name, self.modality.channels
        limit = _ALIKE if own_data else _UNLIKE
        if (alike := _likeness(own, mean, std, limit)) is not None:
            yield (
                f"{name}: the channel means run unlike those that it is normalised with "
                f"(correlation {alike:.2f}): are the channels in another order?"
            )
            return
        if (shift := self._shift(own - mean, folds)) is not None:
            offset = self.modality.offset - np.sign(shift[0]) * 0.1 * self._scale
            yield (
                f"{name}: the mean of every channel lies {_apart(shift)} that which it is "
                f"normalised with, {_BASELINE}: where one has it and the other has not, give "
                f"`offset` {name}={offset:g}"
            )
            return
        if self.error is None or not own_data:
            return
        off, sure = np.abs(own - mean) / std, np.abs(own - mean) / np.maximum(self.error, 1e-12)
        if (told := (off > _OFF) & (sure > _SURE)).any():
            i = int(np.where(told, off, 0).argmax())
            yield (
                f"{name}: the mean of {channels[i]} is {own[i]:.4g}, that it is normalised with "
                f"{mean[i]:.4g}: statistics of other data, or of the other layout?"
            )

    @property
    def _scale(self) -> int:
        """What a reflectance of 1 is stored as."""
        return 10000 if self.modality.unit == "reflectance x 10000" else 1

    def _shift(self, differences: np.ndarray, folds: Sequence[Fold]) -> np.ndarray | None:
        """Differences of all channel means, where they are those of an offset; else None.

        Clouds raise the means of all channels as well, but not the darkest values: reflectance
        with the offset has hardly any below it.
        """
        if "reflectance" not in self.modality.unit:
            return None
        shift, (least, most) = differences / self._scale, _SHIFT
        if (least <= shift).all() and (shift <= most).all():
            dark = np.mean([self.folds[fold].dark for fold in folds], 0) + self.modality.offset
            return differences if (dark >= least * self._scale).all() else None
        below = (-most <= shift).all() and (shift <= -least).all()
        return differences if below else None


def _apart(differences: np.ndarray) -> str:
    """Between what, and on which side, all channels lie of others."""
    sizes = np.abs(differences)
    return f"{sizes.min():.4g} to {sizes.max():.4g} {'above' if differences[0] > 0 else 'below'}"


def _likeness(
    means: np.ndarray, usual: np.ndarray, spread: np.ndarray, limit: float = _UNLIKE
) -> float | None:
    """Correlation of channel means, where it is below `limit` and says something."""
    if len(means) < 4 or np.std(usual) < _FLAT * np.mean(spread):
        return None
    correlation = _correlation(means, usual)
    return correlation if correlation < limit else None


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    return 1.0 if not np.std(first) * np.std(second) else float(np.corrcoef(first, second)[0, 1])


def check_files(
    measured: Mapping[str, Surveyed],
    published: Mapping[str, FoldStatistics],
    root: pathlib.Path,
    files: Mapping[str, str],
) -> None:
    """Refuses statistics of files that cannot be of the values beside them; see `Surveyed.check`.

    Args:
      measured: What the values are like, by modality.
      published: What the files hold, by modality.
      root: The folder.
      files: Their names, by modality.
    """
    for name, statistics in published.items():
        where = root / files[name]
        measured[name].check(statistics, where=where, whose="Fold_{}", remedy=COMPUTE)


def check_run(measured: Mapping[str, Surveyed], statistics: Statistics, root: pathlib.Path) -> None:
    """Refuses statistics of a run that cannot be used on the values of `root`."""
    for name, own in measured.items():
        remedy = "give data like those that the run was trained on"
        stored = own.stored(statistics[name])
        own.check(stored, where=root, whose="the run", remedy=remedy)


def notes(
    measured: Mapping[str, Surveyed],
    folds: Collection[Fold],
    published: Mapping[str, FoldStatistics],
    run: Statistics | None,
) -> tuple[str, ...]:
    """Returns what is odd about some folds, or about statistics beside them, a line each.

    Args:
      measured: What the values are like, by modality.
      folds: The folds.
      published: Statistics of the folder, by modality; of a modality of which none are used, none.
      run: Statistics of a run that are used in their place.
    """
    lines = []
    for name, own in measured.items():
        own, statistics = own.of(folds), published.get(name)
        if run is not None:
            statistics = own.stored(run[name])
        lines += own.notes(statistics, own=run is None)
    return tuple(lines)
