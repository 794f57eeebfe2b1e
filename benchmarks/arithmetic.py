"""Multiply-adds of every model at full size, and the hours that the paper's protocol makes of them.

    python -m benchmarks.arithmetic
    python -m benchmarks.arithmetic --patch-rate 50

One sample with the most dates of PASTIS-R: a parcel of 32 pixels, a patch of 128 x 128. XLA counts
the operations of the program as it is written, in the plain order, not that for a CPU; nothing is
compiled or run. Hours are of a run on one fold: 100 epochs of training and
validation, at a rate that is assumed. docs/reproduction.md shows the result.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import tyro

from pastis_jax import Batch, Series
from pastis_jax.data import ClassMapping
from pastis_jax.data.pastis_r import PARCELS, PASTIS_R
from pastis_jax.tasks import ParcelModel, ParcelTask, SemanticModel, SemanticTask, Task

DATES = {"S2": 61, "S1A": 70, "S1D": 70}
SIZE, PIXELS, EPOCHS = 128, 32, 100
CROPS, PATCHES = sum(PARCELS.values()) - PARCELS["Void"], 2433
TRAINED, VALIDATED = 3 / 5, 1 / 5
SCHEMES = {
    "S2": {"fusion": "single"},
    "S1A": {"fusion": "single", "modalities": ("S1A",)},
    **{name: {"fusion": name} for name in ("early", "mid", "late", "decision")},
    **{f"{name}, auxiliary": {"fusion": name, "auxiliary": True} for name in ("mid", "late")},
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Print multiply-adds and expected hours."""

    parcel_rate: float = 1.0
    """Assumed: what a device sustains on parcels, TFLOP/s."""
    patch_rate: float = 20.0
    """Assumed: what a device sustains on patches, TFLOP/s."""


def example(modalities: tuple[str, ...], space: tuple[int, ...]) -> Batch:
    """Makes a batch of one sample: a pixel set of ``s`` pixels or an image of ``h w``."""

    def series(m):
        return Series(
            values=jnp.ones((1, DATES[m], *space, len(PASTIS_R[m].channels))),
            days=5 * jnp.arange(DATES[m])[None],
            valid=jnp.ones((1, DATES[m]), bool),
            pixels=jnp.ones((1, *space), bool) if len(space) == 1 else None,
        )

    label = jnp.zeros((1, *(space if len(space) == 2 else ())), jnp.int32)
    every = {m: series(m) for m in modalities}
    return Batch(every, label, jnp.ones(1, bool), jnp.zeros(1, jnp.int32))


def multiply_adds(task: Task, space: tuple[int, ...]) -> tuple[float, float]:
    """Returns those of inference, and of loss and gradient.

    Args:
      task: With its model at full size.
      space: Of a sample, see `example`.
    """
    model = task.model()
    batch = jax.eval_shape(functools.partial(example, task.spec.modalities, space))
    rngs = {name: jax.random.key(0) for name in ("params", "dropout")}
    variables = jax.eval_shape(functools.partial(model.init, train=True), rngs, batch.series)

    def predict(variables, batch):
        return model.apply(variables, batch.series)

    def loss(params, rest, batch):
        prediction, _ = model.apply(
            {"params": params, **rest},
            batch.series,
            train=True,
            rngs={"dropout": jax.random.key(0)},
            mutable=["batch_stats"],
        )
        return task.loss(prediction, batch)[0].sum()

    def count(function, *arguments):
        # The order for a CPU has loops, of which XLA counts one turn.
        with mock.patch.object(jax, "default_backend", return_value="gpu"):
            return jax.jit(function).lower(*arguments).cost_analysis()["flops"] / 2

    rest = {name: variables[name] for name in variables if name != "params"}
    inference = count(predict, variables, batch)
    return inference, count(jax.grad(loss), variables["params"], rest, batch)


@dataclasses.dataclass(frozen=True)
class Products:
    """The matrix products and convolutions of a program.

    Attributes:
      multiply_adds: Those that a result needs: none with the zeros between dilated elements.
      read_and_written: Bytes, if each product reads its operands and writes its result, and nothing
        else does.
    """

    multiply_adds: int = 0
    read_and_written: int = 0

    def __add__(self, other: Products) -> Products:
        return Products(
            self.multiply_adds + other.multiply_adds,
            self.read_and_written + other.read_and_written,
        )

    def times(self, count: int) -> Products:
        """The same, `count` times."""
        return Products(count * self.multiply_adds, count * self.read_and_written)


def products(function: Callable[..., Any], *arguments: Any) -> Products:
    """Counts the products of a function as it is written, by walking through what JAX traces.

    The body of a loop over a known number counts that often, that of another loop once; of the
    branches of a choice the dearest counts.

    Args:
      function: Not compiled.
      arguments: Arrays or their shapes.
    """
    return _products(jax.make_jaxpr(function)(*arguments).jaxpr)


def _products(jaxpr: Any) -> Products:
    total = Products()
    for equation in jaxpr.eqns:
        name, parameters = equation.primitive.name, equation.params
        if name == "dot_general":
            (contracted, _), _ = parameters["dimension_numbers"]
            inner = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
            total += Products(inner * equation.outvars[0].aval.size, _bytes(equation))
        elif name == "conv_general_dilated":
            _, rhs, _ = parameters["dimension_numbers"]  # out, in, then space
            sides = enumerate(equation.invars[1].aval.shape)
            kernel = math.prod(n for axis, n in sides if axis != rhs[0])
            count = kernel * equation.outvars[0].aval.size
            count //= math.prod(parameters["lhs_dilation"])
            # Of the groups of a batch each kernel sees its own.
            count //= parameters["batch_group_count"]
            total += Products(count, _bytes(equation))
        elif name == "cond":
            branches = [_products(branch.jaxpr) for branch in parameters["branches"]]
            total += max(branches, key=lambda found: found.multiply_adds)
        else:
            inner = sum(map(_products, _inside(parameters)), Products())
            total += inner.times(parameters["length"] if name == "scan" else 1)
    return total


def _inside(parameters: dict[str, Any]) -> Iterator[Any]:
    """The programs that an operation runs."""
    for name, value in parameters.items():
        if name in ("fwd_jaxpr_thunk", "bwd", "jvp_jaxpr_fun"):
            continue
        for one in value if isinstance(value, tuple | list) else (value,):
            one = getattr(one, "jaxpr", one)
            if hasattr(one, "eqns"):
                yield one


def _bytes(equation: Any) -> int:
    every = (*equation.invars, *equation.outvars)
    return sum(x.aval.size * x.aval.dtype.itemsize for x in every)


@contextlib.contextmanager
def plain_order() -> Iterator[None]:
    """Traces what an accelerator runs, wherever this is."""
    with mock.patch.object(jax, "default_backend", return_value="tpu"):
        yield


def hours(inference: float, gradient: float, samples: int, rate: float) -> float:
    """Returns the hours of a run.

    Args:
      inference: Multiply-adds of a sample, predicted.
      gradient: Multiply-adds of a sample, trained on.
      samples: Samples of the five folds.
      rate: TFLOP/s.
    """
    epoch = samples * (TRAINED * gradient + VALIDATED * inference)
    return 2 * EPOCHS * epoch / (rate * 1e12) / 3600


def main() -> None:
    """Command line."""
    given = tyro.cli(Config, prog="python -m benchmarks.arithmetic")
    print("| model | parcel: inference | gradient | hours | patch: inference | gradient | hours |")
    print("|---|---|---|---|---|---|---|")
    for name, arguments in SCHEMES.items():
        spec, classes = ParcelModel(**arguments), ClassMapping.crops(PASTIS_R.nomenclature)
        task = ParcelTask(spec.of(PASTIS_R), PASTIS_R, classes)
        with plain_order():
            parcels = multiply_adds(task, (PIXELS,))
        spec, classes = SemanticModel(**arguments), ClassMapping.of(PASTIS_R.nomenclature)
        task = SemanticTask(spec.of(PASTIS_R), PASTIS_R, classes)
        with plain_order():
            patches = multiply_adds(task, (SIZE, SIZE))
        cells = (
            *(f"{n / 1e6:.1f} M" for n in parcels),
            f"{hours(*parcels, CROPS, given.parcel_rate):.2f}",
            *(f"{n / 1e9:.0f} G" for n in patches),
            f"{hours(*patches, PATCHES, given.patch_rate):.1f}",
        )
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
