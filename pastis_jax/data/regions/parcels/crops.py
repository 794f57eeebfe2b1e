"""Which class the crop of a parcel is of: lists of codes, a user's own or one of ours.

A list is a CSV file of codes and classes (`classes.csv`). Two come with the package: of the crop
codes of the French register of parcels (`rpg`) and of the HCAT codes of EuroCrops (`hcat`), both to
the 18 crops that the published weights tell apart. `docs/crop_lists.md` has their rules.
"""

from __future__ import annotations

import collections
import colorsys
import dataclasses
import itertools
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from pastis_jax.data.dataset import CropClass, Nomenclature
from pastis_jax.data.dataset_file import PALETTE
from pastis_jax.data.pastis_r import published_nomenclature
from pastis_jax.data.regions.parcels.crop_table import (
    BACKGROUND,
    VOID,
    Colour,
    is_named,
    read_rows,
    rgb,
    text_of,
)
from pastis_jax.errors import DataError, refuse
from pastis_jax.text import fault_of_name, plain

TABLES = pathlib.Path(__file__).with_name("tables")
"""Folder of the lists that come with the package, `<name>.csv`."""
NAMES = ("rpg", "hcat")
"""Names of those lists."""
LABELS = "labels"
"""In place of a list: every distinct label is a class."""
MOST = 200
"""Most classes: with background and void they fit the labels of patches, uint8."""

_NAMED = 10
"""Codes that a message names."""
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)


@dataclasses.dataclass(frozen=True)
class CropList:
    """The classes of crops, and which of them each code is of.

    Attributes:
      nomenclature: The classes, with background and void.
      codes: Number of the class in the nomenclature of each code; codes as `text_of` writes them.
    """

    nomenclature: Nomenclature
    codes: Mapping[str, int]

    def numbers(self, labels: Iterable[Any]) -> np.ndarray:
        """Returns the number of the class of each label, (n,) int32; void for unknown ones.

        Args:
          labels: Codes as a table of parcels holds them: n texts, integers or floats.
        """
        void = self.nomenclature.void_number
        return np.array([self.codes.get(text_of(label), void) for label in labels], np.int32)

    def unknown(self, labels: Iterable[Any]) -> dict[str, int]:
        """Counts the labels that are none of the list's codes, the most frequent first.

        Labels that are missing count under the empty text.
        """
        return _counted(text for text in map(text_of, labels) if text not in self.codes)

    def void(self, labels: Iterable[Any]) -> dict[str, int]:
        """Counts the labels whose codes are void in the list, the most frequent first."""
        void = self.nomenclature.void_number
        return _counted(text for text in map(text_of, labels) if self.codes.get(text) == void)


def read_crops(spec: str | os.PathLike[str], labels: Iterable[Any] = ()) -> CropList:
    """Reads a list of crops.

    Args:
      spec: `rpg` or `hcat` for the lists that come with the package, `labels` to make every
        distinct label a class, or a file like `classes.csv`.
      labels: Codes as the table of parcels holds them; for `labels` alone.

    Raises:
      ArgumentError: With `labels`, if they are fewer than 2 or more than `MOST`, or one of them
        cannot be the name of a class.
      DataError: If the file is missing or not of the form; names the line.
    """
    if spec == LABELS:
        return _of_labels({text_of(label) for label in labels} - {""})
    if spec in NAMES:
        return _published(TABLES / f"{spec}.csv")
    file = pathlib.Path(spec)
    if not file.exists():
        remedy = f"give a classes.csv, or one of {', '.join((*NAMES, LABELS))}"
        raise DataError("file not found", where=file, remedy=remedy)
    rows = read_rows(file)
    crops = [row for row in rows if not row.is_void]
    classes: dict[str, Colour | None] = dict.fromkeys(row.name for row in crops)
    if not 2 <= len(classes) <= MOST:
        number = f"more than {MOST}" if len(classes) > MOST else "fewer than two"
        fault = f"has {number} classes beside {VOID}"
        raise DataError(fault, where=file, remedy="a class is a crop or a group of crops")
    classes |= {row.name: row.colour for row in crops if row.colour}
    return _crop_list(
        classes,
        {row.code: row.name for row in crops},
        void={row.code for row in rows if row.is_void},
        void_colour=next((row.colour for row in rows if row.is_void and row.colour), _WHITE),
    )


def refuse_unknown(
    crops: CropList, labels: Iterable[Any], where: str | os.PathLike[str], *, accept_void: bool
) -> None:
    """Refuses labels that are none of the list's codes, unless they are accepted as void.

    Args:
      crops: The list.
      labels: Codes as the table of parcels holds them.
      where: The table, for the message.
      accept_void: Whether parcels of unknown codes may be void.

    Raises:
      DataError: Naming the most frequent ones, and how many parcels have them.
    """
    labels = [*labels]
    unknown = crops.unknown(labels)
    if accept_void or not unknown:
        return
    first = [*unknown.items()][:_NAMED]
    named = ", ".join(f"{plain(code, 40) or 'no code'} ({count})" for code, count in first)
    more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    parcels = sum(unknown.values())
    fault = f"crops of {parcels} of {len(labels)} parcels are unknown: {named}{more}"
    remedy = 'add them to classes.csv, or accept them as void by `unknown`="void"'
    if parcels == len(labels):
        remedy = "give the column of the crops, and the list that has its codes"
    raise DataError(fault, where=where, remedy=remedy)


def refuse_few(crops: CropList, labels: Iterable[Any], where: str | os.PathLike[str]) -> None:
    """Refuses parcels of fewer than two classes, from which nothing can be learnt.

    Args:
      crops: The list.
      labels: Codes as the table of parcels holds them.
      where: The table, for the message.

    Raises:
      DataError: Naming the class that occurs.
    """
    nomenclature, numbers = crops.nomenclature, crops.numbers(labels)
    present = np.unique(numbers[~nomenclature.is_void(numbers)])
    if len(present) > 1:
        return
    names = [nomenclature.classes[number].name for number in present] or [VOID]
    fault = f"all {len(numbers)} parcels are {' or '.join(dict.fromkeys([*names, VOID]))}"
    remedy = "give parcels of two crops or more, or a classes.csv that tells more apart"
    raise DataError(fault, where=where, remedy=remedy)


def _published(file: pathlib.Path) -> CropList:
    nomenclature = published_nomenclature()
    numbers = {entry.name: number for number, entry in enumerate(nomenclature.classes)}
    return CropList(nomenclature, {row.code: numbers[row.name] for row in read_rows(file)})


def _of_labels(labels: set[str]) -> CropList:
    remedy = "give the column of the crops, or a classes.csv that groups them"
    fault = f"there are {len(labels)} different labels: a column of identifiers?"
    refuse("classes", len(labels) > MOST, fault, remedy)
    void = {label for label in labels if is_named(label, VOID)}
    crops = sorted(labels - void, key=_by_number)
    refuse("classes", len(crops) < 2, "there are fewer than two different labels", remedy)
    names = {BACKGROUND.casefold(): BACKGROUND}
    for label in crops:
        if fault := fault_of_name(label):
            refuse("classes", True, f"label {fault}", remedy)
        first = names.setdefault(label.casefold(), label)
        fault = f"label {label} differs from {first} by its capitals alone"
        if first == BACKGROUND:
            fault = f"label {label} is the name of what lies outside of parcels"
        refuse("classes", first is not label, fault, remedy)
    return _crop_list(dict.fromkeys(crops), {label: label for label in crops}, void=void)


def _crop_list(
    classes: Mapping[str, Colour | None],
    codes: Mapping[str, str],
    *,
    void: set[str],
    void_colour: Colour = _WHITE,
) -> CropList:
    """Numbers classes from 1, with the background before them and void behind.

    The code of a class is the first of its codes, so that a code never names another class in the
    nomenclature than in the list; its value, in the labels of patches, is its number.

    Args:
      classes: Colour of each class, or None.
      codes: Name of the class of each code.
      void: Codes that are void.
      void_colour: Colour of void.
    """
    first: dict[str, str] = {}
    for code, name in codes.items():
        first.setdefault(name, code)
    colours = _colours({_BLACK, _WHITE, void_colour, *filter(None, classes.values())})
    outside, left_out = (_free(name.lower(), {*codes, *void}) for name in (BACKGROUND, VOID))
    entries = (
        CropClass(outside, BACKGROUND, _BLACK, 0),
        *(
            CropClass(first[name], name, colour or next(colours), number)
            for number, (name, colour) in enumerate(classes.items(), start=1)
        ),
        CropClass(left_out, VOID, void_colour, len(classes) + 1),
    )
    numbers = {entry.name: number for number, entry in enumerate(entries)}
    return CropList(
        Nomenclature(entries, outside, left_out),
        {code: numbers[name] for code, name in codes.items()} | dict.fromkeys(void, numbers[VOID]),
    )


def _free(code: str, taken: set[str]) -> str:
    while code in taken:
        code += "_"
    return code


def _colours(taken: set[Colour]) -> Iterator[Colour]:
    """Colours for classes without one: a palette, then hues far from the one before."""
    hues = ((0.618 * k % 1, 0.5 + 0.25 * (k % 3), 0.95 - 0.2 * (k % 4)) for k in itertools.count())
    further = (tuple(round(255 * part) for part in colorsys.hsv_to_rgb(*hue)) for hue in hues)
    used = {*taken}
    for colour in itertools.chain(map(rgb, PALETTE), further):
        if colour not in used:
            used.add(colour)
            yield colour


def _by_number(label: str) -> tuple[bool, int, str]:
    """Sorts numbers by their size, before text."""
    whole = re.fullmatch(r"-?[0-9]{1,30}", label) is not None
    return not whole, int(label) if whole else 0, label


def _counted(texts: Iterable[str]) -> dict[str, int]:
    counts = collections.Counter(texts)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
