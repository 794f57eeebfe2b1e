"""Checkpoints of the published U-TAE code (utae-paps, `train_semantic.py`): model and weights."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from pastis_jax import fusion
from pastis_jax.errors import UserError
from pastis_jax.interop.files import CONF, checkpoint_file, find_conf, read_conf, read_tensors
from pastis_jax.interop.names import Rule, convert, listed
from pastis_jax.interop.semantic import utae_rules
from pastis_jax.interop.settings import UTAESettings, read_settings
from pastis_jax.types import Series


@dataclasses.dataclass(frozen=True)
class PublishedModel:
    """A published model: ``model.apply(variables, {modality: series})``.

    Attributes:
      model: Maps images ``b t h w c`` to logits ``b h w k``.
      variables: `params` and `batch_stats`, float32.
      settings: What the checkpoint and its conf.json tell.
    """

    model: fusion.LateFusion
    variables: Mapping[str, Any]
    settings: UTAESettings


def load_utae(path: str | os.PathLike[str], *, modality: str = "S2") -> PublishedModel:
    """Loads a checkpoint of the published semantic U-TAE, without running any code from it.

    Its conf.json is read from the same folder or the one above, where the published code puts it.
    Options that shapes tell may be missing from it; where both tell, they must agree.

    Args:
      path: `model.pth.tar`, or the folder it stands in.
      modality: Name of the model's modality.

    Raises:
      UserError: If PyTorch is missing, the file is no such checkpoint or needs code to be read,
        conf.json is missing or has an option that this library has not, or tensors are missing,
        unexpected or of another shape.
    """
    file = checkpoint_file(pathlib.Path(path).absolute())
    tensors = read_tensors(file)
    _refuse_other_models(tensors, file)
    conf = find_conf(file)
    return assemble_utae(tensors, read_conf(conf), modality=modality, file=file, conf=conf)


def assemble_utae(
    tensors: Mapping[str, np.ndarray],
    options: Mapping[str, Any],
    *,
    modality: str,
    file: pathlib.Path,
    conf: pathlib.Path,
) -> PublishedModel:
    """Builds the published model from what was read: `tensors` of `file` and `options` of `conf`.

    Raises:
      UserError: As `load_utae`.
    """
    settings = read_settings(tensors, options, file=file, conf=conf)
    model = settings.model(modality)
    rules = utae_rules(
        modality,
        levels=len(settings.encoder_widths),
        layers=len(settings.head_widths) + 1,
        norm=settings.norm,
    )
    variables = fill(tensors, rules, model, settings.channels, modality, file=file)
    return PublishedModel(model, variables, settings)


def fill(
    tensors: Mapping[str, np.ndarray],
    rules: list[Rule],
    model: fusion.LateFusion,
    channels: int,
    modality: str,
    *,
    file: pathlib.Path,
    script: str = "train_semantic.py",
) -> dict[str, Any]:
    """Variables of `model` from the tensors of `file`, float32.

    Raises:
      UserError: Naming tensors that are missing, unexpected or of another shape than the model's.
    """
    try:
        variables = convert(tensors, rules)
        if wrong := _wrong_shapes(variables, model, rules, channels, modality):
            raise ValueError(f"wrong shapes: {listed(wrong)}")
    except (ValueError, TypeError, OverflowError) as error:
        remedy = f"give a U-TAE that {script} saved, and its {CONF}"
        raise UserError(str(error), where=file, remedy=remedy) from error
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), variables)


def _wrong_shapes(
    variables: Mapping, model: fusion.LateFusion, rules: list[Rule], channels: int, modality: str
) -> list[str]:
    """Tensors whose shape, in our layout, is not that of the model's variable."""
    side = 2 ** len(model.spatial[modality].widths)
    series = Series(
        values=jax.ShapeDtypeStruct((1, 1, side, side, channels), jnp.float32),
        days=jax.ShapeDtypeStruct((1, 1), jnp.int32),
        valid=jax.ShapeDtypeStruct((1, 1), bool),
    )
    expected = jax.eval_shape(model.init, jax.random.key(0), {modality: series})
    expected = traverse_util.flatten_dict(expected)
    given = traverse_util.flatten_dict(variables)
    names = {rule.path: rule.theirs for rule in rules}
    return [
        f"{names[path]} (channels last {given[path].shape}, not {leaf.shape})"
        for path, leaf in expected.items()
        if given[path].shape != leaf.shape
    ]


def _refuse_other_models(tensors: Mapping[str, np.ndarray], file: pathlib.Path) -> None:
    if any(name.startswith("encoder.in_conv.") for name in tensors):
        fault = "this is a panoptic model (U-TAE and PaPs)"
        raise UserError(fault, where=file, remedy="open it with load_paps")
    if not any(name.startswith("temporal_encoder.attention_heads.") for name in tensors):
        first = ", ".join(sorted(tensors)[:3]) or "none"
        fault = f"this is no U-TAE; its first tensors are {first}"
        raise UserError(fault, where=file, remedy="give a U-TAE that train_semantic.py saved")
