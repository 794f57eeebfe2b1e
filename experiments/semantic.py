"""Semantic segmentation with U-TAE (paper, section 4.4, Table 2).

    python -m experiments.semantic --fusion late         # simulated data, minutes on a CPU
    python -m experiments.semantic --fusion early --temporal-dropout --data FOLDER

Simulated set, two CPU cores, late fusion: test mIoU about 0.5 in four minutes, and one more to
simulate the first time. Paper, five folds, mIoU base / temporal dropout / auxiliary too: S2 63.1 /
63.6 / -, S1D 54.9 / 54.7 / -, S1A 53.8 / 53.3 / -, early 64.9 / 65.8 / -, late - / 65.8 / 66.3,
decision - / 64.7 / 64.3. Without temporal dropout, late and decision fusion did not fit in 32 GB;
--remat needs 13 (docs/performance.md).
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax import linen as nn

from experiments import arguments, common, components, patch_arguments, patches, supervised
from pastis_jax import training, viz
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.interop import PublishedModel, load_utae
from pastis_jax.losses import supervised_loss
from pastis_jax.metrics import ConfusionMatrix
from pastis_jax.models import ConvDecoder
from pastis_jax.types import Batch, Prediction

SIMULATED_EPOCHS, PANEL_PATCHES = 3, 4
LESS_MEMORY = "lower --batch-size, add --accumulate or --remat, or give a smaller --crop"


@dataclasses.dataclass(frozen=True)
class Config(patch_arguments.Config):
    """Segment patches into crops from Sentinel-2 and both orbits of Sentinel-1.

    Without --data, a small PASTIS-R is simulated (once, kept in the cache) and a narrow model is
    trained on crops, in minutes on two CPU cores. With --data, the official patch folder is checked
    on first use and the paper's protocol is the default: 100 epochs of 4 whole patches a step.
    """

    components: bool = False
    """Also score the connected components of each class as parcels, as experiments.panoptic scores
    its own: what a panoptic model has to beat."""


def run(config: Config) -> dict[str, Any]:
    """Trains and tests as `config` says; returns the content of result.json.

    Raises:
      UserError: For every mistake in the configuration or the data.
    """
    started = time.perf_counter()
    arguments.connect(config)
    published = None
    if config.init_from is not None:
        published = load_utae(config.init_from, modality=next(iter(config.modalities), "S2"))
    config = complete(config, published)
    folder = common.open_folder(config, "semantic")
    return common.run_in(folder, lambda: train_and_test(config, published, folder, started))


def complete(config: Config, published: PublishedModel | None = None) -> Config:
    """Fills in the defaults that depend on other arguments, and on published weights if given.

    Raises:
      UserError: If arguments contradict each other or are out of range.
    """
    return patch_arguments.complete(config, simulated_epochs=SIMULATED_EPOCHS, published=published)


def train_and_test(
    config: Config,
    published: PublishedModel | None,
    folder: training.RunFolder,
    started: float,
) -> dict[str, Any]:
    """Trains and tests as the completed `config` says; returns the content of result.json.

    Args:
      config: Completed.
      published: Weights to start from.
      folder: Folder of the run.
      started: `time.perf_counter()` at the start of the run.
    """
    # Data
    parcels = patches.load(config, instances=config.components)
    # The model itself is not given the parcels.
    data = dataclasses.replace(parcels, encode=dataclasses.replace(parcels.encode, instances=None))
    classes, sources = data.classes, data.sources

    # Model: room for the frames of its batches
    rates = arguments.dropout_rates(config)
    trained = patches.capacity(config, [sources["train"]], rates, train=True)
    tested = patches.tested_capacity(config, data)
    model = functools.partial(build_model, config, len(classes.names))
    reporting = model({})  # On one device alone, whatever the batches.

    def more(state):
        if not config.components:
            return {}
        predict = make_predict(reporting, state.variables, len(classes.names))
        return {"test_components": components.score(predict, parcels)}

    # Training, selection on validation, test
    result, state = supervised.train_and_test(
        config,
        make_task(classes),
        model=model(trained),
        evaluation_model=model(tested),
        data=data,
        folder=folder,
        started=started,
        variables=None if published is None else published.variables,
        most=patches.most_frames(config, [sources["train"]], rates, train=True),
        more=more,
    )

    # Report
    if training.is_main():
        some = next(data.alone("test", PANEL_PATCHES))
        predict = make_predict(reporting, state.variables, len(classes.names))
        viz.segmentation_panel(
            panel_rows(data, some, predict(some)),
            classes.names,
            classes.colours,
            folder.path / "panel.png",
            title=result["title"],
        )
    return result


def restore(config: Config, result: Mapping[str, Any]) -> supervised.Parts:
    """What the model of a finished run is tested with."""
    data = patches.load(config)
    k = len(data.classes.names)
    model = build_model(config, k, patches.tested_capacity(config, data))

    def output(prediction: Prediction) -> jax.Array:
        return predicted_class(prediction.output, k)

    return supervised.Parts(make_task(data.classes), data, model, output)


def build_model(config: Config, classes: int, capacity: Mapping[str, int | None]) -> nn.Module:
    """Builds the fusion scheme of a completed `config` from the halves of U-TAE.

    Args:
      config: Scheme and sizes.
      classes: Number of classes without void, which has an output too, as published; it is never
        a target nor predicted.
      capacity: Room for valid frames by modality.
    """
    spatial, temporal = patches.build_halves(config, capacity)
    return supervised.build_scheme(
        config,
        spatial=spatial,
        temporal=temporal,
        decoder=lambda: ConvDecoder(
            classes + 1, config.head_widths, patches.dtype(config), arguments.axis_name(config)
        ),
    )


def make_task(classes: ClassMapping) -> supervised.Task:
    """Loss and metric over the pixels that are not void."""
    k = len(classes.names)

    def counted(batch: Batch):
        return (batch.label != classes.void) & batch.real[:, None, None]

    def metric(prediction: Prediction, batch: Batch) -> ConfusionMatrix:
        predicted = predicted_class(prediction.output, k)
        return ConfusionMatrix.from_batch(batch.label, predicted, counted(batch), classes=k)

    return supervised.Task(
        name="semantic",
        title="Semantic segmentation",
        samples="patches",
        classes=classes.names,
        colours=classes.colours,
        loss=lambda prediction, batch: supervised_loss(prediction, batch.label, counted(batch)),
        metric=metric,
        empty=functools.partial(ConfusionMatrix.empty, k),
    )


def make_predict(
    model: nn.Module, variables: Mapping[str, Any], classes: int
) -> Callable[[Batch], jax.Array]:
    """Returns what predicts the class of each pixel ``b h w`` of a batch, on one device alone."""

    @jax.jit
    def predict(variables, series):
        return predicted_class(model.apply(variables, series).output, classes)

    variables = jax.device_get(variables)
    return lambda batch: predict(variables, batch.series)


def predicted_class(logits: jax.Array, classes: int) -> jax.Array:
    """Most probable class of each pixel, void left out."""
    return jnp.argmax(logits[..., :classes], -1)


def panel_rows(data: patches.Data, batch: Batch, predicted: jax.Array) -> list[viz.PanelRow]:
    """Pictures, prediction and truth of the first test patches, whose batch is `batch`."""
    rows = []
    for i in range(min(PANEL_PATCHES, int(batch.real.sum()))):
        record = data.sources["test"][i]
        middle = {m: data.picture(record, m) for m in data.encode.lengths}
        radar = [m for m in middle if m != "S2"][:1]
        rows.append(
            viz.PanelRow(
                title=f"patch {record['patch']}",
                pictures={
                    m: viz.picture(middle[m], PASTIS_R[m]) for m in ("S2", *radar) if m in middle
                },
                predicted=np.asarray(predicted[i]),
                truth=np.asarray(batch.label[i]),
            )
        )
    return rows


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parse = functools.partial(tyro.cli, Config, prog="python -m experiments.semantic", args=argv)
    config = parse()
    common.command(lambda: run(config), less_memory=LESS_MEMORY)


if __name__ == "__main__":
    main()
