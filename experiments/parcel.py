"""Parcel classification with PSE + L-TAE (paper, section 4.3, Table 1).

    python -m experiments.parcel --fusion mid            # simulated data, minutes on a CPU
    python -m experiments.parcel --fusion late --temporal-dropout --auxiliary --data FOLDER

Simulated set, two CPU cores, mid fusion: test mIoU about 0.8 in three minutes, and half a minute to
simulate the first time. Paper, five folds, mIoU base / with both enhancements: S2 73.9, S1D 64.5,
S1A 63.3, early 74.9 (76.5 with temporal dropout), mid 75.1 / 76.5, late 73.0 / 77.2,
decision 72.5 / 75.8.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from flax import linen as nn

from experiments import arguments, common, datasets, supervised
from pastis_jax import training
from pastis_jax.data.nomenclature import CROPS, split_folds
from pastis_jax.data.pipeline import PixelSetEncoding
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets
from pastis_jax.losses import supervised_loss
from pastis_jax.metrics import ConfusionMatrix
from pastis_jax.models import LTAE, MLPDecoder, PixelSetEncoder
from pastis_jax.types import Batch, Prediction

NAMES = [crop.name for crop in CROPS]
SIMULATED_EPOCHS, SIMULATED_BATCH = 12, 32
LESS_MEMORY = "lower --batch-size or add --accumulate"


@dataclasses.dataclass(frozen=True)
class Config(arguments.Config):
    """Classify the crop of each parcel from Sentinel-2 and both orbits of Sentinel-1.

    Without --data, a small PASTIS-R is simulated (once, kept in the cache) and a good model is
    trained in minutes on two CPU cores. With --data, the official pixel-set folder is prepared on
    first use and the paper's protocol is the default: 100 epochs of 128 parcels a step.
    """

    geometric: bool = False
    """Join four features of the parcel's outline before the encoder's second MLP."""
    pixels: int = 32
    """Pixels drawn of each parcel."""


def run(config: Config) -> dict[str, Any]:
    """Trains and tests as `config` says; returns the content of result.json.

    Raises:
      UserError: For every mistake in the configuration or the data.
    """
    started = time.perf_counter()
    arguments.connect(config)
    config = complete(config)
    folder = common.open_folder(config, TASK.name)
    return common.run_in(folder, lambda: train_and_test(config, folder, started))


def train_and_test(config: Config, folder: training.RunFolder, started: float) -> dict[str, Any]:
    """Trains and tests as the completed `config` says; returns the content of result.json.

    Args:
      config: Completed.
      folder: Folder of the run.
      started: `time.perf_counter()` at the start of the run.
    """
    data, model = load(config), build_model(config)
    result, _ = supervised.train_and_test(
        config,
        TASK,
        model=model,
        evaluation_model=model,
        data=data,
        folder=folder,
        started=started,
    )
    return result


def complete(config: Config) -> Config:
    """Fills in the defaults that depend on other arguments.

    Raises:
      UserError: If arguments contradict each other or are out of range.
    """
    simulated = config.data is None
    config = arguments.complete(
        config,
        epochs=SIMULATED_EPOCHS if simulated else 100,
        batch_size=SIMULATED_BATCH if simulated else 128,
    )
    arguments.refuse(
        (
            not 1 <= config.pixels <= 65536,
            "--pixels",
            "must be 1 to 65536",
            "give such a number",
        ),
    )
    return config


def load(config: Config) -> datasets.Data:
    """Finds, checks and opens the parcels of a completed `config`.

    Raises:
      UserError: For every mistake in the data.
    """
    root, prepared = common.find_data(config, common.simulated_pixel_set, prepare_pixel_sets)
    folds = split_folds(config.fold)
    sources = {split: prepared.source(ids) for split, ids in folds.items()}
    encode = PixelSetEncoding(
        lengths={m: prepared.lengths[m] for m in config.modalities},
        statistics=prepared.statistics(folds["train"]),
        pixels=config.pixels,
        geometric=config.geometric,
    )
    common.say_sources(sources, folds, root, "parcels")
    return datasets.Data(root, sources, encode, **arguments.batches(config))


def build_model(config: Config) -> nn.Module:
    """Builds the fusion scheme of a completed `config` from PSE, L-TAE and MLP decoders."""
    axis = {"axis_name": arguments.axis_name(config)}
    return supervised.build_scheme(
        config,
        spatial=lambda _: PixelSetEncoder(geometric=config.geometric, **axis),
        temporal=functools.partial(LTAE, **axis),
        decoder=functools.partial(MLPDecoder, len(NAMES), **axis),
    )


def restore(config: Config, result: Mapping[str, Any]) -> supervised.Parts:
    """What the model of a finished run is tested with."""
    return supervised.Parts(TASK, load(config), build_model(config), predicted_class)


def loss(prediction: Prediction, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Objective and auxiliary cross-entropies of each parcel, and its weight."""
    return supervised_loss(prediction, batch.label, batch.real)


def metric(prediction: Prediction, batch: Batch) -> ConfusionMatrix:
    """Confusion matrix of a batch."""
    predicted = predicted_class(prediction)
    return ConfusionMatrix.from_batch(batch.label, predicted, batch.real, classes=len(NAMES))


def predicted_class(prediction: Prediction) -> jax.Array:
    """Most probable class of each parcel."""
    return jnp.argmax(prediction.output, -1)


TASK = supervised.Task(
    name="parcel",
    title="Parcels",
    samples="parcels",
    classes=NAMES,
    colours=[crop.colour for crop in CROPS],
    loss=loss,
    metric=metric,
    empty=functools.partial(ConfusionMatrix.empty, len(NAMES)),
)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parse = functools.partial(tyro.cli, Config, prog="python -m experiments.parcel", args=argv)
    config = parse()
    common.command(lambda: run(config), less_memory=LESS_MEMORY)


if __name__ == "__main__":
    main()
