"""A picture of a map as QGIS shows it, for the README.

    python -m benchmarks.map_picture --map MAP --out docs/images/map_in_qgis.png [--raster crop]

Needs QGIS and its Python (Debian's packages qgis and python3-qgis); no screen. Nothing is said to
QGIS of styles: colours and names are what it finds beside the raster.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

import PIL.Image
import tyro

SCRIPT = pathlib.Path(__file__).parent / "qgis_picture.py"
PYTHON = "/usr/bin/python3"
"""Of the system, which has QGIS."""
COLOURS = 128
"""Of the picture: a file of a third of the size."""


def draw(
    folder: pathlib.Path, out: pathlib.Path, raster: str = "crop", python: str = PYTHON
) -> dict[str, Any]:
    """Draws a map by QGIS.

    Args:
      folder: The map.
      out: Picture to write, PNG.
      raster: Which of its rasters.
      python: A Python that has QGIS.

    Returns:
      What QGIS has read of the raster: `crs`, `renderer` and `legend`, names and colours.

    Raises:
      subprocess.CalledProcessError: If QGIS fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        drawn = pathlib.Path(scratch, "drawn.png")
        own = {"QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": scratch, "HOME": scratch}
        inherited = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        command = [python, str(SCRIPT), str(folder.resolve()), str(drawn), raster]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env=inherited | own
        )
        with PIL.Image.open(drawn) as picture:
            small = picture.convert("RGB").quantize(COLOURS, dither=PIL.Image.Dither.NONE)
        out.parent.mkdir(parents=True, exist_ok=True)
        small.save(out, optimize=True)
    return json.loads(done.stdout.splitlines()[-1])


@dataclasses.dataclass(frozen=True)
class Arguments:
    """A picture of a map as QGIS shows it."""

    map: pathlib.Path
    """Folder of a map."""
    out: pathlib.Path
    """Picture to write, PNG."""
    raster: str = "crop"
    """Which raster of the map."""
    python: str = PYTHON
    """A Python that has QGIS."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws the picture."""
    given = tyro.cli(Arguments, args=arguments)
    for name, colour in draw(given.map, given.out, given.raster, given.python)["legend"]:
        print(colour, name)


if __name__ == "__main__":
    main()
