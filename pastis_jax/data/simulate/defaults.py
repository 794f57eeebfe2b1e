"""The simulated sets that are made where no data are given, once, and kept in the cache."""

from __future__ import annotations

import hashlib
import os
import pathlib
from typing import Any

from pastis_jax.data.cache import default_cache
from pastis_jax.data.simulate import generate
from pastis_jax.data.simulate.difficulty import Difficulty
from pastis_jax.errors import UserError
from pastis_jax.text import plain

SIMULATED_PATCHES = 100
"""Number of 64 x 64 patches in the default simulated set."""

CLUSTERING = 0.3
"""Along 40 % of the borders between two parcels, both grow the same crop; in nine patches of
PASTIS-R, 41 %."""


def default_pixel_sets(cache: pathlib.Path | None) -> pathlib.Path:
    """Returns the default simulated pixel-set folder, made on first use and kept in the cache."""
    return _simulated(cache, "pixels")


def default_patches(cache: pathlib.Path | None) -> pathlib.Path:
    """Returns the default simulated patch folder, made on first use and kept in the cache."""
    difficulty = Difficulty(clustering=CLUSTERING)
    made = {"parcels": 1, "patches": SIMULATED_PATCHES, "difficulty": difficulty}
    return _simulated(cache, "patches", **made) / "patches"


def default_small(cache: pathlib.Path | None) -> tuple[pathlib.Path, pathlib.Path]:
    """Returns tiny simulated folders, of pixel sets and of patches, to try things on."""
    difficulty = Difficulty(clustering=CLUSTERING)
    made = {"parcels": 300, "patches": 10, "size": 32, "difficulty": difficulty}
    root = _simulated(cache, "small", **made)
    return root, root / "patches"


def _simulated(cache: pathlib.Path | None, name: str, **arguments: Any) -> pathlib.Path:
    cache = pathlib.Path(os.path.expanduser(cache or default_cache()))
    recipe = hashlib.sha256(repr(arguments).encode())
    for source in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        recipe.update(source.read_bytes())
    folder = cache / f"simulated-{name}-{recipe.hexdigest()[:12]}"
    if not folder.exists():
        print(f"Simulating a PASTIS-R in {plain(folder)} (kept for later runs).", flush=True)
        try:
            generate.simulate(folder, seed=0, **arguments)
        except UserError:
            if not (folder / "metadata.geojson").exists():  # else another process made it meanwhile
                raise
    return folder
