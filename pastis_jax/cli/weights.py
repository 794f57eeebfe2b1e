"""Weights that a model of patches starts from, and what they say of the model."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from pastis_jax.errors import ArgumentError
from pastis_jax.interop import PublishedModel, PublishedPanopticModel, load_paps, load_utae
from pastis_jax.runs import Run, open_run
from pastis_jax.runs.from_parcels import leaves_of
from pastis_jax.tasks import ImageModel

Weights = PublishedModel | PublishedPanopticModel | Run
"""What a model of patches can start from."""

FIXED = ("encoder", *ImageModel.SIZES, "head_widths", "shape_size", "mask_conv")
"""Fields that published weights fix."""


def of_weights(published: Weights, epochs: int | None) -> dict[str, Any]:
    """Fields of the model that weights are of.

    Args:
      published: The weights.
      epochs: Number of epochs, if it is given; none are tested as they are.
    """
    if isinstance(published, Run):
        return leaves_of(published)
    settings = dataclasses.asdict(published.settings)
    leaves = {n: settings["norm" if n == "encoder_norm" else n] for n in ImageModel.SIZES}
    leaves["encoder"] = "utae"
    if isinstance(published, PublishedModel):
        return {**leaves, "head_widths": settings["head_widths"]}
    decoder = published.model.decoder
    leaves |= {name: getattr(decoder, name) for name in ("shape_size", "mask_threshold")}
    leaves |= {"mask_conv": decoder.mask_conv, "min_remain": published.min_remain, "warmup": 0}
    return leaves | ({"min_confidence": published.min_confidence} if epochs == 0 else {})


def load_weights(task: str, source: pathlib.Path, modalities: Sequence[str]) -> Weights:
    """Loads what a model starts from: published weights of a task, or a run of parcels.

    Raises:
      UserError: If they cannot be.
    """
    if (source.expanduser() / "run.json").exists():
        return open_run(source)
    return load_published(task, source, modalities)


def load_published(
    task: str, source: pathlib.Path, modalities: Sequence[str]
) -> PublishedModel | PublishedPanopticModel:
    """Loads published weights of a task.

    Raises:
      UserError: If they cannot be.
    """
    load = {"semantic": load_utae, "panoptic": load_paps}[task]
    return load(source, modality=next(iter(modalities), "S2"))


def refuse_other_sizes(leaves: Mapping[str, Any], weights: Weights) -> None:
    """Refuses a configuration of another model than the weights that it starts from.

    Args:
      leaves: The fields of the configuration.
      weights: The weights.

    Raises:
      ArgumentError: Naming the argument.
    """
    of_run = isinstance(weights, Run)
    for name, value in of_weights(weights, None).items():
        given, expected = leaves[name], value
        if of_run and name == "encoder_widths":  # of which time-first reads the last one
            given, expected = given[-1], expected[-1]
        if given != expected and (of_run or name in FIXED):
            fault = f"the weights of {leaves['init_from']} have {expected}"
            raise ArgumentError(fault, argument=name, remedy="leave it out")
