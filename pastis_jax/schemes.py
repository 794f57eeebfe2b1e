"""The fusion schemes by name, each made of the same parts. Another one is an entry more::

SCHEMES.add("gated", Scheme(lambda parts: GatedFusion(parts.spatials, ...)))
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from flax import linen as nn

from pastis_jax import fusion
from pastis_jax.registry import Registry
from pastis_jax.types import Average, Outside

Model = nn.Module
"""A model, or a part of one."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a scheme is made of; each call makes a module of its own.

    Attributes:
      modalities: Names, in the order they are used in.
      spatial: Makes S for a modality.
      temporal: Makes T.
      decoder: Makes D.
      auxiliary: Whether each modality is supervised by itself too.
      separate_temporal: Whether that has temporal encoders of its own.
      outside: What resampling does outside of the observed dates.
      average: What decisions are averaged as.
      auxiliary_decoder: Makes D for a modality's own supervision, where it is another.
    """

    modalities: tuple[str, ...]
    spatial: Callable[[str], nn.Module]
    temporal: Callable[[], nn.Module]
    decoder: Callable[[], nn.Module]
    auxiliary: bool = False
    separate_temporal: bool = False
    outside: Outside = "extrapolate"
    average: Average = "probability"
    auxiliary_decoder: Callable[[], nn.Module] | None = None

    def each(self, make: Callable[[], nn.Module]) -> dict[str, nn.Module]:
        """Makes a module for each modality."""
        return {name: make() for name in self.modalities}

    @property
    def spatials(self) -> dict[str, nn.Module]:
        """S for each modality."""
        return {name: self.spatial(name) for name in self.modalities}

    @property
    def auxiliaries(self) -> dict[str, nn.Module] | None:
        """D for each modality's own supervision; None without it."""
        return self.each(self.auxiliary_decoder or self.decoder) if self.auxiliary else None


@dataclasses.dataclass(frozen=True)
class Scheme:
    """A fusion scheme.

    Attributes:
      build: Makes the module of its parts.
      several: Whether it takes several modalities; else exactly one.
      auxiliary: Whether modalities can be supervised by themselves.
      separate_temporal: Whether that can have temporal encoders of its own.
      resamples: Whether it resamples the other modalities to the dates of the first one.
      masks: Whether it takes a sample that lacks one of several modalities, whose series is masked
        then.
      averages: Whether it averages what several decoders give, which must be logits then.
      reads: The modalities whose dates each temporal encoder reads, by its name among the
        parameters; takes the names of the modalities.
    """

    build: Callable[[Parts], nn.Module]
    several: bool = True
    auxiliary: bool = True
    separate_temporal: bool = False
    resamples: bool = False
    masks: bool = True
    averages: bool = False
    reads: Callable[[tuple[str, ...]], dict[str, tuple[str, ...]]] = lambda names: {
        f"temporal_{name}": (name,) for name in names
    }


SCHEMES: Registry[Scheme] = Registry("fusion")


def _single(parts: Parts) -> nn.Module:
    (name,) = parts.modalities
    return fusion.single(name, parts.spatial(name), parts.temporal(), parts.decoder())


def _early(parts: Parts) -> nn.Module:
    names, first = parts.modalities, parts.spatial(parts.modalities[0])
    return fusion.early(names, first, parts.temporal(), parts.decoder(), outside=parts.outside)


def _mid(parts: Parts) -> nn.Module:
    return fusion.mid(
        parts.spatials,
        parts.temporal(),
        parts.decoder(),
        auxiliary=parts.auxiliaries,
        auxiliary_temporal=parts.each(parts.temporal) if parts.separate_temporal else None,
    )


def _late(parts: Parts) -> nn.Module:
    temporal = parts.each(parts.temporal)
    return fusion.late(parts.spatials, temporal, parts.decoder(), auxiliary=parts.auxiliaries)


def _decision(parts: Parts) -> nn.Module:
    temporal, decoder = parts.each(parts.temporal), parts.each(parts.decoder)
    own = {"auxiliary": parts.auxiliary, "average": parts.average}
    return fusion.decision(parts.spatials, temporal, decoder, **own)


SCHEMES.add("single", Scheme(_single, several=False, auxiliary=False, masks=False))
SCHEMES.add(
    "early",
    Scheme(
        _early,
        auxiliary=False,
        resamples=True,
        masks=False,
        reads=lambda names: {"temporal": names[:1]},
    ),
)
SCHEMES.add("mid", Scheme(_mid, separate_temporal=True, reads=lambda names: {"temporal": names}))
SCHEMES.add("late", Scheme(_late))
SCHEMES.add("decision", Scheme(_decision, averages=True))
