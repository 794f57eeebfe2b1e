"""Multiply-adds, bytes and temporaries of every compiled model, small: what the suite holds us to.

    python -m benchmarks.counts            # compares with the committed counts
    python -m benchmarks.counts --write    # writes them for this version of JAX

Clocks differ from machine to machine, counts hardly do. Models are narrow and compiled for a CPU;
images are large enough for the order of convolutions there. Multiply-adds are those of the products
in the program that is traced (`benchmarks.arithmetic.products`), the rest is what XLA says of the
compiled program: operations, bytes that it accesses, and the temporaries that it allocates. These
differ between versions of JAX, so counts.csv has those of each; tests/test_counts.py compares.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import tyro

from benchmarks.arithmetic import products
from benchmarks.steps import training_step
from pastis_jax import Batch, Series, training
from pastis_jax.cli import console
from pastis_jax.data import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.errors import UserError
from pastis_jax.panoptic import panoptic_map
from pastis_jax.tasks import (
    PanopticModel,
    PanopticTask,
    ParcelModel,
    ParcelTask,
    SemanticModel,
    SemanticTask,
    Task,
)
from pastis_jax.types import PanopticTarget

FLAGS = "--xla_cpu_use_fusion_emitters=false"
FILE = pathlib.Path(__file__).with_name("counts.csv")
KEYS = ("jax", "task", "fusion", "part")
COUNTS = ("multiply_adds", "xla_operations", "bytes_accessed", "temporaries")
MARGINS = {
    "multiply_adds": 0.001,
    "xla_operations": 0.02,
    "bytes_accessed": 0.05,
    "temporaries": 0.10,
}
"""How much more than the committed counts is allowed: processors and numbers of threads change what
XLA fuses and how it lays out memory, not what is multiplied."""
NARROW = {
    **{"encoder_widths": (16, 16, 32), "decoder_widths": (16, 16, 32)},
    **{"heads": 4, "model_features": 64},
}
DATES = {"S2": 6, "S1A": 8, "S1D": 8}
PARCELS, PIXELS, PATCHES, SIDE, INSTANCES = 8, 16, 1, 64, 8


@dataclasses.dataclass(frozen=True)
class Case:
    """A program to count.

    Attributes:
      task: `parcel`, `semantic` or `panoptic`.
      fusion: The scheme.
      part: `inference` or `training`.
    """

    task: str
    fusion: str
    part: str

    @property
    def names(self) -> tuple[str, str, str]:
        """All three."""
        return dataclasses.astuple(self)


SCHEMES = {
    "parcel": ("single", "early", "mid", "late", "decision"),
    "semantic": ("single", "early", "mid", "late", "decision"),
    "panoptic": ("single", "early", "mid", "late"),
}
CASES = [
    Case(task, fusion, part)
    for task, schemes in SCHEMES.items()
    for fusion in schemes
    for part in ("inference", "training")
]


def make_task(name: str, fusion: str) -> Task:
    """A task with a narrow model of PASTIS-R."""
    if name == "parcel":
        classes = ClassMapping.crops(PASTIS_R.nomenclature)
        return ParcelTask(ParcelModel(fusion=fusion).of(PASTIS_R), PASTIS_R, classes)
    classes = ClassMapping.of(PASTIS_R.nomenclature)
    if name == "semantic":
        spec = SemanticModel(fusion=fusion, head_widths=(16,), **NARROW)
        return SemanticTask(spec.of(PASTIS_R), PASTIS_R, classes)
    spec = PanopticModel(fusion=fusion, max_instances=INSTANCES, **NARROW)
    return PanopticTask(spec.of(PASTIS_R), PASTIS_R, classes)


def make_batch(task: Task) -> Batch:
    """Shapes of a batch: parcels, or patches with their truth."""
    parcels = task.name == "parcel"
    b, space = (PARCELS, (PIXELS,)) if parcels else (PATCHES, (SIDE, SIDE))

    def array(dtype, *shape):
        return jax.ShapeDtypeStruct(shape, dtype)

    series = {
        m: Series(
            values=array(jnp.float32, b, DATES[m], *space, len(PASTIS_R[m].channels)),
            days=array(jnp.int32, b, DATES[m]),
            valid=array(bool, b, DATES[m]),
            pixels=array(bool, b, *space) if parcels else None,
        )
        for m in task.spec.modalities
    }
    target = None
    if task.name == "panoptic":
        target = PanopticTarget(
            heatmap=array(jnp.float32, b, *space),
            instances=array(jnp.int32, b, *space),
            zones=array(jnp.int32, b, *space),
            size=array(jnp.float32, b, INSTANCES, 2),
            label=array(jnp.int32, b, INSTANCES),
            real=array(bool, b, INSTANCES),
            dropped=array(jnp.int32, b),
        )
    label = array(jnp.int32, b, *(() if parcels else space))
    return Batch(series, label, array(bool, b), array(jnp.int32, b), target)


def program(case: Case) -> tuple[Any, tuple[Any, ...]]:
    """The jitted step of a case, and the shapes of its arguments."""
    task = make_task(case.task, case.fusion)
    model, placement, batch = task.model(), training.Placement(), make_batch(task)
    step, optimizer = training_step(task, model, placement)
    create = functools.partial(training.create_state, model, optimizer)
    state = jax.eval_shape(create, batch, jax.eval_shape(lambda: jax.random.key(0)))
    if case.part == "inference":

        def output(prediction):
            if case.task == "panoptic":
                return panoptic_map(prediction.output)
            return task.predicted(prediction)

        step = training.make_prediction_step(model=model, output=output, placement=placement)
        return step, (dataclasses.replace(state, opt_state=()), batch.series, {})
    (size,) = batch.real.shape
    metrics = jax.eval_shape(lambda: training.EpochMetrics.empty(task.empty(), size))
    return step, (state, metrics, batch)


def multiply_adds(case: Case) -> int:
    """Those of the products of a case; nothing is compiled."""
    step, arguments = program(case)
    return products(step, *arguments).multiply_adds


def count(case: Case) -> dict[str, int]:
    """Compiles a case and counts."""
    step, arguments = program(case)
    compiled = step.lower(*arguments).compile()
    analysis = compiled.cost_analysis()
    return {
        "multiply_adds": products(step, *arguments).multiply_adds,
        "xla_operations": int(analysis["flops"]),
        "bytes_accessed": int(analysis["bytes accessed"]),
        "temporaries": compiled.memory_analysis().temp_size_in_bytes,
    }


def version() -> str:
    """The version of JAX that counts belong to, ``0.10`` say."""
    return ".".join(jax.__version__.split(".")[:2])


def read() -> dict[tuple[str, Case], dict[str, int]]:
    """The committed counts by version of JAX and case.

    Raises:
      UserError: If there are none.
    """
    if not FILE.is_file():
        raise UserError("not there", where=FILE, remedy="run: python -m benchmarks.counts --write")
    with FILE.open(newline="") as stream:
        return {
            (row["jax"], Case(*(row[key] for key in KEYS[1:]))): {n: int(row[n]) for n in COUNTS}
            for row in csv.DictReader(stream)
        }


def write(counted: Mapping[Case, Mapping[str, int]]) -> None:
    """Writes the counts of this version beside those of others."""
    known = read() if FILE.is_file() else {}
    known = {key: counts for key, counts in known.items() if key[0] != version()}
    known |= {(version(), case): dict(counts) for case, counts in counted.items()}
    with FILE.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow((*KEYS, *COUNTS))
        for (jax_version, case), counts in sorted(
            known.items(), key=lambda item: (_number(item[0][0]), CASES.index(item[0][1]))
        ):
            row = (jax_version, *case.names, *(counts[name] for name in COUNTS))
            writer.writerow(row)


def _number(jax_version: str) -> tuple[int, ...]:
    return tuple(map(int, jax_version.split(".")))


def exceeded(counted: Mapping[str, int], bounds: Mapping[str, int]) -> list[str]:
    """What is more than the bounds and their margins allow, a line each."""
    return [
        f"{name} {counted[name]:,}, at most {bounds[name]:,} and {margin:.1%}"
        for name, margin in MARGINS.items()
        if counted[name] - bounds[name] > margin * bounds[name]
    ]


@dataclasses.dataclass(frozen=True)
class Config:
    """Count, and compare with the committed counts or write them."""

    write: bool = False
    """Write counts.csv for this version of JAX."""


def run(config: Config) -> None:
    """Counts all cases.

    Raises:
      UserError: If there are no counts of this version to compare with.
      SystemExit: With code 1 if a count exceeds its bound.
    """
    bounds = {} if config.write else read()
    if not config.write and not any(known == version() for known, _ in bounds):
        fault = f"there are no counts of JAX {version()}"
        raise UserError(fault, where=FILE, remedy="add --write to count")
    print(f"| {' | '.join((*KEYS[1:], *COUNTS))} |\n|{7 * '---|'}")
    counted, wrong = {}, []
    for case in CASES:
        counted[case] = count(case)
        cells = (*case.names, *(f"{n:,}" for n in counted[case].values()))
        print(f"| {' | '.join(cells)} |", flush=True)
        if not config.write:
            wrong += _named(case, exceeded(counted[case], bounds[version(), case]))
    if config.write:
        write(counted)
    for text in wrong:
        print(f"error: {text}")
    if wrong:
        raise SystemExit(1)


def _named(case: Case, lines: Iterable[str]) -> Iterator[str]:
    for text in lines:
        yield f"{case.task}, {case.fusion}, {case.part}: {text}"


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    if jax.__version_info__ < (0, 11):
        # As the suite compiles (tests/conftest.py). Read with the first backend.
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS}".strip()
    config = tyro.cli(Config, prog="python -m benchmarks.counts", args=argv)
    console.command(lambda: run(config))


if __name__ == "__main__":
    main()
