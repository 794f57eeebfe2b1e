"""Classes and folds of samples, and what is told of them."""

from __future__ import annotations

import os
import pathlib
import warnings
from collections.abc import Sequence

import numpy as np

from pastis_jax.data.dataset import Fold, Nomenclature
from pastis_jax.data.regions.parcels.crops import read_crops, refuse_few, refuse_unknown
from pastis_jax.data.regions.samples import folds as sample_folds
from pastis_jax.data.regions.samples.lines import Samples
from pastis_jax.errors import ArgumentError, DataError, DataWarning, refuse
from pastis_jax.text import named, word


class Findings(list):
    """What was left out or is odd, as `findings.json` holds it."""

    def add(self, kind: str, text: str) -> None:
        self.append({"kind": kind, "text": text})

    def warn(self) -> None:
        for finding in self:
            warnings.warn(DataWarning(finding["text"]), stacklevel=3)


def classes_of(
    read: Samples,
    spec: str | os.PathLike[str],
    *,
    unknown: str,
    least: int,
    file: pathlib.Path,
    told: Findings,
) -> tuple[np.ndarray, Nomenclature]:
    """Tells the class of each sample.

    Args:
      read: The samples.
      spec: What `read_crops` takes.
      unknown: `void` where labels may be none of the list's.
      least: Classes with fewer samples become void.
      file: The table, for messages.
      told: What is void is added.

    Returns:
      Number of each sample's class, (n,), and the classes.

    Raises:
      DataError: If labels are none of the list's.
      ArgumentError: If fewer than two classes are left.
    """
    given = [text for text in read.labels if text is not None]
    if not given:
        remedy = "name the column of the crops"
        raise ArgumentError("no sample has a label", argument="label", remedy=remedy)
    crops = read_crops(spec, given)
    refuse_unknown(crops, given, file, accept_void=unknown == "void", spec=spec)
    refuse_few(crops, given, file)
    if away := crops.unknown(given):
        number, names = sum(away.values()), named([*away], most=10)
        text = f"{number:,} samples have labels that are not in the list, and are void: {names}"
        told.add("classes", text)
    if without := len(read.labels) - len(given):
        told.add("classes", f"{without:,} samples have no label: they are void")
    nomenclature = crops.nomenclature
    numbers = np.full(len(read.ids), nomenclature.void_number, np.int64)
    numbers[[text is not None for text in read.labels]] = crops.numbers(given)
    counts = np.bincount(numbers, minlength=len(nomenclature.classes))
    places = {entry.code: number for number, entry in enumerate(nomenclature.classes)}
    rare = [n for n in (places[crop.code] for crop in nomenclature.crops) if counts[n] < least]
    if not rare:
        return numbers, nomenclature
    kept = [number for number in range(len(counts)) if number not in rare]
    names = [nomenclature.classes[n].name for n in sorted(rare, key=lambda n: -counts[n])]
    classes = word(len(rare), "class has", "classes have")
    becomes, lost = word(len(rare), "becomes", "become"), int(counts[rare].sum())
    fewer = f"{len(rare)} {classes} fewer than {least} samples and {becomes} void"
    samples = f"{lost:,} {word(lost, 'sample', 'samples')}"
    told.add("classes", f"{fewer} ({samples}): {named(names, most=10)}")
    try:
        nomenclature = Nomenclature(
            tuple(nomenclature.classes[number] for number in kept),
            nomenclature.background,
            nomenclature.void,
        )
    except ValueError as error:
        remedy = "lower it, or group classes by `classes`"
        raise ArgumentError(str(error), argument="min_samples", remedy=remedy) from error
    place = np.full(len(counts), nomenclature.void_number, np.int64)
    place[kept] = np.arange(len(kept))
    return place[numbers], nomenclature


def folds_of(
    read: Samples,
    classes: np.ndarray,
    *,
    block: float,
    gap: float,
    file: pathlib.Path,
    told: Findings,
) -> tuple[np.ndarray, tuple[Fold, ...]]:
    """Deals samples to folds, as their column says, or by where they are, or by their names.

    Args:
      read: The samples.
      classes: Number of the class of each, (n,); -1 for void.
      block: Side of blocks of ground, metres.
      gap: Metres within which samples in different folds are told of.
      file: The table, for messages.
      told: What is odd is added.

    Returns:
      Position of the fold of each sample, (n,), and the folds.

    Raises:
      DataError: If a sample has no fold.
      ArgumentError: If there are fewer than three, or one has no sample with a crop.
    """
    if read.folds is not None:
        positions, folds = _named_folds(read.ids, read.folds, file)
    else:
        positions, folds = _dealt(read, classes, block, told), sample_folds.FOLDS
    if read.places is not None:
        near = sample_folds.too_near(read.places, positions, gap).sum()
        if near:
            text = f"{near:,} of {len(positions):,} samples lie within {gap:g} m of one in another"
            told.add("folds", f"{text} fold: scores may be too good")
    if read.folds is None:
        for position, name in enumerate(folds):
            if not (classes[positions == position] >= 0).any():
                fault, remedy = f"no sample is left for fold {name}", "name a column of folds"
                raise ArgumentError(
                    fault, argument="fold", remedy=f"{remedy}, or give more samples"
                )
    here = np.zeros((classes.max() + 1, len(folds)), bool)
    here[classes[classes >= 0], positions[classes >= 0]] = True
    if lacking := int((here.any(1) & ~here.all(1)).sum()):
        text = f"{lacking} of {int(here.any(1).sum())} classes are not in every fold"
        told.add("classes", f"{text}; `min_samples` makes rare ones void")
    return positions, folds


def _named_folds(
    ids: Sequence[str], given: Sequence[str | None], file: pathlib.Path
) -> tuple[np.ndarray, tuple[Fold, ...]]:
    """Positions of folds, (n,), and the folds that a column names."""
    if None in given:
        fault = f"sample {ids[given.index(None)]} has no fold"
        raise DataError(fault, where=file, remedy="give each sample a fold")
    integers = all(text.isdecimal() for text in given)
    names = [int(text) if integers else text for text in given]
    folds = tuple(sorted(set(names)))
    refuse("fold", len(folds) < 3, f"there are {len(folds)} folds", "give three or more")
    numbers = {name: number for number, name in enumerate(folds)}
    return np.array([numbers[name] for name in names]), folds


def _dealt(read: Samples, classes: np.ndarray, block: float, told: Findings) -> np.ndarray:
    """Positions of folds, (n,): by blocks of ground where there are enough, else by names."""
    found = None
    if read.places is not None:
        found = sample_folds.by_place(read.places, classes, block=block)
    if found is None:
        why = "have no places" if read.places is None else "lie too close for blocks"
        text = "identifiers tell the folds, so that neighbours may be in train and test and scores"
        told.add("folds", f"samples {why}: {text} too good; `fold` names a column of folds")
        return sample_folds.by_name(read.ids)
    positions, side = found
    if side < block:
        text = f"folds are of blocks of {side / 1000:g} km, for there to be enough of them"
        told.add("folds", text)
    return positions
