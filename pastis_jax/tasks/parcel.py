"""Parcel classification with PSE + L-TAE (paper, section 4.3, Table 1)."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.dataset import SPLITS
from pastis_jax.data.metadata import GEOMETRIC_FEATURES
from pastis_jax.data.pixel_sets.encoding import PixelSetEncoding
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets
from pastis_jax.data.splits import BatchPlan, PixelSplits
from pastis_jax.errors import refuse
from pastis_jax.losses import supervised_loss
from pastis_jax.models import LTAE, MLPDecoder, PixelEncoder
from pastis_jax.models.encoders import PARCEL_ENCODERS
from pastis_jax.schemes import Model
from pastis_jax.tasks._gaps import check_gaps, gap_notes
from pastis_jax.tasks._spec import ModelSpec, RecordOptions, folds_of
from pastis_jax.tasks._task import Classifier, Learned, blank_series
from pastis_jax.types import Batch, Prediction, Series

OnDevice = Literal["auto", "on", "off"]
AT_EVERY_PIXEL = {
    "heads": LTAE.heads,
    "key_features": LTAE.key_features,
    "model_features": LTAE.model_features,
    "features": PixelEncoder.features,
}
"""Sizes of the encoders pse-ltae, which a time-first model of patches can have at every pixel."""


@dataclasses.dataclass(frozen=True)
class ParcelModel(ModelSpec):
    """A classifier of parcels."""

    encoder: str = "pse-ltae"
    """Spatial and temporal encoder: pse-ltae, or one that a module of --plugin adds."""
    geometric: bool = False
    """Join four features of the parcel's outline before the encoder's second MLP."""

    def __post_init__(self) -> None:
        super().__post_init__()
        PARCEL_ENCODERS[self.encoder]


@dataclasses.dataclass(frozen=True)
class ParcelRecords(RecordOptions):
    """Pixel sets, and how they become arrays."""

    pixels: int = 32
    """Pixels drawn of each parcel."""
    data_on_device: OnDevice = "auto"
    """Where batches are made when a model is trained: from all parcels, packed once into the memory
    of the device, pixels drawn there (on), from records that are read for each batch (off), or
    (auto) as with on where they fit, else from the packed parcels on the host; on a CPU they are
    mapped from the disk."""

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse("pixels", not 1 <= self.pixels <= 65536, "must be 1 to 65536", "give such a number")


class ParcelTask(Classifier):
    """Tells which crop each parcel grows."""

    name, title, samples, told = "parcel", "Parcels", "parcels", "parcels"
    less_memory = "lower `batch_size` or add `accumulate`"
    spec: ParcelModel

    def model(
        self, capacity: Mapping[str, int | None] | None = None, *, warmup: bool = False
    ) -> Model:
        """Combines encoders of pixel sets and MLP decoders."""
        del warmup
        decoder = functools.partial(MLPDecoder, len(self.classes.names), axis_name=self.axis_name)
        halves = PARCEL_ENCODERS[self.spec.encoder](self.spec, capacity or {}, self.axis_name)
        return self.spec.combine(halves, decoder)

    def example(self) -> dict[str, Series]:
        """Parcels of two pixels on two dates."""
        outline = len(GEOMETRIC_FEATURES) if self.spec.geometric else 0
        return {
            name: blank_series(
                (1, 2, 2, len(self.dataset[name].channels)), pixels=True, geometric=outline
            )
            for name in self.spec.modalities
        }

    def loss(
        self, prediction: Prediction, batch: Batch
    ) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
        """Objective and auxiliary cross-entropies of each parcel, and its weight."""
        weight, counted = self.spec.auxiliary_weight, self.counted(batch)
        return supervised_loss(prediction, batch.label, counted, auxiliary_weight=weight)

    def counted(self, batch: Batch) -> Bool[Array, " b"]:
        """The parcels that are real, and not void."""
        return batch.real & (batch.label != self.classes.void)

    def predicted(self, prediction: Prediction) -> Int[Array, " b"]:
        """Most probable class of each parcel."""
        return jnp.argmax(prediction.output, -1)

    @classmethod
    def open(
        cls,
        options: ParcelRecords,
        root: pathlib.Path,
        spec: ParcelModel,
        plan: BatchPlan,
        like: Learned | None = None,
        *,
        norms: bool = True,
        needed: Sequence[str] = SPLITS,
    ) -> PixelSplits:
        """Prepares and opens pixel sets."""
        prepared = prepare_pixel_sets(
            root,
            modalities=spec.modalities,
            cache=options.cache_dir,
            compute_statistics=options.compute_statistics if norms else None,
            dataset=options.declared(root),
            assignment=options.assignment(),
            skip_implausible=options.skip_implausible,
            max_cloud=options.max_cloud,
        )
        dataset = prepared.dataset
        folds = folds_of(dataset, options.fold)
        refuse(
            "geometric",
            spec.geometric and not prepared.geometric_features,
            f"metadata_parcel.csv of {root} has no features of outlines",
            "leave it out",
        )
        if like is None:
            classes = ClassMapping.crops(dataset.nomenclature)
            statistics = prepared.statistics(folds["train"])
        else:
            classes, statistics = like.classes_of(dataset, root), like.statistics
            if not norms:  # of its own data, a run had these statistics
                prepared.check_statistics(statistics)
        encode = PixelSetEncoding(
            dataset=dataset,
            lengths={name: prepared.lengths[name] for name in spec.modalities},
            statistics={name: statistics[name] for name in spec.modalities},
            classes=classes,
            pixels=options.pixels,
            geometric=spec.geometric,
        )
        opened = {s: ids for s, ids in folds.items() if s in needed or prepared.holds(ids)}
        sources = {split: prepared.source(ids) for split, ids in opened.items()}
        gaps = {"gaps": prepared.gaps, "folds": folds, "samples": cls.samples}
        sizes = {split: len(source) for split, source in sources.items()}
        asked = {split: sizes[split] for split in needed}
        check_gaps(spec, **gaps, sizes=asked, root=prepared.root)
        return PixelSplits(
            prepared.root,
            dataset,
            folds,
            prepared.fingerprint,
            sources,
            encode,
            plan,
            packed=prepared.packed,
            gaps=prepared.gaps,
            notes=(
                *prepared.notes(folds, None if like is None else statistics),
                *gap_notes(spec, **gaps, sizes=sizes, listed=norms),
            ),
        )
