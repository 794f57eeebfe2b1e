"""Which acquisitions a finished run attends to, by head and class, over the calendar.

    python -m experiments.paper.attention --run runs/parcel-late-fold1-... --out attention.json

Runs the model over its test fold and adds up the attention of its L-TAEs in bins of days since the
start of the season, for parcels and, at the coarsest level of U-TAE, for images. The file holds the
bins from the first acquisition to the last, and the mean attention of each head in each of them, by
modality and true class: over the bins of what an L-TAE reads it sums to 1. Single-modality models,
late and decision fusion have an L-TAE for each modality. That of mid fusion reads the dates of all,
which share its attention; that of early fusion reads all channels at the dates of the first
modality, under whose name it stands.

Every pixel of an image counts for its own true class, with the attention of the coarse pixel that
it lies in; void counts for none. A sample without a valid date of what an L-TAE reads is left out.
"""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Bool, Float, Int

from experiments.paper import finished
from experiments.paper.pictures import attention_calendar
from pastis_jax import machine, training
from pastis_jax.cli import console
from pastis_jax.data.splits import Splits
from pastis_jax.errors import UserError, refuse
from pastis_jax.nn import all_series
from pastis_jax.runs import OpenedData
from pastis_jax.types import Batch
from pastis_jax.viz.curves import row_labels

MOST_DAYS = 730
"""Of a bin."""
DIGITS = 6
"""Decimal places in the file."""


KIND = "attention"


@dataclasses.dataclass(frozen=True)
class Config:
    """Measure and draw the attention of a finished run over the calendar."""

    run: pathlib.Path
    """Folder of the run, its --out."""
    out: pathlib.Path
    """JSON file to write; the pictures get its name with _by_class.png and _by_head.png."""
    days: int = 10
    """Days in a bin."""
    data: pathlib.Path | None = None
    """Folder of the run's data. Default: where the run had them."""
    cache_dir: pathlib.Path | None = None
    """Where prepared and simulated data are kept. Default: $PASTIS_JAX_CACHE or ~/.cache."""


def run(config: Config) -> dict[str, Any]:
    """Measures, writes and draws; returns what it has written.

    Raises:
      UserError: For every mistake in the arguments, the run or its data.
    """
    console.check_out(config.out, ".json", kind=KIND)
    wrong = not 1 <= config.days <= MOST_DAYS
    refuse("days", wrong, f"must be 1 to {MOST_DAYS}", "give 10, say")
    opened = finished.open_data(config.run, data=config.data, cache_dir=config.cache_dir)
    result = report(config, opened, *measure(opened, config.days))
    training.write_json(config.out, {"kind": KIND, **result})
    pictures = draw(result, config.out)
    console.say(f"{config.out} holds the attention, {' and '.join(map(str, pictures))} show it.")
    return result


def measure(opened: OpenedData, days: int) -> tuple[int, dict[str, dict[str, np.ndarray]]]:
    """Measures the attention of a run over its test fold.

    Args:
      opened: The run.
      days: Days in a bin.

    Returns:
      The number of the first bin, 0 for that of the start of the season; and for each modality,
      `attention` ``n k d``, mean attention in each of the bins ``d``, NaN for absent classes;
      `weight` ``k``, number of parcels or pixels; `acquisitions` ``d``, mean number of valid dates
      of a sample.

    Raises:
      UserError: If the model has no attention over dates.
    """
    read_by = sequences(opened)
    modalities = [name for name in opened.run.modalities if name in {*sum(read_by.values(), ())}]
    first, bins = calendar(opened.splits, modalities, days)
    step, total = make_step(opened, days, first=first, bins=bins), None
    for batch in opened.splits.evaluation("test"):
        sums = jax.device_get(step(opened.state, opened.placement.batch(batch)))
        sums = jax.tree.map(lambda x: np.asarray(x, np.float64), sums)
        total = sums if total is None else jax.tree.map(np.add, total, sums)
    samples = total.pop("samples")
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: an absent class
        return first, {
            modality: {
                "attention": total[modality]["attention"] / total[modality]["weight"][:, None],
                "weight": total[modality]["weight"],
                "acquisitions": total[modality]["acquisitions"] / samples,
            }
            for modality in modalities
        }


def sequences(opened: OpenedData) -> dict[str, tuple[str, ...]]:
    """The modalities whose dates each L-TAE reads, by the name of the temporal encoder."""
    spec = opened.task.spec
    return spec.scheme.reads(spec.modalities)


def calendar(splits: Splits, modalities: Sequence[str], days: int) -> tuple[int, int]:
    """The first bin that a test sample has an acquisition in, and how many there are to the last.

    Args:
      splits: The records.
      modalities: Whose acquisitions.
      days: Days in a bin.
    """
    source = splits.sources["test"]
    records = (source[number] for number in range(len(source)))
    ends = np.array(
        [
            (record[name]["days"].min(), record[name]["days"].max())
            for record in records
            for name in modalities
            if len(record[name]["days"])
        ]
    )
    first, last = int(ends[:, 0].min() // days), int(ends[:, 1].max() // days)
    return first, last - first + 1


def make_step(
    opened: OpenedData, days: int, *, first: int, bins: int
) -> Callable[..., dict[str, Any]]:
    """Returns what adds up the attention over a batch: `on_calendar`, and the real `samples`."""
    classes = len(opened.task.classes.names)

    def step(state: training.TrainState, batch: Batch):
        _, kept = opened.model.apply(
            state.variables, all_series(batch.series), mutable=["intermediates"]
        )
        sums = {"samples": batch.real.sum()}
        for name, modalities in sequences(opened).items():
            sums |= on_calendar(
                _attention(kept.get("intermediates", {}), name),
                batch,
                modalities,
                classes=classes,
                days=days,
                first=first,
                bins=bins,
            )
        return training.sum_over(sums, opened.placement.axis_name)

    return opened.placement.compiled(step, ("whole", "batch"), donate=())


def _attention(kept: Mapping[str, Any], name: str) -> Float[Array, "b t ... n"]:
    """What the L-TAE of a temporal encoder has attended to."""
    try:
        encoder = kept[name]
        (attention,) = encoder.get("temporal", encoder)["attention"]  # U-TAE holds an L-TAE
    except KeyError:
        fault = f"{name} of its model keeps no attention"
        remedy = "give a run with an L-TAE that does, which time-first does not"
        raise UserError(fault, where="`run`", remedy=remedy) from None
    return attention


def on_calendar(
    attention: Float[Array, "b t ... n"],
    batch: Batch,
    modalities: Sequence[str],
    *,
    classes: int,
    days: int,
    first: int = 0,
    bins: int,
) -> dict[str, dict[str, Array]]:
    """Adds up the attention of one L-TAE over a batch.

    Args:
      attention: Over the dates of `modalities` one after another; of images, at a coarser
        resolution than the labels.
      batch: Parcels or patches.
      modalities: What the L-TAE reads.
      classes: Number of classes ``k``; other labels are void.
      days: Days in a bin.
      first: Number of the first bin, 0 for that of day 0; no date may lie before it.
      bins: Number of bins ``d``; no date may lie after the last.

    Returns:
      Sums by modality: `attention` ``n k d``, `weight` ``k`` and `acquisitions` ``d``.
    """
    _, _, *space, heads = attention.shape
    series = [batch.series[m] for m in modalities]
    seen = jnp.stack([own.valid.any(1) for own in series]).any(0) & batch.real
    weight = class_weights(batch.label, seen, space, classes)
    ends = np.cumsum([own.valid.shape[1] for own in series])[:-1]
    sums = {}
    for modality, own, given in zip(
        modalities, series, jnp.split(attention, ends, axis=1), strict=True
    ):
        valid = own.valid & batch.real[:, None]
        binned = jax.nn.one_hot(jnp.where(valid, own.days // days - first, -1), bins)
        given = given.reshape(*valid.shape, -1, heads)
        sums[modality] = {
            "attention": jnp.einsum(
                "btsn,bsk,btd->nkd", given, weight, binned, precision=jax.lax.Precision.HIGHEST
            ),
            "weight": weight.sum((0, 1)),
            "acquisitions": binned.sum((0, 1)),
        }
    return sums


def class_weights(
    label: Int[Array, "b ..."], counted: Bool[Array, " b"], space: Sequence[int], classes: int
) -> Float[Array, "b s k"]:
    """Parcels, or pixels in each cell of the coarser grid `space`, of each true class.

    Args:
      label: True class.
      counted: Samples that count.
      space: Rows and columns of the grid; empty for parcels, which are one cell.
      classes: Number of classes ``k``.
    """
    counted = counted.reshape(-1, *(1,) * (label.ndim - 1))
    weight = jax.nn.one_hot(jnp.where(counted, label, -1), classes)
    if not space:
        return weight[:, None]
    # Each level of U-TAE halves the sides, rounded up.
    side = next(s for s in (2**i for i in range(16)) if -(-label.shape[1] // s) <= space[0])
    padding = [(0, side * n - m) for n, m in zip(space, label.shape[1:], strict=True)]
    weight = jnp.pad(weight, ((0, 0), *padding, (0, 0)))
    weight = weight.reshape(len(label), space[0], side, space[1], side, classes)
    return weight.sum((2, 4)).reshape(len(label), -1, classes)


def report(
    config: Config,
    opened: OpenedData,
    first: int,
    measured: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, Any]:
    """What the file holds: bins from the first acquisition to the last."""
    taken = np.flatnonzero(sum(own["acquisitions"] for own in measured.values()))
    begin, end = taken[0], taken[-1] + 1
    starts = [opened.splits.dataset.date(config.days * (first + i)) for i in range(begin, end)]
    same = ("title", "task", "fusion", "modalities", "temporal_dropout", "auxiliary", "fold")
    return {
        "run": config.run,
        "folder": opened.splits.root,
        **{name: opened.run.result[name] for name in (*same, "seed", "data", "samples")},
        "classes": opened.task.classes.names,
        "days": config.days,
        "bins": [day.isoformat() for day in starts],
        "calendar": {
            modality: {
                "attention": own["attention"][..., begin:end].round(DIGITS),
                "weight": own["weight"],
                "acquisitions": own["acquisitions"][begin:end].round(DIGITS),
            }
            for modality, own in measured.items()
        },
        "code": machine.code_version(),
    }


def draw(result: Mapping[str, Any], out: pathlib.Path) -> list[pathlib.Path]:
    """Draws what `run` has written, over classes and over heads; returns the pictures' files."""
    by_class, by_head, acquisitions = {}, {}, {}
    for modality, own in result["calendar"].items():
        attention = np.array(own["attention"], float)  # null is NaN
        weight = np.array(own["weight"])
        present = weight > 0
        heads = np.full_like(attention[:, 0], np.nan)  # where all is void
        if present.any():
            heads = np.average(attention[:, present], axis=1, weights=weight[present])
        share = f": {heads.sum(-1).mean():.0%} of the attention" * bool(present.any())
        block = modality + share * (result["fusion"] == "mid")
        by_class[block], by_head[block] = attention.mean(0), heads
        acquisitions[block] = np.array(own["acquisitions"])
    starts = [datetime.date.fromisoformat(day) for day in result["bins"]]
    most = np.max([own["weight"] for own in result["calendar"].values()], axis=0)
    names = row_labels(result["classes"])
    classes = [f"{n} ({int(w):,})" for n, w in zip(names, most, strict=True)]
    names = [f"head {i + 1}" for i in range(len(heads))]
    pictures = []
    for name, rows, values in (("class", classes, by_class), ("head", names, by_head)):
        pictures.append(out.with_name(f"{out.stem}_by_{name}.png"))
        attention_calendar(
            values,
            acquisitions,
            rows,
            starts,
            pictures[-1],
            days=result["days"],
            title=result["title"],
        )
    return pictures


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m experiments.paper.attention", args=argv)
    console.command(lambda: run(config))


if __name__ == "__main__":
    main()
