"""Parcels of a map of pixels: mean probabilities over what each covers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pastis_jax.mapping.blocks import Block, Content

if TYPE_CHECKING:
    from pastis_jax.mapping.mapper import Mapper


class Coverage:
    """Sums probabilities over the parcels of a Region."""

    @classmethod
    def of(cls, mapper: Mapper) -> Coverage | None:
        """For the parcels of a map; None where there are none."""
        return None

    def __call__(self, block: Block, shares: np.ndarray) -> Content:
        """Sums of the parcels that a block touches."""
        return {}
