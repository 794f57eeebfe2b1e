"""What instances cost beside the U-TAE that finds them, as ratios measured in one run.

    python -m benchmarks.panoptic

One patch at the size of PASTIS-R: 45 dates of 10 bands. Its centres are given, so that there are as
many as asked for, of log-normal sides. Parts take turns, so that a busy machine slows all alike.

- assembly: masks of all centres, and the pseudo-NMS that lays them on the map;
- training: sums for the loss, and their gradients, for a batch of patches;
- whole images: the same with every mask on the whole image, all at once. In training they do not
  fit in small memories, so that this is compiled, but not run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import statistics
import time
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from pastis_jax import fusion
from pastis_jax.models import ConvDecoder, FrameEncoder, TemporalUNet
from pastis_jax.panoptic import masks, panoptic_map
from pastis_jax.panoptic.centres import boxes
from pastis_jax.types import InstancePrediction, PanopticPrediction, Series

CHANNELS = (1, 16, 16, 1)


@dataclasses.dataclass(frozen=True)
class Config:
    """Time masks and pseudo-NMS, and the U-TAE's forward pass."""

    centres: int = 100
    """Centres of each patch."""
    side: float = 16.0
    """Median side of the boxes, pixels; their logarithms have a standard deviation of 0.6."""
    batch_size: int = 4
    """Patches of the training part."""
    repeats: int = 5
    """Turns that each part gets; the median is reported."""


def make_instances(config: Config, patches: int):
    """Random shapes, saliency, centres, sizes and mask network."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return jnp.asarray(rng.normal(size=shape).astype(np.float32))

    centre = jnp.asarray(rng.integers(0, 128, (patches, config.centres, 2)), jnp.int32)
    size = config.side * jnp.exp(0.6 * draw(patches, config.centres, 2))
    network = [
        {"kernel": draw(3, 3, c, d) / 9, "bias": draw(d)} for c, d in itertools.pairwise(CHANNELS)
    ]
    network[0] |= {"scale": jnp.ones(CHANNELS[1]), "offset": draw(CHANNELS[1])}
    return {
        "shape": draw(patches, config.centres, 16, 16),
        "saliency": draw(patches, 128, 128),
        "box": boxes(centre, size),
        "found": jnp.ones((patches, config.centres), bool),
        "network": network,
    }


def assembly(instances):
    """Panoptic map of given instances."""
    found, _ = masks.assemble_masks(**instances, threshold=0.4, paste=True)
    b, i = instances["found"].shape
    prediction = InstancePrediction(
        centre=jnp.zeros((b, i, 2), jnp.int32),
        found=instances["found"],
        confidence=jnp.broadcast_to(jnp.linspace(0.9, 0.3, i), (b, i)),
        size=jnp.ones((b, i, 2)),
        logits=jnp.zeros((b, i, 20)),
        box=instances["box"],
        dropped=jnp.zeros(b, jnp.int32),
        masks=found,
    )
    return panoptic_map(PanopticPrediction(instances["saliency"], None, prediction)).instances


def training(instances):
    """Gradients of the shape loss."""
    b, i = instances["found"].shape
    names = ("shape", "saliency", "network")

    def loss(learned):
        matched = jnp.broadcast_to(jnp.arange(1, i + 1), (b, i))
        truth = masks.Truth(jnp.ones((b, 128, 128), jnp.int32), matched)
        _, sums = masks.assemble_masks(**{**instances, **learned}, threshold=0.4, truth=truth)
        return sums.cross_entropy.sum()

    return jax.grad(loss)({name: instances[name] for name in names})


def forward():
    """The semantic U-TAE's forward pass on one patch, and its arguments."""
    rng = np.random.default_rng(0)
    series = Series(
        values=jnp.asarray(rng.normal(size=(1, 45, 128, 128, 10)).astype(np.float32)),
        days=jnp.arange(45)[None] * 8,
        valid=jnp.ones((1, 45), bool),
    )
    model = fusion.single("S2", FrameEncoder(), TemporalUNet(), ConvDecoder(20))
    variables = jax.jit(model.init)(jax.random.key(0), {"S2": series})
    return model.apply, (variables, {"S2": series})


def compiled(function, *arguments, whole: bool = False):
    """Compiles for these arguments; `whole` takes all instances on whole images at once."""
    with contextlib.ExitStack() as patches:
        if whole:
            patches.enter_context(mock.patch.object(masks, "_SMALLEST", 128))
            patches.enter_context(mock.patch.object(masks, "GROUP", arguments[0]["found"].size))
        program = jax.jit(lambda *a: function(*a)).lower(*arguments).compile()
    return functools.partial(program, *arguments), program.memory_analysis().temp_size_in_bytes


def main() -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m benchmarks.panoptic")
    single, batch = make_instances(config, 1), make_instances(config, config.batch_size)
    apply, arguments = forward()
    parts = {
        "U-TAE, forward": compiled(apply, *arguments),
        "assembly": compiled(assembly, single),
        "assembly, whole images": compiled(assembly, single, whole=True),
        "training": compiled(training, batch),
        "training, whole images": compiled(training, batch, whole=True),
    }
    times = {name: [] for name in parts}
    for turn in range(config.repeats + 1):
        for name, (run, _) in parts.items():
            if name == "training, whole images":
                continue
            start = time.perf_counter()
            jax.block_until_ready(run())
            if turn:  # the first turn warms up
                times[name].append(time.perf_counter() - start)
    base = statistics.median(times["U-TAE, forward"])
    print(f"| part | time | of the U-TAE's forward pass | memory | ({jax.devices()[0]})")
    print("|---|---|---|---|")
    for name, (_, memory) in parts.items():
        time_and_ratio = "- | -"
        if times[name]:
            median = statistics.median(times[name])
            time_and_ratio = f"{1e3 * median:,.0f} ms | {median / base:.3f}"
        print(f"| {name} | {time_and_ratio} | {memory / 1e6:,.0f} MB |")


if __name__ == "__main__":
    main()
