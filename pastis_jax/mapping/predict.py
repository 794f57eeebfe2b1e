"""A run and a Region become a map: blocks are predicted, then its files are written."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

import tqdm

from pastis_jax import extras
from pastis_jax.data.regions import _geo
from pastis_jax.data.regions.store import Region
from pastis_jax.errors import DataError, UserError, refuse
from pastis_jax.files import check_new
from pastis_jax.mapping import cluster
from pastis_jax.mapping.blocks import Block, blocks_of
from pastis_jax.mapping.files.finish import finish
from pastis_jax.mapping.ledger import AGAIN, Ledger, digest
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.mapper import Mapper, Work
from pastis_jax.mapping.options import MapOptions
from pastis_jax.mapping.worker import version
from pastis_jax.runs import Run

FORMAT = 1
"""Changes with what blocks hold, or how they are predicted."""

Execute = Callable[[Work, Sequence[Block], Callable[[Block], None], Callable[[str], None]], None]
"""Does the work for each block, in any order; tells of each that is done, and says lines."""


def one_by_one(
    work: Work,
    blocks: Sequence[Block],
    tell: Callable[[Block], None],
    say: Callable[[str], None],
) -> None:
    """Predicts blocks in this process."""
    for block in blocks:
        work(block)
        tell(block)


def executor(workers: int | None, scheduler: str | None) -> Execute:
    """Who predicts blocks.

    Raises:
      UserError: If both are given, there is no worker, or what they need is not installed.
    """
    refuse("workers", workers is not None and workers < 1, f"got {workers}", "give 1 or more")
    both = workers is not None and scheduler is not None
    refuse("scheduler", both, "it has workers of its own", "leave `workers` out")
    if scheduler is None and (workers or 1) == 1:
        return one_by_one
    extras.need("distributed", cluster.EXTRA)  # before hours of work, not after
    if scheduler is not None:
        return functools.partial(cluster.on_scheduler, scheduler)
    return functools.partial(cluster.on_workers, workers)


def predict_region(
    run: Run | str | os.PathLike[str],
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    options: MapOptions | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    progress: bool = False,
    say: Callable[[str], None] = print,
) -> dict:
    """Maps a Region by a run.

    Stopped at any moment, the same call goes on where it was left. The map is a pure function of
    run, Region and options, whoever predicts its blocks in whichever order.

    Args:
      run: The run, or its folder.
      data: The Region.
      out: Folder to make; see docs/maps.md for its files.
      options: What else the map is made by.
      workers: Processes of this machine that predict blocks, each with a device of its own; None
        for this process alone. A script calls it under ``if __name__ == "__main__":`` then.
      scheduler: Address of the scheduler of a Dask cluster that predicts blocks; its workers see
        run, Region and map at the same paths. See docs/cluster.md.
      overwrite: Whether what another call left on the way to the same folder is removed.
      progress: Whether a bar with the time left is shown.
      say: Tells the reader a line.

    Returns:
      What map.json holds.

    Raises:
      UserError: For a mistake in the arguments, or if the Region does not fit the run.
      OSError: If something cannot be written.
    """
    execute = executor(workers, scheduler)
    _geo.need("rasterio")  # before hours of work, not after
    options = options or MapOptions()
    if options.parcels is not None:
        parcels = pathlib.Path(os.path.abspath(os.path.expanduser(options.parcels)))
        options = dataclasses.replace(options, parcels=parcels)  # in every process
    run = run if isinstance(run, Run) else Run(run)
    out = pathlib.Path(os.path.abspath(os.path.expanduser(out)))
    check_new(out)
    mapper = Mapper(run, Region(data), options)
    for note in mapper.notes:
        say(f"Note: {note}")
    key, ledger = key_of(mapper), Ledger(out)
    with ledger.held():
        if ledger.resume({**key, "software": version()}, overwrite=overwrite):
            say(f"Continuing {out}.")
        blocks = tuple(blocks_of(mapper.region.grid))
        left = [block for block in blocks if not ledger.done(block)]
        # What this process has imported for the run; run.json alone makes none import anything.
        plugins = tuple(name for name in run.saved.plugins if name in sys.modules)
        opened = run.folder, mapper.region.root, options, ledger.blocks
        work = Work(*opened, digest(key), plugins)
        bar = tqdm.tqdm(
            total=len(blocks),
            initial=len(blocks) - len(left),
            desc="Predicting",
            unit=" blocks",
            disable=not progress,
        )
        try:
            with bar:
                if left:
                    execute(work, left, lambda _: bar.update(), say)
            if changed := [name for name, of in key_of(mapper).items() if of != key[name]]:
                fault = f"{' and '.join(changed)} changed while the map was made"
                remedy = "restore what it was, or start again with `overwrite`"
                raise DataError(fault, where=mapper.region.root, remedy=remedy)
            with ledger.files() as folder:
                return finish(Made(mapper, blocks, ledger.blocks, key), folder)
        except (KeyboardInterrupt, UserError, OSError) as error:
            error.add_note(AGAIN)
            raise


def key_of(mapper: Mapper) -> dict[str, str]:
    """Digests of what a map is made of, by what it is; where that lies does not count."""
    run, region, options = mapper.run, mapper.region, mapper.options
    files = ("run.json", "dataset.json", "weights.npz")
    parts = [hashlib.sha256((run.folder / name).read_bytes()).hexdigest() for name in files]
    season = {name: one.numbers.tolist() for name, one in mapper.season.acquired.items()}
    of_file = options.parcels is not None and mapper.polygons is not None
    parcels = mapper.polygons.digest if of_file else None
    return {
        "run": digest(parts),
        "Region": digest(dict(region.fingerprint([*season]).parts)),
        "options": digest([FORMAT, options.to_json(), season, mapper.max_cloud, parcels]),
    }
