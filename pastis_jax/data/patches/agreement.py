"""Whether the annotations of a patch agree with each other, and parcels stay in one fold.

Crop pixels, which are neither background nor void, are of a parcel, and a parcel has one label.
Parcel numbers of `TARGET`, `ParcelIDs` and `INSTANCES` are names of the same parcels. Annotations
of another patch show in that, where a patch has more than one of these numberings.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from pastis_jax.data.dataset import Fold, Nomenclature
from pastis_jax.text import NAMED, named

_THINGS = {
    "TARGET": "parcels of TARGET",
    "ParcelIDs": "parcels of ParcelIDs",
    "INSTANCES": "instances",
}

_OFTEN = 2.0
"""Patches that a parcel lies in on average at most."""


@dataclasses.dataclass(frozen=True)
class Contradiction:
    """What annotations of a patch say against each other.

    Attributes:
      name: The file at fault: TARGET, ParcelIDs, INSTANCES or ZONES.
      fault: What is wrong.
      absent: Whether that is only that nothing numbers the parcels.
    """

    name: str
    fault: str
    absent: bool = False


def in_parcels(semantic: np.ndarray, parcels: np.ndarray, nomenclature: Nomenclature) -> np.ndarray:
    """Returns which pixels belong to a parcel, (h, w) bool.

    Those that are not background and have a number; all where no class is the background.

    Args:
      semantic: Number of the class of each pixel, `(h, w)`.
      parcels: Parcel or instance of each pixel, 0 for none, `(h, w)`.
      nomenclature: The classes.
    """
    if nomenclature.background is None:
        return np.ones(semantic.shape, bool)
    return ~nomenclature.is_background(semantic) & (parcels != 0)


def contradictions(
    semantic: np.ndarray,
    numberings: Mapping[str, np.ndarray],
    nomenclature: Nomenclature,
    zones: np.ndarray | None = None,
) -> Iterator[Contradiction]:
    """Finds what the annotations of one patch say against each other.

    Args:
      semantic: Number of the class of each pixel, `(h, w)`.
      numberings: Parcel of each pixel, 0 for none, `(h, w)`: by `TARGET`, and by `ParcelIDs` and
        `INSTANCES` where there are such files. Where TARGET numbers nothing, the others do.
      nomenclature: The classes.
      zones: `ZONES`, `(h, w)`; None without such a file.
    """
    background = nomenclature.is_background(semantic)
    crop = ~background & ~nomenclature.is_void(semantic)
    total = int(crop.sum())
    inside = {
        name: in_parcels(semantic, numbers, nomenclature) for name, numbers in numberings.items()
    }
    if not (numberings["TARGET"][crop] != 0).any():
        several = len(np.unique(semantic[crop])) > 1
        if len(inside) > 1:
            del inside["TARGET"]
        elif total and (several or nomenclature.background is not None):
            fault = f"its {total:,} crop pixels are of no parcel, and there is no ParcelIDs"
            yield Contradiction("TARGET", fault, absent=True)
            return
    for name, numbered in inside.items():
        if lost := int((crop & ~numbered).sum()):
            fault = f"{lost:,} of {total:,} crop pixels are of none of the {_THINGS[name]}"
            yield Contradiction(name, fault)
        grown = crop & numbered
        if mixed := _several(numberings[name][grown], semantic[grown]):
            number, parcel, pair = mixed
            codes = " and ".join(str(nomenclature.classes[label].code) for label in pair)
            fault = f"{number} {_THINGS[name]} have several labels, the first is {parcel}: {codes}"
            yield Contradiction(name, fault)
    for earlier, later in itertools.combinations(inside, 2):
        both = inside[earlier] & inside[later]
        for wholes, parts in ((later, earlier), (earlier, later)):
            if joined := _several(numberings[wholes][both], numberings[parts][both]):
                number, whole, (first, second) = joined
                fault = f"{number} {_THINGS[wholes]} hold several {_THINGS[parts]}, the first is "
                yield Contradiction(later, f"{fault}{whole}: {first} and {second}")
    if "INSTANCES" in numberings:
        instances = numberings["INSTANCES"]
        if stray := int((instances[background] != 0).sum()):
            yield Contradiction("INSTANCES", f"{stray:,} pixels of instances are background")
        strange = np.setdiff1d(instances if zones is None else zones, instances)
        if len(strange := strange[strange != 0]):
            fault = f"{len(strange):,} numbers are of no instance, {strange[0]} the first"
            yield Contradiction("ZONES", fault)


def _several(wholes: np.ndarray, parts: np.ndarray) -> tuple[str, int, list[int]] | None:
    """Which `wholes` (n,) have more than one of `parts` (n,).

    Returns:
      "3 of 41", the first of them, and its first two parts; None if there is none.
    """
    names, whole = np.unique(wholes, return_inverse=True)
    kinds, part = np.unique(parts, return_inverse=True)
    whole, part = np.divmod(np.unique(whole * len(kinds) + part), max(len(kinds), 1))
    several = np.flatnonzero(np.bincount(whole, minlength=len(names)) > 1)
    if not len(several):
        return None
    first = kinds[part[whole == several[0]][:2]]
    return f"{len(several):,} of {len(names):,}", int(names[several[0]]), first.tolist()


@dataclasses.dataclass(frozen=True)
class SharedParcels:
    """Parcels that have crop pixels in patches of several folds.

    Attributes:
      folds: These folds, in the dataset's order.
      number: How many parcels.
      examples: `ParcelIDs` of the first ones, rising.
      recurring: In how many patches a number of all `ParcelIDs` lies on average, where that is more
        often than parcels do; else None.
    """

    folds: tuple[Fold, ...]
    number: int
    examples: tuple[int, ...]
    recurring: float | None = None


class ParcelFolds:
    """Gathers in which folds each parcel lies, patch by patch.

    Parcels lie in one patch, and few at an edge in two, or at a corner in four. Where numbers lie
    in more than two patches on average, they are no names of parcels of patches side by side:
    parcels are numbered from 1 in each patch, say, and equal numbers say nothing. (Or patches
    overlap by half, or were given several times; numbers alone do not tell these apart.)

    Args:
      folds: The folds.
    """

    def __init__(self, folds: Sequence[Fold]):
        self._bits = {fold: 1 << place for place, fold in enumerate(folds)}
        self._folds: dict[int, int] = collections.defaultdict(int)
        self._total = 0  # of the parcels of all patches

    def add(self, parcels: np.ndarray, fold: Fold) -> None:
        """Adds the `crop_parcels` of a patch of `fold`."""
        self._total += len(parcels)
        for parcel in parcels.tolist():
            self._folds[parcel] |= self._bits[fold]

    def shared(self) -> list[SharedParcels]:
        """Returns the parcels of several folds, by these."""
        by_folds = collections.defaultdict(list)
        often = self._total / max(len(self._folds), 1)
        for parcel, bits in sorted(self._folds.items()):
            if bits.bit_count() > 1:
                by_folds[bits].append(parcel)
        return [
            SharedParcels(
                tuple(fold for fold, bit in self._bits.items() if bit & bits),
                len(parcels),
                tuple(parcels[:NAMED]),
                often if often > _OFTEN else None,
            )
            for bits, parcels in sorted(by_folds.items())
        ]


def crop_parcels(
    semantic: np.ndarray, parcel_ids: np.ndarray | None, nomenclature: Nomenclature
) -> np.ndarray:
    """Returns which `ParcelIDs` (h, w) have crop pixels in a patch, (n,); none without the file."""
    if parcel_ids is None:
        return np.zeros(0, np.int64)
    crop = ~nomenclature.is_background(semantic) & ~nomenclature.is_void(semantic)
    ids = np.unique(parcel_ids[crop])
    return ids[ids != 0]


def tell_shared(shared: Iterable[SharedParcels], between: str) -> str | None:
    """A line on parcels of several folds; None for none.

    Args:
      shared: The parcels.
      between: Where they lie.
    """
    shared = list(shared)
    if not shared:
        return None
    if often := shared[0].recurring:
        return (
            f"a number of ParcelIDs lies in {often:.1f} patches on average: numbered within each "
            f"patch, they do not tell which parcels lie in patches of {between}; where patches "
            "overlap, scores are too good"
        )
    number = sum(some.number for some in shared)
    examples = sorted(parcel for some in shared for parcel in some.examples)
    return (
        f"{number:,} parcels of ParcelIDs ({named(examples, number)}) have crop pixels in patches "
        f"of {between}: scores are too good"
    )
