"""What a model is, and which records a run has: plain values, checked where they are defined."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

from pastis_jax.data import calendar, declared, layout
from pastis_jax.data.assignment import Assignment
from pastis_jax.data.calendar import Days
from pastis_jax.data.dataset import Dataset, Fold
from pastis_jax.data.pastis_r import describe
from pastis_jax.data.regions.store import Region, is_region
from pastis_jax.errors import refuse
from pastis_jax.models.encoders import Halves
from pastis_jax.schemes import SCHEMES, Model, Parts, Scheme
from pastis_jax.types import Average, Outside

_OUTSIDE = {
    "extrapolate": "lines through the outermost two dates go on there without bound, which "
    "`outside` hold or mask does not let them",
    "hold": "the outermost values hold there",
    "mask": "dates outside are masked",
}


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """What a model is, as plain values that a run carries.

    Raises:
      ArgumentError: If arguments are out of range or contradict each other.
    """

    fusion: str = "mid"
    """Where the modalities meet: single (one modality alone), early (raw channels), mid (dates),
    late (embeddings), decision, or a scheme that a module of --plugin adds."""
    modalities: tuple[str, ...] = ()
    """Modalities to use, as the dataset names them. Default: all, or the first with single fusion.
    Early fusion resamples to the dates of the first one."""
    auxiliary: bool = False
    """Also supervise each modality by a decoder of its own (mid, late and decision fusion)."""
    auxiliary_weight: float = 0.5
    """Weight of these auxiliary losses, 0.5 in the paper."""
    separate_temporal: bool = False
    """With mid fusion and auxiliary supervision: give each auxiliary decoder its own temporal
    encoder."""
    outside: Outside = "extrapolate"
    """With early fusion, what stands at dates of the first modality that lie outside the dates of
    another: the line through its two outermost dates, without bound, as published (extrapolate),
    its nearest observed value (hold), or nothing, as the date is masked (mask)."""
    average: Average = "probability"
    """With decision fusion, what is averaged: the probabilities of the classes, or their logarithms
    (logit), as the published ensemble does."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "modalities", tuple(dict.fromkeys(self.modalities)))
        scheme = self.scheme
        refuse(
            "modalities",
            not scheme.several and len(self.modalities) > 1,
            f"{self.fusion} fusion takes one modality, got {len(self.modalities)}",
            "name one, or choose another `fusion`",
        )
        refuse(
            "auxiliary",
            self.auxiliary and not scheme.auxiliary,
            f"{self.fusion} fusion has no predictions per modality to supervise",
            "leave it out, or choose mid, late or decision",
        )
        refuse(
            "separate_temporal",
            self.separate_temporal and not (self.auxiliary and scheme.separate_temporal),
            "this is for the auxiliary decoders of mid fusion",
            "add `auxiliary` with `fusion` mid, or leave it out",
        )
        refuse(
            "auxiliary_weight",
            not 0 <= self.auxiliary_weight < math.inf,
            f"got {self.auxiliary_weight:g}",
            "give 0 or more, 0.5 say",
        )
        refuse(
            "auxiliary_weight",
            self.auxiliary_weight != ModelSpec.auxiliary_weight and not self.auxiliary,
            "there are no auxiliary losses",
            "add `auxiliary`, or leave it out",
        )
        refuse(
            "average",
            self.average != "probability" and not scheme.averages,
            f"{self.fusion} fusion averages nothing",
            "leave it out, or choose decision",
        )
        refuse(
            "outside",
            self.outside != "extrapolate" and not scheme.resamples,
            f"{self.fusion} fusion resamples nothing",
            "leave it out, or choose early",
        )

    @property
    def scheme(self) -> Scheme:
        """The fusion scheme."""
        return SCHEMES[self.fusion]

    def of(self, dataset: Dataset) -> ModelSpec:
        """Returns this model with its modalities named: by default those of `dataset`."""
        names = dataset.names if self.scheme.several else dataset.names[:1]
        return dataclasses.replace(self, modalities=self.modalities or names)

    def not_enclosed(self, observed: Sequence[Days]) -> str | None:
        """Tells in a line what resampling has to make up, of patches observed on these days.

        Args:
          observed: Days of each patch, of all modalities.

        Returns:
          The line; None where there is nothing to tell.
        """
        if not self.scheme.resamples:
            return None
        first, *others = self.modalities
        masked = self.outside == "mask"
        line = calendar.not_enclosed(observed, first, others, masked=masked)
        return line and f"{line}: {_OUTSIDE[self.outside]}"

    def refuse_all_masked(self, observed: Mapping[str, Sequence[Days]]) -> None:
        """Refuses to mask every date that there is.

        Args:
          observed: Days of each patch of every split.

        Raises:
          ArgumentError: Naming the split, of which no patch would keep a date.
        """
        if not self.scheme.resamples or self.outside != "mask":
            return
        first, *others = self.modalities
        for split, every in observed.items():
            none_left = every and all(calendar.keeps_none(x, first, others) for x in every)
            fault = f"no patch of {split} keeps a date of {first}: all lie outside of the dates of "
            remedy = f"give hold or extrapolate, or leave out {' or '.join(others)}"
            refuse("outside", none_left, fault + " or ".join(others), remedy)

    @property
    def read(self) -> tuple[str, ...]:
        """The modalities whose dates are read: without a valid one, a sample is unobserved."""
        every = self.scheme.reads(self.modalities).values()
        return tuple(name for name in self.modalities if any(name in names for names in every))

    def combine(
        self,
        halves: Halves,
        decoder: Callable[[], Model],
        auxiliary_decoder: Callable[[], Model] | None = None,
    ) -> Model:
        """Combines encoders and decoders in the fusion scheme.

        Args:
          halves: Spatial and temporal encoders.
          decoder: Makes D.
          auxiliary_decoder: Makes D for a modality's own supervision, where it is another.
        """
        return self.scheme.build(
            Parts(
                modalities=self.modalities,
                spatial=halves.spatial,
                temporal=halves.temporal,
                decoder=halves.decoder(decoder),
                auxiliary=self.auxiliary,
                separate_temporal=self.separate_temporal,
                outside=self.outside,
                average=self.average,
                auxiliary_decoder=halves.decoder(auxiliary_decoder or decoder),
            )
        )


@dataclasses.dataclass(frozen=True)
class RecordOptions:
    """Which records a run has.

    Raises:
      ArgumentError: If arguments are out of range.
    """

    data: pathlib.Path | None = None
    """A Region, or a folder in the official layout of the task, of PASTIS-R or with a dataset.json.
    Default: a simulated one."""
    fold: int = 1
    """Run of cross-validation: of five folds, 1 trains on folds 1 2 3, validates on 4, tests on 5,
    and so on cyclically. A dataset with fixed splits has run 1 alone."""
    split_lists: pathlib.Path | None = None
    """JSON file with lists of samples in place of folds: {"train": [...], "val": [...], "test":
    [...]}, identifiers of parcels or patches. Those in no list are left out."""
    compute_statistics: bool = False
    """Normalise with statistics computed from the data, not those of the NORM files."""
    skip_implausible: bool = False
    """Leave out samples with values that no sensor measures, in place of refusing the folder. They
    are counted in a line, and listed in result.json."""
    max_cloud: float | None = None
    """With a Region that has masks: the largest clouded share of the observed pixels of a parcel or
    window, 0 to 1. An acquisition with more counts as missing there. Default: all are used."""
    nodata: tuple[str, ...] = ()
    """Values that mark missing data, by modality, instead of those that the dataset declares:
    S2=-9999 S1A=nan."""
    offset: tuple[str, ...] = ()
    """Number that is added to the values of a modality to have them in its unit, instead of what
    the dataset declares: S2=-1000."""
    cache_dir: pathlib.Path | None = None
    """Where prepared and simulated data are kept. Default: $PASTIS_JAX_CACHE or ~/.cache."""

    def __post_init__(self) -> None:
        refuse("fold", self.fold < 1, f"got {self.fold}", "give 1 or more")
        both = self.split_lists is not None and self.fold != 1
        refuse("fold", both, "lists of samples have no folds", "leave it out")
        share = 0 <= (self.max_cloud or 0) <= 1
        refuse("max_cloud", not share, f"got {self.max_cloud}", "give a share, 0 to 1")
        for name in ("nodata", "offset"):
            declared.parse(name, getattr(self, name))

    def fitting(self, root: str | os.PathLike[str]) -> RecordOptions:
        """Returns these options for other data, without what those cannot have.

        Args:
          root: Their folder.
        """
        root = layout.resolve(root)
        region = Region(root) if is_region(root) else None
        if region is not None and any(map(region.masked, region.dataset.names)):
            return self
        return dataclasses.replace(self, max_cloud=None)

    def assignment(self) -> Assignment | None:
        """Reads the lists of samples, if there are any."""
        return None if self.split_lists is None else Assignment.read(self.split_lists)

    def declared(self, root: str | os.PathLike[str]) -> Dataset:
        """What the folder `root` holds, with the marks and offsets that are given.

        Raises:
          DataError: If it is no folder, or its dataset.json is wrong.
          ArgumentError: If a mark or an offset is of no modality of it, or of a Region.
        """
        root = layout.resolve(root)
        for name in ("nodata", "offset") if is_region(root) else ():
            fault = f"of the Region {root} this is known: it was given when it was ingested"
            refuse(name, getattr(self, name), fault, "leave it out, or ingest the scenes again")
        return declared.declare(describe(root), self.nodata, self.offset)


def folds_of(dataset: Dataset, run: int) -> dict[str, tuple[Fold, ...]]:
    """The folds of each split in a run.

    Raises:
      ArgumentError: If there is no such run.
    """
    fault = f"{dataset.name} has runs 1 to {dataset.runs}, got {run}"
    refuse("fold", not 1 <= run <= dataset.runs, fault, "give one of these")
    return dataset.split(run)
