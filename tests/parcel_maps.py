"""Maps of parcels whose model is a function of what it is given: nothing is compiled."""

from __future__ import annotations

import numpy as np

from pastis_jax.data.regions.store import Region
from pastis_jax.mapping.blocks import Block, write_block
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.mapper import Mapper
from pastis_jax.mapping.options import MapOptions


def mapper_of(run, region, monkeypatch=None, **options):
    """Opens a map; with `monkeypatch`, the answers of the run are `answered`."""
    if monkeypatch is not None:
        given = []

        def answer(series):
            given.append(series)
            return answered(series, len(run.classes.names))

        monkeypatch.setattr(run, "answer", answer)
        run.given = given
    return Mapper(run, Region(region), MapOptions(**options))


def answered(series, classes):
    """Probabilities, (b, k), that change with every valid value, and not with padding."""
    logits = 0.0
    for number, one in enumerate(series.values()):
        there = (one.valid[:, :, None] & one.pixels[:, None, :])[..., None]
        weights = np.cos(np.arange(one.values.shape[-1])[:, None] + 3 * np.arange(classes) + number)
        count = np.maximum(there.sum((1, 2)), 1)
        logits = logits + (one.values * there).sum((1, 2)) / count @ weights
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return (shares / shares.sum(1, keepdims=True)).astype(np.float32)


def blocks_of(grid, size):
    """Blocks of any size."""
    return tuple(Block(rows, columns) for rows, columns in grid.blocks(size))


def made_of(mapper, folder, blocks):
    """Predicts all blocks, which must have names of their own."""
    assert len({block.name for block in blocks}) == len(blocks)
    for block in blocks:
        write_block(folder, block, mapper(block))
    return Made(mapper, blocks, folder, {})
