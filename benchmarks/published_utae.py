"""How exactly `load_utae` gives what the published U-TAE computes.

    git clone https://github.com/VSainteuf/utae-paps
    python -m benchmarks.published_utae --code utae-paps

Needs PyTorch. The published code makes a model with random weights and running statistics and saves
it as its training does; both run on the same random images, 2 x 5 x 10 x 32 x 32, in float32 on a
CPU. Printed is the largest difference of a logit over the three aggregations, and of the attention.
docs/published_weights.md shows the result.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import pathlib
import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from pastis_jax.cli import console
from pastis_jax.errors import UserError, refuse
from pastis_jax.interop import load_utae
from pastis_jax.types import Series

AGGREGATIONS = ("att_group", "att_mean", "mean")
NORMS = ("group", "batch", "instance")
NARROW = {
    **{"encoder_widths": [16, 16, 16, 32], "decoder_widths": [16, 16, 16, 32]},
    **{"out_conv": [16, 20], "n_head": 4, "d_model": 32},
}
SIZES = {"default": ({}, (0,)), "narrow": (NARROW, (0, 1, 2))}
"""Options and draws."""
SHAPE = (2, 5, 10, 32, 32)


@dataclasses.dataclass(frozen=True)
class Config:
    """Compare random U-TAEs of the published code with what is loaded of them here."""

    code: pathlib.Path
    """A clone of utae-paps."""


def compare(torch, published, options: dict, seed: int) -> tuple[float, float, float]:
    """Returns the largest difference of logits, of attention, and the largest logit.

    Args:
      torch: PyTorch.
      published: The published class.
      options: Its arguments.
      seed: Of weights and images.
    """
    torch.manual_seed(seed)
    model = published(input_dim=SHAPE[2], **options)
    for name, value in model.state_dict().items():
        if name.endswith(("running_mean", "weight", "bias")) and value.ndim == 1:
            value.add_(0.5 * torch.randn_like(value))
        elif name.endswith("running_var"):
            value.mul_(torch.rand_like(value) + 0.5)
    images = torch.randn(SHAPE)
    days = torch.sort(torch.randint(0, 400, SHAPE[:2]))[0]
    with torch.no_grad():
        logits, attention = model.eval()(images, batch_positions=days, return_att=True)
    with tempfile.TemporaryDirectory() as folder:
        torch.save({"epoch": 1, "state_dict": model.state_dict()}, f"{folder}/model.pth.tar")
        (pathlib.Path(folder) / "conf.json").write_text(json.dumps({"model": "utae", **options}))
        loaded = load_utae(folder)
    series = Series(
        values=jnp.asarray(images.numpy().transpose(0, 1, 3, 4, 2)),
        days=jnp.asarray(days.numpy(), jnp.int32),
        valid=jnp.ones(SHAPE[:2], bool),
    )
    prediction, kept = loaded.model.apply(
        loaded.variables, {"S2": series}, mutable=["intermediates"]
    )
    (ours,) = jax.tree.leaves(kept)  # b t h w n
    theirs = attention.numpy().transpose(1, 2, 3, 4, 0)
    wanted = logits.numpy().transpose(0, 2, 3, 1)
    return (
        float(np.max(np.abs(np.asarray(prediction.output) - wanted))),
        float(np.max(np.abs(np.asarray(ours) - theirs))),
        float(np.max(np.abs(wanted))),
    )


def run(config: Config) -> None:
    """Compares and prints.

    Raises:
      UserError: If PyTorch is missing, or the code is not there.
    """
    there = (config.code / "src" / "backbones" / "utae.py").is_file()
    refuse("code", not there, f"{config.code} is not utae-paps", "give a clone of that repository")
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        install = "run: pip install 'pastis-jax[torch]'"
        raise UserError("not installed", where="PyTorch", remedy=install) from None
    sys.path.insert(0, str(config.code.resolve()))
    published = importlib.import_module("src.backbones.utae").UTAE
    print(f"| frame encoder's norm | {' | '.join(SIZES)} |\n|---|---|---|")
    attention, largest = 0.0, 0.0
    for norm in NORMS:
        cells = []
        for sizes, seeds in SIZES.values():
            found = [
                compare(torch, published, {**sizes, "agg_mode": how, "encoder_norm": norm}, seed)
                for how in AGGREGATIONS
                for seed in seeds
            ]
            differences, attentions, logits = (max(values) for values in zip(*found, strict=True))
            cells.append(f"{differences:.1e}")
            attention, largest = max(attention, attentions), max(largest, logits)
        print(f"| {norm} | {' | '.join(cells)} |", flush=True)
    print(f"logits reach {largest:.1f}; attention differs by {attention:.1e} at most")


def main() -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m benchmarks.published_utae")
    console.command(lambda: run(config))


if __name__ == "__main__":
    main()
