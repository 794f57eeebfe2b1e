"""How far our models are from what the machine could do at best.

    python -m benchmarks.roofline
    python -m benchmarks.roofline --only utae --out roofline

An ideal execution multiplies what a result needs, at the rate of the machine's matrix products, or
moves what it has to move, at the rate of a copy: the floor is the longer of the two. Both rates are
measured first, here. Time is that of our training step and of our inference.

- Multiply-adds: of the products of inference, in the order for an accelerator; of training three
  times as many (result, gradient of the input, gradient of the weights), nothing computed twice.
- Bytes, least: inputs, parameters and results, once; in training the gradient and both moments of
  Adam too, all read and written. Whatever is computed in between stays in a cache without limit.
- Bytes, by product: each product reads its operands and writes its result. More than the least
  where layers stay in the cache, less where norms pass over memory once more.
- XLA: its own analysis of the compiled program, operations halved to be multiply-adds. Loops whose
  length it does not know count once.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import tyro

from benchmarks.arithmetic import Products, plain_order, products
from benchmarks.compare import ours, paps, parcels, utae
from benchmarks.compare.timing import take_turns
from pastis_jax import machine
from pastis_jax.cli import console
from pastis_jax.errors import refuse
from pastis_jax.panoptic import panoptic_map
from pastis_jax.tasks import Task
from pastis_jax.training import write_json
from pastis_jax.types import Batch

TRAINING = 3
"""Products of a training step beside those of inference: result, gradients of input and weights."""
OPTIMISED = 6
"""Times that a training step moves as many bytes as the parameters have beside reading these: their
new values, two moments read and written, and the gradient."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """Rates of a machine.

    Attributes:
      multiply_adds: Of a large matrix product, in a second, by type of its elements.
      copied: Bytes read and written by a copy, in a second.
    """

    multiply_adds: Mapping[str, float]
    copied: float


@dataclasses.dataclass(frozen=True)
class Floor:
    """The least time that work takes on a machine.

    Attributes:
      compute: Seconds of the multiply-adds.
      move: Seconds of the bytes.
    """

    compute: float
    move: float

    @classmethod
    def of(cls, multiply_adds: float, moved: float, machine: Machine, dtype: str) -> Floor:
        """The floor of this many multiply-adds and bytes."""
        return cls(multiply_adds / machine.multiply_adds[dtype], moved / machine.copied)

    @property
    def seconds(self) -> float:
        """The longer of the two."""
        return max(self.compute, self.move)


def measure_machine(*, short: bool = False) -> Machine:
    """Measures the rates of the device that JAX runs on; the best of some attempts counts."""
    accelerated = jax.default_backend() != "cpu"
    n = (8192 if accelerated else 2048) // (4 if short else 1)
    rates = {}
    for dtype in ("float32", "bfloat16") if accelerated else ("float32",):
        x = jnp.ones((n, n), dtype)
        rates[dtype] = n**3 / _best(jax.jit(jnp.matmul), x, x)
    size = (1 << 30 if accelerated else 1 << 28) // (16 if short else 1)
    x = jnp.zeros(size // 4, jnp.float32)
    return Machine(rates, 2 * size / _best(jax.jit(lambda x: x + 1), x))


def _best(function: Callable[..., Any], *arguments: Any, attempts: int = 8) -> float:
    jax.block_until_ready(function(*arguments))
    seconds = []
    for _ in range(attempts):
        begin = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def size_of(tree: Any) -> int:
    """Bytes of the arrays of a tree."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def least_bytes(variables: Any, given: Any, result: Any, *, train: bool) -> int:
    """Bytes that an execution moves at least.

    Args:
      variables: Of the model.
      given: What it reads.
      result: What it gives.
      train: Whether the parameters are learned.
    """
    learned = OPTIMISED * size_of(variables["params"]) if train else 0
    return size_of(variables) + size_of(given) + size_of(result) + learned


@dataclasses.dataclass(frozen=True)
class Model:
    """A model at full size.

    Attributes:
      task: Makes the task; takes whether it computes in bfloat16.
      batch: Makes a batch; takes whether it is a small one.
      output: What inference gives of a prediction, by task.
      half: Whether it can compute in bfloat16.
    """

    task: Callable[[bool], Task]
    batch: Callable[[bool], Batch]
    output: Callable[[Task], Callable[[Any], Any]]
    half: bool = True


def _predicted(task: Task) -> Callable[[Any], Any]:
    return task.predicted


def _placed(task: Task) -> Callable[[Any], Any]:
    del task
    return lambda prediction: panoptic_map(prediction.output)


MODELS = {
    "parcels": Model(
        lambda half: parcels.task(),
        lambda short: parcels.make_batch(8 if short else parcels.PARCELS),
        _predicted,
        half=False,
    ),
    "utae": Model(
        lambda half: utae.task(bf16=half),
        lambda short: utae.make_batch(
            *((1, 4, 32) if short else (utae.PATCHES, utae.FRAMES, utae.SIDE))
        ),
        _predicted,
    ),
    "paps": Model(
        lambda half: paps.task(bf16=half),
        lambda short: paps.make_batch(
            *((1, 3, 64, 12) if short else (paps.PATCHES, paps.FRAMES, paps.SIDE, paps.PARCELS))
        ),
        _placed,
    ),
}


def rows(name: str, config: Config, rates: Machine) -> Iterator[dict[str, Any]]:
    """Training step and inference of a model, in each precision of this machine."""
    model = MODELS[name]
    batch = model.batch(config.short)
    for dtype in rates.multiply_adds:
        half = dtype == "bfloat16"
        if half and not model.half:
            continue
        task = model.task(half)
        net = task.model()
        keys = {stream: jax.random.key(0) for stream in ("params", "dropout")}
        variables = jax.jit(functools.partial(net.init, train=True))(
            keys, batch.series, **batch.given
        )
        alone = batch.replace(panoptic=None)
        with plain_order():
            predict = functools.partial(_predict, net, model.output(task))
            needed = products(predict, variables, alone.series)
        result = jax.eval_shape(predict, variables, alone.series)
        for part, way, train in (
            ("training step", ours.training_way(task, net, variables, batch), True),
            ("inference", ours.inference_way(net, variables, alone, model.output(task)), False),
        ):
            count = needed.times(TRAINING if train else 1)
            given, given_back = (batch, ()) if train else (alone.series, result)
            least = least_bytes(variables, given, given_back, train=train)
            yield _row(name, part, dtype, count, least, way, rates, config.repeats)


def _predict(net, output, variables, series):
    return output(net.apply(variables, series))


def _row(
    name: str,
    part: str,
    dtype: str,
    count: Products,
    least: int,
    way: ours.Step,
    rates: Machine,
    repeats: int,
) -> dict[str, Any]:
    seconds = take_turns({"": way}, repeats=repeats, least=0.2)[""]
    lowest = Floor.of(count.multiply_adds, least, rates, dtype)
    by_product = Floor.of(count.multiply_adds, count.read_and_written, rates, dtype)
    median = statistics.median(seconds)
    analysis, memory = way.program.cost_analysis(), way.program.memory_analysis()
    return {
        "model": name,
        "part": part,
        "dtype": dtype,
        "multiply_adds": count.multiply_adds,
        "bytes_least": least,
        "bytes_by_product": count.read_and_written,
        "floor": dataclasses.asdict(lowest),
        "floor_by_product": dataclasses.asdict(by_product),
        "seconds": seconds,
        "median": median,
        "times_floor": median / lowest.seconds,
        "times_floor_by_product": median / by_product.seconds,
        "xla": {
            "multiply_adds": analysis["flops"] / 2,
            "bytes": analysis["bytes accessed"],
            "temporaries": memory.temp_size_in_bytes,
        },
    }


HEAD = (
    "| model | part | type | multiply-adds | bytes, least | by product | floor | ours "
    "| times floor | by product | XLA: multiply-adds | bytes | temporaries |"
)
RULE = "|" + 13 * "---|"


def line(row: Mapping[str, Any]) -> str:
    """A row of the table."""
    xla = row["xla"]
    bound = "compute" if row["floor"]["compute"] >= row["floor"]["move"] else "bytes"
    cells = (
        row["model"],
        row["part"],
        row["dtype"],
        f"{row['multiply_adds'] / 1e9:,.2f} G",
        f"{row['bytes_least'] / 1e6:,.0f} MB",
        f"{row['bytes_by_product'] / 1e6:,.0f} MB",
        f"{1e3 * max(row['floor'].values()):,.2f} ms ({bound})",
        f"{1e3 * row['median']:,.2f} ms",
        f"{row['times_floor']:.1f}",
        f"{row['times_floor_by_product']:.1f}",
        f"{xla['multiply_adds'] / 1e9:,.2f} G",
        f"{xla['bytes'] / 1e6:,.0f} MB",
        f"{xla['temporaries'] / 1e6:,.0f} MB",
    )
    return f"| {' | '.join(cells)} |"


@dataclasses.dataclass(frozen=True)
class Config:
    """Compare the time of ours with the floor of the machine."""

    only: tuple[Literal["parcels", "utae", "paps"], ...] = ()
    """Models to measure. Default: all."""
    repeats: int = 5
    """Measurements of each, of which the median counts."""
    out: pathlib.Path | None = None
    """Folder for roofline.md and roofline.json."""
    short: bool = False
    """Take small work, to try the command."""


def run(config: Config) -> None:
    """Measures, prints, and writes what was found."""
    refuse("repeats", config.repeats < 1, "must be at least 1", "give 5, say")
    rates = measure_machine(short=config.short)
    each = ", ".join(f"{rate / 1e12:.3g} T/s in {d}" for d, rate in rates.multiply_adds.items())
    about = (
        f"{machine.devices()}: multiply-adds {each}; copies {rates.copied / 1e9:.3g} GB/s. "
        f"JAX {jax.__version__}. Code {machine.code_version()}."
    )
    text = [about, "", HEAD, RULE]
    print("\n".join(text), flush=True)
    found = []
    for name in config.only or MODELS:
        for row in rows(name, config, rates):
            found.append(row)
            text.append(line(row))
            print(text[-1], flush=True)
    if config.out is not None:
        config.out.mkdir(parents=True, exist_ok=True)
        (config.out / "roofline.md").write_text("\n".join(text) + "\n")
        content = {"kind": "roofline", "about": about, "machine": dataclasses.asdict(rates)}
        write_json(config.out / "roofline.json", {**content, "rows": found})


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m benchmarks.roofline", args=argv)
    console.command(lambda: run(config))


if __name__ == "__main__":
    main()
