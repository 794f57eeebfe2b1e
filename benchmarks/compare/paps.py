"""U-TAE and PaPs, panoptic segmentation of one modality, beside the published ones of utae-paps."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from scipy import ndimage

from benchmarks.compare import ours, published, utae
from benchmarks.compare.reference import scatter_max_stand_in
from benchmarks.compare.work import (
    BF16,
    OURS,
    Difference,
    Setting,
    Work,
    largest,
    largest_of_gradients,
)
from pastis_jax.data import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches.instances import centerness, measure
from pastis_jax.interop import convert_paps
from pastis_jax.panoptic import panoptic_map
from pastis_jax.tasks import PanopticModel, PanopticTask
from pastis_jax.types import Batch, PanopticTarget

PATCHES, FRAMES, SIDE, PARCELS = 2, 10, 128, 60
BOX = 8.0
"""Rows and columns that boxes are predicted around, pixels."""
HEATMAP, LOSS, GRADIENT = 1e-4, 1e-4, 2e-2
PIXELS = 5e-3
"""Share of the pixels that may belong to another class or instance: a mask's edge is a threshold,
which rounding can cross."""
LOSS_BF16 = 5e-2


def task(*, bf16: bool = False) -> PanopticTask:
    """U-TAE of published widths, and PaPs."""
    spec = PanopticModel(fusion="single", bf16=bf16).of(PASTIS_R)
    return PanopticTask(spec, PASTIS_R, ClassMapping.of(PASTIS_R.nomenclature))


def parcels(side: int, count: int) -> np.ndarray:
    """Draws a map ``h w`` of rectangular parcels, numbered from 1, each in a cell of its own."""
    rng = np.random.default_rng(0)
    cells = int(np.ceil(np.sqrt(count)))
    size = side // cells
    drawn = np.zeros((side, side), np.int32)
    for i in range(count):
        top, left = (size * x for x in divmod(i, cells))
        h, w = rng.integers(max(2, size // 2), size, 2)
        drawn[top : top + h, left : left + w] = i + 1
    return drawn


def make_batch(patches: int, frames: int, side: int, count: int) -> Batch:
    """The same patch `patches` times, with `count` parcels.

    Images are smooth, so that heatmaps have about as many maxima as there are parcels. Centres of
    an image must exceed its mean here and the batch's in the published code: of equal images both
    are one.
    """
    rng = np.random.default_rng(0)
    batch = utae.make_batch(1, frames, side)
    coarse = rng.normal(size=(1, frames, side // 8, side // 8, batch.series["S2"].values.shape[-1]))
    smooth = ndimage.zoom(coarse, (1, 1, 8, 8, 1), order=3, mode="nearest").astype(np.float32)
    drawn = parcels(side, count)
    heatmap, zones = centerness(drawn)
    label = rng.integers(1, 19, count).astype(np.int32)
    semantic = np.concatenate([[0], label])[drawn]
    size, _ = measure(drawn, semantic, count)
    target = PanopticTarget(
        heatmap=heatmap.astype(np.float32)[None],
        instances=drawn[None],
        zones=zones.astype(np.int32)[None],
        size=size.astype(np.float32)[None],
        label=label[None],
        real=np.ones((1, count), bool),
        dropped=np.zeros(1, np.int32),
    )
    series = batch.series["S2"].replace(values=smooth)
    one = batch.replace(
        series={"S2": series}, label=semantic.astype(np.int32)[None], panoptic=target
    )
    return jax.tree.map(lambda x: np.repeat(x, patches, 0), one)


def published_target(setting: Setting, batch: Batch) -> Any:
    """The published maps ``b h w 7``: heatmap, instances, zones, sizes, labels of both kinds."""
    target, maps = batch.panoptic, []
    for i in range(len(batch.real)):
        zones = target.zones[i]
        size, label = target.size[i][zones - 1], target.label[i][zones - 1]
        layers = (target.heatmap[i], target.instances[i], zones)
        maps.append(np.stack([*layers, size[..., 0], size[..., 1], label, batch.label[i]], -1))
    torch = setting.reference.torch
    return torch.from_numpy(np.stack(maps).astype(np.float32)).to(setting.device)


def published_model(setting: Setting) -> Any:
    """PaPs on a U-TAE, with weights that find things of a parcel's size."""
    reference, torch = setting.reference, setting.reference.torch
    if importlib.util.find_spec("torch_scatter") is None:
        sys.modules["torch_scatter"] = scatter_max_stand_in(torch)
    backbone = reference.module("utae-paps", "src.backbones.utae").UTAE
    paps = reference.module("utae-paps", "src.panoptic.paps").PaPs
    torch.manual_seed(0)
    model = paps(backbone(len(PASTIS_R["S2"].channels), encoder=True))
    model = published.randomise(setting, model)
    with torch.no_grad():
        model.size_mlp[6].bias.fill_(BOX)
        # What is doubled in resolution alternates from pixel to pixel, as long as nothing has been
        # learned: a maximum at every other pixel. The finest map is left with what is not.
        doubled = model.encoder.up_blocks[-1].up[0].out_channels
        model.encoder.up_blocks[-1].conv1.conv[0].weight[:, :doubled] = 0
    return model


def compare(setting: Setting) -> Iterator[Work]:
    """Training step and inference."""
    mine = task()
    sizes = (2, 3, 64, 12) if setting.short else (PATCHES, FRAMES, SIDE, PARCELS)
    patches, frames, side, count = sizes
    batch = make_batch(*sizes)
    theirs = published_model(setting)
    criterion = setting.reference.module("utae-paps", "src.panoptic.paps_loss").PaPsLoss
    criterion = criterion(void_label=19)
    variables = convert_paps(published.tensors(theirs), "S2")
    images, days = utae.published_images(setting, batch.series["S2"])
    target = published_target(setting, batch)

    def predict(model):
        zones = target[..., 2]
        return model(images, batch_positions=days, zones=zones, pseudo_nms=False)

    def loss(prediction):
        return criterion(prediction, target)

    value, found = published.check_step(setting, theirs, predict, loss)
    found = {k: v for k, v in found.items() if k != "min_confidence"}
    expected = convert_paps(found, "S2", collections=("params",))["params"]
    model = mine.model()

    def still(model):
        # As published, thin boxes have an empty true mask.
        model = utae.without_dropout(model)
        return model.clone(decoder=model.decoder.clone(legacy_thin=True))

    own, gradient = ours.gradient(mine, still(model), variables, batch)
    differences = [
        Difference("loss", largest(own, value), LOSS),
        Difference("gradient", largest_of_gradients(gradient, expected), GRADIENT),
    ]
    ways = {
        **published.ways(setting, theirs, predict, loss=loss),
        OURS: ours.training_way(mine, model, variables, batch),
    }
    half = task(bf16=True)
    if setting.bf16:
        rounded, _ = ours.gradient(half, still(half.model()), variables, batch)
        differences.append(Difference("loss in bf16", largest(rounded, value), LOSS_BF16))
        ways[BF16] = ours.training_way(half, half.model(), variables, batch)
    common: Mapping[str, Any] = {"row": "paps", "amount": patches, "unit": "patches"}
    what = f"{patches} patches of {frames} frames of {side} x {side}"
    yield Work(
        **common,
        part="training step",
        what=f"{what}, {count} parcels each",
        ways=ways,
        differences=differences,
    )
    del ways
    yield from _inference(setting, theirs, variables, batch, common, what)


def _inference(setting, theirs, variables, batch, common, what) -> Iterator[Work]:
    images, days = utae.published_images(setting, batch.series["S2"])
    batch = batch.replace(panoptic=None)

    def infer(model):
        return model(images, batch_positions=days)

    theirs.eval()
    with setting.reference.torch.no_grad(), published.exact(setting):
        theirs_found = {k: v.cpu().numpy() for k, v in infer(theirs).items() if hasattr(v, "cpu")}
    mine = task()
    prediction = ours.forward(mine.model(), variables, batch)
    placed = jax.jit(panoptic_map)(prediction.output)
    centres = int(theirs_found["center_mask"][0].sum())
    differences = [
        Difference(
            "heatmap", largest(prediction.output.heatmap, theirs_found["heatmap"][:, 0]), HEATMAP
        ),
        Difference(
            "share of pixels of another class",
            float(np.mean(placed.semantic != theirs_found["pano_semantic"].argmax(1))),
            PIXELS,
        ),
        Difference(
            "share of pixels of another instance",
            other_instance(np.asarray(placed.instances), theirs_found["pano_instance"]),
            PIXELS,
        ),
    ]
    ways = {
        **published.ways(setting, theirs, infer),
        OURS: ours.inference_way(mine.model(), variables, batch, _map_of),
    }
    if setting.bf16:
        half = task(bf16=True)
        ways[BF16] = ours.inference_way(half.model(), variables, batch, _map_of)
    yield Work(
        **common,
        part="inference",
        what=f"{what}, {centres} centres each",
        ways=ways,
        differences=differences,
    )


def _map_of(prediction):
    return panoptic_map(prediction.output)


def other_instance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Share of the pixels that are not in the instance that shares most with ours; 0 is background.

    Args:
      ours: Instances ``b h w``, numbered in any way.
      theirs: The same.
    """
    wrong = 0
    for one, other in zip(ours.astype(int), theirs.astype(int), strict=True):
        table = np.zeros((one.max() + 1, other.max() + 1), int)
        np.add.at(table, (one, other), 1)
        wrong += one.size - table[0, 0] - table[1:, 1:].max(1, initial=0).sum()
    return wrong / ours.size
