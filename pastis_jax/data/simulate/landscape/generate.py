"""From a seed to the scenes and parcels of a region."""

from __future__ import annotations

import os
import pathlib
from concurrent.futures import ThreadPoolExecutor

import tqdm

from pastis_jax.data.regions import _geo
from pastis_jax.data.simulate.difficulty import Difficulty
from pastis_jax.data.simulate.landscape import truth, vectors
from pastis_jax.data.simulate.landscape.plan import plan
from pastis_jax.data.simulate.landscape.scenes import Eyes
from pastis_jax.errors import refuse
from pastis_jax.files import whole_folder

SMALLEST, LARGEST, STEP = 128, 4096, 64
"""Sides of a region, pixels."""
FEWEST, MOST = 6, 60
"""Dates of each modality: enough for each tile to be seen alone, and no more than there are."""
REGION_DIFFICULTY = Difficulty(clouds=0.45, clustering=0.3)
"""Clouds as there are, and neighbours that grow the same as often as in PASTIS-R."""

_WORKERS = 2
_WIDE = 2048
"""Side beyond which one date at a time is imaged, for its memory."""


def simulate_region(
    out: str | os.PathLike[str],
    *,
    size: int = 1024,
    dates: int = 24,
    seed: int = 0,
    difficulty: Difficulty = REGION_DIFFICULTY,
    progress: bool = True,
) -> pathlib.Path:
    """Simulates what a user has of a region: dated scenes, parcels, and beside them the truth.

    `out` gets `scenes` (GeoTIFFs of Sentinel-2 in two UTM zones with masks, and of Sentinel-1),
    `parcels.gpkg`, and `truth`, which says what a Region that is ingested from them must hold. The
    same arguments give the same bytes, whatever the machine's number of cores.

    Args:
      out: Folder to make. It must not exist or be empty.
      size: Side, pixels of 10 m, a multiple of 64 from 128 to 4096.
      dates: Dates of each modality, 6 to 60.
      seed: Source of all randomness.
      difficulty: How hard the crops are to tell apart.
      progress: Whether to show a progress bar.

    Returns:
      `out`, absolute.

    Raises:
      UserError: If `out` is not an empty folder or cannot be made, an argument is out of range, or
        the extra `geo` is not installed. Nothing is written then.
    """
    out = pathlib.Path(os.path.expanduser(out)).absolute()
    remedy = f"give a multiple of {STEP} from {SMALLEST} to {LARGEST}"
    refuse("size", not SMALLEST <= size <= LARGEST or size % STEP, f"got {size}", remedy)
    for name, value, least, most in (
        ("dates", dates, FEWEST, MOST),
        ("seed", seed, 0, 2**63),
        ("clustering", difficulty.clustering, 0, 1),
    ):
        refuse(name, not least <= value <= most, f"got {value}", f"give {least} to {most}")
    for package in ("rasterio", "geopandas", "pyogrio", "pyproj", "shapely"):
        _geo.need(package)
    with whole_folder(out) as folder:
        _write(folder, size, dates, seed, difficulty, progress)
    return out


def _write(folder, size, dates, seed, difficulty, progress):
    """Images the dates, two at a time, and writes them with all else."""
    decided = plan(size=size, dates=dates, seed=seed, knobs=difficulty)
    for name in ("scenes", *(f"truth/{name}" for name in decided.passes)):
        (folder / name).mkdir(parents=True)
    drawn, numbers = vectors.parcels(decided)
    vectors.write(folder / "parcels.gpkg", drawn)
    eyes = Eyes(decided, folder)
    jobs = [
        (name, k, own) for name, passes in decided.passes.items() for k, own in enumerate(passes)
    ]

    def work(job):
        name, k, own = job
        return name, eyes.optical(k) if name == "S2" else eyes.radar(own)

    rows = {name: [] for name in decided.passes}
    bar = tqdm.tqdm(total=len(jobs), desc="simulating", unit="date", disable=not progress)
    # Threads: NumPy and GDAL free the interpreter in all that is long here.
    with bar, ThreadPoolExecutor(_WORKERS if size <= _WIDE else 1) as pool:
        try:
            for name, row in pool.map(work, jobs):
                rows[name].append(row)
                bar.update()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    truth.write(folder / "truth", decided, seed, rows, drawn, numbers)
