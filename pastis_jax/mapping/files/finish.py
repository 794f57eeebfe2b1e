"""The files of a map, once all its blocks are there."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from pastis_jax.files import write_whole
from pastis_jax.mapping import parcel_summary
from pastis_jax.mapping.files import rasters, vectors
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.results import results_of


def finish(made: Made, out: pathlib.Path) -> dict[str, Any]:
    """Writes the files of a map; the same blocks give the same bytes.

    Args:
      made: The map.
      out: Folder to write in.

    Returns:
      What map.json holds.
    """
    rasters.write_rasters(made, out)
    results = results_of(made)
    if results is not None:
        vectors.write_vectors(made, results, out)
    summary: dict[str, Any] = {"notes": [*made.mapper.notes, *parcel_summary.notes(made)]}
    write_whole(out / "map.json", json.dumps(summary, indent=1))
    return summary
