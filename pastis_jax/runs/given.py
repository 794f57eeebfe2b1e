"""Series that are given to a run: refused where they cannot be what it takes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pastis_jax.data.dataset import Dataset
from pastis_jax.tasks import ModelSpec
from pastis_jax.text import named
from pastis_jax.types import Series


def check_series(
    series: Mapping[str, Series], dataset: Dataset, modalities: tuple[str, ...], axes: str
) -> tuple[str, ...]:
    """Refuses series of other modalities or shapes.

    Args:
      series: What is given.
      dataset: What the run was trained on.
      modalities: Names of those that it takes.
      axes: Letters of the axes of a series' values.

    Returns:
      The modalities.

    Raises:
      ValueError: Saying what does not go together.
    """
    if not isinstance(series, Mapping) or {*series} != {*modalities}:
        given = ", ".join(series) if isinstance(series, Mapping) else type(series).__name__
        raise ValueError(f"this run takes {', '.join(modalities)}; got {given or 'nothing'}")
    if wrong := [name for name in modalities if not isinstance(series[name], Series)]:
        raise ValueError(f"{wrong[0]} is no Series, but {type(series[wrong[0]]).__name__}")
    samples = {name: len(np.asarray(series[name].valid)) for name in modalities}
    if len({*samples.values()}) > 1:
        raise ValueError(f"there are different numbers of samples: {samples}")
    for name in modalities:
        channels, one = len(dataset[name].channels), series[name]
        values = np.shape(one.values)
        if values[-1:] != (channels,):
            raise ValueError(f"{name} has {channels} channels, got values of shape {values}")
        if len(values) != len(axes):
            raise ValueError(f"{name}: values have shape {values}, not {' '.join(axes)}")
        wanted = {"days": values[:2], "valid": values[:2]}
        if "s" in axes:
            wanted["pixels"] = (values[0], values[2])
        for field, expected in wanted.items():
            if (got := np.shape(getattr(one, field))) != expected:
                raise ValueError(f"{name}: {field} have shape {got}, not {expected}")
    return modalities


def check_observed(observed: Mapping[str, np.ndarray], spec: ModelSpec) -> None:
    """Refuses samples whose values of a modality would be taken for observed, and are not.

    Args:
      observed: By modality, which samples have a valid date of it, (b,) bool.
      spec: The model.

    Raises:
      ValueError: Naming the samples.
    """
    if spec.scheme.masks:
        return
    known = np.any([observed[name] for name in spec.read], axis=0)
    for name in spec.modalities:
        blind = np.flatnonzero(known & ~observed[name])
        if name not in spec.read and blind.size:
            fault = f"{blind.size} of {len(known)} samples have no valid date of {name}"
            fault += f", which {spec.fusion} fusion needs (numbers {named(blind.tolist())})"
            raise ValueError(f"{fault}: leave them out")
