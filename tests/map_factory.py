"""Finished runs made in a moment, without training: drawn weights, statistics of a Region."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import pathlib

import jax
import numpy as np
from flax import traverse_util

from pastis_jax.data.calendar import Span
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.regions.store import Region
from pastis_jax.mapping.inputs import observed
from pastis_jax.runs import saved
from pastis_jax.runs.opened import Run, _variables
from pastis_jax.tasks import RECORDS, SPECS, TASKS, Learned

TINY = {
    "encoder_widths": (8, 8),
    "decoder_widths": (8, 8),
    "heads": 2,
    "model_features": 8,
}
"""Sizes of an image's model; a window has at least three pixels at each side."""
_SMALL = {"parcel": {}, "semantic": TINY | {"head_widths": (8,)}, "panoptic": TINY}
_EDGE = 128


def make_run(
    folder: pathlib.Path,
    task: str,
    region_root: str | os.PathLike[str],
    *,
    fusion: str = "late",
    modalities: tuple[str, ...] | None = None,
    window: tuple[int, int] | None = (32, 32),
    seed: int = 0,
    min_confidence: float = 0.05,
    max_cloud: float | None = None,
    batch_size: int = 4,
    **spec,
) -> Run:
    """Writes the folder of a run as if it had been trained on a Region, and opens it.

    Weights are drawn, so that predictions differ from pixel to pixel; what it scored is made up.

    Args:
      folder: To make.
      task: parcel, semantic or panoptic.
      region_root: The Region.
      fusion: Scheme.
      modalities: Of the model; None for all of the Region, or its first with single fusion.
      window: Of its test; None as in old runs. Parcels have none.
      seed: Of the weights.
      min_confidence: Of instances.
      max_cloud: That it was trained with.
      batch_size: Of its test.
      **spec: Further fields of the model.
    """
    region, patches = Region(region_root), task != "parcel"
    dataset, settings = region.dataset, _SMALL[task] | spec
    spec = SPECS[task](fusion=fusion, modalities=modalities or (), **settings).of(dataset)
    nomenclature = dataset.nomenclature
    classes = (ClassMapping.of if patches else ClassMapping.crops)(nomenclature)
    model = TASKS[task](spec, dataset, classes)
    shapes = jax.eval_shape(functools.partial(_variables, model), model.example())
    records = RECORDS[task](
        data=region.root, max_cloud=max_cloud, **({} if patches else {"pixels": 16})
    )
    plain = {
        name: os.fspath(value) if isinstance(value, pathlib.Path) else value
        for name, value in dataclasses.asdict(records).items()
    }
    days = {name: region.days(name) for name in spec.modalities}
    run = saved.Saved(
        task=task,
        spec=spec,
        options={},
        learned=Learned(dataset, classes, _statistics(region, spec.modalities)),
        context={"min_confidence": min_confidence} if task == "panoptic" else {},
        fingerprint=region.fingerprint(spec.modalities).parts,
        records=plain,
        batch_size=batch_size,
        plugins=(),
        days={name: Span.of(of) for name, of in days.items() if len(of)},
        levels={n: region.level(n) for n in spec.modalities if region.level(n)},
        window=window if patches else None,
    )
    folder.mkdir(parents=True)
    saved.write(folder, run, draw(shapes, seed))
    (folder / "result.json").write_text(json.dumps(_result(run, classes)))
    return Run(folder)


def draw(shapes, seed: int = 0):
    """Draws weights of a model by their names and shapes; nothing is compiled."""
    rng, drawn = np.random.default_rng(seed), {}
    for name, like in sorted(traverse_util.flatten_dict(shapes, sep="/").items()):
        kind, shape = name.rsplit("/", 1)[-1], like.shape
        if kind.endswith("kernel"):
            value = rng.normal(0, math.sqrt(2 / math.prod(shape[:-1])), shape)
        elif kind == "query":
            value = rng.normal(0, math.sqrt(2 / shape[-1]), shape)
        elif kind in ("var", "scale", "mask_scale"):
            value = np.ones(shape)
        elif kind in ("mean", "bias", "offset", "in_bias", "key_bias", "mask_offset"):
            value = rng.normal(0, 0.1, shape) if kind == "offset" else np.zeros(shape)
        else:
            raise ValueError(f"{name} {shape}: how is it drawn?")
        for part, (by, plus) in _TOLD.items():
            value = value * by + plus if part in name else value
        drawn[name] = value.astype(like.dtype)
    return traverse_util.unflatten_dict(drawn, sep="/")


_TOLD = {
    "decoder/block/layer_1/norm/scale": (3, 0),
    "logits/kernel": (2, 0),
    "decoder/label_2/kernel": (3, 0),
    "decoder/heatmap_1/norm/offset": (1, -2),
    "decoder/size_2/bias": (1, 8),
}
"""Logits that differ, and instances of eight pixels: by what weights are multiplied, what added."""


def _statistics(region: Region, names: tuple[str, ...]) -> dict:
    """Mean and standard deviation by channel of what was observed in the first pixels."""
    rows, columns = (slice(0, min(_EDGE, side)) for side in (region.grid.height, region.grid.width))
    statistics = {}
    for name in names:
        values = region.read(name, rows, columns)
        seen = values.astype(np.float64).swapaxes(0, 1)[:, observed(values, region.dataset[name])]
        mean, std = seen.mean(1), np.maximum(seen.std(1), 1e-3)
        statistics[name] = mean.astype(np.float32), std.astype(np.float32)
    return statistics


def _result(run: saved.Saved, classes: ClassMapping) -> dict:
    """What a run has scored; nothing was."""
    scores = dict.fromkeys((*TASKS[run.task].scores, "loss"), 0.5)
    if run.task == "panoptic":
        by_class = dict.fromkeys(("PQ", "SQ", "RQ"), 0.5)
        scores["per_class"] = {name: by_class for name in classes.names}
    else:
        scores["iou"] = dict.fromkeys(classes.names, 0.5)
    return {
        "title": f"A run of {run.task}, made up",
        "task": run.task,
        "dataset": run.learned.dataset.name,
        "fusion": run.spec.fusion,
        "modalities": run.spec.modalities,
        "fold": 1,
        "seed": 0,
        "data": "simulated",
        "samples": TASKS[run.task].samples,
        "epochs": 0,
        "best_epoch": 0,
        "test": scores,
        "val": scores,
    }
