"""The parcels of a Region beside its table: what they cover, and where the two disagree."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from pastis_jax.data.regions.cube import FOLDER
from pastis_jax.data.regions.folds import FoldBlocks
from pastis_jax.data.regions.grid import CHUNK, SHARD
from pastis_jax.data.regions.inspection.integrity import fault
from pastis_jax.data.regions.store import Region
from pastis_jax.data.regions.table import FILE, NO_FOLD, ParcelTable
from pastis_jax.errors import DataError
from pastis_jax.text import named

MOST = 1000
"""Most pixels on a side of the map that is kept."""
UNKNOWN = -2
"""In that map: what could not be read, or is the number of no parcel."""


@dataclasses.dataclass(frozen=True, eq=False)
class ParcelMap:
    """What a Region's raster of parcels holds.

    Attributes:
      numbers: One of every `step` pixels, as `Region.numbers` gives them, (h, w) int32.
      folds: Positions of the folds of the same pixels, -1 for none, (h, w) int8; None if not known.
      areas: Pixels of each fold.
      step: Pixels from one to the next.
      covered: Pixels of parcels, the contested ones among them.
      contested: Pixels that several parcels claim.
      unseen: By modality, pixels of each parcel in chunks that were never observed, (n,).
      damage: What is wrong, a line each.
    """

    numbers: np.ndarray
    folds: np.ndarray | None
    areas: np.ndarray
    step: int
    covered: int
    contested: int
    unseen: Mapping[str, np.ndarray]
    damage: tuple[str, ...]


def read_folds(region: Region) -> tuple[FoldBlocks | None, list[str]]:
    """Where the folds of a Region lie, and what is wrong with that, a line each."""
    if not region.folds:
        return None, []
    file, grid = region.root / "region.json", region.grid
    try:
        folds = FoldBlocks.from_json(region.folds)
    except ValueError as error:
        return None, [fault(f"its folds are damaged ({error})", file)]
    if folds.shape != (grid.height, grid.width):
        text = f"its folds lie in {folds.shape} pixels, its grid has {(grid.height, grid.width)}"
        return None, [fault(text, file)]
    number = max(position for row in folds.positions for position in row) + 1
    if number > len(region.dataset.folds):
        text = f"places blocks in {number} folds, where dataset.json has "
        return None, [fault(f"{text}{len(region.dataset.folds)}", file)]
    return folds, []


def read_map(
    region: Region,
    table: ParcelTable | None,
    seen: Mapping[str, np.ndarray],
    tell: Callable[[int], object],
) -> ParcelMap:
    """Reads the raster of parcels shard by shard, and holds it against the table.

    Args:
      region: The Region.
      table: Of its parcels; None where it cannot be read.
      seen: By modality, whether a chunk was ever observed, (ny, nx) bool.
      tell: Called with the number of shards that were read.
    """
    grid, n = region.grid, 0 if table is None else len(table)
    step = -(-max(grid.height, grid.width) // MOST)
    small = np.full((-(-grid.height // step), -(-grid.width // step)), UNKNOWN, np.int32)
    pixels, unseen = np.zeros(n + 1, np.int64), {name: np.zeros(n + 1, np.int64) for name in seen}
    blocks, damage = read_folds(region)
    folds = np.full(small.shape, NO_FOLD, np.int8)
    areas = np.zeros(len(region.dataset.folds), np.int64)
    covered = contested = beyond = 0
    elsewhere: set[int] = set()
    for rows, columns in grid.blocks(SHARD):
        tell(1)
        try:
            numbers = region.numbers(rows, columns)
        except DataError as error:
            damage.append(str(error))
            continue
        top, left = -rows.start % step, -columns.start % step
        few = numbers[top::step, left::step]
        y, x = (rows.start + top) // step, (columns.start + left) // step
        place = slice(y, y + few.shape[0]), slice(x, x + few.shape[1])
        small[place] = np.where((few > n) & (table is not None) | (few < -1), UNKNOWN, few)
        here = None if blocks is None else blocks.fold_of_pixels(rows, columns)
        if here is not None:
            folds[place] = here[top::step, left::step]
            areas += np.bincount(here[here >= 0], minlength=len(areas))
        covered += int((numbers != 0).sum())
        contested += int((numbers == -1).sum())
        if table is None:
            continue
        beyond += int(((numbers > n) | (numbers < -1)).sum())
        known = (numbers > 0) & (numbers <= n)
        if blocks is not None:
            own_fold = table.fold[numbers[known] - 1]
            block = blocks.fold_of_blocks(rows, columns)[known]
            wrong = (own_fold != NO_FOLD) & (own_fold != block)
            elsewhere.update(np.unique(numbers[known][wrong] - 1).tolist())
        for y in range(0, numbers.shape[0], CHUNK):
            for x in range(0, numbers.shape[1], CHUNK):
                inside = slice(y, y + CHUNK), slice(x, x + CHUNK)
                own, counted = np.unique(numbers[inside][known[inside]], return_counts=True)
                pixels[own] += counted
                place = (rows.start + y) // CHUNK, (columns.start + x) // CHUNK
                for name, chunks in seen.items():
                    if not chunks[place]:
                        unseen[name][own] += counted
    where = region.root / FOLDER / "parcels" / "numbers"
    if beyond:
        damage.append(fault(f"{beyond:,} pixels hold a number that {FILE} has no row for", where))
    if table is not None and not beyond:
        damage += _disagreements(region, table, pixels[1:], sorted(elsewhere))
    unseen = {name: counted[1:] for name, counted in unseen.items()}
    return ParcelMap(
        numbers=small,
        folds=None if blocks is None else folds,
        areas=areas,
        step=step,
        covered=covered,
        contested=contested,
        unseen=unseen,
        damage=tuple(dict.fromkeys(damage)),
    )


def _disagreements(
    region: Region, table: ParcelTable, pixels: np.ndarray, elsewhere: list[int]
) -> Iterator[str]:
    file = region.root / FILE
    if (off := np.flatnonzero(pixels != table.pixels)).size:
        first = int(off[0])
        yield fault(
            f"{off.size:,} of {len(table):,} parcels have another number of pixels than the raster "
            f"has of them: {table.id[first]} has {table.pixels[first]:,}, there {pixels[first]:,}",
            file,
        )
    if elsewhere:
        text = f"{len(elsewhere):,} of {len(table):,} parcels reach out of the blocks of their fold"
        yield fault(f"{text}: {named([*table.id[elsewhere[:3]]], len(elsewhere), most=3)}", file)
