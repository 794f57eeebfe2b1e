"""How far 20 steps of Adam stray from float64 by rounding: ours, and the published code's.

    python -m benchmarks.digits
    git clone https://github.com/VSainteuf/pytorch-psetae reference/pytorch-psetae
    git clone https://github.com/VSainteuf/utae-paps reference/utae-paps
    python -m benchmarks.digits --reference reference

The parcel model of S2 at full width without dropout, on a CPU, from the weights of the golden case
`parcel_trajectory`; each seed draws 20 batches of its size: 8 parcels, 9 dates, 16 pixels. Adam
makes a step of full length of a gradient that is zero but for rounding, so that rounding grows.
Ours in float32 is compared with ours in float64, under the same weights and batches; with
`--reference` (which needs PyTorch) the published code's float32 with its float64, and the two
float64 with each other: they are one function. Printed is the largest difference of a loss over the
steps. docs/performance.md shows the result.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from pastis_jax import fusion
from pastis_jax.cli import console
from pastis_jax.errors import refuse
from pastis_jax.interop import convert_parcel_classifier
from pastis_jax.losses import supervised_loss
from pastis_jax.models import LTAE, MLPDecoder, PixelSetEncoder
from pastis_jax.types import Series

GOLDEN = pathlib.Path(__file__).parent.parent / "tests" / "golden" / "parcel_trajectory.npz"
STEPS, PARCELS, DATES, CHANNELS, PIXELS, CLASSES, RATE = 20, 8, 9, 10, 16, 18, 1e-3


@dataclasses.dataclass(frozen=True)
class Config:
    """Compare losses in float32 with those in float64."""

    reference: pathlib.Path | None = None
    """A folder with clones of pytorch-psetae and utae-paps."""
    seeds: int = 10
    """Runs."""


def make_batches(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels, days and labels of every step."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(size=(STEPS, PARCELS, DATES, CHANNELS, PIXELS)).astype(np.float32)
    days = np.sort(rng.integers(0, 400, (STEPS, PARCELS, DATES)), -1)
    return pixels, days, rng.integers(0, CLASSES, (STEPS, PARCELS))


@jax.jit
def our_losses(variables, batches):
    """Loss of every step."""
    dropout = {"dropout": 0.0, "attention_dropout": 0.0}
    model = fusion.single("S2", PixelSetEncoder(), LTAE(**dropout), MLPDecoder(CLASSES))
    optimizer = optax.adam(RATE)

    def step(carry, batch):
        variables, state = carry
        pixels, days, label = batch
        series = Series(
            values=pixels.transpose(0, 1, 3, 2),
            days=days,
            valid=jnp.ones(days.shape, bool),
            pixels=jnp.ones((PARCELS, PIXELS), bool),
        )

        def loss(params):
            prediction, updated = model.apply(
                {**variables, "params": params}, {"S2": series}, train=True, mutable=["batch_stats"]
            )
            losses, _ = supervised_loss(prediction, label, jnp.ones(label.shape, bool))
            return losses.mean(), updated

        (value, updated), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
        updates, state = optimizer.update(gradient, state)
        params = optax.apply_updates(variables["params"], updates)
        return ({"params": params, **updated}, state), value

    return jax.lax.scan(step, (variables, optimizer.init(variables["params"])), batches)[1]


def ours(tensors: dict[str, np.ndarray], batches: tuple, dtype: type) -> np.ndarray:
    """Our losses in a type."""
    variables = convert_parcel_classifier(tensors, "S2")
    with jax.enable_x64(dtype == np.float64):
        variables = jax.tree.map(lambda x: np.asarray(x, dtype), variables)
        pixels, days, label = batches
        given = pixels.astype(dtype), days.astype(np.int32), label.astype(np.int32)
        return np.asarray(our_losses(variables, given), np.float64)


class Published:
    """The published modules, of a folder with clones."""

    def __init__(self, folder: pathlib.Path):
        self.torch = importlib.import_module("torch")
        sys.path.insert(0, str(folder / "utae-paps"))
        self.ltae = importlib.import_module("src.backbones.ltae").LTAE2d
        self.encoder = _load(folder / "pytorch-psetae" / "models" / "pse.py").PixelSetEncoder
        self.decoder = _load(folder / "pytorch-psetae" / "models" / "decoder.py").get_decoder

    def losses(self, tensors: dict[str, np.ndarray], batches: tuple, dtype: type) -> np.ndarray:
        """Its losses in a type."""
        torch = self.torch
        parts = {
            "spatial_encoder": self.encoder(
                CHANNELS, [CHANNELS, 32, 64], mlp2=[128, 128], with_extra=False
            ),
            "temporal_encoder": self.ltae(dropout=0.0),
            "decoder": self.decoder([128, 64, 32, CLASSES]),
        }
        model = torch.nn.ModuleDict(parts)
        state = {name: torch.from_numpy(x) for name, x in tensors.items()}
        found = model.load_state_dict(state, strict=False)
        assert all(name.endswith("num_batches_tracked") for name in found.missing_keys)
        assert not found.unexpected_keys
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        model = model.double() if dtype == np.float64 else model
        optimizer = torch.optim.Adam(model.parameters(), RATE)
        losses = []
        for pixels, days, label in zip(*batches, strict=True):
            x = torch.from_numpy(pixels.astype(dtype))
            features = model["spatial_encoder"]((x, torch.ones_like(x[:, :, 0])))
            when = torch.from_numpy(days.astype(dtype))
            embedding = model["temporal_encoder"](features[..., None, None], batch_positions=when)
            logits = model["decoder"](embedding[..., 0, 0])
            loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(label))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return np.array(losses)


def _load(path: pathlib.Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(config: Config) -> None:
    """Prints a table."""
    refuse("seeds", config.seeds < 1, f"got {config.seeds}", "give 1 or more")
    with np.load(GOLDEN) as file:
        tensors = {name[6:]: file[name] for name in file.files if name.startswith("state/")}
    code = None if config.reference is None else Published(config.reference)
    apart = {"ours": []}
    for seed in range(config.seeds):
        batches = make_batches(seed)
        single, exact = (ours(tensors, batches, dtype) for dtype in (np.float32, np.float64))
        apart["ours"].append(np.abs(single - exact).max())
        if code is not None:
            theirs, double = (
                code.losses(tensors, batches, dtype) for dtype in (np.float32, np.float64)
            )
            apart.setdefault("published", []).append(np.abs(theirs - double).max())
            apart.setdefault("both in float64", []).append(np.abs(exact - double).max())
    print("| float32 from float64, largest difference of a loss | median | least | largest |")
    print("|---|---|---|---|")
    for name, values in apart.items():
        cells = (f"{f(values):.1e}" for f in (np.median, np.min, np.max))
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    """Command line."""
    config = tyro.cli(Config, prog="python -m benchmarks.digits")
    console.command(lambda: run(config))


if __name__ == "__main__":
    main()
