"""Parcels teach patches: encoders of a run of parcels as the start of a time-first model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from pastis_jax.data.statistics import Statistics
from pastis_jax.errors import refuse
from pastis_jax.runs.learning import Start, is_encoder
from pastis_jax.runs.opened import Run
from pastis_jax.tasks import ImageModel
from pastis_jax.tasks.parcel import AT_EVERY_PIXEL


def leaves_of(run: Run) -> dict[str, Any]:
    """Fields of a model of patches that a run of parcels fixes.

    Args:
      run: The run.

    Raises:
      ArgumentError: If it is no run of parcels, or one whose encoders read more than pixels.
    """
    spec = run.task.spec
    of_parcels = run.task.name == "parcel" and spec.encoder == "pse-ltae"
    fault = f"{run.folder} is a run of {run.task.samples}, {spec.encoder}"
    refuse("init_from", not of_parcels, fault, "give one of parcels, pse-ltae")
    fault = f"the encoders of {run.folder} read outlines of parcels, which pixels do not have"
    refuse("init_from", spec.geometric, fault, "give a run without `geometric`")
    sizes = dict(AT_EVERY_PIXEL)
    width = sizes.pop("features")
    return {
        "encoder": "time-first",
        "fusion": spec.fusion,
        "modalities": spec.modalities,
        "outside": spec.outside,
        "encoder_widths": (*ImageModel.encoder_widths[:-1], width),
        **sizes,
    }


def start_from(run: Run, statistics: Statistics) -> Start:
    """Spatial and temporal encoders of a run of parcels, for inputs that are normalised otherwise.

    The first layer takes the difference in: the same stored values give the same features.

    Args:
      run: The run.
      statistics: Mean and standard deviation of what the other model's inputs are normalised with,
        by modality.

    Raises:
      ArgumentError: If the run's scheme has encoders of another kind.
    """
    chosen: dict[str, dict[str, Any]] = {}
    for kind in ("params", "batch_stats"):
        parts = jax.tree.map(np.asarray, run.variables[kind])
        chosen[kind] = {name: dict(parts[name]) for name in parts if is_encoder(name)}
    kinds = {name.split("_")[0] for name in chosen["params"]}
    fault = f"{run.folder} has no encoders that are called spatial and temporal"
    refuse("init_from", len(kinds) < 2, fault, "give a run of another `fusion`")
    for name, part in chosen["params"].items():
        if "mlp1_0" in part:
            # Early fusion has one encoder, of the channels of all modalities.
            read = [m for m in run.modalities if name == f"spatial_{m}"] or [*run.modalities]
            channels = sum(len(run.dataset[m].channels) for m in read)
            rows = len(part["mlp1_0"]["kernel"])
            fault = f"{name} of {run.folder} reads {rows} channels, not the {channels} of "
            fault += ", ".join(read)
            refuse("init_from", rows != channels, fault, "give a run of another `fusion`")
            part["mlp1_0"] = _rescaled(part["mlp1_0"], run, statistics, read)
    return Start(chosen)


def _rescaled(
    layer: Mapping[str, np.ndarray], run: Run, statistics: Statistics, names: Sequence[str]
) -> dict[str, np.ndarray]:
    own = run.saved.learned.statistics

    def of_channels(source: Statistics, place: int) -> np.ndarray:
        return np.concatenate([np.float64(source[name][place]) for name in names])

    mean, deviation = (of_channels(own, place) for place in (0, 1))
    other_mean, other_deviation = (of_channels(statistics, place) for place in (0, 1))
    kernel = np.float64(layer["kernel"])
    shift = (other_mean - mean) / deviation
    return {
        **layer,
        "kernel": np.float32(kernel * (other_deviation / deviation)[:, None]),
        "bias": np.float32(layer["bias"] + shift @ kernel),
    }
