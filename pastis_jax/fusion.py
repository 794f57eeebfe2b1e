"""The four fusion schemes (paper, section 3.1), as combinators of a model's three parts.

A model is ``D . T . S`` over a `Series`: spatial encoder, temporal encoder, decoder. A scheme says
where the modalities meet, and nothing else:

    early     D . T . S . merge_C({resample(X_m)})     equations 1 and 2
    mid       D . T . merge_T({S_m(X_m)})              equation 5
    late      D . merge_C({T_m . S_m(X_m)})            equation 3
    decision  mean({D_m . T_m . S_m(X_m)})             equation 4

Parts are given as modules, one for all modalities or a mapping from modality to module. To share
weights between modalities, give the same module instance for both. With auxiliary decoders, every
modality's own prediction is returned while training (section 3.2); at inference they do not run.

Further keyword arguments of a scheme's `__call__` are its decoders', such as the target that a
panoptic one needs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PyTree

from pastis_jax.interpolation import covered, resample
from pastis_jax.nn import packing
from pastis_jax.nn.pixel_features import PixelFeatures
from pastis_jax.types import Average, Embedding, Outside, Prediction, Series


def merge_channels(parts: Mapping[str, Series] | Mapping[str, Embedding]) -> Series | Embedding:
    """merge_C: joins along channels; series must share their dates.

    The days, validity and pixels of series are the first one's. An embedding is valid where any
    part is; a part that is not has no say: it is 0.
    """

    def join(trees):
        return jax.tree.map(lambda *v: jnp.concatenate(v, -1), *trees)

    first, *_ = parts.values()
    if isinstance(first, Series):
        return first.replace(values=join([p.values for p in parts.values()]))
    return Embedding(values=join([_said(p) for p in parts.values()]), valid=_any_valid(parts))


def _said(embedding: Embedding) -> PyTree[Float[Array, "b ..."]]:
    """The values of an embedding, 0 of samples without a valid date."""

    def said(x):
        return jnp.where(embedding.valid.reshape(-1, *(1,) * (x.ndim - 1)), x, 0)

    return jax.tree.map(said, embedding.values)


def merge_dates(parts: Mapping[str, Series]) -> Series:
    """merge_T: stacks feature series along time, in the order of `parts`.

    Attention does not depend on the order of dates, so none is sorted. If any is packed, so is the
    result.

    Examples:
      >>> dates = jnp.ones((1, 2), bool)
      >>> part = Series(jnp.zeros((1, 2, 8)), dates.astype(int), dates)
      >>> merge_dates({"S2": part, "S1A": part}).values.shape
      (1, 4, 8)
    """
    parts = list(parts.values())

    def stack(trees, axis=1):
        return jax.tree.map(lambda *x: jnp.concatenate(x, axis), *trees)

    days, valid = stack([p.days for p in parts]), stack([p.valid for p in parts])
    if all(isinstance(p.values, PixelFeatures) for p in parts):
        values = PixelFeatures.joined([p.values for p in parts])
        return Series(values=values, days=days, valid=valid)
    if all(p.frames is None for p in parts):
        return Series(values=stack([p.values for p in parts]), days=days, valid=valid)
    b, packed = len(valid), [_pack_all(p) for p in parts]
    frames = packing.join_dates([p.frames for p in packed], b, [p.valid.shape[1] for p in packed])
    values = stack([p.values for p in packed], 0)
    return Series(values=values, days=days, valid=valid, frames=frames)


def _pack_all(series: Series) -> Series:
    """Packs every date of `series`, if it is not packed."""
    if series.frames is not None:
        return series
    values = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), series.values)
    return series.replace(values=values, frames=jnp.arange(series.valid.size))


def average_decisions(
    logits: Mapping[str, Float[Array, "b ... k"]],
    embeddings: Mapping[str, Embedding],
    average: Average = "probability",
) -> Float[Array, "b ... k"]:
    """Joins what the modalities that a sample has decide (equation 4), as logits.

    Args:
      logits: By modality.
      embeddings: By modality; a modality without a valid date has no say.
      average: `probability` gives the logarithm of the mean class probability. `logit` gives the
        mean of the logarithms, whose softmax is the geometric mean: equation 4 read literally, and
        what the published ensemble does.

    Returns:
      The logarithms, which are the logits of the fused prediction.

    Examples:
      >>> seen = Embedding(jnp.zeros((1, 8)), valid=jnp.array([True]))
      >>> logits = {"S2": jnp.log(jnp.array([[0.9, 0.1]])), "S1A": jnp.log(jnp.array([[0.5, 0.5]]))}
      >>> fused = jnp.exp(average_decisions(logits, {"S2": seen, "S1A": seen}))
      >>> [round(float(share), 2) for share in fused[0]]
      [0.7, 0.3]
    """
    log_probabilities = jnp.stack([jax.nn.log_softmax(logits[m]) for m in logits])
    has_say = jnp.stack([embeddings[m].valid for m in logits])
    # A sample without any modality stays finite: all have a say.
    has_say = jnp.where(has_say.any(0), has_say, True)
    has_say = has_say.reshape(*has_say.shape, *(1,) * (log_probabilities.ndim - 2))
    if average == "logit":
        return jnp.where(has_say, log_probabilities, 0).sum(0) / has_say.sum(0)
    summed = jax.nn.logsumexp(log_probabilities, axis=0, where=has_say)
    return summed - jnp.log(has_say.sum(0))


def _any_valid(embeddings: Mapping[str, Embedding]) -> jax.Array:
    return jnp.any(jnp.stack([e.valid for e in embeddings.values()]), 0)


def _select(series: Mapping[str, Series], names) -> dict[str, Series]:
    missing = [name for name in names if name not in series]
    if missing:
        raise ValueError(f"the batch lacks the modalities {missing}; it has {sorted(series)}")
    return {name: series[name] for name in names}


class EarlyFusion(nn.Module):
    """Channels meet: radar is resampled to the dates of the first modality, then one encoder runs.

    Attributes:
      modalities: Names in channel order; the first gives the dates.
      spatial: S.
      temporal: T.
      decoder: D.
      outside: What stands for the other modalities at dates of the first one that their own do not
        enclose. With `mask`, such a date counts only where it lies within the range of all others
        that the sample has a date of.
    """

    modalities: tuple[str, ...]
    spatial: nn.Module
    temporal: nn.Module
    decoder: nn.Module
    outside: Outside = "extrapolate"

    def __call__(
        self, series: Mapping[str, Series], *, train: bool = False, **given: Any
    ) -> Prediction:
        """Predicts from `series` (the types' docstrings give the shapes)."""
        parts = _select(series, self.modalities)
        first, *others = self.modalities
        reference, hold = parts[first], self.outside != "extrapolate"
        if self.outside == "mask":
            inside = [covered(parts[m], reference.days) for m in others]
            reference = reference.replace(
                valid=functools.reduce(jnp.logical_and, inside, reference.valid)
            )
        aligned = {first: reference}
        aligned |= {m: resample(parts[m], reference, hold=hold) for m in others}
        encoded = self.spatial(merge_channels(aligned), train=train)
        embedding = self.temporal(encoded, train=train)
        return Prediction(
            output=self.decoder(embedding, train=train, **given), valid=embedding.valid
        )


class MidFusion(nn.Module):
    """Dates meet: each modality's encoded acquisitions join one sequence, that one T reads.

    Attributes:
      spatial: S by modality.
      temporal: T.
      decoder: D.
      auxiliary: Auxiliary D by modality; empty for none.
      auxiliary_temporal: T by modality for the auxiliary predictions, as the paper's text has it;
        empty: they use the shared `temporal`, as the paper's parameter counts have it.
    """

    spatial: Mapping[str, nn.Module]
    temporal: nn.Module
    decoder: nn.Module
    auxiliary: Mapping[str, nn.Module]
    auxiliary_temporal: Mapping[str, nn.Module]

    def __call__(
        self, series: Mapping[str, Series], *, train: bool = False, **given: Any
    ) -> Prediction:
        """Predicts from `series` (the types' docstrings give the shapes)."""
        parts = _select(series, self.spatial)
        encoded = {m: self.spatial[m](part, train=train) for m, part in parts.items()}
        embedding = self.temporal(merge_dates(encoded), train=train)
        auxiliary = {}
        if train:
            for m, decoder in self.auxiliary.items():
                # The shared encoder's running statistics belong to the fused sequence alone.
                own = self.auxiliary_temporal.get(m)
                alone = (
                    own(encoded[m], train=True)
                    if own is not None
                    else self.temporal(encoded[m], train=True, track=False)
                )
                auxiliary[m] = Prediction(
                    output=decoder(alone, train=True, **given), valid=alone.valid
                )
        logits = self.decoder(embedding, train=train, **given)
        return Prediction(output=logits, valid=embedding.valid, auxiliary=auxiliary)


class LateFusion(nn.Module):
    """Embeddings meet: each modality has S and T of its own; one D reads the joined embeddings.

    With one modality this is the single-modality model.

    Attributes:
      spatial: S by modality.
      temporal: T by modality.
      decoder: D.
      auxiliary: Auxiliary D by modality; empty for none.
    """

    spatial: Mapping[str, nn.Module]
    temporal: Mapping[str, nn.Module]
    decoder: nn.Module
    auxiliary: Mapping[str, nn.Module]

    def __call__(
        self, series: Mapping[str, Series], *, train: bool = False, **given: Any
    ) -> Prediction:
        """Predicts from `series` (the types' docstrings give the shapes)."""
        embeddings = _encode(self.spatial, self.temporal, series, train)
        merged = merge_channels(embeddings)
        auxiliary = {}
        if train:
            auxiliary = {
                m: Prediction(
                    output=d(embeddings[m], train=True, **given), valid=embeddings[m].valid
                )
                for m, d in self.auxiliary.items()
            }
        logits = self.decoder(merged, train=train, **given)
        return Prediction(output=logits, valid=merged.valid, auxiliary=auxiliary)


class DecisionFusion(nn.Module):
    """Decisions meet: one full model per modality; what they decide is averaged.

    `Prediction.output` are logarithms of averaged probabilities, or averaged ones.

    Attributes:
      spatial: S by modality.
      temporal: T by modality.
      decoder: D by modality.
      supervise_each: Return each modality's own prediction while training.
      average: What is averaged; see `average_decisions`.
    """

    spatial: Mapping[str, nn.Module]
    temporal: Mapping[str, nn.Module]
    decoder: Mapping[str, nn.Module]
    supervise_each: bool = False
    average: Average = "probability"

    def __call__(
        self, series: Mapping[str, Series], *, train: bool = False, **given: Any
    ) -> Prediction:
        """Predicts from `series` (the types' docstrings give the shapes)."""
        embeddings = _encode(self.spatial, self.temporal, series, train)
        logits = {m: d(embeddings[m], train=train, **given) for m, d in self.decoder.items()}
        auxiliary = {}
        if train and self.supervise_each:
            auxiliary = {
                m: Prediction(output=decision, valid=embeddings[m].valid)
                for m, decision in logits.items()
            }
        return Prediction(
            output=average_decisions(logits, embeddings, self.average),
            valid=_any_valid(embeddings),
            auxiliary=auxiliary,
        )


def _encode(spatial, temporal, series, train) -> dict[str, Embedding]:
    parts = _select(series, spatial)
    return {m: temporal[m](spatial[m](part, train=train), train=train) for m, part in parts.items()}


def early(
    modalities: tuple[str, ...],
    spatial: nn.Module,
    temporal: nn.Module,
    decoder: nn.Module,
    *,
    outside: Outside = "extrapolate",
) -> EarlyFusion:
    """Builds early fusion of `modalities`, resampled to the dates of the first one.

    Args:
      modalities: Their names, the one that gives the dates first.
      spatial: S of the joined channels.
      temporal: T.
      decoder: D.
      outside: What a series gives outside the range of its dates.

    Returns:
      The model.

    Examples:
      >>> from pastis_jax.models import LTAE, MLPDecoder, PixelSetEncoder
      >>> model = early(("S2", "S1A"), PixelSetEncoder(), LTAE(), MLPDecoder(classes=18))
      >>> model.modalities
      ('S2', 'S1A')
    """
    return EarlyFusion(tuple(modalities), spatial, temporal, decoder, outside)


def mid(
    spatial: Mapping[str, nn.Module],
    temporal: nn.Module,
    decoder: nn.Module,
    *,
    auxiliary: Mapping[str, nn.Module] | None = None,
    auxiliary_temporal: Mapping[str, nn.Module] | None = None,
) -> MidFusion:
    """Builds mid fusion of the modalities of `spatial`.

    Args:
      spatial: S by modality; all give as many features.
      temporal: T of the joint sequence.
      decoder: D.
      auxiliary: Auxiliary D by modality; None for none.
      auxiliary_temporal: T of its own for each auxiliary prediction; None shares `temporal`.

    Returns:
      The model.

    Examples:
      >>> from pastis_jax.models import LTAE, MLPDecoder, PixelSetEncoder
      >>> spatial = {"S2": PixelSetEncoder(), "S1A": PixelSetEncoder()}
      >>> sorted(mid(spatial, LTAE(), MLPDecoder(classes=18)).spatial)
      ['S1A', 'S2']
    """
    return MidFusion(spatial, temporal, decoder, auxiliary or {}, auxiliary_temporal or {})


def late(
    spatial: Mapping[str, nn.Module],
    temporal: Mapping[str, nn.Module],
    decoder: nn.Module,
    *,
    auxiliary: Mapping[str, nn.Module] | None = None,
) -> LateFusion:
    """Builds late fusion of the modalities of `spatial`.

    Args:
      spatial: S by modality.
      temporal: T by modality.
      decoder: D of the joined embeddings.
      auxiliary: Auxiliary D by modality; None for none.

    Returns:
      The model.

    Examples:
      Two modalities of a parcel: 4 pixels on 3 dates, of 10 and of 3 channels.

      >>> import jax, jax.numpy as jnp
      >>> from pastis_jax.models import LTAE, MLPDecoder, PixelSetEncoder
      >>> model = late(
      ...     {"S2": PixelSetEncoder(), "S1A": PixelSetEncoder()},
      ...     {"S2": LTAE(), "S1A": LTAE()},
      ...     MLPDecoder(classes=18),
      ... )
      >>> dates, pixels = jnp.ones((1, 3), bool), jnp.ones((1, 4), bool)
      >>> series = {
      ...     name: Series(jnp.zeros((1, 3, 4, c)), dates.astype(int), dates, pixels)
      ...     for name, c in {"S2": 10, "S1A": 3}.items()
      ... }
      >>> variables = jax.eval_shape(model.init, jax.random.key(0), series)
      >>> jax.eval_shape(model.apply, variables, series).output.shape
      (1, 18)
    """
    return LateFusion(spatial, temporal, decoder, auxiliary or {})


def decision(
    spatial: Mapping[str, nn.Module],
    temporal: Mapping[str, nn.Module],
    decoder: Mapping[str, nn.Module],
    *,
    auxiliary: bool = False,
    average: Average = "probability",
) -> DecisionFusion:
    """Builds decision fusion of the modalities of `spatial`.

    Args:
      spatial: S by modality.
      temporal: T by modality.
      decoder: D by modality.
      auxiliary: Whether each decision is supervised too.
      average: What is averaged; see `average_decisions`.

    Returns:
      The model.

    Examples:
      >>> from pastis_jax.models import LTAE, MLPDecoder, PixelSetEncoder
      >>> decoder = MLPDecoder(classes=18)
      >>> model = decision({"S2": PixelSetEncoder()}, {"S2": LTAE()}, {"S2": decoder})
      >>> sorted(model.decoder)
      ['S2']
    """
    return DecisionFusion(spatial, temporal, decoder, auxiliary, average)


def single(
    modality: str, spatial: nn.Module, temporal: nn.Module, decoder: nn.Module
) -> LateFusion:
    """Builds the model of one modality: late fusion of one branch.

    Args:
      modality: Its name.
      spatial: S.
      temporal: T.
      decoder: D.

    Returns:
      The model.

    Examples:
      >>> from pastis_jax.models import LTAE, MLPDecoder, PixelSetEncoder
      >>> model = single("S2", PixelSetEncoder(), LTAE(), MLPDecoder(classes=18))
      >>> [*model.spatial]
      ['S2']
    """
    return late({modality: spatial}, {modality: temporal}, decoder)
