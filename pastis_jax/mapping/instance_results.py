"""What a map says of the instances that it has found: outlines, areas, dates, and the truth."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pastis_jax.data.regions import _geo, table
from pastis_jax.mapping.blocks import read_block
from pastis_jax.mapping.joining import Joined
from pastis_jax.mapping.parcel_results import ParcelResults
from pastis_jax.mapping.truth import NOT_KNOWN, held_out, truth_of

if TYPE_CHECKING:
    from pastis_jax.mapping.made import Made


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """What a block has of an instance.

    Attributes:
      number: Of the instance, from 1.
      rows: Of its pixels in the Region, (p,), row by row.
      columns: Of the same, (p,).
      dates: Valid dates of each by modality, (m, p) uint16.
      parcels: Number in the Region of the parcel of each pixel, (p,) int32.
    """

    number: int
    rows: np.ndarray
    columns: np.ndarray
    dates: np.ndarray
    parcels: np.ndarray

    @classmethod
    def together(cls, parts: list[Part]) -> Part:
        """An instance from what all blocks have of it."""
        rows, columns, parcels = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("rows", "columns", "parcels")
        )
        order = np.lexsort((columns, rows))
        dates = np.concatenate([part.dates for part in parts], 1)
        ordered = (x[..., order] for x in (rows, columns, dates, parcels))
        return cls(parts[0].number, *ordered)


def has_parcels(made: Made) -> bool:
    """Whether the Region knows parcels."""
    return (made.region.root / table.FILE).exists()


def whole(made: Made, joined: Joined) -> Iterator[Part]:
    """Gives each instance once all blocks that have pixels of it were read.

    Those that reach over blocks wait; all others of a block are given at once.
    """
    waiting: dict[int, list[Part]] = collections.defaultdict(list)
    for block in made.blocks:
        numbers = joined.numbers(block)
        dates = read_block(made.folder, block, "dates")["dates"]
        parcels = np.zeros(block.shape, np.int32)
        if has_parcels(made):
            parcels = made.region.numbers(block.rows, block.columns)
        rows, columns = np.nonzero(numbers)
        found = numbers[rows, columns]
        order = np.argsort(found, kind="stable")
        rows, columns, found = rows[order], columns[order], found[order]
        names, first = np.unique(found, return_index=True)
        every = np.split(np.arange(len(found)), first[1:])
        for number, places in zip(names.tolist(), every, strict=False):
            y, x = rows[places], columns[places]
            origin = block.rows.start, block.columns.start
            part = Part(number, y + origin[0], x + origin[1], dates[:, y, x], parcels[y, x])
            waiting[number].append(part)
            if sum(len(one.rows) for one in waiting[number]) == joined.pixels[number - 1]:
                yield Part.together(waiting.pop(number))


def outline(part: Part, transform: tuple[float, ...]) -> Any:
    """The outline of an instance along its pixels: a polygon, or several as one.

    Args:
      part: The whole instance.
      transform: From columns and rows of the Region to its coordinates.
    """
    shapely, features = _geo.need("shapely"), _geo.need("rasterio.features")
    top, left = int(part.rows.min()), int(part.columns.min())
    mask = np.zeros((int(part.rows.max()) - top + 1, int(part.columns.max()) - left + 1), np.uint8)
    mask[part.rows - top, part.columns - left] = 1
    a, b, c, d, e, f = transform
    moved = _geo.need("rasterio").Affine(a, b, a * left + b * top + c, d, e, d * left + e * top + f)
    polygons = [
        shapely.geometry.shape(polygon)
        for polygon, _ in features.shapes(mask, mask=mask.astype(bool), transform=moved)
    ]
    joined = polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)
    return shapely.normalize(joined)


def results_of(made: Made, joined: Joined, label: np.ndarray) -> ParcelResults:
    """The instances of a map as a table, in the order of their numbers.

    Dates are medians over pixels (of an even number the lower one). The truth of an instance is the
    class of the parcel of the Region that it has an IoU above 1/2 with, -1 where there is none.

    Args:
      made: The map.
      joined: Its instances.
      label: Class of each, (n,) uint8.
    """
    n, grid = len(joined), made.region.grid
    dates = np.zeros((n, len(made.run.modalities)), np.uint16)
    geometry, parcel = np.full(n, None, object), np.full(n, -1)
    area = made.region.parcels.pixels if has_parcels(made) else np.zeros(0, np.int32)
    for part in whole(made, joined):
        place = part.number - 1
        middle = (part.dates.shape[1] - 1) // 2
        dates[place] = np.partition(part.dates, middle, axis=1)[:, middle]
        geometry[place] = outline(part, grid.transform)
        parcel[place] = matching(part.parcels, area)
    known = parcel >= 0
    truth, tested = np.full(n, NOT_KNOWN, np.int32), np.zeros(n, bool)
    if known.any():
        truth[known] = truth_of(made)[parcel[known]]
        tested[known] = held_out(made)[parcel[known]]
    pixels = joined.pixels.astype(np.float64)
    return ParcelResults(
        id=np.array([str(number) for number in range(1, n + 1)], np.str_),
        label=label,
        probability=joined.probability,
        pixels=pixels,
        dates=dates,
        hectares=pixels * grid.pixel_size**2 / 1e4,
        truth=truth,
        held_out=tested,
        geometry=geometry,
    )


def matching(numbers: np.ndarray, area: np.ndarray) -> int:
    """Row of the parcel that an instance has an IoU above 1/2 with; -1 for none.

    Args:
      numbers: Of the parcel of each of its pixels, from 1, (p,).
      area: Pixels of each parcel, (n,).
    """
    found, common = np.unique(numbers[numbers > 0], return_counts=True)
    rows = found - 1
    enough = np.flatnonzero(3 * common > len(numbers) + area[rows])
    return int(rows[enough[0]]) if len(enough) else -1
