"""Panoptic segmentation with U-TAE and PaPs (paper, section 4.5, Table 3).

    python -m experiments.panoptic --fusion early        # simulated data, minutes on a CPU
    python -m experiments.panoptic --fusion late --temporal-dropout --data FOLDER

Paper, five folds, SQ / RQ / PQ: S2 81.3 / 49.2 / 40.4, S1D 77.0 / 39.3 / 30.9, S1A 77.4 / 38.8 /
30.6, early 82.2 / 50.6 / 42.0, late 81.6 / 50.5 / 41.6. They predate a correction of the rule for
void parcels; --legacy-void scores by the earlier rule.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax import linen as nn

from experiments import arguments, common, patch_arguments, patches, supervised
from pastis_jax import training, viz
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.interop import PublishedPanopticModel, load_paps
from pastis_jax.models import PaPs
from pastis_jax.panoptic import ConfidenceTuning, PanopticLoss, panoptic_map, paps_loss
from pastis_jax.panoptic.metric import PanopticQuality
from pastis_jax.types import Batch, PanopticMap, Prediction

SIMULATED_EPOCHS, SIMULATED_CROP, PANEL_PATCHES = 16, 32, 4


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


def run(config: Config) -> dict[str, Any]:
    """Trains and tests as `config` says; returns the content of result.json.

    Raises:
      UserError: For every mistake in the configuration or the data.
    """
    started = time.perf_counter()
    published = None
    if config.init_from is not None:
        published = load_paps(config.init_from, modality=next(iter(config.modalities), "S2"))
    config = complete(config, published)
    folder = common.open_folder(config, "panoptic")
    train = functools.partial(train_and_test, config, published, folder, started)
    return common.run_in(folder, train, scores=("PQ", "SQ", "RQ"), per_class="PQ")


def train_and_test(
    config: Config,
    published: PublishedPanopticModel | None,
    folder: training.RunFolder,
    started: float,
) -> dict[str, Any]:
    """Trains and tests as the completed `config` says, in `folder`, since `started`.

    Returns the content of result.json.
    """
    # Data
    data = patches.load(config, instances=True)
    classes, sources, mesh = data.classes, data.sources, training.data_mesh()

    # Model: room for the frames of its batches
    rates = arguments.dropout_rates(config)
    trained_frames = patches.capacity(config, [sources["train"]], rates)
    tested_frames = patches.capacity(config, [sources["val"], sources["test"]], {})
    model = functools.partial(build_model, config, len(classes.names))
    evaluation_model = model(tested_frames)
    task = make_task(classes)

    # Validation: which confidence is best, then the panoptic quality at it
    parts = {"model": evaluation_model, "loss": task.loss, "mesh": mesh}
    tuning_step = training.make_evaluation_step(**parts, metric=tuning)
    quality_step = training.make_evaluation_step(
        **parts, metric=functools.partial(quality, config, classes, data.most_instances)
    )

    def evaluate(state, split, step, empty, **context):
        return training.evaluate(
            state,
            data.evaluation(split),
            step=step,
            empty=lambda: training.EpochMetrics.empty(empty(), config.batch_size),
            mesh=mesh,
            context=context,
        )

    def score(state, split, min_confidence):
        context = {"min_confidence": jnp.float32(min_confidence)}
        empty = functools.partial(PanopticQuality.empty, len(classes.names))
        return evaluate(state, split, quality_step, empty, **context)

    def validate(state):
        least = config.min_confidence
        if least is None:
            tuned = evaluate(state, "val", tuning_step, ConfidenceTuning.empty)
            least = tuned.scores["min_confidence"]
        outcome = score(state, "val", least)
        outcome.scores["min_confidence"] = least
        return outcome

    # Training, selection on validation, test
    trained = supervised.train(
        config,
        task,
        model=model(trained_frames),
        any_batch=next(data.evaluation("val")),
        batches=data.training(),
        validate=validate,
        steps_per_epoch=data.steps_per_epoch,
        folder=folder,
        started=started,
        variables=None if published is None else published.variables,
        most=trained_frames,
        warmup=config.warmup,
        warmup_model=model(trained_frames, heatmap_only=True),
    )
    state, best = trained.fit.state, trained.fit.best
    least = best.scores["min_confidence"]
    test = score(state, "test", least)

    # Report
    result = {
        **supervised.facts(config, task, trained, test, root=data.root, started=started),
        "test": summary(test, classes),
        "val": summary(best, classes),
        "min_confidence": least,
    }
    supervised.draw_curves(config, trained, task)
    per_class = test.scores["per_class"]
    viz.pq_per_class(per_class, classes.names, classes.colours, folder.path / "pq_per_class.png")
    some = next(data.evaluation("test"))
    found = jax.jit(evaluation_model.apply)(state.variables, some.series)
    on_map = panoptic_map(found.logits, min_confidence=least, min_remain=config.min_remain)
    viz.panoptic_panel(
        panel_rows(data, some, found, on_map),
        classes.names,
        classes.colours,
        folder.path / "panel.png",
        title=result["title"],
    )
    return result


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


def build_model(
    config: Config,
    classes: int,
    capacity: Mapping[str, int | None],
    *,
    heatmap_only: bool = False,
) -> nn.Module:
    """Builds the fusion scheme of a completed `config` from the halves of U-TAE and PaPs.

    Args:
      config: Scheme and sizes.
      classes: Number of classes without void.
      capacity: Room for valid frames by modality.
      heatmap_only: Whether it is for the warm-up.
    """
    spatial, temporal = patches.build_halves(config, capacity)
    return supervised.build_scheme(
        config,
        spatial=spatial,
        temporal=temporal,
        decoder=lambda: PaPs(
            classes=classes + 1,
            max_instances=config.max_instances,
            shape_size=config.shape_size,
            mask_conv=config.mask_conv,
            mask_threshold=config.mask_threshold,
            heatmap_only=heatmap_only,
            dtype=patches.dtype(config),
        ),
    )


def make_task(classes: ClassMapping) -> supervised.Task:
    """The PaPs loss; its parts are what training logs."""

    def parts(prediction: Prediction, batch: Batch) -> PanopticLoss:
        counted = batch.real & prediction.valid
        return paps_loss(prediction.logits, batch.panoptic, counted, void=classes.void)

    def loss(prediction: Prediction, batch: Batch) -> tuple[jax.Array, jax.Array]:
        # Each part is a mean over the whole batch's pixels or instances: one value for all.
        total = parts(prediction, batch).total()
        weights = batch.real.astype(jnp.float32)
        return jnp.broadcast_to(total, weights.shape), weights

    return supervised.Task(
        name="panoptic",
        title="Panoptic segmentation",
        samples="patches",
        classes=classes.names,
        colours=classes.colours,
        loss=loss,
        metric=parts,
        empty=PanopticLoss.empty,
        score="PQ",
    )


def tuning(prediction: Prediction, batch: Batch) -> ConfidenceTuning:
    """How well masks fit, by confidence."""
    return ConfidenceTuning.from_batch(prediction.logits, batch.real & prediction.valid)


def quality(
    config: Config,
    classes: ClassMapping,
    most_instances: int,
    prediction: Prediction,
    batch: Batch,
    *,
    min_confidence: jax.Array,
) -> PanopticQuality:
    """Panoptic quality of a batch."""
    found = panoptic_map(
        prediction.logits, min_confidence=min_confidence, min_remain=config.min_remain
    )
    return PanopticQuality.from_batch(
        found.instances,
        found.semantic,
        batch.panoptic.instances,
        batch.label,
        batch.real,
        classes=len(classes.names),
        most_predicted=config.max_instances,
        most_true=most_instances,
        legacy_void=config.legacy_void,
    )


def summary(outcome: training.Outcome, classes: ClassMapping) -> dict[str, Any]:
    """Scores for result.json."""
    scores = outcome.scores
    return {
        **{name: scores[name] for name in ("PQ", "SQ", "RQ", "loss")},
        "per_class": {
            name: {kind: values[i] for kind, values in scores["per_class"].items()}
            for i, name in enumerate(classes.names)
        },
    }


def panel_rows(
    data: patches.Data, batch: Batch, prediction: Prediction, found: PanopticMap
) -> list[viz.PanopticRow]:
    """Picture, centerness, prediction and truth of the first patches, whose batch is `batch`."""
    rows = []
    for i in range(min(PANEL_PATCHES, int(batch.real.sum()))):
        record = data.sources["test"][i]
        optical = "S2" in data.encode.lengths
        rows.append(
            viz.PanopticRow(
                title=f"patch {record['patch']}",
                rgb=viz.rgb(data.picture(record, "S2")) if optical else None,
                heatmap=np.asarray(prediction.logits.heatmap[i]),
                centres=np.argwhere(batch.panoptic.heatmap[i] == 1),
                predicted=np.asarray(found.instances[i]),
                predicted_class=np.asarray(found.semantic[i]),
                truth=np.asarray(batch.panoptic.instances[i]),
                true_class=np.asarray(batch.label[i]),
            )
        )
    return rows


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parse = functools.partial(tyro.cli, Config, prog="python -m experiments.panoptic", args=argv)
    config = parse()
    common.command(lambda: run(config))


if __name__ == "__main__":
    main()
