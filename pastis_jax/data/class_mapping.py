"""From the official labels of a pixel to the classes a model is trained on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from typing import Any

import numpy as np

from pastis_jax.data.dataset import CropClass, Nomenclature
from pastis_jax.data.layout import resolve
from pastis_jax.data.reading import read_json
from pastis_jax.errors import DataError
from pastis_jax.text import fault_of_name

_FORM = 'write {"Cereals": ["Soft winter wheat", 4], "Void": ["Orchard"]}, names or codes'
_VOID = "void"

Colour = tuple[int, int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class ClassMapping:
    """The classes a model tells apart, and which class of the nomenclature belongs to which.

    Attributes:
      names: Name of each class.
      colours: RGB colour of each class, 0 to 255.
      codes: Code of each class in the nomenclature; None for a group of several.
      lookup: For each class of the nomenclature, by its number, the index of its class, or `void`,
        int32.
      background: Index of the background, 0; None if it is no class, or shares one.

    Examples:
      Two crops between the background and void. Parcels have two classes, pixels three:

      >>> names = ("Background", "Maize", "Soya", "Void")
      >>> every = tuple(CropClass(code, name, (0, 0, 0)) for code, name in enumerate(names))
      >>> nomenclature = Nomenclature(every, background=0, void=3)
      >>> ClassMapping.crops(nomenclature).lookup.tolist()  # 2 is void
      [2, 0, 1, 2]
      >>> ClassMapping.of(nomenclature).lookup.tolist()  # 3 is void
      [0, 1, 2, 3]
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    codes: tuple[int | str | None, ...]
    lookup: np.ndarray
    background: int | None = None

    @property
    def void(self) -> int:
        """Index of what counts for no class: the number of classes."""
        return len(self.names)

    @property
    def digest(self) -> str:
        """Changes with the names of the classes and what each label counts for."""
        text = json.dumps([self.names, self.lookup.tolist()])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @classmethod
    def of(cls, nomenclature: Nomenclature) -> ClassMapping:
        """The classes of pixels: all but void, the background first."""
        return _mapping(nomenclature, {})

    @classmethod
    def crops(cls, nomenclature: Nomenclature) -> ClassMapping:
        """The classes of parcels: neither void nor the background, which both count for none."""
        left_out = (nomenclature.background_number, nomenclature.void_number)
        return _mapping(nomenclature, {_VOID: [n for n in left_out if n is not None]})

    def of_other(self, own: Nomenclature, other: Nomenclature) -> ClassMapping:
        """Returns these classes for labels of another nomenclature, whose codes and names agree.

        Args:
          own: The nomenclature that this mapping is of.
          other: That of the labels; it may have fewer classes, or another order.

        Raises:
          ValueError: If it has a class that is not in `own`, under the same code and name, or one
            that is background or void in one of them alone.
        """
        numbers = {
            (str(entry.code), entry.name.casefold()): n for n, entry in enumerate(own.classes)
        }
        lookup = np.full(len(other.classes), self.void, np.int32)
        for number, entry in enumerate(other.classes):
            known = numbers.get((str(entry.code), entry.name.casefold()))
            if known is None and number == other.void_number:
                continue
            if known is None:
                raise ValueError(f"its class {entry.code}, {entry.name}, is none of the model's")
            for role in ("background", "void"):
                if (number == getattr(other, f"{role}_number")) != (
                    known == getattr(own, f"{role}_number")
                ):
                    fault = f"its class {entry.code}, {entry.name}, is {role} here or there alone"
                    raise ValueError(fault)
            lookup[number] = self.lookup[known]
        return dataclasses.replace(self, lookup=lookup)

    @classmethod
    def read(cls, path: str | os.PathLike[str], nomenclature: Nomenclature) -> ClassMapping:
        """Reads groups of the nomenclature's classes from a JSON file.

        The file holds an object of new classes, each a list of names or codes. Classes it does not
        mention keep their name. Members of a group called Void, or as the nomenclature calls its
        void, are void: neither trained nor counted, as void always is. The background comes first,
        the others in the order of their first member; a group takes the colour of its first member.

        Args:
          path: The file.
          nomenclature: What its members are classes of.

        Raises:
          DataError: If the file is missing, not of this form, or puts a class in two groups.
        """
        path = resolve(path)
        groups = read_json(path, kind="a JSON file", remedy=_FORM)
        try:
            return _mapping(nomenclature, _groups(groups, nomenclature))
        except ValueError as error:
            raise DataError(str(error), where=path, remedy=_FORM) from error


def _groups(content: Any, nomenclature: Nomenclature) -> dict[str, list[int]]:
    """Returns the numbers of the classes of each group, checked."""
    if not isinstance(content, dict) or not content:
        raise ValueError("not an object of classes")
    classes, void = nomenclature.classes, nomenclature.void_number
    groups: dict[str, list[int]] = {}
    owner: dict[int, str] = {}
    for name, members in content.items():
        if fault := fault_of_name(name):
            raise ValueError(f"class {fault}")
        if not isinstance(members, list) or not members:
            raise ValueError(f"class {name} is not a list of classes")
        groups[name] = [_number(member, name, nomenclature) for member in members]
        for number in groups[name]:
            if number in owner:
                raise ValueError(f"{classes[number].name} is in {owner[number]} and in {name}")
            if number == void and not _is_void(name, nomenclature):
                raise ValueError(f"{classes[number].name} is in {name}, but cannot be a class")
            owner[number] = name
    for number, entry in enumerate(classes):
        if number != void and entry.name in groups and number not in owner:
            raise ValueError(f"{entry.name} is the name of a group without {entry.name}")
    counted = (number for number in range(len(classes)) if number != void)
    if all(_is_void(owner.get(number, ""), nomenclature) for number in counted):
        raise ValueError("every class is void")
    return groups


def _number(member: Any, group: str, nomenclature: Nomenclature) -> int:
    names = {entry.name.casefold(): n for n, entry in enumerate(nomenclature.classes)}
    codes = {entry.code: n for n, entry in enumerate(nomenclature.classes)}
    meant: set[int] = set()
    if isinstance(member, int | str) and not isinstance(member, bool):
        found = names.get(str(member).casefold()), codes.get(member)
        meant = {number for number in found if number is not None}
    if not meant:
        raise ValueError(f"unknown class {json.dumps(member)} in {group}")
    if len(meant) > 1:
        raise ValueError(f"{json.dumps(member)} in {group} is a name of one class, code of another")
    return meant.pop()


def _is_void(name: str, nomenclature: Nomenclature) -> bool:
    names = {_VOID}
    if nomenclature.void_number is not None:
        names.add(nomenclature.classes[nomenclature.void_number].name.casefold())
    return name.casefold() in names


def _mapping(nomenclature: Nomenclature, groups: dict[str, list[int]]) -> ClassMapping:
    classes = nomenclature.classes
    owner = {number: name for name, members in groups.items() for number in members}
    background = nomenclature.background_number
    order = sorted(range(len(classes)), key=lambda number: number != background)
    members: dict[str, list[int]] = {}
    for number in order:
        left_out = number in owner and _is_void(owner[number], nomenclature)
        if number != nomenclature.void_number and not left_out:
            members.setdefault(owner.get(number, classes[number].name), []).append(number)
    first: dict[str, CropClass] = {
        name: classes[groups.get(name, numbers)[0]] for name, numbers in members.items()
    }
    lookup = np.full(len(classes), len(members), np.int32)
    for index, numbers in enumerate(members.values()):
        lookup[numbers] = index
    alone = [number for numbers in list(members.values())[:1] for number in numbers]
    return ClassMapping(
        names=tuple(members),
        colours=tuple(entry.colour for entry in first.values()),
        codes=tuple(
            classes[numbers[0]].code if len(numbers) == 1 else None for numbers in members.values()
        ),
        lookup=lookup,
        background=0 if background is not None and alone == [background] else None,
    )
