"""What the orders of U-TAE's computation are worth, as ratios measured in one run.

    python -m benchmarks.semantic_step

Published widths, one modality, two patches of 64 x 64 with 10 and 6 dates, padded to 10. The
variants compute the same function with the same parameters, which is checked; they take turns, so
that a busy machine slows all alike.

- plain: as for an accelerator: borders padded before each convolution, one pass over all frames for
  each step of a norm, dates summed at once, gradients as XLA derives them, every frame;
- ordered: convolutions, norms, sums over dates and gradients in the order for a CPU
  (nn/conv_cpu.py, nn/norm_cpu.py, nn/dates_cpu.py);
- packed: also only the valid frames are convolved (what we ship).
"""

from __future__ import annotations

import contextlib
import statistics
import time
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from pastis_jax import fusion
from pastis_jax.models import ConvDecoder, FrameEncoder, TemporalUNet
from pastis_jax.types import Series

ROUNDS, B, T, N, VALID = 5, 2, 10, 64, 16
VARIANTS = {
    "plain": {"ordered": False},
    "ordered": {"ordered": True},
    "packed": {"ordered": True, "capacity": VALID},
}


def build(*, ordered: bool, **arguments):
    """Compiles the gradient and the forward pass of a variant."""
    model = fusion.single("S2", FrameEncoder(**arguments), TemporalUNet(), ConvDecoder(20))

    def objective(params, others, series):
        prediction, _ = model.apply(
            {"params": params, **others},
            series,
            train=True,
            rngs={"dropout": jax.random.key(0)},
            mutable=["batch_stats"],
        )
        return jnp.mean(jnp.square(prediction.output))

    series = {"S2": example()}
    names = ("params", "dropout")
    variables = model.init({n: jax.random.key(0) for n in names}, series, train=True)
    params = variables.pop("params")
    platform = contextlib.nullcontext()
    if not ordered:
        platform = mock.patch.object(jax, "default_backend", return_value="gpu")
    with platform:
        step = jax.jit(jax.grad(objective)).lower(params, variables, series).compile()
        apply = jax.jit(model.apply).lower({"params": params, **variables}, series).compile()
    return {
        "step": lambda: step(params, variables, series),
        "inference": lambda: apply({"params": params, **variables}, series).output,
        "memory": step.memory_analysis().temp_size_in_bytes / 1e6,
    }


def example() -> Series:
    """Two patches, 16 valid frames of 20."""
    rng = np.random.default_rng(0)
    return Series(
        values=jnp.asarray(rng.normal(size=(B, T, N, N, 10)), jnp.float32),
        days=jnp.asarray(np.sort(rng.integers(0, 400, (B, T)), 1), jnp.int32),
        valid=jnp.asarray(np.arange(T) < np.array([[T], [VALID - T]])),
    )


def main() -> None:
    """Builds, checks that all agree, times and prints."""
    built = {name: build(**arguments) for name, arguments in VARIANTS.items()}
    expected = built["plain"]["step"]()
    for name, variant in built.items():
        for ours, theirs in zip(
            jax.tree.leaves(variant["step"]()), jax.tree.leaves(expected), strict=True
        ):
            error = float(jnp.abs(ours - theirs).max() / (jnp.abs(theirs).max() + 1e-6))
            assert error < 1e-2, (name, error)
    seconds = {name: {"step": [], "inference": []} for name in built}
    for _ in range(ROUNDS):
        for name, variant in built.items():
            for kind, times in seconds[name].items():
                start = time.perf_counter()
                jax.block_until_ready(variant[kind]())
                times.append(time.perf_counter() - start)
    base = {kind: statistics.median(seconds["plain"][kind]) for kind in ("step", "inference")}
    print("| variant | gradient | inference | memory of the gradient |\n|---|---|---|---|")
    for name, variant in built.items():
        ratios = [f"{statistics.median(seconds[name][k]) / base[k]:.2f}" for k in base]
        print(f"| {name} | {' | '.join(ratios)} | {variant['memory']:.0f} MB |")


if __name__ == "__main__":
    main()
