"""Weights of the published panoptic model (U-TAE and PaPs) as variables of `fusion.single`."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from pastis_jax import fusion
from pastis_jax.errors import UserError
from pastis_jax.interop.checkpoint import fill
from pastis_jax.interop.files import CONF, checkpoint_file, find_conf, read_conf, read_tensors
from pastis_jax.interop.names import Rule, convert, linear, linear_batch_norm
from pastis_jax.interop.semantic import (
    conv_norm_rules,
    convolution,
    frame_encoder_rules,
    temporal_unet_rules,
)
from pastis_jax.interop.settings import UTAESettings, read_settings
from pastis_jax.models.paps import PaPs
from pastis_jax.nn.conv import Norm

_IDLE = ("min_confidence", "encoder.out_conv.")
"""A threshold, and the U-TAE's own head: trained and saved there, but never run."""


def paps_rules(ours: tuple[str, ...], *, mask_conv: bool) -> list[Rule]:
    """Rules of a `PaPs` decoder."""
    rules = []
    for theirs, name in (("heatmap_conv.0.conv", "heatmap"), ("saliency_conv.conv", "saliency")):
        for i in range(2):
            where = (*ours, f"{name}_{i}")
            rules += conv_norm_rules(theirs, where, norm="batch", first=3 * i)
    for theirs, name, hidden, bare in (
        ("size_mlp", "size", (0, 3), (6,)),
        ("class_mlp", "label", (0,), (3, 4)),
        ("shape_mlp", "shape", (0,), (3,)),
    ):
        for i, n in enumerate(hidden):
            where = (*ours, f"{name}_{i}")
            rules += linear_batch_norm(f"{theirs}.{n}", f"{theirs}.{n + 1}", where)
        for i, n in enumerate(bare, len(hidden)):
            rules += linear(f"{theirs}.{n}", (*ours, f"{name}_{i}"))
    if mask_conv:
        for i, n in enumerate((0, 3, 5)):
            where = (*ours, f"mask_{i}")
            rules.append(Rule(f"mask_cnn.{n}.weight", (*where, "kernel"), layout=convolution))
            rules.append(Rule(f"mask_cnn.{n}.bias", (*where, "bias")))
        rules.append(Rule("mask_cnn.1.weight", (*ours, "mask_scale")))
        rules.append(Rule("mask_cnn.1.bias", (*ours, "mask_offset")))
    return rules


def panoptic_rules(modality: str, *, levels: int, norm: Norm, mask_conv: bool) -> list[Rule]:
    """Rules of a U-TAE with `levels` resolutions and `norm` in its encoder, and PaPs."""
    encoder = [
        *frame_encoder_rules((f"spatial_{modality}",), levels=levels, norm=norm),
        *temporal_unet_rules((f"temporal_{modality}",), levels=levels),
    ]
    encoder = [rule._replace(theirs=f"encoder.{rule.theirs}") for rule in encoder]
    return encoder + paps_rules(("decoder",), mask_conv=mask_conv)


def convert_paps(
    tensors: Mapping[str, np.ndarray],
    modality: str,
    *,
    norm: Norm = "group",
    collections: tuple[str, ...] = ("params", "batch_stats"),
) -> dict[str, dict]:
    """Converts a published panoptic model to variables of ``single(modality, ...)``.

    What it saves but never runs is left out: the head of the U-TAE for semantic segmentation.

    Args:
      tensors: state_dict as NumPy arrays, or gradients by parameter name.
      modality: Name of the model's modality.
      norm: The frame encoder's. Instance norms get scale 1 and offset 0, also among gradients.
      collections: What to convert; ``("params",)`` for gradients.

    Raises:
      ValueError: Listing missing and unexpected names.
    """
    tensors = {k: v for k, v in tensors.items() if not k.startswith(_IDLE)}
    downs = {k.split(".")[2] for k in tensors if k.startswith("encoder.down_blocks.")}
    mask_conv = any(k.startswith("mask_cnn.") for k in tensors)
    rules = panoptic_rules(modality, levels=1 + len(downs), norm=norm, mask_conv=mask_conv)
    return convert(tensors, rules, collections=collections)


_OF_PAPS = {
    *("backbone", "shape_size", "mask_conv", "num_classes"),
    *("min_confidence", "min_remain", "mask_threshold"),
}
_OF_TRAINING = {
    *("l_center", "l_size", "l_shape", "l_class", "beta", "autotune", "supmax", "warmup"),
    *("val_metrics_only", "background_label", "void_label"),
}


@dataclasses.dataclass(frozen=True)
class PublishedPanopticModel:
    """A published panoptic model: ``model.apply(variables, {modality: series})``.

    Attributes:
      model: Maps images ``b t h w c`` to a `PanopticPrediction`.
      variables: `params` and `batch_stats`, float32.
      settings: Of the U-TAE; its head is that which the panoptic model does not run.
      min_confidence: For `panoptic_map`, as tuned in training.
      min_remain: For `panoptic_map`.
    """

    model: fusion.LateFusion
    variables: Mapping[str, Any]
    settings: UTAESettings
    min_confidence: float
    min_remain: float


def load_paps(
    path: str | os.PathLike[str], *, modality: str = "S2", max_instances: int = 256
) -> PublishedPanopticModel:
    """Loads a checkpoint that the published `train_panoptic.py` saved, as `load_utae` does.

    Args:
      path: `model.pth.tar`, or the folder it stands in.
      modality: Name of the model's modality.
      max_instances: See `PaPs`.

    Raises:
      UserError: As `load_utae`.
    """
    file = checkpoint_file(pathlib.Path(path).absolute())
    tensors = read_tensors(file)
    conf = find_conf(file)
    return assemble_paps(
        tensors,
        read_conf(conf),
        modality=modality,
        max_instances=max_instances,
        file=file,
        conf=conf,
    )


def assemble_paps(
    tensors: Mapping[str, np.ndarray],
    options: Mapping[str, Any],
    *,
    modality: str,
    max_instances: int,
    file: pathlib.Path,
    conf: pathlib.Path,
) -> PublishedPanopticModel:
    """Builds the panoptic model from what was read: `tensors` of `file`, `options` of `conf`.

    Raises:
      UserError: As `load_utae`.
    """
    last = tensors.get("shape_mlp.3.bias"), tensors.get("class_mlp.4.bias")
    if any(tensor is None for tensor in last):
        fault = f"this is no PaPs; its first tensors are {', '.join(sorted(tensors)[:3]) or 'none'}"
        raise UserError(fault, where=file, remedy="give one that train_panoptic.py saved")
    told = {
        "backbone": "utae",
        "shape_size": math.isqrt(last[0].size),
        "mask_conv": any(name.startswith("mask_cnn.") for name in tensors),
        "num_classes": last[1].size,
    }
    if wrong := [k for k, v in told.items() if options.get(k, v) != v]:
        raise UserError(
            "; ".join(f"{k} is {options[k]}, the tensors say {told[k]}" for k in wrong),
            where=conf,
            remedy=f"put the {CONF} of the same run beside {file.name}",
        )
    tuned = tensors.get("min_confidence", options.get("min_confidence", 0.2))
    if isinstance(tuned, np.ndarray) and tuned.size == 1:
        tuned = tuned.item()
    shares = {
        "min_confidence": tuned,
        "min_remain": options.get("min_remain", 0.5),
        "mask_threshold": options.get("mask_threshold", 0.4),
    }
    if wrong := [name for name, share in shares.items() if not _is_share(share)]:
        faults = "; ".join(f"{name} is {shares[name]!r}, not 0 to 1" for name in wrong)
        raise UserError(faults, where=conf, remedy=f"use the {CONF} of the same run")
    prefix = "encoder."
    settings = read_settings(
        {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)},
        {k: v for k, v in options.items() if k not in _OF_PAPS | _OF_TRAINING},
        file=file,
        conf=conf,
    )
    semantic = settings.model(modality)
    decoder = PaPs(
        classes=told["num_classes"],
        max_instances=max_instances,
        shape_size=told["shape_size"],
        mask_conv=told["mask_conv"],
        mask_threshold=shares["mask_threshold"],
    )
    model = semantic.clone(decoder=decoder)
    rules = panoptic_rules(
        modality,
        levels=len(settings.encoder_widths),
        norm=settings.norm,
        mask_conv=decoder.mask_conv,
    )
    used = {k: v for k, v in tensors.items() if not k.startswith(_IDLE)}
    variables = fill(
        used, rules, model, settings.channels, modality, file=file, script="train_panoptic.py"
    )
    return PublishedPanopticModel(
        model, variables, settings, float(shares["min_confidence"]), shares["min_remain"]
    )


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
