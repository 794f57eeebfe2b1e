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
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from jaxtyping import Array, Float, PyTree

from experiments.paper import pictures
from experiments.paper.flow_step import GradientFlow, make_flow_step
from experiments.paper.pictures.flow import SHARED
from pastis_jax import compiled, machine, training
from pastis_jax.cli import console
from pastis_jax.cli import train as training_command
from pastis_jax.cli.config import ParcelConfig, configure
from pastis_jax.data import simulate
from pastis_jax.data.splits import Splits
from pastis_jax.errors import UserError

KIND = "gradient_flow"
LEARNING_RATE = 0.1
PARTS = ("PSE", "L-TAE", "decoder", "auxiliary decoder")
Flow = dict[str, dict[str, Any]]
"""Values by modality (or SHARED) and part."""


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
    fold: int = 1
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
    compiled.keep(config.cache_dir)
    console.check_out(config.out, ".json", kind=KIND)
    late = training_command.for_data(late_fusion(config))
    others = [read(file) for file in config.beside]
    splits, _ = training_command.open_splits(late)
    simulated = simulate.is_simulated(splits.root)
    epochs = []
    for epoch in train(late, splits):
        epochs.append(epoch)
        console.say(line(epoch, late.recipe.epochs))
    losses = f"{'with' if config.auxiliary else 'without'} auxiliary losses"
    of = "simulated data" if simulated else splits.root.name
    settings = ("modalities", "auxiliary", "fold", "seed", "batch_size", "learning_rate")
    leaves = late.leaves()
    result = {
        "title": f"Parcels, late fusion {losses}, fold {config.fold}, {of}",
        "data": "simulated" if simulated else "given",
        "folder": splits.root,
        **{name: leaves[name] for name in settings},
        "epochs": epochs,
        "seconds": time.perf_counter() - started,
        "device": machine.devices(),
        "code": machine.code_version(),
    }
    training.write_json(config.out, {"kind": KIND, **result})
    picture = config.out.with_suffix(".png")
    draw([*others, result], picture)
    console.say(f"{config.out} holds the gradient flow, {picture} shows it.")
    return result


def late_fusion(config: Config) -> ParcelConfig:
    """The experiment of parcels that `config` is about; what it leaves out is as there.

    Raises:
      ArgumentError: If arguments are out of range.
    """
    own = ("auxiliary", "data", "fold", "epochs", "batch_size", "learning_rate")
    own += ("compute_statistics", "cache_dir", "seed")
    given = {name: value for name in own if (value := getattr(config, name)) is not None}
    return configure("parcel", fusion="late", **given)


def train(config: ParcelConfig, splits: Splits) -> Iterator[dict[str, Any]]:
    """Trains late fusion as `config` says; yields what to record of each epoch.

    Args:
      config: With its modalities named.
      splits: The records.

    Raises:
      NonFiniteLossError: If the loss is not finite.
    """
    task = training_command.make_task(config, splits.dataset, splits.classes)
    recipe, model, placement = config.recipe, task.model(), training_command.placement(config)
    optimizer, key = optax.sgd(recipe.learning_rate), jax.random.key(recipe.seed)
    state = training.create_state(model, optimizer, next(splits.evaluation("val")), key)
    modules_of = functools.partial(by_module, config.model.modalities)
    modules = jax.eval_shape(modules_of, state.params)
    step = make_flow_step(
        model=model,
        loss=task.loss,
        by_module=modules_of,
        optimizer=optimizer,
        key=key,
        placement=placement,
    )
    evaluation_step = training.make_evaluation_step(
        model=model, loss=task.loss, metric=task.metric, placement=placement
    )

    def empty(metric):
        return training.EpochMetrics.empty(metric, recipe.batch_size)

    state, batches = placement.whole(state), splits.training()
    for epoch in range(1, recipe.epochs + 1):
        metrics = placement.whole(empty(GradientFlow.empty(modules)))
        for _ in range(splits.steps_per_epoch):
            state, metrics = step(state, metrics, placement.batch(next(batches)))
        metrics = jax.device_get(metrics)
        training.check_finite(metrics, splits.sources["train"].identifier)
        val = training.evaluate(
            state,
            splits.evaluation("val"),
            step=evaluation_step,
            empty=lambda: empty(task.empty()),
            placement=placement,
            identify=splits.sources["val"].identifier,
        )
        yield record(config, epoch, metrics, val)


def by_module(modalities: Sequence[str], values: PyTree[Array]) -> Flow:
    """Sums `values`, which are shaped like the parameters of late fusion, by module."""

    def total(tree) -> Float[Array, ""]:
        return sum((leaf.sum() for leaf in jax.tree.leaves(tree)), jnp.zeros(()))

    first = values["decoder"]["hidden_0"]
    rest = {n: v for n, v in first.items() if n != "kernel"}
    rows = jnp.split(first["kernel"], len(modalities))
    flow: Flow = {SHARED: {"decoder": total({**values["decoder"], "hidden_0": rest})}}
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
    config: ParcelConfig, epoch: int, metrics: training.EpochMetrics, val: training.Outcome
) -> dict[str, Any]:
    """What the file holds of an epoch: means over its steps."""
    step = metrics.task.compute()
    flow = {
        name: {part: step["flow"][name][part] for part in PARTS if part in step["flow"][name]}
        for name in (*config.model.modalities, SHARED)
    }
    total = sum(sum(parts.values()) for parts in flow.values())
    return {
        "epoch": epoch,
        "flow": flow,
        "total": total,
        "predicted_decrease": config.recipe.learning_rate * total,
        "observed_decrease": step["decrease"],
        "train": {
            "loss": float(metrics.loss.compute()),
            "objective": step["objective"],
            "gradient_norm": float(metrics.gradient.compute()),
        },
        "val": {name: val.scores[name] for name in ("loss", "mIoU", "OA")},
    }


def line(epoch: Mapping[str, Any], epochs: int) -> str:
    """An epoch for the reader; shares as in the picture."""
    moved = sum(abs(value) for parts in epoch["flow"].values() for value in parts.values()) or 1
    shares = ", ".join(
        f"{name} {sum(parts.values()) / moved:.0%}" for name, parts in epoch["flow"].items()
    )
    return (
        f"epoch {epoch['epoch']}/{epochs}: objective {epoch['train']['objective']:.3f}, "
        f"val mIoU {epoch['val']['mIoU']:.3f}; flow {shares}"
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
    first, *_ = epochs = [epoch["flow"] for epoch in result["epochs"]]
    return {
        name: {part: np.array([flow[name][part] for flow in epochs]) for part in parts}
        for name, parts in first.items()
    }


def draw(results: Sequence[Mapping[str, Any]], picture: pathlib.Path) -> None:
    """Draws what `run` has written, one panel a run from top to bottom, as Figure 6."""
    pictures.gradient_flow([(result["title"], flows(result)) for result in results], picture)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m experiments.paper.gradient_flow", args=argv)
    console.command(lambda: run(config))


if __name__ == "__main__":
    main()
