"""From the official labels of a pixel to the classes a model is trained on."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import numpy as np

from pastis_jax.data.layout import resolve
from pastis_jax.data.nomenclature import CLASSES, VOID
from pastis_jax.errors import DataError

_FORM = 'write {"Cereals": ["Soft winter wheat", 4], "Void": ["Orchard"]}, names or ids'


@dataclasses.dataclass(frozen=True, eq=False)
class ClassMapping:
    """The classes of a segmentation, and which official label belongs to which.

    Attributes:
      names: Name of each class.
      colours: RGB colour of each class, 0 to 255.
      lookup: For each official label, 0 to 19, the index of its class, or `void`; (20,) uint8.
    """

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    lookup: np.ndarray

    @property
    def void(self) -> int:
        """Index of what counts for no class: the number of classes."""
        return len(self.names)

    @classmethod
    def official(cls) -> ClassMapping:
        """The 19 official classes, background and 18 crops; void is 19."""
        return _mapping({})

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> ClassMapping:
        """Reads groups of official classes from a JSON file.

        The file holds an object of new classes, each a list of official names or ids. Official
        classes it does not mention keep their name. Members of a group called Void are void:
        neither trained nor counted, as the official void always is. Classes are in the order of
        their lowest official id; a group takes the colour of its first member.

        Args:
          path: The file.

        Raises:
          DataError: If the file is missing, not of this form, or puts a class in two groups.
        """
        path = resolve(path)
        try:
            groups = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_unique)
        except FileNotFoundError:
            raise DataError("file not found", where=path, remedy=_FORM) from None
        except (OSError, ValueError) as error:
            raise DataError(f"not a JSON file ({error})", where=path, remedy=_FORM) from error
        try:
            return _mapping(_groups(groups))
        except ValueError as error:
            raise DataError(str(error), where=path, remedy=_FORM) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a class is defined twice")
    return content


def _groups(content: Any) -> dict[str, list[int]]:
    """Returns the official labels of each group, checked."""
    if not isinstance(content, dict) or not content:
        raise ValueError("not an object of classes")
    groups, owner = {}, {}
    for name, members in content.items():
        if not isinstance(members, list) or not members:
            raise ValueError(f"class {name} is not a list of official classes")
        groups[name] = [_label(member, name) for member in members]
        for label in groups[name]:
            if label in owner:
                raise ValueError(f"{CLASSES[label].name} is in {owner[label]} and in {name}")
            if label == VOID and not _is_void(name):
                raise ValueError(f"Void is in {name}, but cannot be a class")
            owner[label] = name
    for label, crop in enumerate(CLASSES[:VOID]):
        if crop.name in groups and label not in owner:
            raise ValueError(f"{crop.name} is the name of a group without {crop.name}")
    if all(_is_void(owner.get(label, "")) for label in range(VOID)):
        raise ValueError("every class is void")
    return groups


def _label(member: Any, group: str) -> int:
    known = {crop.name.casefold(): crop.label for crop in CLASSES}
    label = known.get(member.casefold()) if isinstance(member, str) else member
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label <= VOID:
        raise ValueError(f"unknown class {json.dumps(member)} in {group}")
    return label


def _is_void(name: str) -> bool:
    return name.casefold() == CLASSES[VOID].name.casefold()


def _mapping(groups: dict[str, list[int]]) -> ClassMapping:
    owner = {label: name for name, members in groups.items() for label in members}
    colours: dict[str, tuple[int, int, int]] = {}
    for crop in CLASSES[:VOID]:
        name = owner.get(crop.label, crop.name)
        if not _is_void(name):
            colours.setdefault(name, CLASSES[groups.get(name, [crop.label])[0]].colour)
    index = {name: number for number, name in enumerate(colours)}
    lookup = [index.get(owner.get(crop.label, crop.name), len(index)) for crop in CLASSES]
    return ClassMapping(tuple(colours), tuple(colours.values()), np.array(lookup, np.uint8))
