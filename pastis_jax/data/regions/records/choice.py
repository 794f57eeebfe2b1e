"""Which modalities of a Region are read."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from pastis_jax.data.dataset import Dataset
from pastis_jax.errors import ArgumentError


def chosen_modalities(
    root: pathlib.Path, dataset: Dataset, modalities: Sequence[str] | None
) -> tuple[str, ...]:
    """Returns the modalities to read, in the dataset's order; None takes all.

    Raises:
      ArgumentError: If one is none of the dataset's, or there is none.
    """
    if modalities is None:
        return dataset.names
    unknown = [name for name in modalities if name not in dataset.names]
    if unknown or not modalities:
        fault = f"{root} has no {', '.join(unknown)}" if modalities else "there is none"
        remedy = f"choose among {', '.join(dataset.names)}"
        raise ArgumentError(fault, argument="modalities", remedy=remedy)
    return tuple(name for name in dataset.names if name in modalities)
