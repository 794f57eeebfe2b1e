"""The map as its page shows it, no larger than a page can hold; and sums over all its pixels."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pastis_jax.mapping.blocks import NODATA, Block
from pastis_jax.mapping.layers import LAYERS, layers_of
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.report.packed import pack

LONGEST = 2048
"""Pixels on the longer side of what a page shows."""
MOST_TEXT = 5_000_000
"""Characters of all its layers."""
_ROUNDED = 5
"""Percents that confidence and margin are rounded to where they are too much for a page."""


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """Layers of a map at some of its pixels, evenly spread.

    Attributes:
      step: Pixels from one to the next, in both directions; 1 shows all.
      rows: Which rows of the map are shown, (h,).
      columns: Which columns, (w,).
      layers: `crop`, `confidence` and `margin`, (h, w) uint8 as in `blocks`.
      dates: Valid dates by modality, (m, h, w) uint16.
      percent: What confidence and margin are rounded to.
    """

    step: int
    rows: np.ndarray
    columns: np.ndarray
    layers: dict[str, np.ndarray]
    dates: np.ndarray
    percent: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns shown."""
        return len(self.rows), len(self.columns)

    def coarser(self) -> Picture:
        """Every second pixel of it in both directions."""
        return Picture(
            2 * self.step,
            self.rows[::2],
            self.columns[::2],
            {name: values[::2, ::2] for name, values in self.layers.items()},
            self.dates[:, ::2, ::2],
            self.percent,
        )

    def rounded(self) -> Picture:
        """Returns this picture with confidence and margin rounded to 5 %: it packs smaller."""
        layers = dict(self.layers)
        for name in ("confidence", "margin"):
            values = layers[name]
            fifths = (values.astype(np.uint16) + _ROUNDED // 2) // _ROUNDED * _ROUNDED
            layers[name] = np.where(values == NODATA, NODATA, fifths).astype(np.uint8)
        return dataclasses.replace(self, layers=layers, percent=_ROUNDED)

    def packed(self) -> dict[str, dict[str, Any]]:
        """Its layers as a page holds them."""
        kept = {name: pack(values) for name, values in self.layers.items()}
        narrow = self.dates.max(initial=0) < NODATA
        return kept | {"dates": pack(self.dates.astype(np.uint8) if narrow else self.dates)}


@dataclasses.dataclass(frozen=True, eq=False)
class Totals:
    """Sums over all pixels of a map.

    Attributes:
      pixels: Of each value of `crop`, (256,) int64.
      sure: Those of them whose confidence is known, (256,) int64.
      confidence: Sum of the confidences of these, percent, (256,) float64.
    """

    pixels: np.ndarray
    sure: np.ndarray
    confidence: np.ndarray

    def mean_confidence(self, value: int) -> float:
        """Mean confidence of the pixels of a class, 0 to 1; NaN where none is known."""
        count = self.sure[value]
        return float(self.confidence[value] / count / 100) if count else float("nan")


def picture_of(made: Made, longest: int | None = None) -> tuple[Picture, Totals]:
    """Reads a map block by block: keeps some of its pixels, and counts all.

    Args:
      made: The map.
      longest: Pixels that the longer side may have; None for `LONGEST`.
    """
    grid, m = made.region.grid, len(made.run.modalities)
    step = -(-max(grid.height, grid.width) // (longest or LONGEST))
    rows, columns = (np.arange(step // 2, n, step) for n in (grid.height, grid.width))
    shape = (len(rows), len(columns))
    picture = Picture(
        step,
        rows,
        columns,
        {name: np.full(shape, NODATA, np.uint8) for name in LAYERS},
        np.zeros((m, *shape), np.uint16),
    )
    totals = Totals(np.zeros(256, np.int64), np.zeros(256, np.int64), np.zeros(256))
    for block, content in layers_of(made):
        place, part = _shown(picture, block)
        for name in LAYERS:
            picture.layers[name][place] = content[name][part]
        crop, confidence = content["crop"].ravel(), content["confidence"].ravel()
        sure = confidence != NODATA
        totals.pixels[:] += np.bincount(crop, minlength=256)
        totals.sure[:] += np.bincount(crop[sure], minlength=256)
        totals.confidence[:] += np.bincount(crop[sure], weights=confidence[sure], minlength=256)
    for block, content in made.read("dates"):
        place, part = _shown(picture, block)
        picture.dates[(slice(None), *place)] = content["dates"][(slice(None), *part)]
    return picture, totals


def small_enough(picture: Picture, most: int = MOST_TEXT) -> tuple[Picture, dict[str, Any]]:
    """Rounds the shares of a picture, then makes it coarser, until a page can hold it.

    Returns:
      The picture, and its layers as a page holds them.
    """
    while True:
        packed = picture.packed()
        if sum(len(layer["data"]) for layer in packed.values()) <= most or max(picture.shape) < 2:
            return picture, packed
        picture = picture.rounded() if picture.percent == 1 else picture.coarser()


def _shown(picture: Picture, block: Block) -> tuple[tuple[slice, slice], tuple[np.ndarray, ...]]:
    """Where a block lies in a picture, and which of its pixels are shown."""
    place, part = [], []
    for shown, own in zip(
        (picture.rows, picture.columns), (block.rows, block.columns), strict=True
    ):
        first, last = np.searchsorted(shown, (own.start, own.stop))
        place.append(slice(int(first), int(last)))
        part.append(shown[first:last] - own.start)
    return tuple(place), np.ix_(*part)
