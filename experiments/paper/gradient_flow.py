"""Which modules lower the objective while late fusion learns (paper, section 4.3, Figure 6).

    python -m experiments.paper.gradient_flow --out base.json            # simulated data, minutes
    python -m experiments.paper.gradient_flow --auxiliary --beside base.json --out auxiliary.json

Retrains late fusion of parcels by plain gradient descent. Every step records <grad L, grad L_obj>
over the parameters of each module (equation 9): times the step size, what they take off L_obj to
first order. L = L_obj + 0.5 times the sum of the auxiliary losses, L_obj the loss of the fused
prediction. The paper finds most flow in the modules of S2, as much in the PSEs as in the L-TAEs,
and other shares with auxiliary losses.

The decoder of late fusion is one for all modalities. The rows of its first layer that read the
embedding of a modality are that modality's, the rest is shared. The auxiliary decoders have no part
in L_obj: their flow is 0.

Simulated set, batches of 32, without auxiliary losses: validation mIoU 0.77 after 6 epochs. Steps
of 0.1 go beyond the first order: they take a tenth to a quarter of the prediction off L_obj (the
file holds both), and shares differ much from epoch to epoch. Steps of 0.02 take up to a third, and
learn slower: 0.62.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from jaxtyping import Array, Float, PyTree

from experiments import arguments, common, datasets, parcel
from experiments.paper import pictures
from experiments.paper.flow_step import GradientFlow, make_flow_step
from pastis_jax import training
from pastis_jax.data import simulate
from pastis_jax.errors import UserError

KIND = "gradient_flow"
LEARNING_RATE = 0.1
PARTS = ("PSE", "L-TAE", "decoder", "auxiliary decoder")
Flow = dict[str, dict[str, Any]]
"""Values by modality (or `shared`) and part."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Record the gradient flow of late fusion of parcels, trained by gradient descent."""

    out: pathlib.Path
    """JSON file to write; the picture gets its name with .png."""
    auxiliary: bool = False
    """Train with auxiliary losses, weight 0.5."""
    beside: tuple[pathlib.Path, ...] = ()
    """What other runs of this have written, drawn above this one."""
    data: pathlib.Path | None = None
    """Official pixel-set folder. Default: a simulated one."""
    fold: Literal[1, 2, 3, 4, 5] = 1
    """As in experiments.parcel."""
    epochs: int | None = None
    """Default: as in experiments.parcel."""
    batch_size: int | None = None
    """Default: as in experiments.parcel."""
    learning_rate: float = LEARNING_RATE
    """Step size of gradient descent, without momentum."""
    compute_statistics: bool = False
    """As in experiments.parcel."""
    cache_dir: pathlib.Path | None = None
    """As in experiments.parcel."""
    seed: int = 0
    """Everything random follows from it."""


def run(config: Config) -> dict[str, Any]:
    """Trains, records, writes and draws as `config` says; returns what it has written.

    Raises:
      UserError: For every mistake in the arguments or the data.
      NonFiniteLossError: If training diverges.
    """
    started = time.perf_counter()
    common.check_out(config.out, ".json", kind=KIND)
    shared = ("auxiliary", "data", "fold", "epochs", "batch_size", "learning_rate")
    shared += ("compute_statistics", "cache_dir", "seed")
    late = parcel.complete(
        parcel.Config(fusion="late", **{name: getattr(config, name) for name in shared})
    )
    others = [read(file) for file in config.beside]
    data = parcel.load(late)
    epochs = []
    for one in train(late, data):
        epochs.append(one)
        common.say(line(one, late.epochs))
    simulated = simulate.is_simulated(data.root)
    losses = f"{'with' if config.auxiliary else 'without'} auxiliary losses"
    of = "simulated data" if simulated else data.root.name
    settings = ("modalities", "auxiliary", "fold", "seed", "batch_size", "learning_rate")
    result = {
        "title": f"Parcels, late fusion {losses}, fold {config.fold}, {of}",
        "data": "simulated" if simulated else "given",
        "folder": data.root,
        **{name: getattr(late, name) for name in settings},
        "epochs": epochs,
        "seconds": time.perf_counter() - started,
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "code": common.code_version(),
    }
    training.write_json(config.out, {"kind": KIND, **result})
    picture = config.out.with_suffix(".png")
    draw([*others, result], picture)
    common.say(f"{config.out} holds the gradient flow, {picture} shows it.")
    return result


def train(config: parcel.Config, data: datasets.Data) -> Iterator[dict[str, Any]]:
    """Trains late fusion as the completed `config` says; yields what to record of each epoch.

    Raises:
      NonFiniteLossError: If the loss is not finite.
    """
    model, placement = parcel.build_model(config), arguments.placement(config)
    optimizer, key = optax.sgd(config.learning_rate), jax.random.key(config.seed)
    state = training.create_state(model, optimizer, next(data.evaluation("val")), key)
    modules = jax.eval_shape(functools.partial(by_module, config.modalities), state.params)
    step = make_flow_step(
        model=model,
        loss=parcel.loss,
        by_module=functools.partial(by_module, config.modalities),
        optimizer=optimizer,
        key=key,
        placement=placement,
    )
    evaluation_step = training.make_evaluation_step(
        model=model, loss=parcel.loss, metric=parcel.metric, placement=placement
    )

    def empty(task):
        return training.EpochMetrics.empty(task, config.batch_size)

    state, batches = placement.whole(state), data.training()
    for epoch in range(1, config.epochs + 1):
        metrics = placement.whole(empty(GradientFlow.empty(modules)))
        for _ in range(data.steps_per_epoch):
            state, metrics = step(state, metrics, placement.batch(next(batches)))
        metrics = jax.device_get(metrics)
        training.check_finite(metrics)
        val = training.evaluate(
            state,
            data.evaluation("val"),
            step=evaluation_step,
            empty=lambda: empty(parcel.TASK.empty()),
            placement=placement,
        )
        yield record(config, epoch, metrics, val)


def by_module(modalities: Sequence[str], values: PyTree[Array]) -> Flow:
    """Sums `values`, which are shaped like the parameters of late fusion, by module."""

    def total(tree) -> Float[Array, ""]:
        return sum((leaf.sum() for leaf in jax.tree.leaves(tree)), jnp.zeros(()))

    first = values["decoder"]["hidden_0"]
    rest = {n: v for n, v in first.items() if n != "kernel"}
    rows = jnp.split(first["kernel"], len(modalities))
    flow: Flow = {"shared": {"decoder": total({**values["decoder"], "hidden_0": rest})}}
    for modality, own in zip(modalities, rows, strict=True):
        flow[modality] = {
            "PSE": total(values[f"spatial_{modality}"]),
            "L-TAE": total(values[f"temporal_{modality}"]),
            "decoder": own.sum(),
        }
        if f"auxiliary_{modality}" in values:
            flow[modality]["auxiliary decoder"] = total(values[f"auxiliary_{modality}"])
    return flow


def record(
    config: parcel.Config, epoch: int, metrics: training.EpochMetrics, val: training.Outcome
) -> dict[str, Any]:
    """What the file holds of an epoch: means over its steps."""
    step = metrics.task.compute()
    flow = {
        name: {part: step["flow"][name][part] for part in PARTS if part in step["flow"][name]}
        for name in (*config.modalities, "shared")
    }
    total = sum(sum(parts.values()) for parts in flow.values())
    return {
        "epoch": epoch,
        "flow": flow,
        "total": total,
        "predicted_decrease": config.learning_rate * total,
        "observed_decrease": step["decrease"],
        "train": {
            "loss": float(metrics.loss.compute()),
            "objective": step["objective"],
            "gradient_norm": float(metrics.gradient.compute()),
        },
        "val": {name: val.scores[name] for name in ("loss", "mIoU", "OA")},
    }


def line(one: Mapping[str, Any], epochs: int) -> str:
    """An epoch for the reader; shares as in the picture."""
    moved = sum(abs(value) for parts in one["flow"].values() for value in parts.values()) or 1
    shares = ", ".join(
        f"{name} {sum(parts.values()) / moved:.0%}" for name, parts in one["flow"].items()
    )
    return (
        f"epoch {one['epoch']}/{epochs}: objective {one['train']['objective']:.3f}, "
        f"val mIoU {one['val']['mIoU']:.3f}; flow {shares}"
    )


def read(file: pathlib.Path) -> dict[str, Any]:
    """Reads what `run` has written.

    Raises:
      UserError: If `file` is not that.
    """
    try:
        result = json.loads(file.read_text())
        flows(result)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        remedy = "give the --out of experiments.paper.gradient_flow"
        raise UserError("no gradient flow here", where=file, remedy=remedy) from error
    return result


def flows(result: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """The flow of each module in each epoch of what `run` has written."""
    first, *_ = epochs = [one["flow"] for one in result["epochs"]]
    return {
        name: {part: np.array([flow[name][part] for flow in epochs]) for part in parts}
        for name, parts in first.items()
    }


def draw(results: Sequence[Mapping[str, Any]], picture: pathlib.Path) -> None:
    """Draws what `run` has written, one panel a run from top to bottom, as Figure 6."""
    pictures.gradient_flow([(one["title"], flows(one)) for one in results], picture)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m experiments.paper.gradient_flow", args=argv)
    common.command(lambda: run(config))


if __name__ == "__main__":
    main()
