"""What experiments on patches share: arguments, data, and the halves of U-TAE."""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from experiments import arguments, common
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.nomenclature import CLASSES, MODALITIES, split_folds
from pastis_jax.data.patch_pipeline import PatchEncoding, frame_capacity
from pastis_jax.data.pipeline import evaluation_batches, training_batches
from pastis_jax.data.prepare_patches import PatchSource, prepare_patches
from pastis_jax.interop import PublishedModel
from pastis_jax.models import LTAE, FrameEncoder, TemporalUNet
from pastis_jax.types import Batch

SIMULATED_CROP = 16
SIZES = {
    "paper": {
        "encoder_widths": (64, 64, 64, 128),
        "decoder_widths": (32, 32, 64, 128),
        "head_widths": (32,),
        "heads": 16,
        "key_features": 4,
        "model_features": 256,
        "aggregation": "att_group",
        "encoder_norm": "group",
    },
    "simulated": {
        "encoder_widths": (16, 16, 32),
        "decoder_widths": (16, 16, 32),
        "head_widths": (16,),
        "heads": 4,
        "key_features": 4,
        "model_features": 64,
        "aggregation": "att_group",
        "encoder_norm": "group",
    },
}


@dataclasses.dataclass(frozen=True)
class Config(arguments.Config):
    """Arguments of experiments on patches."""

    crop: int | None = None
    """Side of the random squares to train on, pixels, 0 for whole patches; an epoch draws as many
    as cover the patches once. Test is on whole patches. Default: 0 with --data, 16 without."""
    flips: bool = False
    """Mirror training patches at random."""
    turns: bool = False
    """Turn training patches by random multiples of 90 degrees."""
    date: int | str | None = None
    """One acquisition of each series only: the closest to YYYY-MM-DD, or number 0, 1, ... (-1: the
    last)."""
    class_mapping: pathlib.Path | None = None
    """JSON file that groups official classes: {"Cereals": ["Corn", 4], "Void": [16]}."""
    encoder_widths: tuple[int, ...] = ()
    """Channels of each stage of the frame encoder, finest first. Default: 64 64 64 128 with --data,
    16 16 32 without."""
    decoder_widths: tuple[int, ...] = ()
    """Channels of each stage of the decoder, finest first; the coarsest is the encoder's. Default:
    32 32 64 128 with --data, 16 16 32 without."""
    head_widths: tuple[int, ...] = ()
    """Channels of the last convolutions, but for the one that gives the logits. Default: 32 with
    --data, 16 without."""
    heads: int | None = None
    """Heads of the temporal attention. Default: 16 with --data, 4 without."""
    key_features: int | None = None
    """Width of its keys. Default: 4."""
    model_features: int | None = None
    """Width inside it. Default: 256 with --data, 64 without."""
    aggregation: Literal["att_group", "att_mean", "mean"] | None = None
    """How the dates of finer stages are reduced: attention by groups of channels (default), mean
    attention, or plain mean."""
    encoder_norm: Literal["group", "batch", "instance"] | None = None
    """Norm of the frame encoder. Default: group."""
    remat: bool = False
    """Compute activations again in the backward pass: less memory, more time."""
    bf16: bool = False
    """Convolutions in bfloat16; norms, attention, loss and metrics stay float32."""
    cache: bool = False
    """Keep every patch in memory once it was read."""
    init_from: pathlib.Path | None = None
    """Published U-TAE weights to start from (model.pth.tar, conf.json beside it); --epochs 0 tests
    them as they are. Needs `--fusion single`."""


def complete(
    config: Config,
    *,
    simulated_epochs: int,
    learning_rate: float | None = None,
    published: PublishedModel | None = None,
) -> Config:
    """Fills in the defaults that depend on other arguments, and on published weights if given.

    Args:
      config: As given.
      simulated_epochs: Default on the simulated set.
      learning_rate: Default; None for that of semantic segmentation.
      published: Weights to start from.

    Raises:
      UserError: If arguments contradict each other or are out of range.
    """
    simulated = config.data is None
    config = arguments.complete(
        config,
        epochs=simulated_epochs if simulated else 100,
        batch_size=4,
        learning_rate=learning_rate or (3e-3 if simulated else 1e-3),
        least_epochs=0 if published else 1,
    )
    sizes = SIZES["simulated" if simulated else "paper"]
    if published is not None:
        theirs = dataclasses.asdict(published.settings)
        sizes = {name: theirs["norm" if name == "encoder_norm" else name] for name in sizes}
        for name, value in sizes.items():
            arguments.refuse(
                (
                    getattr(config, name) not in (None, (), value),
                    "--" + name.replace("_", "-"),
                    f"the weights of {config.init_from} have {value}",
                    "leave it out",
                )
            )
    config = dataclasses.replace(
        config,
        crop=(SIMULATED_CROP if simulated else 0) if config.crop is None else config.crop,
        **{
            name: value if getattr(config, name) in (None, ()) else getattr(config, name)
            for name, value in sizes.items()
        },
    )
    widths = (*config.encoder_widths, *config.decoder_widths, *config.head_widths)
    arguments.refuse(
        (config.crop < 0, "--crop", f"got {config.crop}", "give a side in pixels, 0 for none"),
        (
            len(config.encoder_widths) < 2,
            "--encoder-widths",
            "needs at least two stages",
            "give 64 64 64 128, say",
        ),
        (
            len(config.encoder_widths) != len(config.decoder_widths)
            or config.encoder_widths[-1] != config.decoder_widths[-1],
            "--decoder-widths",
            f"{config.decoder_widths} has other stages or another last width than the encoder's "
            f"{config.encoder_widths}",
            "give as many, the last one equal",
        ),
        (
            not all(
                1 <= width <= 4096
                for width in (*widths, config.key_features, config.model_features, config.heads)
            ),
            "--encoder-widths, --decoder-widths, --head-widths, --heads, --key-features, "
            "--model-features",
            "must be 1 to 4096",
            "give such numbers",
        ),
        (
            config.date is not None and (config.temporal_dropout or config.removed_optical),
            "--date",
            "of a single date none can be dropped",
            "leave out --temporal-dropout and --removed-optical",
        ),
        (
            config.remat and jax.device_count() > 1,
            "--remat",
            "works on one device only so far",
            "leave it out, or show one device",
        ),
        (
            published is not None and config.initialisation != "he",
            "--initialisation",
            "the first weights come from --init-from",
            "leave it out",
        ),
        *(
            (
                any(width % max(1, config.heads) for width in numbers),
                flag,
                f"{numbers} must be divisible by the {config.heads} heads",
                "give such numbers, or other --heads",
            )
            for flag, numbers in (
                ("--encoder-widths", config.encoder_widths),
                ("--model-features", (config.model_features,)),
            )
        ),
        (
            config.encoder_norm == "group" and any(width % 4 for width in config.encoder_widths),
            "--encoder-widths",
            f"{config.encoder_widths} must be divisible by 4, the groups of the norm",
            "give such widths, or another --encoder-norm",
        ),
    )
    if published is not None:
        refuse_weights(config, published)
    return config


def refuse_weights(config: Config, published: PublishedModel) -> None:
    """Refuses published weights for a completed `config` that they do not fit.

    Raises:
      UserError: Naming the flag.
    """
    channels, outputs = len(MODALITIES[config.modalities[0]].channels), len(CLASSES)
    settings = published.settings
    arguments.refuse(
        (
            config.fusion != "single" or config.class_mapping is not None,
            "--init-from",
            "published weights are of one modality and the official classes",
            "add --fusion single, leave out --class-mapping",
        ),
        (
            settings.channels != channels,
            "--init-from",
            f"the weights take {settings.channels} channels, not the {channels} of "
            f"{config.modalities[0]}",
            "name their modality by --modalities",
        ),
        (
            settings.classes != outputs,
            "--init-from",
            f"the weights have {settings.classes} outputs, not {outputs}",
            "give weights of the official classes",
        ),
    )
    if settings.fold not in (None, config.fold):
        common.say(
            f"Note: these weights were trained on the folds of --fold {settings.fold}, which hold "
            f"data that --fold {config.fold} tests on."
        )


@dataclasses.dataclass(frozen=True)
class Data:
    """The patches of a run.

    Attributes:
      root: Their folder.
      classes: Classes of the labels.
      size: Rows and columns ``h w`` of a patch.
      sources: Records of `train`, `val` and `test`.
      encode: How training patches become arrays.
      most_instances: Most parcels of a patch.
      batch_size: Patches in a batch.
      seed: Of the training batches.
    """

    root: pathlib.Path
    classes: ClassMapping
    size: tuple[int, int]
    sources: Mapping[str, PatchSource]
    encode: PatchEncoding
    most_instances: int
    batch_size: int
    seed: int

    def training(self) -> Iterator[Batch]:
        """Endless training batches."""
        return training_batches(
            self.sources["train"], self.encode, batch_size=self.batch_size, seed=self.seed
        )

    def evaluation(self, split: str) -> Iterator[Batch]:
        """Batches of the whole patches of `split`, each once."""
        return evaluation_batches(
            self.sources[split], self.encode.for_evaluation(), batch_size=self.batch_size
        )

    def picture(self, record: Mapping[str, Any], modality: str) -> np.ndarray:
        """One image ``h w c`` of a record in the stored unit: the median over the dates in use.

        Of many dates, it shows neither clouds nor speckle.
        """
        values, days = record[modality]["values"], record[modality]["days"]
        chosen = values[np.asarray(self.encode.acquisitions(modality, days, record["patch"]))]
        return np.median(chosen, axis=0).transpose(1, 2, 0).astype(np.float32)

    @property
    def steps_per_epoch(self) -> int:
        """Batches that cover the training patches once, in area."""
        crop = self.encode.crop
        covering = 1 if crop is None else math.prod(self.size) / crop**2
        return max(1, round(covering * len(self.sources["train"]) / self.batch_size))


def load(config: Config, *, instances: bool = False) -> Data:
    """Finds, checks and opens the patches of a completed `config`.

    Args:
      config: Completed.
      instances: Whether batches have panoptic targets too.

    Raises:
      UserError: For every mistake in the data, or a `config` that does not fit them.
    """
    classes = ClassMapping.official()
    if config.class_mapping is not None:
        classes = ClassMapping.read(config.class_mapping)
    root = config.data or common.simulated_patches(config.cache_dir)
    prepared = prepare_patches(
        root,
        modalities=config.modalities,
        cache=config.cache_dir,
        compute_statistics=config.compute_statistics,
    )
    folds = split_folds(config.fold)
    sources = {
        split: prepared.source(ids, in_memory=config.cache, instances=instances)
        for split, ids in folds.items()
    }
    encode = PatchEncoding(
        lengths={m: prepared.lengths[m] for m in config.modalities},
        statistics=prepared.statistics(folds["train"]),
        size=prepared.size,
        crop=config.crop or None,
        flips=config.flips,
        turns=config.turns,
        date=config.date,
        classes=classes,
        instances=prepared.most_instances if instances else None,
    )
    side, least = config.crop or min(prepared.size), 2 ** (len(config.encoder_widths) - 1) + 1
    arguments.refuse(
        (
            side < least,
            "--crop" if config.crop else "--encoder-widths",
            f"{len(config.encoder_widths)} stages need {least} pixels, the images have {side}",
            "give larger crops or fewer stages",
        )
    )
    for modality in config.modalities:
        fewest = min(int(source.dates[modality].min()) for source in sources.values())
        number = config.date if isinstance(config.date, int) else 0
        arguments.refuse(
            (
                not -fewest <= number < fewest,
                "--date",
                f"a patch has only {fewest} dates of {modality}, none of number {number}",
                f"give {-fewest} to {fewest - 1}, or a day YYYY-MM-DD",
            )
        )
    common.say_sources(sources, folds, root, "patches")
    if config.cache:
        total = sum(source.nbytes for source in sources.values())
        common.say(f"--cache: up to {total / 1e9:.1f} GB of patches will be kept in memory.")
    return Data(
        root=root,
        classes=classes,
        size=prepared.size,
        sources=sources,
        encode=encode,
        most_instances=prepared.most_instances,
        batch_size=config.batch_size,
        seed=config.seed,
    )


def capacity(
    config: Config, sources: Sequence[PatchSource], rates: Mapping[str, float]
) -> dict[str, int | None]:
    """Most valid frames in a batch of any of `sources`, by modality; None on several devices.

    There the frames are spread over the devices and stay where they are.

    Args:
      config: Completed.
      sources: Where batches come from.
      rates: Of temporal dropout, by modality.
    """

    def most(modality):
        dates = [s.dates[modality] if config.date is None else np.ones(len(s)) for s in sources]
        kept = 1 - rates.get(modality, 0.0)
        return max(frame_capacity(one, config.batch_size, kept) for one in dates)

    return {m: most(m) if jax.device_count() == 1 else None for m in config.modalities}


def build_halves(
    config: Config, capacity: Mapping[str, int | None]
) -> tuple[Callable[[str], FrameEncoder], Callable[[], TemporalUNet]]:
    """Returns what makes the spatial half of U-TAE for a modality, and the temporal half.

    Args:
      config: Sizes; completed.
      capacity: Room for valid frames by modality.
    """
    ltae = functools.partial(
        LTAE,
        model_features=config.model_features,
        heads=config.heads,
        key_features=config.key_features,
    )

    def spatial(modality: str) -> FrameEncoder:
        return FrameEncoder(
            config.encoder_widths,
            config.encoder_norm,
            capacity.get(modality),
            remat=config.remat,
            dtype=dtype(config),
        )

    def temporal() -> TemporalUNet:
        return TemporalUNet(
            config.decoder_widths,
            config.aggregation,
            ltae,
            remat=config.remat,
            dtype=dtype(config),
        )

    return spatial, temporal


def dtype(config: Config) -> DTypeLike:
    """Type of the convolutions."""
    return jnp.bfloat16 if config.bf16 else jnp.float32
