"""What a classical classifier makes of the same parcels: the bar that attention has to clear.

    python -m experiments.baseline --data FOLDER --modalities S2
    python -m experiments.baseline --model boosting --folds 1 2 3 4 5 --seeds 0 1 2

The mean over the pixels that a model is given of a parcel, 32 at most, is taken at each date, and
interpolated to a regular grid of days (the first and last values hold outside). A random forest or
gradient boosting of scikit-learn (the extra `baseline`) learns from the training folds and is
tested on the test fold, as models are; confusion matrices of folds are summed before scores are
computed.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np

from experiments.paper import pooled
from pastis_jax.cli import console, flags
from pastis_jax.data import simulate
from pastis_jax.data.splits import Splits
from pastis_jax.errors import UserError, refuse
from pastis_jax.extras import need
from pastis_jax.metrics import ConfusionMatrix
from pastis_jax.nn import all_series
from pastis_jax.runs import plan_of
from pastis_jax.tasks import ParcelModel, ParcelRecords, ParcelTask
from pastis_jax.training import Placement, Recipe, jsonable, write_json

SCORES = ("OA", "mIoU", "macro F1")


@dataclasses.dataclass(frozen=True)
class Config:
    """Train and test a classical classifier of parcels."""

    data: pathlib.Path | None = None
    """A Region, or a folder of pixel sets. Default: the simulated set."""
    modalities: tuple[str, ...] = ()
    """Modalities to use. Default: all."""
    model: Literal["forest", "boosting"] = "forest"
    """A random forest of 500 trees, or gradient boosting by histograms."""
    folds: tuple[int, ...] = (1,)
    """Runs of cross-validation."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of the classifier."""
    step: int = 10
    """Days from one date of the grid to the next."""
    out: pathlib.Path | None = None
    """JSON file to write. Default: scores are printed alone."""
    cache_dir: pathlib.Path | None = None
    """Where prepared and simulated data are kept. Default: $PASTIS_JAX_CACHE or ~/.cache."""

    def __post_init__(self):
        refuse("step", self.step < 1, f"got {self.step}", "give a number of days, 10 say")
        refuse("folds", not self.folds, "there is none", "give 1, say")
        refuse("seeds", not self.seeds, "there is none", "give 0, say")


def classifier(model: str, seed: int) -> Any:
    """Makes a classifier that has learned nothing.

    Raises:
      UserError: If scikit-learn is not installed.
    """
    ensemble = need("sklearn.ensemble", extra="baseline")
    if model == "forest":
        return ensemble.RandomForestClassifier(500, random_state=seed, n_jobs=-1)
    return ensemble.HistGradientBoostingClassifier(random_state=seed)


def table(splits: Splits, split: str, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features and classes of the parcels of a split that are not void.

    Args:
      splits: The records.
      split: `train`, `val` or `test`.
      days: The grid.

    Returns:
      ``n f`` float32, the grid's dates of each channel of each modality; and ``n`` int.
    """
    features, labels = [], []
    for batch in splits.evaluation(split):
        series = jax.device_get(all_series(batch.series))
        counted = np.asarray(batch.real) & (np.asarray(batch.label) != splits.classes.void)
        for i in np.flatnonzero(counted):
            parts = [on_grid(one, i, days).ravel() for one in series.values()]
            features.append(np.concatenate(parts))
            labels.append(int(batch.label[i]))
    return np.array(features, np.float32), np.array(labels)


def on_grid(series: Any, sample: int, days: np.ndarray) -> np.ndarray:
    """Interpolates the mean over the pixels of a parcel; NaN where it has no valid date.

    Args:
      series: Values ``b t s c``.
      sample: Number of the parcel in the batch.
      days: The grid ``u``.

    Returns:
      ``u c``.
    """
    valid, pixels = series.valid[sample], series.pixels[sample]
    mean = series.values[sample][valid][:, pixels].mean(1)
    if not len(mean):
        return np.full((len(days), series.values.shape[-1]), np.nan)
    order = np.argsort(series.days[sample][valid], kind="stable")
    observed = series.days[sample][valid][order]
    return np.stack([np.interp(days, observed, channel) for channel in mean[order].T], 1)


def run(config: Config) -> dict[str, Any]:
    """Trains and tests on each fold, by each seed.

    Returns:
      What the file holds.

    Raises:
      UserError: For a mistake in the arguments or the data.
    """
    if config.out is not None:
        console.check_out(config.out, ".json", kind="baseline")
    classifier(config.model, 0)
    counts: dict[int, list[np.ndarray]] = {seed: [] for seed in config.seeds}
    for fold in config.folds:
        splits = opened(config, fold)
        every = [day for one in splits.observed("train") for days in one.values() for day in days]
        days = np.arange(min(every), max(every) + 1, config.step)
        (x, y), (unseen, truth) = (table(splits, name, days) for name in ("train", "test"))
        if not len(y) or not len(truth):
            fault = "no parcel counts in training, or none in the test"
            raise UserError(fault, where=splits.root, remedy="correct the labels")
        for seed in config.seeds:
            predicted = classifier(config.model, seed).fit(x, y).predict(unseen)
            matrix = np.zeros((len(splits.classes.names),) * 2, np.int64)
            np.add.at(matrix, (truth, predicted.astype(int)), 1)
            counts[seed].append(matrix)
    together = {seed: ConfusionMatrix(sum(own)).compute() for seed, own in counts.items()}
    result = {
        "kind": "baseline",
        "model": config.model,
        "modalities": [*splits.encode.statistics],
        "data": str(splits.root),
        "folds": config.folds,
        "step": config.step,
        "classes": splits.classes.names,
        "by_seed": {seed: {n: own[n] for n in SCORES} for seed, own in together.items()},
        "over_seeds": {
            name: pooled.spread([own[name] for own in together.values()]) for name in SCORES
        },
        "confusion": {seed: sum(own) for seed, own in counts.items()},
    }
    if config.out is not None:
        write_json(config.out, jsonable(result))
    return result


def opened(config: Config, fold: int) -> Splits:
    """Opens the parcels as the task does."""
    records = ParcelRecords(data=config.data, fold=fold, cache_dir=config.cache_dir)
    root = config.data or simulate.default_pixel_sets(config.cache_dir)
    spec = ParcelModel(fusion="late", modalities=config.modalities)
    spec = spec.of(records.declared(root))
    return ParcelTask.open(records, root, spec, plan_of(Recipe(), Placement()))


def show(result: Mapping[str, Any]) -> None:
    """Prints the scores, points."""
    title = f"{result['model']}, {' + '.join(result['modalities'])}, folds "
    made = console.table(title + ", ".join(map(str, result["folds"])), "seed", *SCORES)
    for seed, own in result["by_seed"].items():
        made.add_row(str(seed), *(f"{100 * own[name]:.1f}" for name in SCORES))
    console.screen().print(made)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    config = flags.command_flags(Config, arguments, prog="python -m experiments.baseline")
    console.command(lambda: show(run(config)))


if __name__ == "__main__":
    main()
