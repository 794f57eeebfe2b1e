"""The files of a map, once all its blocks are there."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from pastis_jax.files import write_whole
from pastis_jax.mapping.files import rasters
from pastis_jax.mapping.made import Made


def finish(made: Made, out: pathlib.Path) -> dict[str, Any]:
    """Writes the files of a map; the same blocks give the same bytes.

    Args:
      made: The map.
      out: Folder to write in.

    Returns:
      What map.json holds.
    """
    rasters.write_rasters(made, out)
    summary: dict[str, Any] = {"notes": list(made.mapper.notes)}
    write_whole(out / "map.json", json.dumps(summary, indent=1))
    return summary
