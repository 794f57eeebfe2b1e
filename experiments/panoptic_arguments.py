"""Arguments of panoptic segmentation."""

from __future__ import annotations

import dataclasses
import math
import pathlib

from experiments import arguments, patch_arguments
from pastis_jax.interop import PublishedPanopticModel

SIMULATED_EPOCHS, SIMULATED_CROP = 20, 32
SIMULATED_DECODER = (32, 32, 32)


@dataclasses.dataclass(frozen=True)
class Config(patch_arguments.Config):
    """Find the parcels of patches, and the crop of each, from Sentinel-2 and Sentinel-1.

    Without --data, a small PASTIS-R is simulated (once, kept in the cache) and a narrow model is
    trained on crops, in minutes on two CPU cores. With --data, the official patch folder is checked
    on first use and the paper's protocol is the default: 100 epochs of 4 whole patches a step, at a
    learning rate of 0.01 and, from half of them on, 0.001.
    """

    crop: int | None = None
    """Side of the random squares to train on, pixels, 0 for whole patches; an epoch draws as many
    as cover the patches once. Test is on whole patches. Default: 0 with --data, 32 without."""
    shape_size: int | None = None
    """Side of the predicted shapes. Default: 16."""
    mask_conv: bool = True
    """Refine masks by three convolutions; with --init-from, where the weights do."""
    loss_weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    """Weights of the losses of centerness, size, shape and class."""
    warmup: int | None = None
    """First epochs that train the centerness alone. Default: 5 with --data, 1 without, 0 with
    --init-from."""
    min_confidence: float | None = None
    """Confidence below which instances are left out. Default: what is best on the validation
    folds, tuned after each epoch; that of the weights with --init-from and --epochs 0."""
    min_remain: float | None = None
    """Share of a mask that must not overlap more confident ones. Default: 0.5."""
    mask_threshold: float | None = None
    """Probability above which a pixel belongs to a mask. Default: 0.4."""
    max_instances: int = 256
    """Most parcels to find in a patch; the most confident are kept."""
    init_from: pathlib.Path | None = None
    """Published panoptic weights to start from (model.pth.tar, conf.json beside it), with their
    sizes and thresholds; --epochs 0 tests them as they are. Needs `--fusion single`."""
    legacy_void: bool = False
    """Score by the rule for void parcels that the paper's figures were made with."""


def complete(config: Config, published: PublishedPanopticModel | None = None) -> Config:
    """Fills in the defaults that depend on other arguments, and on published weights if given.

    Raises:
      UserError: If arguments contradict each other or are out of range.
    """
    arguments.refuse(
        (bool(config.head_widths), "--head-widths", "PaPs has widths of its own", "leave it out")
    )
    simulated = config.data is None
    if simulated and config.crop is None:
        config = dataclasses.replace(config, crop=SIMULATED_CROP)
    if simulated and published is None and not (config.encoder_widths or config.decoder_widths):
        config = dataclasses.replace(config, decoder_widths=SIMULATED_DECODER)
    config = patch_arguments.complete(
        config,
        simulated_epochs=SIMULATED_EPOCHS,
        learning_rate=2e-2 if simulated else 1e-2,
        schedule="cosine" if simulated else "step",
        published=published,
    )
    defaults = {"shape_size": 16, "min_remain": 0.5, "mask_threshold": 0.4}
    defaults["warmup"] = 1 if simulated else 5
    if published is not None:
        decoder = published.model.decoder
        arguments.refuse(
            (
                config.shape_size not in (None, decoder.shape_size)
                or (decoder.mask_conv and not config.mask_conv),
                "--shape-size, --mask-conv",
                f"the weights of {config.init_from} have shapes of side {decoder.shape_size} and "
                f"{'' if decoder.mask_conv else 'no '}mask convolutions",
                "leave it out",
            )
        )
        config = dataclasses.replace(config, mask_conv=decoder.mask_conv)
        defaults |= {
            "shape_size": decoder.shape_size,
            "mask_threshold": decoder.mask_threshold,
            "min_remain": published.min_remain,
            "warmup": 0,
        }
        if config.epochs == 0:
            defaults["min_confidence"] = published.min_confidence
    given = {name: getattr(config, name) for name in defaults}
    config = dataclasses.replace(
        config, **{k: defaults[k] if v is None else v for k, v in given.items()}
    )
    config = dataclasses.replace(config, warmup=min(config.warmup, max(0, config.epochs - 1)))
    arguments.refuse(
        (
            config.fusion == "decision",
            "--fusion",
            "decisions of panoptic models cannot be averaged: their parcels differ",
            "choose single, early, mid or late",
        ),
        (
            config.auxiliary or bool(config.removed_optical),
            "--auxiliary, --removed-optical",
            "not for panoptic segmentation",
            "leave it out",
        ),
        (
            config.accumulate > 1,
            "--accumulate",
            "the losses of PaPs are means over the parcels of a whole batch",
            "leave it out; --remat saves memory too",
        ),
        (
            not all(0 <= weight < math.inf for weight in config.loss_weights)
            or not any(config.loss_weights),
            "--loss-weights",
            "must be 0 or more, and not all 0",
            "give 1 1 1 1, say",
        ),
        (config.warmup < 0, "--warmup", "must be at least 0", "give 5, say"),
        *(
            (not 0 <= value <= 1, flag, "must be 0 to 1", "give such a number")
            for flag, value in (
                ("--min-confidence", config.min_confidence or 0.0),
                ("--min-remain", config.min_remain),
                ("--mask-threshold", config.mask_threshold),
            )
        ),
        *(
            (not 1 <= value <= most, flag, f"must be 1 to {most}", "give such a number")
            for flag, value, most in (
                ("--shape-size", config.shape_size, 256),
                ("--max-instances", config.max_instances, 65536),
            )
        ),
    )
    return config
