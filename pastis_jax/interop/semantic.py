"""Weights of the published U-TAE as variables of `fusion.single`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pastis_jax.interop.names import Rule, convert, group_norm
from pastis_jax.interop.parcel import ltae_rules
from pastis_jax.nn.conv import Norm


def convolution(weight: np.ndarray) -> np.ndarray:
    """A convolution's ``out in h w`` to ``h w in out``."""
    return np.transpose(weight, (2, 3, 1, 0))


def transposed_convolution(weight: np.ndarray) -> np.ndarray:
    """A transposed convolution's ``in out h w`` to the correlation ``h w in out``."""
    return np.transpose(weight[:, :, ::-1, ::-1], (2, 3, 0, 1))


def conv_norm_rules(
    theirs: str,
    ours: tuple[str, ...],
    *,
    norm: Norm,
    first: int = 0,
    layout: Callable[[np.ndarray], np.ndarray] = convolution,
) -> list[Rule]:
    """Rules of a `ConvNorm`: modules `first` (convolution) and ``first + 1`` (norm) of `theirs`.

    Published instance norms have neither parameters nor running statistics: scale 1, offset 0.
    """
    convolved, normed = f"{theirs}.{first}", f"{theirs}.{first + 1}"
    rules = [
        Rule(f"{convolved}.weight", (*ours, "kernel"), layout=layout),
        Rule(f"{convolved}.bias", (*ours, "bias")),
    ]
    if norm == "instance":
        return [
            *rules,
            Rule(f"{convolved}.bias", (*ours, "scale"), layout=np.ones_like),
            Rule(f"{convolved}.bias", (*ours, "offset"), layout=np.zeros_like),
        ]
    where = (*ours, "norm") if norm == "batch" else ours
    rules += group_norm(normed, where)
    if norm == "batch":
        rules += [
            Rule(f"{normed}.running_mean", (*where, "mean"), "batch_stats"),
            Rule(f"{normed}.running_var", (*where, "var"), "batch_stats"),
        ]
    return rules


def block_rules(theirs: str, ours: tuple[str, ...], *, layers: int, norm: Norm) -> list[Rule]:
    """Rules of a `ConvBlock`."""
    rules = []
    for i in range(layers):
        rules += conv_norm_rules(theirs, (*ours, f"layer_{i}"), norm=norm, first=3 * i)
    return rules


def frame_encoder_rules(ours: tuple[str, ...], *, levels: int, norm: Norm) -> list[Rule]:
    """Rules of a `FrameEncoder`."""
    rules = block_rules("in_conv.conv.conv", (*ours, "in_conv"), layers=2, norm=norm)
    for i in range(levels - 1):
        for part in ("down", "conv1", "conv2"):
            theirs = f"down_blocks.{i}.{part}.conv"
            rules += conv_norm_rules(theirs, (*ours, f"down_{i}", part), norm=norm)
    return rules


def temporal_unet_rules(ours: tuple[str, ...], *, levels: int) -> list[Rule]:
    """Rules of a `TemporalUNet`."""
    rules = ltae_rules("temporal_encoder.", (*ours, "temporal"))
    for i in range(levels - 1):
        up = (*ours, f"up_{levels - 2 - i}")
        for theirs, name, layout in (
            ("skip_conv", "skip", convolution),
            ("up", "up", transposed_convolution),
            ("conv1.conv", "conv1", convolution),
            ("conv2.conv", "conv2", convolution),
        ):
            theirs = f"up_blocks.{i}.{theirs}"
            rules += conv_norm_rules(theirs, (*up, name), norm="batch", layout=layout)
    return rules


def utae_rules(modality: str, *, levels: int, layers: int, norm: Norm) -> list[Rule]:
    """Rules of a U-TAE with `levels` resolutions, `layers` in its head, `norm` in its encoder."""
    return [
        *frame_encoder_rules((f"spatial_{modality}",), levels=levels, norm=norm),
        *temporal_unet_rules((f"temporal_{modality}",), levels=levels),
        *block_rules("out_conv.conv.conv", ("decoder", "block"), layers=layers, norm="batch"),
    ]


def convert_utae(
    tensors: Mapping[str, np.ndarray],
    modality: str,
    *,
    norm: Norm = "group",
    collections: tuple[str, ...] = ("params", "batch_stats"),
) -> dict[str, dict]:
    """Converts a published U-TAE to variables of ``single(modality, ...)``.

    Args:
      tensors: state_dict as NumPy arrays, or gradients by parameter name.
      modality: Name of the model's modality.
      norm: The frame encoder's. Instance norms get scale 1 and offset 0, also among gradients.
      collections: What to convert; ``("params",)`` for gradients.

    Raises:
      ValueError: Listing missing and unexpected names.
    """
    levels = 1 + len({name.split(".")[1] for name in tensors if name.startswith("down_blocks.")})
    layers = len({n for n in tensors if n.startswith("out_conv.") and n.endswith("bias")}) // 2
    rules = utae_rules(modality, levels=levels, layers=layers, norm=norm)
    return convert(tensors, rules, collections=collections)
