"""Semantic segmentation with U-TAE (paper, section 4.4, Table 2)."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pastis_jax import viz
from pastis_jax.data.splits import PatchSplits
from pastis_jax.losses import supervised_loss
from pastis_jax.models import ConvDecoder
from pastis_jax.models.encoders import IMAGE_ENCODERS
from pastis_jax.schemes import Model
from pastis_jax.tasks._images import (
    PANEL_PATCHES,
    ImageModel,
    ImageTask,
    patch_title,
    refuse_widths,
)
from pastis_jax.tasks._task import Classifier
from pastis_jax.types import Batch, Prediction


@dataclasses.dataclass(frozen=True)
class SemanticModel(ImageModel):
    """A classifier of pixels."""

    head_widths: tuple[int, ...] = (32,)
    """Channels of the last convolutions, but for the one that gives the logits. On simulated data
    16 by default."""

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_widths("head_widths", self.head_widths)


class SemanticTask(ImageTask, Classifier):
    """Tells which crop grows at each pixel."""

    name, title, told = "semantic", "Semantic segmentation", "pixels"
    less_memory = "lower `batch_size`, add `accumulate` or `remat`, or give a smaller `crop`"
    spec: SemanticModel

    def model(
        self, capacity: Mapping[str, int | None] | None = None, *, warmup: bool = False
    ) -> Model:
        """Combines the halves of U-TAE and convolutional decoders.

        Void has an output too, as published; it is never a target nor predicted.
        """
        del warmup
        decoder = functools.partial(
            ConvDecoder,
            len(self.classes.names) + 1,
            self.spec.head_widths,
            jnp.bfloat16 if self.spec.bf16 else jnp.float32,
            self.axis_name,
        )
        halves = IMAGE_ENCODERS[self.spec.encoder](self.spec, capacity or {}, self.axis_name)
        return self.spec.combine(halves, decoder)

    def loss(
        self, prediction: Prediction, batch: Batch
    ) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
        """Objective and auxiliary cross-entropies over the pixels that count."""
        weight, counted = self.spec.auxiliary_weight, self.counted(batch)
        return supervised_loss(prediction, batch.label, counted, auxiliary_weight=weight)

    def counted(self, batch: Batch) -> Bool[Array, "b h w"]:
        """The pixels that are not void."""
        return (batch.label != self.classes.void) & batch.real[:, None, None]

    def predicted(self, prediction: Prediction) -> Int[Array, "b h w"]:
        """Most probable class of each pixel, void left out."""
        return jnp.argmax(prediction.output[..., : len(self.classes.names)], -1)

    def panel(self, predict: Any, splits: PatchSplits, folder: pathlib.Path, title: str) -> None:
        """Draws what was seen of some test patches, prediction and truth."""
        batch = next(splits.alone("test", PANEL_PATCHES))
        prediction, predicted = predict(batch)
        rows = []
        for i in range(int(batch.real.sum())):
            record = splits.sources["test"][int(batch.number[i])]
            rows.append(
                viz.PanelRow(
                    title=patch_title(record, prediction.valid[i]),
                    pictures=self.pictures(splits, record),
                    predicted=np.asarray(predicted[i]),
                    truth=np.asarray(batch.label[i]),
                )
            )
        names, colours = self.classes.names, self.classes.colours
        viz.segmentation_panel(rows, names, colours, folder / "panel.png", title=title)
