"""Marks and offsets that a reader declares, in place of those of `dataset.json`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import pathlib
from collections.abc import Sequence

import numpy as np

from pastis_jax.data import dataset_file
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.modality import Modality
from pastis_jax.data.pastis_r import describe
from pastis_jax.data.reading import number as read_number
from pastis_jax.errors import ArgumentError, refuse


def parse(argument: str, texts: Sequence[str]) -> dict[str, float]:
    """Reads ``S2=-9999`` and the like: a number by modality.

    Args:
      argument: Name of the argument, for the message.
      texts: What it was given.

    Raises:
      ArgumentError: If one is not of this form, or a modality occurs twice.
    """
    numbers: dict[str, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        remedy = "give a modality and a number, S2=-9999 say"
        try:
            value = read_number(number)
        except ValueError:
            raise ArgumentError(f"got {text!r}", argument=argument, remedy=remedy) from None
        refuse(argument, name in numbers, f"{name} occurs twice", "leave one out")
        numbers[name] = value
    return numbers


def shares(argument: str, texts: Sequence[str]) -> dict[str, float]:
    """Reads ``S2=0.4`` and the like: a share by modality.

    Args:
      argument: Name of the argument, for the message.
      texts: What it was given.

    Raises:
      ArgumentError: As `parse`, or if one is not 0 to 1.
    """
    given = parse(argument, texts)
    for name, share in given.items():
        wrong = not 0 <= share <= 1
        refuse(argument, wrong, f"{name} has {share:g}, shares go from 0 to 1", "give S2=0.4, say")
    return given


def declare(dataset: Dataset, nodata: Sequence[str], offset: Sequence[str]) -> Dataset:
    """Returns `dataset` with these marks of what is missing, and offsets, in its modalities.

    A type that cannot hold a mark becomes a wider one.

    Args:
      dataset: What a folder holds.
      nodata: Marks, as `parse` reads them.
      offset: Offsets, as `parse` reads them.

    Raises:
      ArgumentError: If one is no number of a modality of the dataset.
    """
    modalities = {modality.name: modality for modality in dataset.modalities}
    for argument, texts in (("nodata", nodata), ("offset", offset)):
        for name, number in parse(argument, texts).items():
            if name not in modalities:
                fault, known = f"{dataset.name} has no {name}", ", ".join(modalities)
                raise ArgumentError(fault, argument=argument, remedy=f"choose among {known}")
            try:
                modalities[name] = _with(modalities[name], argument, number)
            except ValueError as error:
                remedy = "give another number"
                raise ArgumentError(f"{name}: {error}", argument=argument, remedy=remedy) from error
    return dataclasses.replace(dataset, modalities=tuple(modalities.values()))


def _with(modality: Modality, argument: str, number: float) -> Modality:
    if argument == "offset":
        return dataclasses.replace(modality, offset=number)
    if number.is_integer():
        number = int(number)
    smallest = np.float32 if not math.isfinite(number) else np.min_scalar_type(number)
    wider = (np.promote_types(modality.dtype, kind).name for kind in (smallest, np.float32))
    try:
        return dataclasses.replace(modality, nodata=number)
    except ValueError:
        for dtype in wider:
            try:
                return dataclasses.replace(modality, nodata=number, dtype=dtype)
            except ValueError as error:
                fault = error
        raise fault from None


def parts(dataset: Dataset, root: pathlib.Path) -> dict[str, str]:
    """What a fingerprint gets where `dataset` is not what the folder `root` says; else nothing."""
    if dataset == describe(root):
        return {}
    content = json.dumps(dataset_file.to_json(dataset), sort_keys=True)
    return {"declared": hashlib.sha256(content.encode()).hexdigest()[:16]}
