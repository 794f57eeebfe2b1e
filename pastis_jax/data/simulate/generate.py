"""From a seed to a folder."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tqdm

from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.simulate import regions, writer
from pastis_jax.data.simulate.difficulty import DEFAULT, Difficulty
from pastis_jax.data.simulate.fields import Ground, lay_out, neighbours
from pastis_jax.data.simulate.scene import Scene, assign, cluster, image, shares
from pastis_jax.errors import UserError
from pastis_jax.files import whole_folder

_WORKERS = 2

SCENES = 9_999 * len(regions.TILES)
"""As many as four digits can number in each tile."""


def simulate(
    out: str | Path,
    *,
    parcels: int = 5000,
    patches: int = 0,
    size: int = 64,
    seed: int = 0,
    difficulty: Difficulty = DEFAULT,
    progress: bool = True,
) -> Path:
    """Simulates a PASTIS-R folder.

    Pixel sets are written in `out`, in the layout of the official pixel-set release; patches, if
    any are asked for, in `out`/patches, in the layout of the official patch release. Both show the
    same scenes: a parcel's pixels are those of its patch, value by value. The same arguments give
    the same bytes, whatever the machine's number of cores.

    Args:
      out: Folder to make. It must not exist or be empty.
      parcels: Least number of labelled (not void) parcels. Scenes are added, at least five (one a
        fold), until it is reached. With 1000 or more, every crop is in every fold at least 4 times.
      patches: Number of scenes to write as patches too.
      size: Side of a scene, pixels of 10 m, 16 to 256.
      seed: Source of all randomness.
      difficulty: How hard the crops are to tell apart.
      progress: Whether to show a progress bar.

    Returns:
      `out`, absolute.

    Raises:
      UserError: If `out` is not an empty folder or cannot be made, or a number is out of range.
        Nothing is written then.
    """
    out = Path(os.path.expanduser(out)).absolute()
    # A patch numbers its parcels up to 999 (the ids leave no more): sides beyond 256 would pass it.
    for flag, value, least, most in (
        ("--parcels", parcels, 1, 500_000),
        ("--patches", patches, 0, 20_000),
        ("--size", size, 16, 256),
        ("--seed", seed, 0, 2**63),
        ("--clustering", difficulty.clustering, 0, 1),
    ):
        if not least <= value <= most:
            raise UserError(f"got {value}", where=flag, remedy=f"give {least} to {most}")
    with whole_folder(out) as folder:
        scenes = plan(parcels=parcels, patches=patches, size=size, seed=seed, knobs=difficulty)
        _write(folder, scenes, patches, difficulty, progress)
    return out


def plan(*, parcels: int, patches: int, size: int, seed: int, knobs: Difficulty) -> list[Scene]:
    """Decides all of a simulation but its images: ground, crops, folds, dates, footprints.

    The arguments are those of `simulate`.
    """
    root, *streams = np.random.SeedSequence(seed).spawn(7)
    dates, seasons, crops, hidden, places, farms = (np.random.default_rng(s) for s in streams)
    grounds: list[Ground] = []
    seeds: list[np.random.SeedSequence] = []
    labelled = 0
    while labelled < parcels or len(grounds) < max(patches, len(PASTIS_R.folds)):
        layout, images = root.spawn(2)
        grounds.append(lay_out(np.random.default_rng(layout), size))
        seeds.append(images)
        labelled += int((~grounds[-1].void).sum())
        if len(grounds) > SCENES:
            fault = f"more than {SCENES:,} scenes of side {size} would be needed"
            raise UserError(
                fault, where="--parcels", remedy="ask for fewer, or give a larger --size"
            )

    # Folds take turns, and each has the same mix of tiles.
    order = np.arange(len(grounds))
    folds = order % len(PASTIS_R.folds) + 1
    where = order // len(PASTIS_R.folds) % len(regions.TILES)
    counts = np.array([ground.parcels for ground in grounds])
    void = np.concatenate([ground.void for ground in grounds])
    starts, owner = np.cumsum(counts) - counts, np.repeat(order, counts)
    grown = hidden.choice(18, len(void), p=shares(knobs)) + 1
    tiles = [regions.TILES[where[k]] for k in owner[~void]]
    grown[~void] = assign(crops, folds[owner[~void]], tiles, knobs)
    pairs = np.concatenate(
        [first + neighbours(ground) for first, ground in zip(starts, grounds, strict=True)]
    )
    grown = cluster(farms, grown, np.where(void, 0, folds[owner]), pairs, knobs.clustering)

    days = regions.acquisitions(dates, len(regions.TILES))
    drawn = seasons.standard_normal(len(regions.TILES))
    rings, rank = {}, {}
    for k, tile in enumerate(regions.TILES):
        members = np.flatnonzero(where == k)
        rings |= dict(
            zip(members, regions.footprints(places, tile, len(members), 10.0 * size), strict=True)
        )
        rank |= {member: j for j, member in enumerate(members, start=1)}
    scenes = []
    for k, ground in enumerate(grounds):
        tile = regions.TILES[where[k]]
        scenes.append(
            Scene(
                patch=10000 * tile.code + rank[k],
                fold=int(folds[k]),
                tile=tile,
                ground=ground,
                grown=grown[owner == k],
                days=days[where[k]],
                season=knobs.region_shift * (tile.shift + 0.5 * drawn[where[k]]),
                seed=seeds[k],
                ring=rings[k],
            )
        )
    return scenes


def _write(folder, scenes, patches, knobs, progress):
    """Images the scenes, two at a time, and writes them."""
    writer.make_folders(folder, patches=False)
    if patches:
        writer.make_folders(folder / "patches", patches=True)

    def work(job):
        number, scene = job
        images = image(scene, knobs)
        patch = writer.write_patch(folder / "patches", scene, images) if number < patches else None
        return writer.write_parcels(folder, scene, images), patch

    table, parcel_spread, patch_spread = [], {}, {}
    bar = tqdm.tqdm(total=len(scenes), desc="simulating", unit="scene", disable=not progress)
    # Threads: NumPy frees the interpreter in all that is long here.
    with bar, ThreadPoolExecutor(_WORKERS) as pool:
        try:
            for scene, (cut, patch) in zip(scenes, pool.map(work, enumerate(scenes)), strict=True):
                table += cut[0]
                _extend(parcel_spread.setdefault(scene.fold, {}), cut[1])
                if patch:
                    _extend(patch_spread.setdefault(scene.fold, {}), patch)
                bar.update()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    writer.write_table(folder, table)
    writer.write_norms(folder, "NORM_PARCEL_{}_set.json", parcel_spread)
    writer.write_metadata(folder, scenes)
    if patches:
        writer.write_norms(folder / "patches", "NORM_{}_patch.json", patch_spread)
        writer.write_metadata(folder / "patches", scenes[:patches])


def _extend(into, items):
    for name, values in items.items():
        into.setdefault(name, []).extend(values)
