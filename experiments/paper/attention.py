"""Which acquisitions a finished run attends to, by head and class, over the calendar.

    python -m experiments.paper.attention --run runs/parcel-late-fold1-... --out attention.json

Runs the model over its test fold and adds up the attention of its L-TAEs in bins of days since
2018-09-01, for parcels and, at the coarsest level of U-TAE, for images. The file holds the mean
attention of each head in each bin, by modality and true class: over the bins of what an L-TAE reads
it sums to 1. Single-modality models, late and decision fusion have an L-TAE for each modality. That
of mid fusion reads the dates of all, which share its attention; that of early fusion reads all
channels at the dates of the first modality, under whose name it stands.

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

from experiments import arguments, common, restored
from experiments.paper.pictures import attention_calendar
from pastis_jax import training
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.types import Batch

MOST_DAYS = 730
"""Length of the calendar."""
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
    cache_dir: pathlib.Path | None = None
    """Where prepared and simulated data are kept. Default: as in the run."""


def run(config: Config) -> dict[str, Any]:
    """Measures, writes and draws; returns what it has written.

    Raises:
      UserError: For every mistake in the arguments, the run or its data.
    """
    common.check_out(config.out, ".json", kind=KIND)
    arguments.refuse(
        (not 1 <= config.days <= MOST_DAYS, "--days", "must be 1 to 730", "give 10, say")
    )
    opened = restored.open_run(config.run, cache_dir=config.cache_dir)
    result = report(config, opened, measure(opened, config.days))
    training.write_json(config.out, {"kind": KIND, **result})
    pictures = draw(result, config.out)
    common.say(f"{config.out} holds the attention, {' and '.join(map(str, pictures))} show it.")
    return result


def sequences(config: arguments.Config) -> dict[str, tuple[str, ...]]:
    """The modalities whose dates each L-TAE reads, by the name of the temporal encoder."""
    match config.fusion:
        case "early":
            return {"temporal": config.modalities[:1]}
        case "mid":
            return {"temporal": config.modalities}
        case _:
            return {f"temporal_{m}": (m,) for m in config.modalities}


def measure(opened: restored.Restored, days: int) -> dict[str, dict[str, np.ndarray]]:
    """Measures the attention of a run over its test fold.

    Args:
      opened: The run.
      days: Days in a bin.

    Returns:
      For each modality, `attention` ``n k d``, mean attention in each of the bins ``d``, NaN for
      absent classes; `weight` ``k``, number of parcels or pixels; and `acquisitions` ``d``, mean
      number of valid dates of a sample.

    Raises:
      UserError: If there are dates outside the calendar.
    """
    step, total = make_step(opened, days), None
    for batch in opened.parts.data.evaluation("test"):
        one = jax.device_get(step(opened.state, opened.placement.batch(batch)))
        one = jax.tree.map(lambda x: np.asarray(x, np.float64), one)
        total = one if total is None else jax.tree.map(np.add, total, one)
    samples, outside = total.pop("samples"), sum(one["outside"] for one in total.values())
    start = PASTIS_R.season_start
    arguments.refuse(
        (
            outside,
            opened.parts.data.root,
            f"{outside:.0f} test dates are not within {MOST_DAYS} days from {start}",
            "correct the dates",
        )
    )
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: an absent class
        return {
            modality: {
                "attention": one["attention"] / one["weight"][:, None],
                "weight": one["weight"],
                "acquisitions": one["acquisitions"] / samples,
            }
            for modality, one in ((m, total[m]) for m in opened.config.modalities if m in total)
        }


def make_step(opened: restored.Restored, days: int) -> Callable[..., dict[str, Any]]:
    """Returns what adds up the attention over a batch: `on_calendar`, and the real `samples`."""
    read_by, bins = sequences(opened.config), -(-MOST_DAYS // days)
    classes = len(opened.parts.task.classes)

    def step(state: training.TrainState, batch: Batch):
        _, kept = opened.parts.model.apply(state.variables, batch.series, mutable=["intermediates"])
        found = {"samples": batch.real.sum()}
        for name, modalities in read_by.items():
            encoder = kept["intermediates"][name]
            (attention,) = encoder.get("temporal", encoder)["attention"]  # U-TAE holds an L-TAE
            found |= on_calendar(
                attention, batch, modalities, classes=classes, days=days, bins=bins
            )
        return training.sum_over(found, opened.placement.axis_name)

    return opened.placement.compiled(step, ("whole", "batch"), donate=())


def on_calendar(
    attention: Float[Array, "b t ... n"],
    batch: Batch,
    modalities: Sequence[str],
    *,
    classes: int,
    days: int,
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
      bins: Number of bins ``d``, from day 0 on.

    Returns:
      Sums by modality: `attention` ``n k d``, `weight` ``k``, `acquisitions` ``d``, and the number
      of dates in no bin, `outside`.
    """
    _, _, *space, heads = attention.shape
    series = [batch.series[m] for m in modalities]
    seen = jnp.stack([one.valid.any(1) for one in series]).any(0) & batch.real
    weight = class_weights(batch.label, seen, space, classes)
    splits = np.cumsum([one.valid.shape[1] for one in series])[:-1]
    found = {}
    for modality, one, own in zip(
        modalities, series, jnp.split(attention, splits, axis=1), strict=True
    ):
        valid = one.valid & batch.real[:, None]
        binned = jax.nn.one_hot(jnp.where(valid, one.days // days, -1), bins)
        own = own.reshape(*valid.shape, -1, heads)
        found[modality] = {
            "attention": jnp.einsum(
                "btsn,bsk,btd->nkd", own, weight, binned, precision=jax.lax.Precision.HIGHEST
            ),
            "weight": weight.sum((0, 1)),
            "acquisitions": binned.sum((0, 1)),
            "outside": valid.sum() - binned.sum(),
        }
    return found


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
    config: Config, opened: restored.Restored, found: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, Any]:
    """What the file holds: bins from the first acquisition to the last."""
    taken = np.flatnonzero(sum(one["acquisitions"] for one in found.values()))
    first, last = taken[0], taken[-1] + 1
    starts = [PASTIS_R.date(config.days * i) for i in range(first, last)]
    same = ("title", "task", "fusion", "modalities", "temporal_dropout", "auxiliary", "fold")
    return {
        "run": config.run,
        **{name: opened.result[name] for name in (*same, "seed", "data", "samples")},
        "classes": opened.parts.task.classes,
        "days": config.days,
        "bins": [day.isoformat() for day in starts],
        "calendar": {
            modality: {
                "attention": one["attention"][..., first:last].round(DIGITS),
                "weight": one["weight"],
                "acquisitions": one["acquisitions"][first:last].round(DIGITS),
            }
            for modality, one in found.items()
        },
        "code": common.code_version(),
    }


def draw(result: Mapping[str, Any], out: pathlib.Path) -> list[pathlib.Path]:
    """Draws what `run` has written, over classes and over heads; returns the pictures' files."""
    by_class, by_head, acquisitions = {}, {}, {}
    for modality, one in result["calendar"].items():
        attention = np.array(one["attention"], float)  # null is NaN
        weight = np.array(one["weight"])
        present = weight > 0
        heads = np.average(attention[:, present], axis=1, weights=weight[present])
        share = f": {heads.sum(-1).mean():.0%} of the attention"
        block = modality + share * (result["fusion"] == "mid")
        by_class[block], by_head[block] = attention.mean(0), heads
        acquisitions[block] = np.array(one["acquisitions"])
    starts = [datetime.date.fromisoformat(day) for day in result["bins"]]
    most = np.max([one["weight"] for one in result["calendar"].values()], axis=0)
    classes = [f"{n} ({int(w):,})" for n, w in zip(result["classes"], most, strict=True)]
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
    common.command(lambda: run(config))


if __name__ == "__main__":
    main()
