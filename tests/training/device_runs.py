"""Training steps on one device and on eight, in a process of its own: prints how they differ.

    python device_runs.py TASK

XLA takes the number of simulated devices once, before its first use.
"""

from __future__ import annotations

import json
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from pastis_jax import training
from pastis_jax.cli import train
from pastis_jax.cli.config import configure
from pastis_jax.data.batches import training_rows
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches.instances import centerness, measure
from pastis_jax.models import FrameEncoder
from pastis_jax.nn.ragged import PixelTable, RaggedSeries, Rows
from pastis_jax.temporal_dropout import temporal_dropout
from pastis_jax.types import Batch, PanopticTarget, Series

DEVICES, SAMPLES, DATES, SIDE, SLOTS = 8, 13, 3, 9, 4
CHANNELS = {"S2": 10, "S1A": 3}
RATES = {"S2": 0.4, "S1A": 0.2}
TINY = {
    "modalities": ("S2", "S1A"),
    "encoder_widths": (8, 16),
    "decoder_widths": (8, 16),
    "heads": 2,
    "model_features": 16,
}
OPTIONS = {
    "parcel": {"fusion": "late", "modalities": ("S2", "S1A"), "auxiliary": True, "geometric": True},
    "semantic": {"fusion": "mid", "encoder_norm": "batch", "head_widths": (4,), **TINY},
    "panoptic": {"fusion": "late", "shape_size": 4, "max_instances": 6, **TINY},
}


class Run:
    """What a task's model, loss and metric are under a way to be parallel."""

    def __init__(self, task: str, parallel: training.Parallel):
        options = {"parallel": parallel, "temporal_dropout": True, **OPTIONS[task]}
        config = train.for_data(configure(task, **options))
        kind = ClassMapping.crops if task == "parcel" else ClassMapping.of
        self.task = train.make_task(config, PASTIS_R, kind(PASTIS_R.nomenclature))
        # Two samples of a mapped model have at most five valid dates of the six.
        room = {"S2": 5, "S1A": 5} if parallel == "pmap" else {}
        self.model = self.task.model(room)


def parcels(rng, size: int, kept: int) -> Batch:
    """Random parcels, the first `kept` of them real, with masked dates and pixels."""
    outline = rng.normal(size=(size, 4)).astype(np.float32)
    pixels = np.arange(4) < rng.integers(1, 5, (size, 1))
    label = rng.integers(0, 18, size).astype(np.int32)
    return blank(Batch(series(rng, size, (4,), pixels, outline), label, *names(rng, size)), kept)


def patches(rng, size: int, kept: int, *, instances: bool) -> Batch:
    """Random patches, void among their labels, the first `kept` of them real."""
    label = rng.integers(0, 20, (size, SIDE, SIDE)).astype(np.int32)
    target = None
    if instances:
        label, target = parcels_of_patches(rng, size)
    return blank(Batch(series(rng, size, (SIDE, SIDE)), label, *names(rng, size), target), kept)


def series(rng, size, space, pixels=None, outline=None) -> dict[str, Series]:
    """Each modality with up to `DATES` dates; now and then with none."""
    return {
        m: Series(
            values=rng.normal(size=(size, DATES, *space, c)).astype(np.float32),
            days=np.sort(rng.integers(0, 400, (size, DATES)), 1).astype(np.int32),
            valid=np.arange(DATES)
            < np.arange(size)[:, None] % (DATES if m == "S2" else 2) + (m != "S2"),
            pixels=pixels,
            geometric=outline,
        )
        for m, c in CHANNELS.items()
    }


def names(rng, size):
    """Real, and numbers of records."""
    return np.ones(size, bool), rng.permutation(1000)[:size].astype(np.int32)


def parcels_of_patches(rng, size) -> tuple[np.ndarray, PanopticTarget]:
    """Two or three rectangles in every patch, one of them void."""
    labels, targets = [], []
    for _ in range(size):
        instances = np.zeros((SIDE, SIDE), np.int32)
        corners = [(0, 0), (0, 5), (5, 0)][: rng.integers(2, 4)]
        for number, (top, left) in enumerate(corners, 1):
            height, width = rng.integers(2, 5, 2)
            instances[top : top + height, left : left + width] = number
        kinds = np.array([0, 19, *rng.integers(1, 19, 2)])
        label = kinds[instances].astype(np.int32)
        heatmap, zones = centerness(instances)
        size_of, label_of = measure(instances, label, SLOTS)
        labels.append(label)
        targets.append(
            PanopticTarget(
                heatmap=heatmap.astype(np.float32),
                instances=instances,
                zones=zones.astype(np.int32),
                size=size_of,
                label=label_of,
                real=np.arange(SLOTS) < len(corners),
            )
        )
    return np.stack(labels), jax.tree.map(lambda *x: np.stack(x), *targets)


def blank(batch: Batch, kept: int) -> Batch:
    """Zeros from sample `kept` on, as the pipelines fill up a batch."""

    def zeros(x):
        return np.where(np.arange(len(x)).reshape(-1, *(1,) * (x.ndim - 1)) < kept, x, 0).astype(
            x.dtype
        )

    return jax.tree.map(zeros, batch)


def fill_up(batch: Batch, size: int) -> Batch:
    """Blank samples behind the others, `size` in all."""
    return jax.tree.map(lambda x: np.pad(x, ((0, size - len(x)), *((0, 0),) * (x.ndim - 1))), batch)


OPTIMIZER = optax.chain(optax.trace(0.0), optax.scale(-0.01))
"""Its state holds the gradients as they are."""


def outcome(
    run: Run,
    placement: training.Placement,
    batches: list[Batch],
    new: training.TrainState,
    then: training.TrainState | None = None,
) -> dict[str, object]:
    """State and metrics after two training steps from `new`, and metrics of `new`.

    The second step begins from `then` where it is given: what the first one of another way gave.
    Else the rounding of the first would decide which rectifiers are open in the second.
    """
    key = jax.random.key(1)
    batches = [fill_up(batch, placement.padded(SAMPLES)) for batch in batches]
    drop = partial(temporal_dropout, rates=RATES, axis_name=placement.axis_name)
    parts = {"model": run.model, "loss": run.task.loss, "placement": placement}
    step = training.make_train_step(
        **parts, metric=run.task.metric, optimizer=OPTIMIZER, key=key, augment=drop
    )
    state = placement.whole(new)
    size = placement.padded(SAMPLES)
    empty = partial(training.EpochMetrics.empty, batch_size=size)
    metrics = placement.whole(empty(run.task.empty()))
    states, lowered = [], step.lower(state, metrics, placement.batch(batches[0]))
    step = lowered.compile()
    for batch in batches:
        if states and then is not None:
            state = placement.whole(then)
        state, metrics = step(state, metrics, placement.batch(batch))
        states.append(jax.device_get(state))
    result = {
        "callbacks": lowered.as_text().count("callback"),
        "first": states[0],
        "gradients": states[0].opt_state,
        "parameters": states[1].params,
        "statistics": states[1].batch_stats,
        "training metrics": metrics.replace(failed=()),
    }
    if run.task.name == "parcel" and placement.parts == 1:
        metric, nothing = run.task.metrics(None)[run.task.tested]
        evaluate = training.make_evaluation_step(**parts, metric=metric, augment=drop, key=key)
        seen = placement.whole(empty(nothing()))
        asked = placement.whole({"temperature": jnp.float32(2), "fit": jnp.float32(1)})
        # Not of the trained state, in which rounding may have changed a decision.
        first = placement.whole(new)
        for batch in batches:
            seen = evaluate(first, seen, placement.batch(batch), asked)
        result["evaluation metrics"] = seen.replace(failed=())
    # A loss that is not finite: the step is named, and the numbers of all samples of all devices.
    broken = batches[0].replace(
        series={m: one.replace(values=one.values * np.nan) for m, one in batches[0].series.items()}
    )
    _, failed = step(state, placement.whole(empty(run.task.empty())), placement.batch(broken))
    numbers = np.asarray(failed.failed)
    result["failure"] = {
        "step": failed.failed_step,
        "numbers": np.pad(numbers, (0, 16 - len(numbers)), constant_values=-1),
    }
    return jax.device_get(result)


def difference(one, other) -> float:
    """Largest difference of two trees, relative to the norm of the first or 1."""
    leaves = [jax.tree.leaves(tree) for tree in (one, other)]
    pairs = [[np.asarray(x, np.float64) for x in pair] for pair in zip(*leaves, strict=True)]
    if not all(a.shape == b.shape and np.isfinite([a, b]).all() for a, b in pairs):
        return float("inf")
    norm = np.sqrt(sum(np.sum(np.square(a)) for a, _ in pairs))
    apart = max((np.max(np.abs(a - b), initial=0) for a, b in pairs), default=0)
    return float(apart / max(1, norm))


def frames() -> None:
    """Prints how a rematerialised encoder over sharded frames differs, and whether it moves any."""
    rng, size = np.random.default_rng(0), 16
    # Several chunks, of two dates each.
    encoder = FrameEncoder((4, 8), remat=True, chunk=2 * size * SIDE * SIDE)
    values = rng.normal(size=(size, 5, SIDE, SIDE, 3)).astype(np.float32)
    days, valid = np.zeros((size, 5), np.int32), rng.random((size, 5)) < 0.7
    one = Series(values=values, days=days, valid=valid)
    params = jax.jit(encoder.init)(jax.random.key(0), one)
    mesh = training.data_mesh()
    placement = training.Placement(mesh)

    def objective(params, one):
        return sum(jnp.mean(jnp.square(x)) for x in encoder.apply(params, one).values)

    alone = jax.jit(jax.grad(objective))(params, one)
    step = placement.compiled(jax.grad(objective), ("whole", "batch"), donate=())
    compiled = step.lower(placement.whole(params), placement.batch(one)).compile()
    spread = compiled(placement.whole(params), placement.batch(one))
    moves = ("all-gather", "all-to-all", "collective-permute")
    found = {
        "apart": difference(alone, spread),
        "moves": [name for name in moves if name in compiled.as_text()],
        "sums": "all-reduce" in compiled.as_text(),
    }
    print(json.dumps(found))


def table() -> None:
    """Prints how batches from a table differ that every device has, and whether any are moved."""
    rng, number, dates, pixels = np.random.default_rng(0), 9, 5, 6
    one = RaggedSeries(
        values=rng.integers(1, 1000, (number * pixels * 2, 4, 3)).astype(np.int16),
        first=2 * pixels * np.arange(number, dtype=np.int32),
        dates=rng.integers(1, dates + 1, number).astype(np.int32),
        days=rng.integers(0, 400, (number, dates)).astype(np.int32),
        mean=np.full(3, 500, np.float32),
        deviation=np.full(3, 300, np.float32),
        holes=np.arange(number) < 2,
    )
    label = np.arange(number, dtype=np.int32)
    held = PixelTable(series={"S2": one}, pixels=np.full(number, pixels, np.int32), label=label)
    rows = training_rows(number, batch_size=SAMPLES, seed=0, rows=range(16))[1]
    mesh, found = training.data_mesh(), {}
    alone = training.Placement(jax.sharding.Mesh(mesh.devices[:1], mesh.axis_names))

    def made(placement):
        make = training.batch_maker(placement, jax.random.key(2), 4)
        arguments = placement.whole(held), placement.batch(Rows(**rows))
        text = make.lower(*arguments).compile().as_text()
        flat = jax.device_get(make(*arguments))
        if placement.axis_name is not None:
            flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), flat)
        return flat, text

    expected, _ = made(alone)
    for parallel in ("jit", "pmap"):
        batch, text = made(training.Placement(mesh, parallel))
        pairs = zip(jax.tree.leaves(batch), jax.tree.leaves(expected), strict=True)
        moves = ("all-gather", "all-to-all", "collective-permute")
        found[parallel] = {
            "same": all(np.array_equal(*pair) for pair in pairs),
            "moves": [name for name in moves if name in text],
        }
    found["real"] = int(expected.real.sum())
    print(json.dumps(found))


def main(task: str) -> None:
    """Prints the differences of every quantity as JSON, by way to be parallel."""
    rng = np.random.default_rng(0)
    make = parcels if task == "parcel" else partial(patches, instances=task == "panoptic")
    # Eight devices have two samples each of the sixteen: the last ones have one real one or none.
    batches = [make(rng, SAMPLES, SAMPLES), make(rng, SAMPLES, 9)]
    mesh = training.data_mesh()
    one_device = jax.sharding.Mesh(mesh.devices[:1], mesh.axis_names)
    run = Run(task, "jit")
    new = jax.device_get(training.create_state(run.model, OPTIMIZER, batches[0], jax.random.key(0)))
    alone, found = outcome(run, training.Placement(one_device), batches, new), {}

    def compare(alone, parallel, parts=1):
        placement = training.Placement(mesh, parallel, parts)
        spread = outcome(Run(task, parallel), placement, batches, new, alone["first"])
        return {
            "apart": {name: difference(alone[name], spread[name]) for name in spread},
            "samples": int(spread["training metrics"].samples),
            "callbacks": spread["callbacks"],
            "failed": spread["failure"]["numbers"].tolist(),
        }

    for parallel in ("jit", "pmap"):
        found[parallel] = compare(alone, parallel)
    if task == "parcel":
        in_parts = outcome(run, training.Placement(one_device, parts=2), batches, new)
        found["parts"] = compare(in_parts, "jit", parts=2)
        found["parts"]["gradient"] = difference(in_parts["gradients"], alone["gradients"])
    found["gradient"] = float(optax.global_norm(alone["gradients"]))
    found["numbers"] = batches[0].number.tolist()
    print(json.dumps(found))


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", DEVICES)
    jax.config.update("jax_disable_most_optimizations", True)
    alone = {"frames": frames, "table": table}.get(sys.argv[1], partial(main, sys.argv[1]))
    alone()
