"""The layers of a map, block by block: class, confidence, margin."""

from __future__ import annotations

from collections.abc import Iterator

from pastis_jax.mapping import instances, parcel_summary
from pastis_jax.mapping.blocks import Block, Content
from pastis_jax.mapping.made import Made

LAYERS = ("crop", "confidence", "margin")


def layers_of(made: Made) -> Iterator[tuple[Block, Content]]:
    """Gives `crop`, `confidence` and `margin` of each block, (h, w) uint8 as in `blocks`."""
    task = made.run.task.name
    if task == "semantic":
        return made.read(*LAYERS)
    return (parcel_summary if task == "parcel" else instances).painted(made)
