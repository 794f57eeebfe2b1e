"""Weights of the published U-TAE as variables of `fusion.single`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pastis_jax.interop.names import Rule, convert
from pastis_jax.interop.parcel import ltae_rules


def convolution(weight: np.ndarray) -> np.ndarray:
    """A convolution's ``out in h w`` to ``h w in out``."""
    return np.transpose(weight, (2, 3, 1, 0))


def transposed_convolution(weight: np.ndarray) -> np.ndarray:
    """A transposed convolution's ``in out h w`` to the correlation ``h w in out``."""
    return np.transpose(weight[:, :, ::-1, ::-1], (2, 3, 0, 1))


def conv_norm_rules(
    conv: str, norm: str, ours: tuple[str, ...], *, batch_norm: bool, layout=convolution
) -> list[Rule]:
    """Rules of a `ConvNorm`; instance norms have no parameters in the published code."""
    rules = [
        Rule(f"{conv}.weight", (*ours, "kernel"), layout=layout),
        Rule(f"{conv}.bias", (*ours, "bias")),
    ]
    where = (*ours, "norm") if batch_norm else ours
    rules += [
        Rule(f"{norm}.weight", (*where, "scale")),
        Rule(f"{norm}.bias", (*where, "offset")),
    ]
    if batch_norm:
        rules += [
            Rule(f"{norm}.running_mean", (*where, "mean"), "batch_stats"),
            Rule(f"{norm}.running_var", (*where, "var"), "batch_stats"),
        ]
    return rules


def block_rules(theirs: str, ours: tuple[str, ...], *, layers: int, batch_norm: bool) -> list[Rule]:
    """Rules of a `ConvBlock`."""
    rules = []
    for i in range(layers):
        rules += conv_norm_rules(
            f"{theirs}.{3 * i}",
            f"{theirs}.{3 * i + 1}",
            (*ours, f"layer_{i}"),
            batch_norm=batch_norm,
        )
    return rules


def frame_encoder_rules(ours: tuple[str, ...], *, levels: int, batch_norm: bool) -> list[Rule]:
    """Rules of a `FrameEncoder`."""
    rules = block_rules("in_conv.conv.conv", (*ours, "in_conv"), layers=2, batch_norm=batch_norm)
    for i in range(levels - 1):
        for part in ("down", "conv1", "conv2"):
            name = f"down_blocks.{i}.{part}.conv"
            rules += conv_norm_rules(
                f"{name}.0", f"{name}.1", (*ours, f"down_{i}", part), batch_norm=batch_norm
            )
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
            prefix = f"up_blocks.{i}.{theirs}"
            rules += conv_norm_rules(
                f"{prefix}.0", f"{prefix}.1", (*up, name), batch_norm=True, layout=layout
            )
    return rules


def convert_utae(
    tensors: Mapping[str, np.ndarray],
    modality: str,
    *,
    batch_norm: bool = False,
    collections: tuple[str, ...] = ("params", "batch_stats"),
) -> dict[str, dict]:
    """Converts a published U-TAE to variables of ``single(modality, ...)``.

    Args:
      tensors: state_dict as NumPy arrays, or gradients by parameter name.
      modality: Name of the model's modality.
      batch_norm: Whether the frame encoder has batch norms.
      collections: What to convert; ``("params",)`` for gradients.

    Raises:
      ValueError: Listing missing and unexpected names.
    """
    levels = 1 + len({name.split(".")[1] for name in tensors if name.startswith("down_blocks.")})
    layers = len({n for n in tensors if n.startswith("out_conv.") and n.endswith("bias")}) // 2
    rules = [
        *frame_encoder_rules((f"spatial_{modality}",), levels=levels, batch_norm=batch_norm),
        *temporal_unet_rules((f"temporal_{modality}",), levels=levels),
        *block_rules("out_conv.conv.conv", ("decoder", "block"), layers=layers, batch_norm=True),
    ]
    return convert(tensors, rules, collections=collections)
