"""What the parcel model's two rewrites are worth, as ratios measured in one run.

    python -m benchmarks.parcel_step

Late fusion at the size of PASTIS-R: 128 parcels, 45 + 70 + 70 dates, 32 pixels. Variants compute
the same function with parameters of the same shapes; they take turns, so that a busy machine slows
all alike.

- direct: every feature of every pixel stored, L-TAE in its textbook order;
- folded L-TAE: key projection, query and input projection folded into one matrix;
- chunked PSE: batch norms folded through input moments, a few dates at a time (what we ship).
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import time
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from flax import linen as nn

from pastis_jax import Batch, Series, training
from pastis_jax.data import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.models import LTAE, pse
from pastis_jax.nn import DenseBatchNorm, masked_softmax, sinusoidal_day_code
from pastis_jax.tasks import ParcelModel, ParcelTask

DATES = {"S2": (45, 10), "S1A": (70, 3), "S1D": (70, 3)}


@dataclasses.dataclass(frozen=True)
class Config:
    """Time a training step and an inference step of late fusion."""

    batch_size: int = 128
    """Parcels in a batch."""
    repeats: int = 7
    """Turns that each variant gets; the median is reported."""


def direct_attention(self, x, days, valid, *, train):
    """L-TAE's attention in the order of the paper: embed every date, project keys, attend."""
    n, width = self.heads, self.model_features

    def parameter(name, *shape):
        return self.param(name, nn.initializers.normal(0.1), shape)

    kernel, bias = parameter("in_kernel", x.shape[-1], width), parameter("in_bias", width)
    query = parameter("query", n, self.key_features)
    key_kernel = parameter("key_kernel", width, n * self.key_features)
    key_bias = parameter("key_bias", n * self.key_features)
    code = jnp.tile(sinusoidal_day_code(days, width // n, period=self.period), n)
    e = x @ kernel + bias + code
    keys = (e @ key_kernel + key_bias).reshape(*e.shape[:2], n, -1)
    logits = jnp.einsum("btnk,nk->btn", keys, query) / jnp.sqrt(self.key_features)
    attention = masked_softmax(logits, valid[..., None], axis=1)
    attention = nn.Dropout(self.attention_dropout, deterministic=not train)(attention)
    heads = jnp.einsum("btn,btnj->bnj", attention, e.reshape(*e.shape[:2], n, -1))
    return heads.reshape(len(x), width), attention


def whole_features(self, series, *, train):
    """The pixel encoder's MLP1 with every feature of every pixel stored."""
    real = series.valid[:, :, None] & series.pixels[:, None, :]
    x = series.values
    for i, width in enumerate(self.widths):
        x = nn.relu(DenseBatchNorm(width, name=f"mlp1_{i}")(x, real, train=train))
    return pse.mean_and_std(x, series.pixels)


VARIANTS = {
    "direct": {"whole": True, "direct": True},
    "folded L-TAE": {"whole": True, "direct": False},
    "folded L-TAE, chunked PSE": {"whole": False, "direct": False},
}


def build(config: Config, *, whole: bool, direct: bool):
    """Compiles both steps of a variant; returns functions that run one of each and wait."""
    spec, classes = ParcelModel(fusion="late"), ClassMapping.crops(PASTIS_R.nomenclature)
    task = ParcelTask(spec.of(PASTIS_R), PASTIS_R, classes)
    model = task.model()
    optimizer, key, placement = optax.adam(1e-3), jax.random.key(0), training.Placement()
    parts = {"model": model, "loss": task.loss, "metric": task.metric, "placement": placement}
    train = training.make_train_step(**parts, optimizer=optimizer, key=key)
    infer = training.make_evaluation_step(**parts)
    batch = make_batch(config.batch_size)
    with contextlib.ExitStack() as patches:
        if whole:
            patches.enter_context(
                mock.patch.object(pse.PixelSetEncoder, "_pooled_features", whole_features)
            )
        if direct:
            patches.enter_context(mock.patch.object(LTAE, "_attend", direct_attention))
        state = training.create_state(model, optimizer, batch, key)
        state = placement.whole(state)
        metrics = placement.whole(training.EpochMetrics.empty(task.empty(), config.batch_size))
        train = train.lower(state, metrics, batch).compile()
        infer = infer.lower(state, metrics, batch, {}).compile()
    held = {"state": state, "metrics": metrics}

    def train_once():
        held["state"], held["metrics"] = train(held["state"], held["metrics"], batch)
        jax.block_until_ready(held)

    def infer_once():
        held["metrics"] = infer(held["state"], held["metrics"], batch, {})
        jax.block_until_ready(held)

    return {
        "training": train_once,
        "inference": infer_once,
        "memory": train.memory_analysis().temp_size_in_bytes / 1e6,
    }


def make_batch(size: int) -> Batch:
    """A full random batch."""
    rng = np.random.default_rng(0)
    series = {
        name: Series(
            values=rng.normal(size=(size, t, 32, c)).astype(np.float32),
            days=np.sort(rng.integers(0, 400, (size, t)), 1).astype(np.int32),
            valid=np.ones((size, t), bool),
            pixels=np.ones((size, 32), bool),
        )
        for name, (t, c) in DATES.items()
    }
    label = rng.integers(0, 18, size).astype(np.int32)
    batch = Batch(series=series, label=label, real=np.ones(size, bool), number=np.arange(size))
    return training.Placement().batch(batch)


def main() -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m benchmarks.parcel_step")
    built = {name: build(config, **variant) for name, variant in VARIANTS.items()}
    times = {(name, mode): [] for name in built for mode in ("training", "inference")}
    for turn in range(config.repeats + 1):
        for (name, mode), seconds in times.items():
            start = time.perf_counter()
            built[name][mode]()
            if turn:  # the first turn warms up
                seconds.append(time.perf_counter() - start)
    median = {which: statistics.median(seconds) for which, seconds in times.items()}
    print(f"| variant | training | inference | memory of the training step | ({jax.devices()[0]})")
    print("|---|---|---|---|")
    for name, parts in built.items():
        ratios = (
            f"{median[name, mode] / median['direct', mode]:.2f}"
            for mode in ("training", "inference")
        )
        print(f"| {name} | {' | '.join(ratios)} | {parts['memory']:,.0f} MB |")
    for mode in ("training", "inference"):
        print(f"direct, {mode}: {config.batch_size / median['direct', mode]:,.0f} parcels/s")


if __name__ == "__main__":
    main()
