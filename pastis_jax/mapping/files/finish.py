"""The files of a map, once all its blocks are there."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from pastis_jax.files import write_whole
from pastis_jax.mapping.files import qml, rasters, stac, vectors
from pastis_jax.mapping.files.summary import files_of, summary_of
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.report import write_report
from pastis_jax.mapping.results import notes_of, results_of

FILE = "map.json"
"""Of a map; the last one that is written."""


def finish(made: Made, out: pathlib.Path) -> dict[str, Any]:
    """Writes the files of a map; the same blocks give the same bytes.

    Args:
      made: The map.
      out: Folder to write in.

    Returns:
      What map.json holds.

    Raises:
      OSError: If one cannot be written.
    """
    tally = rasters.write_rasters(made, out)
    qml.write_styles(made, out)
    results = results_of(made)
    if results is not None:
        vectors.write_vectors(made, results, out)
    notes = (*made.mapper.notes, *notes_of(made))
    summary = summary_of(made, tally, notes, results)
    write_report(made, results, out, notes)
    stac.write_item(made, out)  # names all files but itself and map.json
    summary["files"] = files_of(out)
    write_whole(out / FILE, json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    return summary
