"""PaPs: parcels as points (Garnot and Landrieu, ICCV 2021, section 3.2)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from pastis_jax.nn import DenseBatchNorm
from pastis_jax.nn.conv import ConvNorm
from pastis_jax.panoptic.centres import at_centres, boxes, local_maxima, zone_centres
from pastis_jax.panoptic.masks import Truth, assemble_masks, clip
from pastis_jax.types import (
    Embedding,
    InstancePrediction,
    MaskFit,
    PanopticPrediction,
    PanopticTarget,
)

FIRST_CENTERNESS = 0.02
"""Where a new model's heatmap starts: about as many pixels are near a centre."""
FIRST_SIZE = 8.0
"""Rows and columns that a new model's boxes start from, pixels."""


class PaPs(nn.Module):
    """Finds instances by their centres on the finest map; a size, a class and a mask for each.

    In training, centres are the heatmap's maxima in the true zones, one for each true instance; the
    slots are the target's. At inference, they are local maxima, in falling order of confidence.

    Differs from the reference: centres of an image do not depend on the batch (see `local_maxima`),
    an image without parcels or without a valid date has no instance, norms count real ones, and
    boxes of one row or column have a true mask (see `legacy_thin`).

    Attributes:
      classes: Number of official labels ``k``, background and void among them.
      max_instances: Slots ``i`` at inference; more centres are dropped, and counted.
      shape_size: Side ``s`` of the predicted shapes.
      mask_conv: Refine masks by three convolutions.
      mask_threshold: Probability above which a pixel belongs to a mask.
      legacy_thin: Compare thin boxes as published: see `assemble_masks`.
      heatmap_only: Return the heatmap alone: for the first epochs, with the same parameters.
      instances: Whether there is more than the heatmap; without, nor are there parameters for it.
      dtype: Type of the inputs and outputs of the convolutions on whole maps.
      axis_name: Mapped device axis, under `pmap`.
    """

    classes: int = 20
    max_instances: int = 256
    shape_size: int = 16
    mask_conv: bool = True
    mask_threshold: float = 0.4
    legacy_thin: bool = False
    heatmap_only: bool = False
    instances: bool = True
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, embedding: Embedding, *, train: bool = False, target: PanopticTarget | None = None
    ) -> PanopticPrediction:
        """Predicts instances.

        Args:
          embedding: Maps ``b h w d``, coarsest first, each twice as fine as the one before.
          train: Use and update the batch's statistics; take centres from the target's zones.
          target: Truth to compare masks with; needed in training, except to initialise.
        """
        maps, valid = embedding.values, embedding.valid
        first_centre = math.log(FIRST_CENTERNESS / (1 - FIRST_CENTERNESS))
        heatmap = nn.sigmoid(self._on_map("heatmap", maps[-1], valid, train, first_centre))
        if not self.instances or (self.heatmap_only and not self.is_initializing()):
            return PanopticPrediction(heatmap)
        saliency = self._on_map("saliency", maps[-1], valid, train)

        at = jax.lax.stop_gradient(heatmap)
        supervised = train and target is not None
        if supervised:
            centre, found = zone_centres(at, target.zones, target.real.shape[1])
            found &= target.real
            dropped = jnp.zeros(len(valid), jnp.int32)
        else:
            centre, found, dropped = local_maxima(at, self.max_instances)
        found &= valid[:, None]
        centre = jnp.where(found[..., None], centre, 0)

        levels = enumerate(reversed(maps))
        features = [at_centres(values, centre // 2**level) for level, values in levels]
        features = jnp.concatenate(features[::-1], -1)
        width = features.shape[-1]
        size = self._mlp("size", features, found, train, (width // 2, width // 4), (2,), FIRST_SIZE)
        label = self._mlp(
            "label", features, found, train, (width // 2,), (width // 4, self.classes)
        )
        shape = self._mlp("shape", features, found, train, (width // 2,), (self.shape_size**2,))
        size = nn.softplus(size)

        box = boxes(centre, size)
        truth = None
        if target is not None:
            zone = at_centres(target.zones, centre)
            truth = Truth(target.instances, jnp.where(found, zone, 0))
        masks, sums = assemble_masks(
            shape.reshape(*shape.shape[:2], self.shape_size, self.shape_size),
            saliency,
            box,
            found,
            self._mask_network() if self.mask_conv else (),
            threshold=self.mask_threshold,
            truth=truth,
            legacy_thin=self.legacy_thin,
            paste=not supervised,
        )
        box = clip(box, *heatmap.shape[1:])
        instances = InstancePrediction(
            centre=centre,
            found=found,
            confidence=at_centres(heatmap, centre),
            size=size,
            logits=label,
            box=box,
            dropped=dropped,
            masks=masks,
            fit=None if truth is None else _fit(sums, truth, box, target.real.shape[1]),
        )
        return PanopticPrediction(heatmap, saliency, instances)

    def _on_map(self, name, x, valid, train, first=0.0) -> Float[Array, "b h w"]:
        """One value per pixel: two convolutions, the second normalised but not rectified.

        `first` is the value that it starts around.
        """
        shared = {"dtype": self.dtype, "axis_name": self.axis_name}
        x = ConvNorm(32, **shared, name=f"{name}_0")(x, valid, train)
        last = ConvNorm(1, relu=False, **shared, first_offset=first, name=f"{name}_1")
        x = last(x, valid, train)
        return x[..., 0].astype(jnp.float32)

    def _mlp(
        self,
        name: str,
        x: Float[Array, "b i d"],
        found: Bool[Array, "b i"],
        train: bool,
        hidden: Sequence[int],
        bare: Sequence[int],
        first: float = 0.0,
    ) -> Float[Array, "b i e"]:
        """Layers of widths `hidden` with batch norm and ReLU, then `bare` ones.

        `first` is the value that the last one starts around.
        """
        for i, width in enumerate(hidden):
            layer = DenseBatchNorm(width, self.axis_name, name=f"{name}_{i}")
            x = nn.relu(layer(x, found, train=train))
        for i, width in enumerate(bare, len(hidden)):
            x = nn.Dense(
                width,
                kernel_init=nn.initializers.he_normal(),
                bias_init=nn.initializers.constant(first),
                name=f"{name}_{i}",
            )(x)
        return x

    def _mask_network(self) -> list[dict[str, Array]]:
        widths = (1, 16, 16, 1)
        layers = [
            _ConvWeights(c, d, name=f"mask_{i}")()
            for i, (c, d) in enumerate(itertools.pairwise(widths))
        ]
        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        layers[0]["scale"] = self.param("mask_scale", ones, (widths[1],))
        layers[0]["offset"] = self.param("mask_offset", zeros, (widths[1],))
        return layers


class _ConvWeights(nn.Module):
    """The parameters of a 3 x 3 convolution from `c` to `d` channels."""

    c: int
    d: int

    @nn.compact
    def __call__(self) -> dict[str, Array]:
        return {
            "kernel": self.param("kernel", nn.initializers.he_normal(), (3, 3, self.c, self.d)),
            "bias": self.param("bias", nn.initializers.zeros, (self.d,)),
        }


def _fit(sums, truth: Truth, box, slots: int) -> MaskFit:
    """Agreement from sums over boxes; what of a true instance is outside counts in the union."""
    area = jax.vmap(lambda x: jnp.zeros(slots + 1).at[x.reshape(-1)].add(1))(truth.instances)
    area = jnp.take_along_axis(area, truth.matched, 1)
    union = sums.predicted + area - sums.both
    pixels = jnp.prod(box[..., 2:] - box[..., :2], -1).astype(jnp.float32)
    matched = truth.matched > 0
    return MaskFit(
        instance=truth.matched,
        cross_entropy=sums.cross_entropy,
        pixels=jnp.where(matched, pixels, 0),
        iou=jnp.where(matched, sums.both / jnp.maximum(union, 1), 0),
    )
