"""U-TAE, semantic segmentation of one modality, beside the published one of utae-paps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.compare import ours, published
from benchmarks.compare.work import (
    BF16,
    OURS,
    Difference,
    Setting,
    Work,
    largest,
    largest_of_gradients,
)
from pastis_jax.data import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.interop import convert_utae
from pastis_jax.schemes import Model
from pastis_jax.tasks import SemanticModel, SemanticTask
from pastis_jax.types import Batch, Series

PATCHES, FRAMES, SIDE, CLASSES = 1, 32, 128, 20
LOGITS, LOSS, GRADIENT = 1e-4, 1e-5, 2e-2
"""What counts as equal, as for parcels; there are many more rectifiers."""
LOGITS_BF16, LOSS_BF16 = 5e-2, 1e-2


def task(*, bf16: bool = False) -> SemanticTask:
    """U-TAE of published widths."""
    spec = SemanticModel(fusion="single", bf16=bf16).of(PASTIS_R)
    return SemanticTask(spec, PASTIS_R, ClassMapping.of(PASTIS_R.nomenclature))


def without_dropout(model: Model) -> Model:
    """The same model with no dropout."""
    still = {"dropout": 0.0, "attention_dropout": 0.0}

    def ltae(temporal):
        return lambda **sizes: temporal.ltae(**sizes, **still)

    kept = {m: t.clone(ltae=ltae(t)) for m, t in model.temporal.items()}
    return model.clone(temporal=kept)


def make_batch(patches: int, frames: int, side: int) -> Batch:
    """A full random batch without void pixels."""
    rng = np.random.default_rng(0)
    shape, channels = (patches, frames), len(PASTIS_R["S2"].channels)
    series = Series(
        values=rng.normal(size=(*shape, side, side, channels)).astype(np.float32),
        days=np.sort(rng.integers(0, 400, shape), 1).astype(np.int32),
        valid=np.ones(shape, bool),
    )
    return Batch(
        series={"S2": series},
        label=rng.integers(0, CLASSES - 1, (patches, side, side)).astype(np.int32),
        real=np.ones(patches, bool),
        number=np.arange(patches, dtype=np.int32),
    )


def published_images(setting: Setting, series: Series) -> tuple[Any, Any]:
    """Images ``b t c h w`` and days, as PyTorch takes them."""
    torch = setting.reference.torch
    images = torch.from_numpy(np.ascontiguousarray(series.values.transpose(0, 1, 4, 2, 3)))
    days = torch.from_numpy(series.days.astype(np.int64))
    return images.to(setting.device), days.to(setting.device)


def compare(setting: Setting) -> Iterator[Work]:
    """Training step and inference."""
    torch, mine = setting.reference.torch, task()
    sizes = (1, 4, 32) if setting.short else (PATCHES, FRAMES, SIDE)
    batch = make_batch(*sizes)
    torch.manual_seed(0)
    utae = setting.reference.module("utae-paps", "src.backbones.utae").UTAE
    theirs = published.randomise(setting, utae(len(PASTIS_R["S2"].channels)))
    variables = convert_utae(published.tensors(theirs), "S2")
    images, days = published_images(setting, batch.series["S2"])
    label = torch.from_numpy(batch.label.astype(np.int64)).to(setting.device)

    def predict(model):
        return model(images, batch_positions=days)

    def loss(logits):
        return torch.nn.functional.cross_entropy(logits, label)

    value, found = published.check_step(setting, theirs, predict, loss)
    expected = convert_utae(found, "S2", collections=("params",))["params"]
    model = mine.model()
    own, gradient = ours.gradient(mine, without_dropout(model), variables, batch)
    differences = [
        Difference("loss", largest(own, value), LOSS),
        Difference("gradient", largest_of_gradients(gradient, expected), GRADIENT),
    ]
    ways = {
        **published.ways(setting, theirs, predict, loss=loss),
        OURS: ours.training_way(mine, model, variables, batch),
    }
    if setting.bf16:
        half = task(bf16=True)
        rounded, _ = ours.gradient(half, without_dropout(half.model()), variables, batch)
        differences.append(Difference("loss in bf16", largest(rounded, value), LOSS_BF16))
        ways[BF16] = ours.training_way(half, half.model(), variables, batch)
    patches, frames, side = sizes
    common: Mapping[str, Any] = {
        "row": "utae",
        "what": f"{patches} patch of {frames} frames of {side} x {side}",
        "amount": patches * frames,
        "unit": "frames",
    }
    yield Work(**common, part="training step", ways=ways, differences=differences)
    del ways
    theirs.eval()
    with torch.no_grad(), published.exact(setting):
        logits = predict(theirs).cpu().numpy().transpose(0, 2, 3, 1)
    got = ours.forward(model, variables, batch).output
    differences = [Difference("logits", largest(got, logits), LOGITS)]
    ways = {
        **published.ways(setting, theirs, lambda m: predict(m).argmax(1)),
        OURS: ours.inference_way(model, variables, batch, mine.predicted),
    }
    if setting.bf16:
        got = ours.forward(half.model(), variables, batch).output
        differences.append(Difference("logits in bf16", largest(got, logits), LOGITS_BF16))
        ways[BF16] = ours.inference_way(half.model(), variables, batch, half.predicted)
    yield Work(**common, part="inference", ways=ways, differences=differences)
