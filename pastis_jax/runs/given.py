"""What a user gives a run to predict from: whether it is what the run takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pastis_jax.text import named
from pastis_jax.types import Series

if TYPE_CHECKING:
    from pastis_jax.runs.opened import Run


def check_series(run: Run, series: Mapping[str, Series]) -> tuple[str, ...]:
    """Refuses series that are not of a run's modalities, or whose shapes do not go together.

    Args:
      run: The run.
      series: By modality, ``b t s c`` or ``b t h w c``.

    Returns:
      The modalities of the run.

    Raises:
      ValueError: Naming what is wrong.
    """
    if not isinstance(series, Mapping) or {*series} != {*run.modalities}:
        given = ", ".join(series) if isinstance(series, Mapping) else type(series).__name__
        wanted = ", ".join(run.modalities)
        raise ValueError(f"this run takes {wanted}; got {given or 'nothing'}")
    if wrong := [name for name in run.modalities if not isinstance(series[name], Series)]:
        raise ValueError(f"{wrong[0]} is no Series, but {type(series[wrong[0]]).__name__}")
    samples = {name: len(np.asarray(series[name].valid)) for name in run.modalities}
    if len({*samples.values()}) > 1:
        raise ValueError(f"there are different numbers of samples: {samples}")
    # Letters of the axes of values.
    shape = "btsc" if run.task.example()[run.modalities[0]].pixels is not None else "bthwc"
    for name in run.modalities:
        channels, given = len(run.dataset[name].channels), series[name]
        values = np.shape(given.values)
        if values[-1:] != (channels,):
            raise ValueError(f"{name} has {channels} channels, got values of shape {values}")
        if len(values) != len(shape):
            raise ValueError(f"{name}: values have shape {values}, not {' '.join(shape)}")
        wanted = {"days": values[:2], "valid": values[:2]}
        if "s" in shape:
            wanted["pixels"] = (values[0], values[2])
        for field, expected in wanted.items():
            if (got := np.shape(getattr(given, field))) != expected:
                raise ValueError(f"{name}: {field} have shape {got}, not {expected}")
    return run.modalities


def check_observed(run: Run, observed: Mapping[str, np.ndarray]) -> None:
    """Refuses samples whose values of a modality would be taken for observed, and are not.

    Args:
      run: The run.
      observed: By modality, which samples have a valid date of it, (b,) bool.

    Raises:
      ValueError: Naming the modality and the samples.
    """
    spec = run.task.spec
    if spec.scheme.masks:
        return
    known = np.any([observed[name] for name in spec.read], axis=0)
    for name in run.modalities:
        blind = np.flatnonzero(known & ~observed[name])
        if name not in spec.read and blind.size:
            fault = f"{blind.size} of {len(known)} samples have no valid date of {name}"
            fault += f", which {spec.fusion} fusion needs (numbers {named(blind.tolist())})"
            raise ValueError(f"{fault}: leave them out")
