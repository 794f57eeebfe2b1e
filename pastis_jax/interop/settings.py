"""What a published U-TAE is made of: told by its conf.json and by the shapes of its tensors."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from pastis_jax import fusion
from pastis_jax.errors import UserError
from pastis_jax.interop.files import CONF
from pastis_jax.interop.names import listed
from pastis_jax.models.decoders import ConvDecoder
from pastis_jax.models.ltae import LTAE
from pastis_jax.models.utae import Aggregation, FrameEncoder, TemporalUNet
from pastis_jax.nn.conv import Norm

_ONLY = {
    "model": "utae",
    "str_conv_k": 4,
    "str_conv_s": 2,
    "str_conv_p": 1,
    "padding_mode": "reflect",
    "ref_date": "2018-09-01",
}
"""Options of conf.json of which this library has one value; it is also their default there."""

_ONE_OF = {"agg_mode": get_args(Aggregation), "encoder_norm": get_args(Norm)}
_WIDTHS = ("encoder_widths", "decoder_widths", "out_conv")
MOST_LEVELS = 10
_NUMBERS = ("input_dim", "num_classes", "n_head", "d_model", "d_k", "fold")
_OUTSIDE_THE_MODEL = {
    *("N_params", "batch_size", "cache", "dataset_folder", "device", "display_step", "epochs"),
    *("ignore_index", "lr", "mono_date", "num_workers", "rdm_seed", "res_dir", "val_after"),
    *("val_every", "weight_folder"),
    "pad_value",  # marks padding there; here `Series.valid` does
}


@dataclasses.dataclass(frozen=True)
class UTAESettings:
    """Sizes and options of a published U-TAE.

    Attributes:
      channels: Bands of the images.
      classes: Outputs per pixel.
      encoder_widths: Channels of each level of the frame encoder, finest first.
      decoder_widths: Channels of each level's map, finest first.
      head_widths: Widths of the head's convolutions before the last.
      aggregation: See `TemporalUNet`.
      norm: Of the frame encoder.
      heads: Heads of the L-TAE.
      model_features: Width of the L-TAE's embedded input.
      key_features: Width of its keys and queries.
      fold: Fold of the run, 1 to 5; None where neither the folder nor conf.json tells.
    """

    channels: int
    classes: int
    encoder_widths: tuple[int, ...]
    decoder_widths: tuple[int, ...]
    head_widths: tuple[int, ...]
    aggregation: Aggregation
    norm: Norm
    heads: int
    model_features: int
    key_features: int
    fold: int | None = None

    def model(self, modality: str = "S2") -> fusion.LateFusion:
        """The single-modality model with these settings."""
        ltae = functools.partial(
            LTAE,
            model_features=self.model_features,
            heads=self.heads,
            key_features=self.key_features,
        )
        return fusion.single(
            modality,
            FrameEncoder(self.encoder_widths, self.norm),
            TemporalUNet(self.decoder_widths, self.aggregation, ltae),
            ConvDecoder(self.classes, self.head_widths),
        )


def read_settings(
    tensors: Mapping[str, np.ndarray],
    options: Mapping[str, Any],
    *,
    file: pathlib.Path,
    conf: pathlib.Path,
) -> UTAESettings:
    """Settings from the `options` of `conf` and, where these are silent, the shapes of `tensors`.

    The fold is that of the folder, `Fold_1` to `Fold_5`: every run rewrites conf.json.

    Raises:
      UserError: If an option is unknown, not ours or not what the shapes say, or one is missing.
    """
    given = _checked(options, conf)
    told, absent = _told_by_shapes(tensors)
    if wrong := sorted(k for k in told if k in given and told[k] != given[k]):
        raise UserError(
            "; ".join(
                f"{k} is {_plain(given[k])}, the tensors say {_plain(told[k])}" for k in wrong
            ),
            where=conf,
            remedy=f"put the {CONF} of the same run beside {file.name}",
        )
    # No option there. If no tensor tells it either, that one will be found missing.
    known = {"input_dim": 10} | told | given
    needed = (*_WIDTHS, "n_head", "d_model", "d_k", *_ONE_OF)
    if silent := [k for k in needed if k not in known]:
        if absent:
            remedy = f"give a U-TAE that train_semantic.py saved, and its {CONF}"
            raise UserError(f"missing tensors: {listed(absent)}", where=file, remedy=remedy)
        raise UserError(
            f"neither this file nor the tensors of {file.name} tell {', '.join(silent)}",
            where=conf,
            remedy=f"use the {CONF} that train_semantic.py wrote",
        )
    *head, classes = known["out_conv"]
    fold = re.fullmatch(r"Fold_(\d+)", file.parent.name)
    settings = UTAESettings(
        channels=known["input_dim"],
        classes=classes,
        encoder_widths=known["encoder_widths"],
        decoder_widths=known["decoder_widths"],
        head_widths=tuple(head),
        aggregation=known["agg_mode"],
        norm=known["encoder_norm"],
        heads=known["n_head"],
        model_features=known["d_model"],
        key_features=known["d_k"],
        fold=int(fold[1]) if fold else known.get("fold"),
    )
    if faults := _faults(settings, known.get("num_classes", classes)):
        raise UserError("; ".join(faults), where=conf, remedy=f"use the {CONF} of the same run")
    return settings


def _checked(options: Mapping[str, Any], conf: pathlib.Path) -> dict[str, Any]:
    """The options that describe the model, parsed; all others must be known to be harmless."""
    if "backbone" in options:
        raise UserError(
            "backbone: this is the configuration of a panoptic model (U-TAE and PaPs)",
            where=conf,
            remedy="give a checkpoint of train_semantic.py, or open it with load_paps",
        )
    readable = {*_ONLY, *_ONE_OF, *_WIDTHS, *_NUMBERS}
    if unknown := sorted(options.keys() - readable - _OUTSIDE_THE_MODEL):
        raise UserError(
            f"unknown options {listed(unknown)}",
            where=conf,
            remedy="remove them if they do not change the model; if they do, it cannot be loaded",
        )
    given = {k: v for k, v in options.items() if k in readable and v is not None}
    faults = [
        f"{k} is {given[k]!r}, of which only {only!r} is supported"
        for k, only in _ONLY.items()
        if k in given and given[k] != only
    ]
    faults += [
        f"{k} is {given[k]!r}, not one of {', '.join(known)}"
        for k, known in _ONE_OF.items()
        if k in given and given[k] not in known
    ]
    for names, parse, form in (
        (_WIDTHS, _widths, "a list of widths"),
        (_NUMBERS, _number, "a positive integer"),
    ):
        for k in names:
            if k in given:
                value, given[k] = given[k], parse(given[k])
                if given[k] is None:
                    faults.append(f"{k} is {value!r}, not {form}")
    if faults:
        raise UserError(
            "; ".join(faults), where=conf, remedy="give a checkpoint whose options are supported"
        )
    if "encoder_widths" in given and "decoder_widths" in options:
        given.setdefault("decoder_widths", given["encoder_widths"])  # null, as published
    return {k: v for k, v in given.items() if k not in _ONLY}


def _number(value: object) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and value > 0 else None


def _widths(value: object) -> tuple[int, ...] | None:
    """Parses ``[64, 64]`` or the string ``"[64,64]"``."""
    if isinstance(value, str):
        words = value.strip().removeprefix("[").removesuffix("]").split(",")
        value = [int(w) if w.strip().isdecimal() else None for w in words]
    if not isinstance(value, list) or not value or None in map(_number, value):
        return None
    return tuple(value)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _told_by_shapes(tensors: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], list[str]]:
    """The options that the shapes tell, by published name, and the tensors that are missing for it.

    How dates are aggregated, strides and padding have no tensors.
    """
    absent = []

    def size(name, axis=0):
        if name not in tensors and name not in absent:
            absent.append(name)
        shape = np.shape(tensors.get(name))
        return shape[axis] if axis < len(shape) else None

    def blocks(prefix, modules=1):
        numbers = [m[1] for name in tensors if (m := re.match(rf"{prefix}\.(\d{{1,4}})\.", name))]
        return range(len({int(number) // modules for number in numbers}))

    downs, ups = blocks("down_blocks"), blocks("up_blocks")
    heads = blocks("out_conv.conv.conv", 3)
    coarsest = size("temporal_encoder.mlp.0.weight")
    told = {
        "input_dim": size("in_conv.conv.conv.0.weight", 1),
        "encoder_widths": (
            size("in_conv.conv.conv.0.weight"),
            *(size(f"down_blocks.{i}.conv1.conv.0.weight") for i in downs),
        ),
        "decoder_widths": (
            *(size(f"up_blocks.{i}.conv1.conv.0.weight") for i in reversed(ups)),
            coarsest,
        ),
        "out_conv": tuple(size(f"out_conv.conv.conv.{3 * i}.weight") for i in heads) or None,
        "n_head": size("temporal_encoder.attention_heads.Q", 0),
        "d_k": size("temporal_encoder.attention_heads.Q", 1),
        "d_model": size("temporal_encoder.inconv.weight"),
        "encoder_norm": _norm_told(tensors),
    }
    told = {
        k: v for k, v in told.items() if v is not None and not (isinstance(v, tuple) and None in v)
    }
    return told, absent


def _norm_told(tensors: Mapping[str, np.ndarray]) -> Norm | None:
    encoder = r"(in_conv\.conv\.conv\.[14]|down_blocks\.\d+\.\w+\.conv\.1)"
    if any(re.fullmatch(encoder + r"\.running_\w+", name) for name in tensors):
        return "batch"
    if any(re.fullmatch(encoder + r"\.(weight|bias)", name) for name in tensors):
        return "group"
    # Without parameters, but counted: the second convolution is module 3. Without norm it is 2.
    return "instance" if "in_conv.conv.conv.3.weight" in tensors else None


def _faults(settings: UTAESettings, num_classes: int) -> list[str]:
    """What no U-TAE can have; the published code fails on it too."""
    s, faults = settings, []
    numbers = (*s.encoder_widths, *s.decoder_widths, *s.head_widths, s.classes, s.channels)
    numbers += (s.heads, s.model_features, s.key_features)
    if min(numbers) < 1:
        return ["a width is 0"]
    if len(s.encoder_widths) > MOST_LEVELS:
        faults.append(f"more than {MOST_LEVELS} levels")
    if len(s.encoder_widths) != len(s.decoder_widths):
        faults.append("encoder_widths and decoder_widths have different lengths")
    if s.encoder_widths[-1] != s.decoder_widths[-1]:
        faults.append("the last of encoder_widths and of decoder_widths differ")
    if num_classes != s.classes:
        faults.append(f"num_classes is {num_classes}, the last of out_conv {s.classes}")
    split = {s.model_features, s.encoder_widths[-1]}
    split |= set(s.encoder_widths) if s.aggregation == "att_group" else set()
    if any(width % s.heads for width in split):
        faults.append(f"n_head {s.heads} does not divide the widths {sorted(split)}")
    if s.norm == "group" and any(width % 4 for width in s.encoder_widths):
        faults.append(f"the 4 groups of norms do not divide {list(s.encoder_widths)}")
    return faults
