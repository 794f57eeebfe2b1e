"""Panoptic segmentation with U-TAE and PaPs (paper, section 4.5, Table 3).

    python -m experiments.panoptic --fusion early        # simulated data, minutes on a CPU
    python -m experiments.panoptic --fusion late --temporal-dropout --data FOLDER

Paper, five folds, SQ / RQ / PQ: S2 81.3 / 49.2 / 40.4, S1D 77.0 / 39.3 / 30.9, S1A 77.4 / 38.8 /
30.6, early 82.2 / 50.6 / 42.0, late 81.6 / 50.5 / 41.6. They predate a correction of the rule for
void parcels; --legacy-void scores by the earlier rule.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax import linen as nn

from experiments import arguments, common, patches, supervised
from experiments.panoptic_arguments import Config, complete
from experiments.paper import pooled
from pastis_jax import training, viz
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.interop import PublishedPanopticModel, load_paps
from pastis_jax.models import PaPs
from pastis_jax.panoptic import ConfidenceTuning, PanopticLoss, panoptic_map, paps_loss
from pastis_jax.panoptic.metric import PanopticQuality
from pastis_jax.types import Batch, PanopticMap, Prediction

PANEL_PATCHES = 4
LESS_MEMORY = "lower --batch-size, add --remat, or give a smaller --crop"


def run(config: Config) -> dict[str, Any]:
    """Trains and tests as `config` says; returns the content of result.json.

    Raises:
      UserError: For every mistake in the configuration or the data.
    """
    started = time.perf_counter()
    arguments.connect(config)
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
    classes, sources = data.classes, data.sources
    placement = arguments.evaluation_placement(config)

    # Model: room for the frames of its batches
    rates = arguments.dropout_rates(config)
    trained_frames = patches.capacity(config, [sources["train"]], rates, train=True)
    tested_frames = patches.tested_capacity(config, data)
    model = functools.partial(build_model, config, len(classes.names))
    evaluation_model = model(tested_frames)
    task = make_task(config, classes)

    # Validation: which confidence is best, then the panoptic quality at it
    parts = {"model": evaluation_model, "loss": task.loss, "placement": placement}
    tuning_step = training.make_evaluation_step(**parts, metric=tuning)
    quality_step = training.make_evaluation_step(**parts, metric=make_quality(config, data))

    def evaluate(state, split, step, empty, **context):
        return training.evaluate(
            state,
            data.evaluation(split),
            step=step,
            empty=lambda: training.EpochMetrics.empty(empty(), data.evaluation_size),
            placement=placement,
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
        data=data,
        validate=validate,
        folder=folder,
        started=started,
        variables=None if published is None else published.variables,
        most=patches.most_frames(config, [sources["train"]], rates, train=True),
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
        "counts": pooled.counts(test.metrics.task),
    }
    if training.is_main():
        supervised.draw_curves(config, trained, task)
        names, colours = classes.names, classes.colours
        viz.pq_per_class(test.scores["per_class"], names, colours, folder.path / "pq_per_class.png")
        some = next(data.alone("test", PANEL_PATCHES))
        # On one device alone, whatever the batches.
        predict = make_predict(config, model({}), state.variables, least)
        rows = panel_rows(data, some, *predict(some))
        viz.panoptic_panel(rows, names, colours, folder.path / "panel.png", title=result["title"])
    return result


def restore(config: Config, result: Mapping[str, Any]) -> supervised.Parts:
    """What the model of a finished run is tested with: at the confidence it was tested at."""
    data = patches.load(config, instances=True)
    names = data.classes.names
    return supervised.Parts(
        make_task(config, data.classes),
        data,
        build_model(config, len(names), patches.tested_capacity(config, data)),
        make_output(config),
        metric=make_quality(config, data),
        empty=functools.partial(PanopticQuality.empty, len(names)),
        context={"min_confidence": jnp.float32(result["min_confidence"])},
    )


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
            axis_name=arguments.axis_name(config),
        ),
    )


def make_task(config: Config, classes: ClassMapping) -> supervised.Task:
    """The PaPs loss; its parts are what training logs."""
    axis_name = arguments.axis_name(config)
    weights = dict(zip(("center", "size", "shape", "label"), config.loss_weights, strict=True))

    def parts(prediction: Prediction, batch: Batch) -> PanopticLoss:
        counted = batch.real & prediction.valid
        return paps_loss(prediction.logits, batch.panoptic, counted, void=classes.void)

    def loss(prediction: Prediction, batch: Batch) -> tuple[jax.Array, jax.Array]:
        # Each part is a mean over the whole batch's pixels or instances: one value for all.
        whole = training.sum_over(parts(prediction, batch), axis_name)
        total, real = whole.total(weights), batch.real.astype(jnp.float32)
        return jnp.broadcast_to(total, real.shape), real

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


def make_predict(
    config: Config, model: nn.Module, variables: Mapping[str, Any], min_confidence: float
) -> Callable[[Batch], tuple[Prediction, PanopticMap]]:
    """Returns what predicts the instances of a batch, and lays them on a map, on one device alone.

    Args:
      config: Completed.
      model: The scheme.
      variables: Its weights.
      min_confidence: Confidence below which instances are left out.
    """

    @jax.jit
    def predict(variables, series):
        prediction = model.apply(variables, series)
        return prediction, panoptic_map(
            prediction.logits, min_confidence=min_confidence, min_remain=config.min_remain
        )

    variables = jax.device_get(variables)
    return lambda batch: predict(variables, batch.series)


def tuning(prediction: Prediction, batch: Batch) -> ConfidenceTuning:
    """How well masks fit, by confidence."""
    return ConfidenceTuning.from_batch(prediction.logits, batch.real & prediction.valid)


def make_output(config: Config) -> Callable[..., PanopticMap]:
    """Returns what lays a prediction on a map, at a least confidence."""

    def output(prediction: Prediction, *, min_confidence: jax.Array) -> PanopticMap:
        return panoptic_map(
            prediction.logits, min_confidence=min_confidence, min_remain=config.min_remain
        )

    return output


def make_quality(config: Config, data: patches.Data) -> Callable[..., PanopticQuality]:
    """Returns what computes the panoptic quality of a batch, at a least confidence."""
    output = make_output(config)

    def quality(
        prediction: Prediction, batch: Batch, *, min_confidence: jax.Array
    ) -> PanopticQuality:
        found = output(prediction, min_confidence=min_confidence)
        return PanopticQuality.from_batch(
            found.instances,
            found.semantic,
            batch.panoptic.instances,
            batch.label,
            batch.real,
            classes=len(data.classes.names),
            most_predicted=config.max_instances,
            most_true=data.most_instances,
            legacy_void=config.legacy_void,
        )

    return quality


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
        optical = [m for m in data.encode.lengths if m == "S2"]
        rows.append(
            viz.PanopticRow(
                title=f"patch {record['patch']}",
                pictures={m: viz.picture(data.picture(record, m), PASTIS_R[m]) for m in optical},
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
    common.command(lambda: run(config), less_memory=LESS_MEMORY)


if __name__ == "__main__":
    main()
