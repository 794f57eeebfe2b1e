"""Weights of the published parcel classifier (PSE, L-TAE, MLP) as variables of `fusion.single`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pastis_jax.interop.names import (
    Rule,
    convert,
    group_norm,
    linear,
    linear_batch_norm,
    transposed,
)


def pse_rules(theirs: str, ours: tuple[str, ...], *, layers: int = 2) -> list[Rule]:
    """Rules of a `PixelSetEncoder` with `layers` layers in MLP1."""
    rules = []
    for i in range(layers):
        name = f"{theirs}mlp1.{i}"
        rules += linear_batch_norm(f"{name}.lin", f"{name}.bn", (*ours, f"mlp1_{i}"))
    return rules + linear_batch_norm(f"{theirs}mlp2.0", f"{theirs}mlp2.1", (*ours, "mlp2"))


def ltae_rules(theirs: str, ours: tuple[str, ...]) -> list[Rule]:
    """Rules of an `LTAE`."""
    heads = f"{theirs}attention_heads"
    return [
        *group_norm(f"{theirs}in_norm", (*ours, "in_norm")),
        Rule(f"{theirs}inconv.weight", (*ours, "in_kernel"), layout=transposed),
        Rule(f"{theirs}inconv.bias", (*ours, "in_bias")),
        Rule(f"{heads}.Q", (*ours, "query")),
        Rule(f"{heads}.fc1_k.weight", (*ours, "key_kernel"), layout=transposed),
        Rule(f"{heads}.fc1_k.bias", (*ours, "key_bias")),
        *linear_batch_norm(f"{theirs}mlp.0", f"{theirs}mlp.1", (*ours, "mlp")),
        *group_norm(f"{theirs}out_norm", (*ours, "out_norm")),
    ]


def mlp_decoder_rules(theirs: str, ours: tuple[str, ...], *, hidden: int = 2) -> list[Rule]:
    """Rules of an `MLPDecoder` with `hidden` hidden layers."""
    rules = []
    for i in range(hidden):
        rules += linear_batch_norm(
            f"{theirs}{3 * i}", f"{theirs}{3 * i + 1}", (*ours, f"hidden_{i}")
        )
    return rules + linear(f"{theirs}{3 * hidden}", (*ours, "logits"))


def convert_parcel_classifier(
    tensors: Mapping[str, np.ndarray],
    modality: str,
    *,
    collections: tuple[str, ...] = ("params", "batch_stats"),
) -> dict[str, dict]:
    """Converts the published PSE + L-TAE classifier to variables of ``single(modality, ...)``.

    Args:
      tensors: state_dict as NumPy arrays, or gradients by parameter name.
      modality: Name of the model's modality.
      collections: What to convert; ``("params",)`` for gradients.

    Raises:
      ValueError: Listing missing and unexpected names.
    """
    rules = [
        *pse_rules("spatial_encoder.", (f"spatial_{modality}",)),
        *ltae_rules("temporal_encoder.", (f"temporal_{modality}",)),
        *mlp_decoder_rules("decoder.", ("decoder",)),
    ]
    return convert(tensors, rules, collections=collections)


def convert_ltae(
    tensors: Mapping[str, np.ndarray],
    *,
    collections: tuple[str, ...] = ("params", "batch_stats"),
) -> dict[str, dict]:
    """Converts a published L-TAE to variables of `LTAE`.

    Raises:
      ValueError: Listing missing and unexpected names.
    """
    return convert(tensors, ltae_rules("", ()), collections=collections)
