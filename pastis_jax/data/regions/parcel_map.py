"""The parcels of a Region beside its table: what they cover, and where the two disagree."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from pastis_jax.data.regions.cube import FOLDER
from pastis_jax.data.regions.grid import CHUNK, SHARD
from pastis_jax.data.regions.integrity import fault
from pastis_jax.data.regions.store import Region
from pastis_jax.data.regions.table import FILE, NO_FOLD, ParcelTable
from pastis_jax.errors import DataError
from pastis_jax.text import named

MOST = 1000
"""Most pixels on a side of the map that is kept."""
UNKNOWN = -2
"""In that map: what could not be read."""


@dataclasses.dataclass(frozen=True, eq=False)
class ParcelMap:
    """What a Region's raster of parcels holds.

    Attributes:
      numbers: One of every `step` pixels, as `Region.numbers` gives them, (h, w) int32.
      step: Pixels from one to the next.
      covered: Pixels of parcels, the contested ones among them.
      contested: Pixels that several parcels claim.
      unseen: By modality, pixels of each parcel in chunks that were never observed, (n,).
      damage: What is wrong, a line each.
    """

    numbers: np.ndarray
    step: int
    covered: int
    contested: int
    unseen: Mapping[str, np.ndarray]
    damage: tuple[str, ...]


def chunk_folds(region: Region) -> np.ndarray | None:
    """Positions of the folds that chunks lie in, (ny, nx) int32, -1 for none; None if not known."""
    try:
        side = int(region.folds["block"])
        blocks = np.array(region.folds["folds"], np.int32)
    except (KeyError, TypeError, ValueError):
        return None
    ny, nx = region.grid.chunks
    if blocks.ndim != 2 or side < CHUNK or side % CHUNK:
        return None
    each = blocks.repeat(side // CHUNK, 0).repeat(side // CHUNK, 1)[:ny, :nx]
    return each if each.shape == (ny, nx) else None


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
    folds, damage = chunk_folds(region), []
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
        small[y : y + few.shape[0], x : x + few.shape[1]] = few
        covered += int((numbers != 0).sum())
        contested += int((numbers == -1).sum())
        if table is None:
            continue
        beyond += int(((numbers > n) | (numbers < -1)).sum())
        for y in range(0, numbers.shape[0], CHUNK):
            for x in range(0, numbers.shape[1], CHUNK):
                own = numbers[y : y + CHUNK, x : x + CHUNK]
                here, counted = np.unique(own[(own > 0) & (own <= n)], return_counts=True)
                pixels[here] += counted
                place = (rows.start + y) // CHUNK, (columns.start + x) // CHUNK
                for name, chunks in seen.items():
                    if not chunks[place]:
                        unseen[name][here] += counted
                if folds is not None:
                    own_fold = table.fold[here - 1]
                    wrong = (own_fold != NO_FOLD) & (own_fold != folds[place])
                    elsewhere.update((here[wrong] - 1).tolist())
    where = region.root / FOLDER / "parcels" / "numbers"
    if beyond:
        damage.append(fault(f"{beyond:,} pixels hold a number that {FILE} has no row for", where))
    if table is not None and not damage:
        damage += _disagreements(region, table, pixels[1:], sorted(elsewhere))
    unseen = {name: counted[1:] for name, counted in unseen.items()}
    return ParcelMap(small, step, covered, contested, unseen, tuple(damage))


def _disagreements(
    region: Region, table: ParcelTable, pixels: np.ndarray, elsewhere: list[int]
) -> Iterator[str]:
    file, nomenclature = region.root / FILE, region.dataset.nomenclature
    if (off := np.flatnonzero(pixels != table.pixels)).size:
        first = int(off[0])
        yield fault(
            f"{off.size:,} of {len(table):,} parcels have another number of pixels than the raster "
            f"has of them: {table.id[first]} has {table.pixels[first]:,}, there {pixels[first]:,}",
            file,
        )
    folds = chunk_folds(region)
    if folds is not None and folds.max(initial=0) >= len(region.dataset.folds):
        text = f"places blocks in {folds.max() + 1} folds, where dataset.json has "
        yield fault(f"{text}{len(region.dataset.folds)}", region.root / "region.json")
    if elsewhere:
        text = f"{len(elsewhere):,} of {len(table):,} parcels lie in blocks of another fold"
        yield fault(f"{text}: {named([*table.id[elsewhere[:3]]], len(elsewhere), most=3)}", file)
    wrong = (table.label < 0) | (table.label >= len(nomenclature.classes))
    if wrong.any():
        yield fault(f"{wrong.sum():,} parcels are of a class that dataset.json has not", file)
    if twice := len(table) - len(set(table.id.tolist())):
        yield fault(f"{twice:,} identifiers occur more than once", file)
