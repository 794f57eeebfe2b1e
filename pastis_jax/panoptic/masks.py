"""Instance masks on local windows (Garnot and Landrieu, ICCV 2021, section 3.2).

Every box gets a window of one of a few static sizes, so that no work or memory grows with images
times instances. The instances of a batch are sorted by the window they need and taken in groups;
each group branches, while it runs, to the window that its largest member needs. The last window is
the whole image: no box is too large.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pastis_jax.nn import group_norm
from pastis_jax.nn.conv import convolve_same
from pastis_jax.nn.norm import EXACT

GROUP = 8
"""Instances that are computed together."""

_SMALLEST = 16

MaskNetwork = Sequence[dict[str, Array]]
"""`kernel` and `bias` of each 3 x 3 convolution; the first also has `scale` and `offset`."""


class Truth(NamedTuple):
    """What masks are compared with.

    Attributes:
      instances: ``b h w``, true instance of each pixel, from 1.
      matched: ``b i``, true instance of each slot; 0 for none.
    """

    instances: Int[Array, "b h w"]
    matched: Int[Array, "b i"]


class Sums(NamedTuple):
    """Sums over the pixels of each box: ``b i`` each.

    Attributes:
      cross_entropy: Published shape loss.
      both: Pixels of the thresholded mask that the true instance has.
      predicted: Pixels of the thresholded mask.
    """

    cross_entropy: Float[Array, "b i"]
    both: Float[Array, "b i"]
    predicted: Float[Array, "b i"]


class _Instances(NamedTuple):
    """Instances of a batch in one row: ``g ...``, image of each, true instance, boxes, shape."""

    image: Int[Array, " g"]
    matched: Int[Array, " g"]
    box: Int[Array, "g 4"]
    clipped: Int[Array, "g 4"]
    shape: Float[Array, "g s s"]


def windows(h: int, w: int) -> list[tuple[int, int]]:
    """Heights and widths of the windows for images ``h w``: doubling, the last one the image."""
    sides = [_SMALLEST]
    while sides[-1] < max(h, w):
        sides.append(2 * sides[-1])
    return [(min(side, h), min(side, w)) for side in sides]


def clip(box: Int[Array, "... 4"], h: int, w: int) -> Int[Array, "... 4"]:
    """Cuts boxes to the image."""
    return jnp.clip(box, 0, jnp.array([h, w, h, w], jnp.int32))


def assemble_masks(
    shape: Float[Array, "b i s s"],
    saliency: Float[Array, "b h w"],
    box: Int[Array, "b i 4"],
    found: Bool[Array, "b i"],
    network: MaskNetwork,
    *,
    threshold: float,
    truth: Truth | None = None,
    legacy_thin: bool = False,
    paste: bool = False,
) -> tuple[Bool[Array, "b i h w"] | None, Sums | None]:
    """Masks of instances, and how they agree with the truth.

    Args:
      shape: Predicted shapes, resampled bilinearly (half-pixel centres) to the whole box.
      saliency: Logit that is added where the box is inside the image.
      box: Boxes that may leave the image.
      found: Slots that hold an instance; others cost nothing and get nothing.
      network: Refines the masks, with zeros beyond the border of the box; empty for none.
      threshold: Probability above which a pixel belongs to the mask.
      truth: True instances, to return sums of.
      legacy_thin: In the shape loss, take true masks for empty in boxes that have one row or column
        or the image's width: the published loss zeroes them before it uses them.
      paste: Return masks.

    Returns:
      Masks, if `paste`; sums, if there is a `truth`, differentiable.
    """
    b, i = found.shape
    h, w = saliency.shape[1:]
    sizes = windows(h, w)
    clipped = clip(box, h, w)
    side = clipped[..., 2:] - clipped[..., :2]
    too_small = jnp.any(side[..., None, :] > jnp.array(sizes), -1).sum(-1)
    need = jnp.where(found, 1 + too_small, 0).reshape(-1)

    groups = -(-b * i // GROUP)
    spare = groups * GROUP - b * i
    order = jnp.argsort(jnp.pad(need, (0, spare)))
    matched = jnp.zeros((b, i), jnp.int32) if truth is None else truth.matched
    image = jnp.broadcast_to(jnp.arange(b)[:, None], (b, i))
    flat = jax.tree.map(
        lambda x: jnp.take(x.reshape(b * i, *x.shape[2:]), order, 0, mode="clip"),
        _Instances(image, matched, box, clipped, shape),
    )
    inputs = jax.tree.map(lambda x: x.reshape(groups, GROUP, *x.shape[1:]), flat)
    branch = jnp.pad(need, (0, spare))[order].reshape(groups, GROUP)

    true = None if truth is None else truth.instances
    settings = {
        "network": bool(network),
        "threshold": threshold,
        "legacy_thin": legacy_thin,
        "paste": paste,
    }
    branches = [partial(_nothing, **settings)]
    branches += [jax.checkpoint(partial(_in_window, size, **settings)) for size in sizes]

    @jax.checkpoint
    def step(carry, xs):
        group, needed = xs
        found = needed > 0
        return carry, jax.lax.switch(
            needed.max(), branches, group, found, saliency, true, tuple(network)
        )

    _, outputs = jax.lax.scan(step, None, (inputs, branch))
    back = jnp.zeros_like(order).at[order].set(jnp.arange(len(order)))[: b * i]
    masks, sums = jax.tree.map(
        lambda x: x.reshape(-1, *x.shape[2:])[back].reshape(b, i, *x.shape[2:]), outputs
    )
    return masks, sums


def _nothing(group, found, saliency, true, weights, *, paste, **settings):
    masks = jnp.zeros((GROUP, *saliency.shape[1:]), bool) if paste else None
    return masks, None if true is None else Sums(*(jnp.zeros(GROUP),) * 3)


def _in_window(
    size, group, found, saliency, true, weights, *, network, threshold, legacy_thin, paste
):
    """A group's masks and sums, computed on windows of `size`."""
    h, w = saliency.shape[1:]
    origin = jnp.minimum(group.clipped[:, :2], jnp.array([h - size[0], w - size[1]]))
    rows = origin[:, :1] + jnp.arange(size[0])
    columns = origin[:, 1:] + jnp.arange(size[1])

    def cut(maps):
        def one_window(image, start):
            return jax.lax.dynamic_slice(maps, (image, start[0], start[1]), (1, *size))[0]

        return jax.vmap(one_window)(group.image, origin)

    top, left, bottom, right = (x[:, None] for x in group.clipped.T)
    inside = ((rows >= top) & (rows < bottom) & found[:, None])[:, :, None]
    inside = inside & ((columns >= left) & (columns < right))[:, None, :]
    resampled = _resample(group.shape, group.box, rows, columns)
    if network:
        x = resampled + cut(saliency)
        mask = jax.nn.sigmoid(x) * jax.nn.sigmoid(_refine(x, inside, weights))
    else:
        mask = jax.nn.sigmoid(resampled) * jax.nn.sigmoid(cut(saliency))
    chosen = (mask > threshold) & inside
    sums = masks = None
    if true is not None:
        correct = (cut(true) == group.matched[:, None, None]) & inside
        wanted = correct
        if legacy_thin:
            thin = (bottom - top == 1) | (right - left == 1) | (right - left == w)
            wanted = correct & ~thin[:, :, None]
        # Two-class softmax of the PROBABILITIES [1 - p, p], as published.
        entropy = jax.nn.softplus(jnp.where(wanted, 1 - 2 * mask, 2 * mask - 1))
        parts = (jnp.where(inside, entropy, 0), chosen & correct, chosen)
        sums = Sums(*(jnp.sum(x, (1, 2), dtype=jnp.float32) for x in parts))
    if paste:
        empty = jnp.zeros((h, w), bool)
        masks = jax.vmap(lambda x, start: jax.lax.dynamic_update_slice(empty, x, tuple(start)))(
            chosen, origin
        )
    return masks, sums


def _resample(shape, box, rows, columns):
    """Shapes ``g s s`` at the pixels ``g h`` and ``g w`` of images that boxes ``g 4`` lie in."""
    s = shape.shape[-1]

    def weights(pixels, start, stop):
        source = (pixels - start + 0.5) * (s / (stop - start)) - 0.5
        return jax.nn.relu(
            1 - jnp.abs(jnp.clip(source, 0, s - 1)[..., None] - jnp.arange(s, dtype=jnp.float32))
        )

    vertical = weights(rows, box[:, 0:1], box[:, 2:3])
    horizontal = weights(columns, box[:, 1:2], box[:, 3:4])
    return jnp.einsum("gru,guv,gcv->grc", vertical, shape, horizontal, precision=EXACT)


def _refine(x, inside, network):
    """The residual CNN: every box is an image of its own, with zeros around it."""
    first, *others = network
    where = inside[..., None]
    x = convolve_same(jnp.where(where, x[..., None], 0), first["kernel"]) + first["bias"]
    flat = (x.reshape(len(x), -1, x.shape[-1]), inside.reshape(len(x), -1))
    x = group_norm(*flat, first["scale"], first["offset"], groups=1).reshape(x.shape)
    for layer in others:
        x = jnp.where(where, jax.nn.relu(x), 0)
        x = convolve_same(x, layer["kernel"]) + layer["bias"]
    return x[..., 0]
