"""Parcels: the published encoders and decoder, joined by the paper's equations 1 to 5.

The fusion models themselves were never released (docs/differences.md); their parts are: PSE and the
decoder in pytorch-psetae, the L-TAE in utae-paps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.compare import ours, published
from benchmarks.compare.work import (
    OURS,
    Difference,
    Setting,
    Work,
    largest,
    largest_of_gradients,
)
from pastis_jax.data import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.interop.names import convert
from pastis_jax.interop.parcel import ltae_rules, mlp_decoder_rules, pse_rules
from pastis_jax.schemes import Model
from pastis_jax.tasks import ParcelModel, ParcelTask
from pastis_jax.types import Batch, Series

DATES = {"S2": 45, "S1A": 70, "S1D": 70}
PARCELS, PIXELS, CLASSES, WIDTH = 128, 32, 18, 128
LOGITS, LOSS, GRADIENT = 1e-4, 1e-5, 1e-2
"""What counts as equal, relative to the largest logit, or 1; a gradient to its layer's. A rectifier
whose input is 0 but for rounding may be open in one code and closed in the other."""


def task(fusion: str = "late") -> ParcelTask:
    """The three modalities in a fusion scheme, as the paper has it."""
    classes = ClassMapping.crops(PASTIS_R.nomenclature)
    return ParcelTask(ParcelModel(fusion=fusion).of(PASTIS_R), PASTIS_R, classes)


def without_dropout(model: Model) -> Model:
    """The same model with no dropout."""
    kept = {m: t.clone(dropout=0.0, attention_dropout=0.0) for m, t in model.temporal.items()}
    return model.clone(temporal=kept)


def make_batch(parcels: int) -> Batch:
    """A full random batch."""
    rng = np.random.default_rng(0)

    def series(name: str) -> Series:
        shape = (parcels, DATES[name])
        return Series(
            values=rng.normal(size=(*shape, PIXELS, len(PASTIS_R[name].channels))).astype("f4"),
            days=np.sort(rng.integers(0, 400, shape), 1).astype(np.int32),
            valid=np.ones(shape, bool),
            pixels=np.ones((parcels, PIXELS), bool),
        )

    return Batch(
        series={name: series(name) for name in DATES},
        label=rng.integers(0, CLASSES, parcels).astype(np.int32),
        real=np.ones(parcels, bool),
        number=np.arange(parcels, dtype=np.int32),
    )


def published_model(setting: Setting, fusion: str = "late") -> Any:
    """The published encoders and decoder in a fusion scheme of the paper (section 3.1).

    Args:
      setting: How everything is compared.
      fusion: `early` (of series that have their dates in common), `mid`, `late` or `decision`.
    """
    torch, reference = setting.reference.torch, setting.reference
    pse = reference.module("pytorch-psetae", "models.pse").PixelSetEncoder
    decoder = reference.module("pytorch-psetae", "models.decoder").get_decoder
    ltae = reference.module("utae-paps", "src.backbones.ltae").LTAE2d
    channels = {name: len(PASTIS_R[name].channels) for name in DATES}
    if fusion == "early":
        channels = {"joined": sum(channels.values())}
    merged = WIDTH * (len(DATES) if fusion == "late" else 1)
    decoders = [*channels] if fusion == "decision" else ["joined"]

    class Fusion(torch.nn.Module):
        def __init__(self):
            super().__init__()

            def each(names, make):
                return torch.nn.ModuleDict({name: make(name) for name in names})

            def spatial(name):
                mlp1, mlp2 = [channels[name], 32, 64], [128, WIDTH]
                return pse(channels[name], mlp1=mlp1, mlp2=mlp2, with_extra=False)

            self.spatial = each(channels, spatial)
            temporal = ["joined"] if fusion == "mid" else channels
            self.temporal = each(temporal, lambda _: ltae(in_channels=WIDTH))
            self.decoder = each(decoders, lambda _: decoder([merged, 64, 32, CLASSES]))

        def forward(self, series):
            if fusion == "early":
                _, mask, days = series["S2"]
                pixels = torch.cat([pixels for pixels, *_ in series.values()], dim=2)
                series = {"joined": (pixels, mask, days)}
            encoded = {name: self._encode(name, *one) for name, one in series.items()}
            if fusion == "mid":
                parts = zip(*encoded.values(), strict=True)
                encoded = {"joined": [torch.cat(part, dim=1) for part in parts]}
            embeddings = {
                name: self.temporal[name](features, batch_positions=days, pad_mask=padded).flatten(
                    1
                )
                for name, (features, days, padded) in encoded.items()
            }
            if fusion == "decision":
                decisions = [self.decoder[name](e).softmax(1) for name, e in embeddings.items()]
                return torch.stack(decisions).mean(0).log()
            return self.decoder["joined"](torch.cat([*embeddings.values()], dim=1))

        def _encode(self, name, pixels, mask, days):
            features = self.spatial[name]((pixels, mask))
            padded = (pixels == 0).all(-1).all(-1)
            return features[..., None, None], days, padded

    torch.manual_seed(0)
    return published.randomise(setting, Fusion())


def published_series(setting: Setting, batch: Batch) -> dict[str, tuple]:
    """Pixels ``b t c s``, their mask ``b t s`` and days of each modality, as PyTorch takes them."""
    torch = setting.reference.torch

    def one(series: Series) -> tuple:
        pixels = torch.from_numpy(np.ascontiguousarray(series.values.transpose(0, 1, 3, 2)))
        mask = torch.ones(*series.days.shape, series.pixels.shape[1])
        days = torch.from_numpy(series.days.astype(np.int64))
        return tuple(x.to(setting.device) for x in (pixels, mask, days))

    return {name: one(series) for name, series in batch.series.items()}


def rules(fusion: str = "late") -> list:
    """Where each published tensor goes."""

    def ours(part: str, name: str) -> tuple[str]:
        return (part if name == "joined" else f"{part}_{name}",)

    spatial = ["joined"] if fusion == "early" else [*DATES]
    temporal = ["joined"] if fusion == "mid" else spatial
    decoders = [*DATES] if fusion == "decision" else ["joined"]
    found = []
    for name in spatial:
        found += pse_rules(f"spatial.{name}.", ours("spatial", name))
    for name in temporal:
        found += ltae_rules(f"temporal.{name}.", ours("temporal", name))
    for name in decoders:
        found += mlp_decoder_rules(f"decoder.{name}.", ours("decoder", name))
    return found


def compare(setting: Setting) -> Iterator[Work]:
    """Training step and inference."""
    torch, mine = setting.reference.torch, task()
    batch = make_batch(8 if setting.short else PARCELS)
    model, theirs = mine.model(), published_model(setting)
    variables = convert(published.tensors(theirs), rules())
    given = published_series(setting, batch)
    label = torch.from_numpy(batch.label.astype(np.int64)).to(setting.device)
    cross_entropy = torch.nn.functional.cross_entropy

    def loss(logits):
        return cross_entropy(logits, label)

    value, found = published.check_step(setting, theirs, lambda m: m(given), loss)
    expected = convert(found, rules(), collections=("params",))["params"]
    own, gradient = ours.gradient(mine, without_dropout(model), variables, batch)
    common: Mapping[str, Any] = {
        "row": "parcels",
        "what": f"late fusion, {len(batch.real)} parcels, {' + '.join(map(str, DATES.values()))} "
        f"dates, {PIXELS} pixels",
        "amount": len(batch.real),
        "unit": "parcels",
    }
    yield Work(
        **common,
        part="training step",
        ways={
            **published.ways(setting, theirs, lambda m: m(given), loss=loss),
            OURS: ours.training_way(mine, model, variables, batch),
        },
        differences=[
            Difference("loss", largest(own, value), LOSS),
            Difference("gradient", largest_of_gradients(gradient, expected), GRADIENT),
        ],
    )
    theirs.eval()
    with torch.no_grad(), published.exact(setting):
        logits = theirs(given).cpu().numpy()
    yield Work(
        **common,
        part="inference",
        ways={
            **published.ways(setting, theirs, lambda m: m(given).argmax(1)),
            OURS: ours.inference_way(model, variables, batch, mine.predicted),
        },
        differences=[
            Difference(
                "logits", largest(ours.forward(model, variables, batch).output, logits), LOGITS
            )
        ],
    )
