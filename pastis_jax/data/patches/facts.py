"""What is kept of a checked patch folder: written by `prepare`, compared when it is read again."""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Mapping
from typing import Any

from pastis_jax.data import survey
from pastis_jax.data.dataset import Dataset
from pastis_jax.data.gaps import Gaps
from pastis_jax.data.patches.agreement import Contradiction, SharedParcels
from pastis_jax.data.patches.folder import PatchFolder
from pastis_jax.data.reading import read_json
from pastis_jax.data.statistics import check_moments, statistics_from_json
from pastis_jax.errors import DataError


def contradictions_of(facts: Mapping[str, Any]) -> dict[str, Contradiction]:
    """What the annotations of a patch say against each other, by its identifier as text."""
    return {name: Contradiction(**told) for name, told in facts["contradictions"].items()}


def shared_parcels_of(facts: Mapping[str, Any], dataset: Dataset) -> list[SharedParcels]:
    """Parcels that have crop pixels in patches of several folds."""
    return [
        SharedParcels(
            tuple(map(dataset.fold, some["folds"])),
            some["number"],
            some["examples"],
            some["recurring"],
        )
        for some in facts["shared_parcels"]
    ]


def read(kind: str, path: pathlib.Path, folder: PatchFolder) -> dict[str, Any]:
    """Reads what `prepare` wrote, and compares it with the metadata.

    Raises:
      ValueError: Telling what is damaged.
    """
    try:
        content = read_json(path, kind="what was written", remedy="delete it")
    except DataError as error:
        raise ValueError(error.fault) from error
    try:
        if kind == "statistics":
            modalities = [folder.dataset[name] for name in content]
            statistics = statistics_from_json(content, folder.dataset)
            check_moments(statistics, modalities, folder.dataset.folds)
            if not content.keys() >= {*folder.modalities}:
                raise ValueError("other modalities")
        else:
            _check_facts(content, folder)
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return content


def _check_facts(facts: Mapping[str, Any], folder: PatchFolder) -> None:
    """Raises a ValueError where facts contradict the metadata or each other."""
    dataset = folder.dataset
    skipped = Gaps.from_json(facts["gaps"], dataset).skipped
    patches = [patch for patch in folder.patches.values() if patch.id not in skipped]
    contradictions_of(facts), shared_parcels_of(facts, dataset)
    if not survey.from_json(facts["survey"], dataset).keys() >= {*folder.modalities}:
        raise ValueError("other modalities")
    for name in folder.modalities:
        if facts["lengths"][name] != max([1, *(len(patch.days[name]) for patch in patches)]):
            raise ValueError(f"another number of dates of {name}")
    counts = collections.Counter(str(patch.fold) for patch in patches)
    if facts["patches"] != {str(fold): counts[str(fold)] for fold in dataset.folds}:
        raise ValueError("other numbers of patches")
    rows, columns = map(int, facts["size"])
    classes = len(dataset.nomenclature.classes)
    for fold in dataset.folds:
        pixels = facts["pixels"][str(fold)]
        known = all(0 <= int(number) < classes for number in pixels)
        if not known or sum(pixels.values()) != rows * columns * counts[str(fold)]:
            raise ValueError(f"other numbers of pixels in fold {fold}")
    if not 0 <= int(facts["most_instances"]) <= rows * columns:
        raise ValueError("another number of instances")
