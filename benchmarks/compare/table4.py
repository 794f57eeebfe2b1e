"""The paper's Table 4: time to load and predict a test fold, by fusion scheme.

The paper has early and late fusion; for parcels the other two schemes are measured too. The
published reader interpolates radar on the host while it loads, for early fusion; ours does it on
the device. Samples come from simulated files in the disk's cache.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from scipy.interpolate import interp1d

from benchmarks.compare import loaders, ours, parcels, published
from benchmarks.compare.timing import Way
from benchmarks.compare.work import OURS, Difference, Setting, Work, largest
from pastis_jax import training
from pastis_jax.data import ClassMapping, Splits
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.interop.names import Rule, convert
from pastis_jax.interop.semantic import block_rules, frame_encoder_rules, temporal_unet_rules
from pastis_jax.schemes import Model
from pastis_jax.tasks import SemanticModel, SemanticTask

TESTED = (5,)
"""Fold of the test in the first run."""
LOGITS = 1e-3
"""What counts as equal, relative to the largest logit or 1. Lines through the radar's outermost
dates reach far beyond what was observed, and rounding with them."""
CHECKED = 6


def predict_way(model: Model, variables: Mapping[str, Any], splits: Splits, output: Any) -> Way:
    """Loads and predicts our test fold; batches are made while the one before is predicted."""
    placement = training.Placement()
    step = training.make_prediction_step(model=model, output=output, placement=placement)
    state = ours.state_of(variables, placement)

    def start():
        before = None
        for batch in splits.evaluation("test"):
            now = step(state, placement.batch(batch.series), {})
            jax.device_get(before)
            before = now
        return jax.device_get(before)

    return Way(start)


def compare_parcels(setting: Setting) -> Iterator[Work]:
    """A fold of parcels in each fusion scheme."""
    size, torch = 128, setting.reference.torch
    with loaders.simulated(parcels=150 if setting.short else 3000) as root:
        for fusion in ("early", "mid", "late", "decision"):
            splits = loaders.open_parcels(root, size, fusion)
            dataset = loaders.published_parcels(
                setting, root, loaders.TRAINED, interpolate=fusion == "early"
            )
            norm = dataset.norm  # Ours are of the train folds too.
            dataset = loaders.published_parcels(
                setting, root, TESTED, interpolate=fusion == "early"
            )
            dataset.norm = norm
            theirs = parcels.published_model(setting, fusion).eval()
            variables = convert(published.tensors(theirs), parcels.rules(fusion))
            mine = parcels.task(fusion)

            def given(item, device=setting.device):
                series = {}
                for name in loaders.MODALITIES:
                    (pixels, mask), days = item[name], item[f"dates-{name}"]
                    mask = mask[:, None].expand(*days.shape, -1).float()
                    series[name] = tuple(x.contiguous().to(device) for x in (pixels, mask, days))
                return series

            def predict(model, dataset=dataset, given=given):
                for item in loaders.published_loader(setting, dataset, size):
                    found = model(given(item)).argmax(1).cpu()
                return found

            source, encode = splits.sources["test"], splits.evaluation_encoding
            small = [
                i
                for i in range(len(source))
                if 1 < source[i]["S2"]["values"].shape[-1] <= encode.pixels
            ][:CHECKED]
            samples = [encode(source[i], np.random.default_rng(0)) for i in small]
            batch = jax.tree.map(lambda *x: np.stack(x), *samples)
            own = ours.forward(mine.model(), variables, batch).output
            place = {int(parcel): i for i, parcel in enumerate(dataset.id_parcels)}
            logits = []
            with torch.no_grad(), published.exact(setting):
                for i in small:
                    item = dataset[place[int(source.identifier(i))]]
                    (one,) = loaders.published_loader(setting, [item], 1)
                    logits.append(theirs(given(one)).cpu().numpy()[0])
            yield Work(
                "table4-parcels",
                fusion,
                f"{len(source)} parcels loaded and predicted",
                len(source),
                "parcels",
                {
                    **published.ways(setting, theirs, predict),
                    OURS: predict_way(mine.model(), variables, splits, mine.predicted),
                },
                [
                    Difference(f"logits of {len(small)} parcels", largest(own, logits), LOGITS),
                    Difference("number of parcels", abs(len(source) - len(dataset)), 0),
                ],
            )


def published_semantic(setting: Setting, fusion: str) -> Any:
    """The published U-TAE in early or late fusion of three modalities."""
    torch, module = setting.reference.torch, setting.reference.module
    utae = module("utae-paps", "src.backbones.utae")
    channels = {name: len(PASTIS_R[name].channels) for name in loaders.MODALITIES}

    class Late(torch.nn.Module):
        def __init__(self):
            super().__init__()
            branches = {name: utae.UTAE(c, encoder=True) for name, c in channels.items()}
            self.branch = torch.nn.ModuleDict(branches)
            finest = sum(branch.enc_dim for branch in branches.values())
            self.out_conv = utae.ConvBlock(nkernels=[finest, 32, 20], padding_mode="reflect")

        def forward(self, series):
            maps = [
                self.branch[name](images, batch_positions=days)[0]
                for name, (images, days) in series.items()
            ]
            return self.out_conv(torch.cat(maps, dim=1))

    class Early(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = utae.UTAE(sum(channels.values()))

        def forward(self, series):
            images = torch.cat([images for images, _ in series.values()], dim=2)
            return self.branch(images, batch_positions=series["S2"][1])

    torch.manual_seed(0)
    return published.randomise(setting, Early() if fusion == "early" else Late())


def semantic_rules(fusion: str) -> list[Rule]:
    """Where each published tensor goes."""
    if fusion == "early":
        own = [
            *frame_encoder_rules(("spatial",), levels=4, norm="group"),
            *temporal_unet_rules(("temporal",), levels=4),
            *block_rules("out_conv.conv.conv", ("decoder", "block"), layers=2, norm="batch"),
        ]
        return [rule._replace(theirs=f"branch.{rule.theirs}") for rule in own]
    found = block_rules("out_conv.conv.conv", ("decoder", "block"), layers=2, norm="batch")
    for name in loaders.MODALITIES:
        own = frame_encoder_rules((f"spatial_{name}",), levels=4, norm="group")
        own += temporal_unet_rules((f"temporal_{name}",), levels=4)
        found += [rule._replace(theirs=f"branch.{name}.{rule.theirs}") for rule in own]
    return found


class Interpolated:
    """A published data set of patches, its radar at the optical dates, as for parcels.

    Args:
      dataset: The published data set.
      torch: PyTorch.
    """

    def __init__(self, dataset: Any, torch: Any):
        self._dataset, self._torch = dataset, torch

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Any:
        (images, dates), label = self._dataset[index]
        at = dates["S2"].numpy()
        for name in loaders.MODALITIES[1:]:
            line = functools.partial(interp1d, axis=0, fill_value="extrapolate")
            line = line(dates[name].numpy(), images[name].numpy())
            images[name] = self._torch.from_numpy(line(at)).float()
            dates[name] = dates["S2"]
        return (images, dates), label


def compare_patches(setting: Setting) -> Iterator[Work]:
    """Patches in early and late fusion, one at a time."""
    torch = setting.reference.torch
    side = 32 if setting.short else 128
    with loaders.simulated(parcels=1, patches=5, size=side) as root:
        root = root / "patches"
        norm = loaders.published_patches(setting, root, loaders.TRAINED).norm
        for fusion in ("early", "late"):
            splits = loaders.open_patches(root, 1, fusion)
            dataset = loaders.published_patches(setting, root, TESTED)
            dataset.norm = norm
            if fusion == "early":
                dataset = Interpolated(dataset, torch)
            theirs = published_semantic(setting, fusion).eval()
            tensors = published.tensors(theirs)
            idle = {k for k in tensors if fusion == "late" and ".out_conv." in k}
            tensors = {k: v for k, v in tensors.items() if k not in idle}
            variables = convert(tensors, semantic_rules(fusion))
            spec = SemanticModel(fusion=fusion).of(PASTIS_R)
            mine = SemanticTask(spec, PASTIS_R, ClassMapping.of(PASTIS_R.nomenclature))

            def given(item, device=setting.device):
                (images, days), _ = item
                names = loaders.MODALITIES
                return {name: (images[name].to(device), days[name].to(device)) for name in names}

            def predict(model, dataset=dataset, given=given):
                for item in loaders.published_loader(setting, dataset, 1):
                    found = model(given(item)).argmax(1).cpu()
                return found

            batch = next(splits.evaluation("test", ahead=False))
            own = ours.forward(mine.model(), variables, batch).output
            with torch.no_grad(), published.exact(setting):
                item = next(iter(loaders.published_loader(setting, dataset, 1)))
                logits = theirs(given(item)).cpu().numpy().transpose(0, 2, 3, 1)
            count = len(splits.sources["test"])
            yield Work(
                "table4-patches",
                fusion,
                f"{count} patches of {side} x {side} loaded and predicted",
                count,
                "patches",
                {
                    **published.ways(setting, theirs, predict),
                    OURS: predict_way(mine.model(), variables, splits, mine.predicted),
                },
                [
                    Difference("logits", largest(own, logits), LOGITS),
                    Difference("number of patches", abs(count - len(dataset)), 0),
                ],
            )
