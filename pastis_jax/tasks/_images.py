"""What the two tasks on patches have in common: U-TAE, patches, and room for their frames."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np

from pastis_jax import viz
from pastis_jax.data.cache import Fingerprint
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.dataset import SPLITS, Dataset, Fold
from pastis_jax.data.patches.annotations import INSTANCES
from pastis_jax.data.patches.capacity import frame_capacity
from pastis_jax.data.patches.encoding import PatchEncoding
from pastis_jax.data.patches.prepare import PreparedPatches, prepare_patches
from pastis_jax.data.regions.records.random_windows import RandomWindows
from pastis_jax.data.regions.store import is_region
from pastis_jax.data.splits import BatchPlan, PatchSplits
from pastis_jax.errors import DataError, refuse
from pastis_jax.models.encoders import IMAGE_ENCODERS
from pastis_jax.tasks._gaps import check_gaps, gap_notes
from pastis_jax.tasks._spec import ModelSpec, RecordOptions, folds_of
from pastis_jax.tasks._task import Learned, Task, blank_series
from pastis_jax.types import Series

PANEL_PATCHES = 4
"""Test patches in a picture."""
MOST_LAYERS = 32
MOST_STAGES = 10
"""Ten halve an image of 513 to 1024 pixels nine times."""


@dataclasses.dataclass(frozen=True)
class ImageModel(ModelSpec):
    """A model of patches."""

    encoder: str = "utae"
    """Spatial and temporal encoder: utae, time-first (the parcel model's at every pixel, and a
    U-Net on what they give), or one that a module of --plugin adds."""
    encoder_widths: tuple[int, ...] = (64, 64, 64, 128)
    """Channels of each stage of the frame encoder, finest first. With time-first, the last number
    is the width of the features and of the embedding. On simulated data the default is 16 16 32."""
    decoder_widths: tuple[int, ...] = (32, 32, 64, 128)
    """Channels of each stage of the decoder, finest first. With utae, the coarsest is that of the
    encoder. On simulated data the default is 16 16 32 (panoptic 32 32 32)."""
    heads: int = 16
    """Heads of the temporal attention. On simulated data the default is 4."""
    key_features: int = 4
    """Width of the keys of the temporal attention."""
    model_features: int = 256
    """Width inside the temporal attention. On simulated data the default is 64."""
    aggregation: Literal["att_group", "att_mean", "mean"] = "att_group"
    """How the dates of finer stages are reduced: by the attention of groups of channels
    (att_group), by the mean attention (att_mean), or by the plain mean (mean)."""
    encoder_norm: Literal["group", "batch", "instance"] = "group"
    """Norm of the frame encoder."""
    remat: bool = False
    """Compute activations again in the backward pass: less memory, more time."""
    bf16: bool = False
    """Convolutions in bfloat16; norms, attention, loss and metrics stay float32."""

    freeze: bool = False
    """With time-first: nothing is learned in the spatial and temporal encoder, which --init-from
    brings from a run of parcels."""

    SIZES: ClassVar[tuple[str, ...]] = (
        *("encoder_widths", "decoder_widths", "heads", "key_features", "model_features"),
        *("aggregation", "encoder_norm"),
    )
    """Fields that published weights fix."""

    def __post_init__(self) -> None:
        super().__post_init__()
        IMAGE_ENCODERS[self.encoder]
        widths, heads = self.encoder_widths, self.heads
        refuse(
            "freeze",
            self.freeze and self.encoder != "time-first",
            "encoders come trained with time-first alone",
            "give `encoder` time-first, or leave it out",
        )
        fault = "temporal encoders of auxiliary decoders would stay as they were drawn"
        refuse("freeze", self.freeze and self.separate_temporal, fault, "leave out one of them")
        for name in ("aggregation", "encoder_norm"):
            other = getattr(self, name) != getattr(ImageModel, name)
            fault = "every pixel is read by itself: no dates of finer stages, no norm of frames"
            refuse(name, other and self.encoder == "time-first", fault, "leave it out")
        refuse(
            "encoder_widths",
            not 2 <= len(widths) <= MOST_STAGES,
            f"needs two to {MOST_STAGES} stages",
            "give 64 64 64 128, say",
        )
        refuse(
            "decoder_widths",
            (len(widths) != len(self.decoder_widths) or widths[-1] != self.decoder_widths[-1])
            and self.encoder != "time-first",
            f"{self.decoder_widths} has other stages or another last width than the encoder's "
            f"{widths}",
            "give as many, the last one equal",
        )
        for name in ("encoder_widths", "decoder_widths"):
            refuse_widths(name, getattr(self, name))
        for name in ("heads", "key_features", "model_features"):
            refuse_widths(name, (getattr(self, name),))
        for name, numbers in (
            ("encoder_widths", widths[-1:] if self.encoder == "time-first" else widths),
            ("model_features", (self.model_features,)),
        ):
            refuse(
                name,
                any(number % heads for number in numbers),
                f"{numbers} must be divisible by the {heads} heads",
                "give such numbers, or other `heads`",
            )
        name, other = "encoder_widths", ", or another `encoder_norm`"
        if self.encoder == "time-first":
            name, other = "decoder_widths", ""
        normed = getattr(self, name)
        refuse(
            name,
            self.encoder_norm == "group" and any(width % 4 for width in normed),
            f"{normed} must be divisible by 4, the groups of the norm",
            f"give such widths{other}",
        )
        stages = 2 <= len(self.decoder_widths) <= MOST_STAGES
        refuse("decoder_widths", not stages, f"needs two to {MOST_STAGES} stages", "give such")


def refuse_widths(name: str, values: Sequence[int]) -> None:
    """Refuses widths that no layer has.

    Raises:
      ArgumentError: Naming the argument.
    """
    refuse(name, not all(1 <= v <= 4096 for v in values), "must be 1 to 4096", "give such numbers")
    refuse(name, len(values) > MOST_LAYERS, f"more than {MOST_LAYERS} layers", "give fewer")


@dataclasses.dataclass(frozen=True)
class PatchRecords(RecordOptions):
    """Patches, and how they become arrays."""

    crop: int = 0
    """Side of the random squares to train on, in pixels, or 0 for whole patches. An epoch draws as
    many as cover the patches once. Tests use whole patches. On simulated data the default is 16,
    and 32 for panoptic segmentation."""
    flips: bool = False
    """Mirror training patches at random."""
    turns: bool = False
    """Turn training patches by random multiples of 90 degrees."""
    date: int | str | None = None
    """Use only one acquisition of each series: the closest to YYYY-MM-DD, or number 0, 1, ... by
    the calendar (-1 is the last). If it shows nothing, the closest other one is used."""
    class_mapping: pathlib.Path | None = None
    """JSON file that groups classes: {"Cereals": ["Corn", 4], "Void": [16]}, names or codes."""
    window: int = 0
    """With a Region: side of the windows for training, validation and test, in pixels. Default:
    128, or less in a smaller Region."""
    cache: bool = False
    """Keep every patch in memory after it was read once."""

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse("crop", self.crop < 0, f"got {self.crop}", "give a side in pixels, 0 for none")
        refuse("window", self.window < 0, f"got {self.window}", "give a side in pixels")

    def fitting(self, root: str | os.PathLike[str]) -> PatchRecords:
        """Returns these options for other data: patches of a folder have their own size."""
        own = super().fitting(root)
        return own if is_region(root) else dataclasses.replace(own, window=0)


class ImageTask(Task):
    """A task on patches."""

    samples = "patches"
    targets: ClassVar[bool] = False
    """Whether batches have panoptic targets."""
    spec: ImageModel

    @classmethod
    def open(
        cls,
        options: PatchRecords,
        root: pathlib.Path,
        spec: ImageModel,
        plan: BatchPlan,
        like: Learned | None = None,
        *,
        norms: bool = True,
        needed: Sequence[str] = SPLITS,
        targets: bool | None = None,
    ) -> PatchSplits:
        """Prepares and opens patches; with panoptic targets where the task, or `targets`, wants."""
        targets = cls.targets if targets is None else targets
        prepared = prepare_patches(
            root,
            modalities=spec.modalities,
            cache=options.cache_dir,
            compute_statistics=options.compute_statistics if norms else None,
            dataset=options.declared(root),
            assignment=options.assignment(),
            skip_implausible=options.skip_implausible,
            window=options.window,
            max_cloud=options.max_cloud,
        )
        dataset = prepared.dataset
        folds = folds_of(dataset, options.fold)
        opened = {s: ids for s, ids in folds.items() if s in needed or prepared.holds(ids)}
        kept = {"in_memory": options.cache, "instances": targets}
        sources = {
            split: prepared.training_source(ids, crop=options.crop or None, **kept)
            if split == "train"
            else prepared.source(ids, **kept)
            for split, ids in opened.items()
        }
        gaps = {"gaps": prepared.gaps, "folds": folds, "samples": cls.samples}
        sizes = {split: len(source) for split, source in sources.items()}
        asked = {split: sizes[split] for split in needed}
        check_gaps(spec, **gaps, sizes=asked, root=prepared.root)
        if like is None:
            classes = read_classes(options.class_mapping, dataset)
            statistics = prepared.statistics(folds["train"])
        else:
            classes, statistics = like.classes_of(dataset, prepared.root), like.statistics
            if not norms:  # of its own data, a run had these statistics
                prepared.check_statistics(statistics)
        # Windows that lie anywhere may have more of both than the regular ones.
        drawn = sources.values()
        most_instances = prepared.most_instances
        if targets:
            most_instances = max(most_instances, *(source.most_instances for source in drawn))
        encode = PatchEncoding(
            dataset=dataset,
            lengths={
                name: max(
                    prepared.lengths[name], *(int(source.dates[name].max()) for source in drawn)
                )
                for name in spec.modalities
            },
            statistics={name: statistics[name] for name in spec.modalities},
            classes=classes,
            size=prepared.size,
            crop=options.crop or None,
            flips=options.flips,
            turns=options.turns,
            date=options.date,
            instances=most_instances if targets else None,
        )
        if like is None:
            _check_labels(folds, prepared, classes)
        _check_size(options, spec, prepared)
        _check_date(options, spec, sources)
        return PatchSplits(
            prepared.root,
            dataset,
            folds,
            _fingerprint(cls.targets, options, prepared, classes),
            sources,
            encode,
            plan,
            size=prepared.size,
            most_instances=most_instances,
            gaps=prepared.gaps,
            notes=(
                *prepared.notes(folds, None if like is None else statistics),
                *gap_notes(spec, **gaps, sizes=sizes, listed=norms),
            ),
        )

    def example(self) -> dict[str, Series]:
        """Images of two dates, two pixels wide at the coarsest stage."""
        side = 2 ** len(self.spec.decoder_widths)
        return {
            name: blank_series((1, 2, side, side, len(self.dataset[name].channels)))
            for name in self.spec.modalities
        }

    def room(
        self, splits: PatchSplits, names: Sequence[str], share: int, rates: Mapping[str, float]
    ) -> Mapping[str, int]:
        """Most valid frames of `share` patches, by modality."""
        sources, one_date = [splits.sources[name] for name in names], splits.encode.date is not None

        def most(modality: str) -> int:
            kept = 1 - rates.get(modality, 0.0)
            return max(
                frame_capacity(
                    np.ones(len(source)) if one_date else source.dates[modality], share, kept
                )
                for source in sources
            )

        return {name: most(name) for name in self.spec.modalities}

    def pictures(self, splits: PatchSplits, record: Mapping) -> dict[str, np.ndarray]:
        """What the modalities saw of a record, for a panel: the first optical one, and the first
        other one."""
        modalities = [self.dataset[name] for name in self.spec.modalities]
        shown = [next((m for m in modalities if m.optical is kind), None) for kind in (True, False)]
        return {
            modality.name: viz.picture(splits.median(record, modality.name), modality)
            for modality in shown
            if modality is not None
        }


def patch_title(record: Mapping, observed: bool) -> str:
    """Title of a patch in a panel; without a valid date, its prediction says nothing."""
    return f"patch {record['patch']}" + ("" if observed else ", never observed")


def read_classes(file: pathlib.Path | None, dataset: Dataset) -> ClassMapping:
    """The classes of a dataset, grouped by a file if there is one."""
    if file is None:
        return ClassMapping.of(dataset.nomenclature)
    return ClassMapping.read(file, dataset.nomenclature)


def _check_size(options: PatchRecords, spec: ImageModel, prepared: PreparedPatches) -> None:
    side, least = options.crop or min(prepared.size), 2 ** (len(spec.decoder_widths) - 1) + 1
    refuse(
        "crop" if options.crop else "encoder_widths",
        side < least,
        f"{len(spec.encoder_widths)} stages need {least} pixels, the images have {side}",
        "give larger crops or fewer stages",
    )


def _check_labels(
    folds: Mapping[str, Sequence[Fold]], prepared: PreparedPatches, classes: ClassMapping
) -> None:
    """Refuses a split without a pixel of a crop: there is nothing to learn, or to score."""
    nothing = {classes.void, classes.background}
    for split, names in folds.items():
        numbers = {int(classes.lookup[n]) for fold in names for n in prepared.counts[fold]}
        if numbers <= nothing:
            kinds = "void" if numbers <= {classes.void} else "background or void"
            fault = f"every pixel of {split}, fold {', '.join(map(str, names))}, is {kinds}"
            remedy = "choose another `fold`, or correct the labels"
            raise DataError(fault, where=prepared.folder.labels_at, remedy=remedy)


def _fingerprint(
    targets: bool, options: PatchRecords, prepared: PreparedPatches, classes: ClassMapping
) -> Fingerprint:
    """Fingerprint of what a task learns from: panoptic targets count for their own task alone."""
    identity = prepared.fingerprint
    if not targets:
        parts = {k: v for k, v in identity.parts.items() if not k.startswith(INSTANCES)}
        identity = dataclasses.replace(identity, parts=parts)
    if options.class_mapping is None:
        return identity
    return identity.adding({"class mapping": classes.digest})


def _check_date(options: PatchRecords, spec: ImageModel, sources: Mapping) -> None:
    refuse(
        "date",
        isinstance(options.date, int)
        and any(isinstance(x, RandomWindows) for x in sources.values()),
        f"windows of a Region differ in their dates, got number {options.date}",
        "give a day YYYY-MM-DD",
    )
    number = options.date if isinstance(options.date, int) else 0
    for modality in spec.modalities:
        dates = np.concatenate([source.dates[modality] for source in sources.values()])
        fewest = int(dates[dates > 0].min(initial=dates.max()))
        refuse(
            "date",
            not -fewest <= number < fewest,
            f"a patch has only {fewest} dates of {modality}, none of number {number}",
            f"give {-fewest} to {fewest - 1}, or a day YYYY-MM-DD",
        )
