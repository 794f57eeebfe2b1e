"""Instances of a map: whether the borders of windows show in them, and what joining is worth.

    python -m benchmarks.map_instances --data REGION [--run RUN] [--size 1024] [--out figures.json]

Windows find the parcels of the upper left part of a Region, and are joined as in a map. Without a
run they see the true parcels with errors: half of the outlines are moved in or out by a pixel, all
of a window by up to `--shift` pixels, and a share is missed or taken for another class, in every
window anew. Three things are told, differences with 95 % intervals by a bootstrap over tiles:

(a) cuts: the share of neighbouring pixels within a true parcel, two pixels or more from its
    outline, that belong to different instances, where a window or its central cell ends between
    them, and elsewhere;
(b) parcels of which two instances have a fifth or more: of those that the border of a window or
    cell crosses, and of others of the same sizes;
(c) panoptic quality of the windows that lie side by side, each taken alone, and of the joined map
    cut at the same borders, against the same truth; and of the joined map as a whole.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tyro
from scipy import ndimage

from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.regions.store import Region
from pastis_jax.mapping import MapOptions
from pastis_jax.mapping.blocks import Block
from pastis_jax.mapping.found import Found
from pastis_jax.mapping.instances import answer_of
from pastis_jax.mapping.joining import Joined
from pastis_jax.mapping.mapper import Mapper
from pastis_jax.mapping.pieces import packed, pieces_of
from pastis_jax.mapping.semantic import predicted
from pastis_jax.mapping.windows import WindowGrid
from pastis_jax.panoptic import PanopticQuality
from pastis_jax.runs import Run

DRAWN = 2000
"""Bootstrap samples."""
AWAY = 2
"""Pixels from the outline of a parcel that its inside begins at."""
CUT = 0.2
"""Share of a parcel that two instances each must have for it to be cut."""
WINDOW = 128

Seen = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Slot + 1 of each pixel of a window, confidence by slot, probabilities by slot."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measures how instances of windows are joined."""

    data: pathlib.Path
    """A Region with parcels."""
    run: pathlib.Path | None = None
    """A panoptic run. Default: windows see the truth with errors."""
    size: int = 1024
    """Side of the part that is measured, pixels."""
    shift: int = 1
    """Most pixels by which what a window sees is moved, without a run."""
    missed: float = 0.1
    """Share of parcels that a window misses, and that it takes for another class, without a run."""
    seed: int = 0
    """Of errors and bootstrap."""
    out: pathlib.Path | None = None
    """Where numbers are written, JSON."""


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """True parcels of a part of a Region.

    Attributes:
      parcels: Number of each pixel's parcel, from 1, (h, w); 0 for none.
      label: Class of each pixel, (h, w); void is the number of classes.
      classes: Their number.
    """

    parcels: np.ndarray
    label: np.ndarray
    classes: int


def truth_in(region: Region, classes: ClassMapping, size: int) -> Truth:
    """The truth of the upper left part of a Region; contested pixels are void."""
    rows, columns = (slice(0, min(size, side)) for side in (region.grid.height, region.grid.width))
    numbers = region.numbers(rows, columns)
    label = np.append(0, classes.lookup[region.parcels.label])[np.maximum(numbers, 0)]
    return Truth(
        np.maximum(numbers, 0), np.where(numbers < 0, classes.void, label), len(classes.names)
    )


def erring(truth: Truth, given: Arguments) -> Callable[[slice, slice], Seen]:
    """What sees the truth of a window with errors."""
    rng = np.random.default_rng(given.seed)

    def see(rows: slice, columns: slice) -> Seen:
        h, w = rows.stop - rows.start, columns.stop - columns.start
        down, right = rng.integers(-given.shift, given.shift + 1, 2)
        y, x = np.arange(h) + rows.start + down, np.arange(w) + columns.start + right
        y, x = (
            np.clip(of, 0, side - 1) for of, side in zip((y, x), truth.parcels.shape, strict=True)
        )
        parcels, label = truth.parcels[np.ix_(y, x)], truth.label[np.ix_(y, x)]
        numbers = np.unique(parcels[parcels > 0])
        on_map, kept = np.zeros((h, w), np.int32), []
        for number in rng.permutation(numbers).tolist():
            mask, crop = parcels == number, int(label[parcels == number][0])
            if rng.random() < given.missed or crop == truth.classes:
                continue
            if rng.random() < 0.5:
                change = (ndimage.binary_erosion, ndimage.binary_dilation)[rng.integers(2)]
                mask = change(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]
            mask &= on_map == 0
            if mask.any():
                wrong = rng.random() < given.missed
                kept.append(int(rng.integers(1, truth.classes)) if wrong else crop)
                on_map[mask] = len(kept)
        probability = np.full((len(kept), truth.classes), 0.2 / truth.classes)
        probability[np.arange(len(kept)), kept] += 0.8
        return on_map, rng.uniform(0.3, 1, len(kept)), probability

    return see


def found_by(run: Run, region: Region, grid: WindowGrid) -> Iterator[Seen | None]:
    """What a run finds in all windows of a part, window by window."""
    mapper = Mapper(run, region, MapOptions())
    mapper.grid = grid
    places = [(i, j) for i in range(len(grid.rows.starts)) for j in range(len(grid.columns.starts))]
    for _, _, found in predicted(mapper, places, answer_of(mapper)):
        yield found


def joined_of(grid: WindowGrid, seen: dict[tuple[int, int], Seen | None], truth: Truth) -> Any:
    """The instances of a map, number and class of each pixel's."""
    pieces = (
        piece
        for place, found in seen.items()
        if found is not None
        for piece in pieces_of(grid, place, *found)
    )
    h, w = truth.parcels.shape
    content = packed(pieces, truth.classes) | {"known": np.ones((h, w), bool)}
    block = Block(slice(0, h), slice(0, w))
    found = Found([block], grid, lambda _, *names: {name: content[name] for name in names})
    joined = Joined(found, classes=truth.classes, background=0, min_remain=0.5)
    numbers = joined.numbers(block)
    return joined, numbers, np.append(0, joined.probability.argmax(1))[numbers]


# (a), (b)


def ends(grid: WindowGrid, axis: int) -> np.ndarray:
    """Lines between pixels at which a window or a cell ends, (n - 1,) bool."""
    along = (grid.rows, grid.columns)[axis]
    places = np.concatenate([along.starts, along.starts + along.size, along.cells])
    return np.isin(np.arange(1, along.length), places)


def cuts(numbers: np.ndarray, truth: Truth, grid: WindowGrid, tile: int) -> np.ndarray:
    """Counts by tile, (tiles, 4): pairs that are cut and all, at borders and elsewhere."""
    parcels = truth.parcels
    inside = np.ones(parcels.shape, bool)
    for side in (0, 1):
        differs = np.diff(parcels, axis=side) != 0
        first, second = np.zeros(parcels.shape, bool), np.zeros(parcels.shape, bool)
        first[tuple(slice(0, -1) if a == side else slice(None) for a in (0, 1))] = differs
        second[tuple(slice(1, None) if a == side else slice(None) for a in (0, 1))] = differs
        inside &= ~ndimage.binary_dilation(first | second, np.ones((3, 3)), AWAY - 1)
    inside &= parcels > 0
    table = np.zeros((*(-(-side // tile) for side in parcels.shape), 4), np.int64)
    for axis in (0, 1):
        p, n, i = (np.moveaxis(x, axis, 0) for x in (parcels, numbers, inside))
        pairs = i[1:] & i[:-1] & (p[1:] == p[:-1])
        cut = pairs & (n[1:] != n[:-1]) & (n[1:] > 0) & (n[:-1] > 0)
        at = np.broadcast_to(ends(grid, axis)[:, None], pairs.shape)
        for place, which in enumerate((cut & at, pairs & at, cut & ~at, pairs & ~at)):
            y, x = np.nonzero(np.moveaxis(which, 0, axis))
            np.add.at(table[..., place], (y // tile, x // tile), 1)
    return table.reshape(-1, 4)


def cut_parcels(numbers: np.ndarray, truth: Truth, grid: WindowGrid) -> dict[str, Any]:
    """Share of parcels that are cut: those that a border crosses, and others."""
    parcels, crossed, cut, size = truth.parcels, [], [], []
    borders = [np.flatnonzero(ends(grid, axis)) + 1 for axis in (0, 1)]
    for number, box in enumerate(ndimage.find_objects(parcels), 1):
        if box is None:
            continue
        own = parcels[box] == number
        found, pixels = np.unique(numbers[box][own], return_counts=True)
        cut.append((pixels[found > 0] >= CUT * own.sum()).sum() > 1)
        size.append(own.sum())
        crossed.append(
            any(
                ((of > side.start) & (of < side.stop)).any()
                for of, side in zip(borders, box, strict=True)
            )
        )
    crossed, cut, size = np.array(crossed), np.array(cut), np.array(size)
    return {
        "crossed": {"parcels": int(crossed.sum()), "cut": int(cut[crossed].sum())},
        "others": {"parcels": int((~crossed).sum()), "cut": int(cut[~crossed].sum())},
        "largest": int(size.max(initial=0)),
    }


# (c)


def qualities(
    numbers: np.ndarray, label: np.ndarray, truth: Truth, most: tuple[int, int]
) -> np.ndarray:
    """Pairs, wrong, missed, and sum of IoUs by class, (4, k)."""
    _, true = np.unique(truth.parcels, return_inverse=True)
    true = true.reshape(numbers.shape) + (truth.parcels.min() > 0)
    _, own = np.unique(numbers, return_inverse=True)
    own = own.reshape(numbers.shape) + (numbers.min() > 0)
    maps = (of[None].astype(np.int32) for of in (own, label, true, truth.label))
    counts = PanopticQuality.from_batch(
        *maps, np.ones(1, bool), classes=truth.classes, most_predicted=most[0], most_true=most[1]
    )
    fields = (counts.true_positive, counts.false_positive, counts.false_negative, counts.iou)
    return np.stack([np.asarray(of, np.float64) for of in fields])


def quality(counts: np.ndarray) -> np.ndarray:
    """PQ, the mean over the classes that occur, of counts (..., 4, k)."""
    tp, fp, fn, iou = np.moveaxis(counts, -2, 0)
    all_of = tp + fp / 2 + fn / 2
    with np.errstate(invalid="ignore"):
        return np.nanmean(np.where(all_of > 0, iou / all_of, np.nan), -1)


def measure(given: Arguments) -> dict[str, Any]:
    """Joins what windows find, and compares."""
    region = Region(given.data)
    run = None if given.run is None else Run(given.run)
    classes = ClassMapping.of(region.dataset.nomenclature)
    if run is not None:
        classes = run.classes.of_other(run.dataset.nomenclature, region.dataset.nomenclature)
    truth = truth_in(region, classes, given.size)
    window = (run is not None and run.saved.window) or (WINDOW, WINDOW)
    grid = WindowGrid.over(truth.parcels.shape, window)
    places = [(i, j) for i in range(len(grid.rows.starts)) for j in range(len(grid.columns.starts))]
    start = time.perf_counter()
    if run is None:
        see = erring(truth, given)
        seen = {place: see(*grid.window(place)) for place in places}
    else:
        seen = dict(zip(places, found_by(run, region, grid), strict=True))
    found_in = time.perf_counter() - start
    joined, numbers, label = joined_of(grid, seen, truth)
    joined_in = time.perf_counter() - start - found_in
    table = cuts(numbers, truth, grid, window[0])
    alone, cut = [], []
    most = 256, 1024
    for place, found in seen.items():
        rows, columns = grid.window(place)
        if rows.start % window[0] or columns.start % window[1]:
            continue  # it overlaps the one before
        part = Truth(truth.parcels[rows, columns], truth.label[rows, columns], truth.classes)
        on_map, _, probability = found if found is not None else (np.zeros(window), [], [[]])
        of_window = np.append(0, np.reshape(probability, (-1, truth.classes)).argmax(1))[on_map]
        alone.append(qualities(on_map, of_window, part, most))
        cut.append(qualities(numbers[rows, columns], label[rows, columns], part, most))
    alone, cut = np.array(alone), np.array(cut)
    rng = np.random.default_rng(given.seed)
    draw = rng.integers(len(alone), size=(DRAWN, len(alone)))
    gain = quality(cut[draw].sum(1)) - quality(alone[draw].sum(1))
    drawn = table[rng.integers(len(table), size=(DRAWN, len(table)))].sum(1)
    at, elsewhere = drawn[:, 0] / drawn[:, 1], drawn[:, 2] / drawn[:, 3]
    total = table.sum(0)
    whole = qualities(numbers, label, truth, (len(joined) + 1, int(truth.parcels.max()) + 1))
    return {
        "pixels": list(truth.parcels.shape),
        "windows": len(places),
        **joined.counts,
        "seconds": {"finding": found_in, "joining": joined_in},
        "cut pairs": {
            "at borders": float(total[0] / total[1]),
            "elsewhere": float(total[2] / total[3]),
            "pairs": total.tolist(),
            "difference": [float(q) for q in np.percentile(at - elsewhere, (2.5, 97.5))],
        },
        "cut parcels": cut_parcels(numbers, truth, grid),
        "PQ": {
            "windows alone": float(quality(alone.sum(0))),
            "joined, cut by the same windows": float(quality(cut.sum(0))),
            "difference": [float(q) for q in np.percentile(gain, (2.5, 97.5))],
            "joined, whole": float(quality(whole)),
            "tiles": len(alone),
        },
    }


def main() -> None:
    """Command line."""
    given = tyro.cli(Arguments, prog="python -m benchmarks.map_instances")
    figures = json.dumps(measure(given), indent=1)
    print(figures)
    if given.out is not None:
        given.out.write_text(figures)


if __name__ == "__main__":
    main()
