"""Arguments of experiments on patches."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Literal

from experiments import arguments, common
from pastis_jax import training
from pastis_jax.data.nomenclature import CLASSES, MODALITIES
from pastis_jax.interop import PublishedModel, PublishedPanopticModel

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
    32 32 64 128 with --data, 16 16 32 without (panoptic 32 32 32)."""
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
    schedule: training.Schedule = "constant",
    published: PublishedModel | PublishedPanopticModel | None = None,
) -> Config:
    """Fills in the defaults that depend on other arguments, and on published weights if given.

    Args:
      config: As given.
      simulated_epochs: Default on the simulated set.
      learning_rate: Default; None for that of semantic segmentation.
      schedule: Default.
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
        schedule=schedule,
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


def refuse_weights(config: Config, published: PublishedModel | PublishedPanopticModel) -> None:
    """Refuses published weights for a completed `config` that they do not fit.

    Raises:
      UserError: Naming the flag.
    """
    channels, outputs = len(MODALITIES[config.modalities[0]].channels), len(CLASSES)
    settings, classes = published.settings, published.model.decoder.classes
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
            classes != outputs,
            "--init-from",
            f"the weights have {classes} outputs, not {outputs}",
            "give weights of the official classes",
        ),
    )
    if settings.fold not in (None, config.fold):
        common.say(
            f"Note: these weights were trained on the folds of --fold {settings.fold}, which hold "
            f"data that --fold {config.fold} tests on."
        )
