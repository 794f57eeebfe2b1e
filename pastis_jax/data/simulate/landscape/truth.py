"""What a user would not have: what a Region must hold, to be compared value by value."""

from __future__ import annotations

import csv
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pastis_jax.data.simulate.landscape import places, scenes
from pastis_jax.data.simulate.landscape.plan import Plan
from pastis_jax.data.simulate.landscape.vectors import CONTESTED, Parcel
from pastis_jax.data.simulate.scene import VOID

FILE = "truth.json"
TOLERANCE = {"S2": 5.0, "S1A": 0.0, "S1D": 0.05}
"""Most that a value differs which was interpolated bilinearly among the four pixels around it, at
coordinates that are exact to a thousandth of a pixel, in the modality's unit."""


def write(
    root: pathlib.Path,
    plan: Plan,
    seed: int,
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    parcels: Sequence[Parcel],
    numbers: np.ndarray,
) -> None:
    """Writes all of the truth but the values of the scenes.

    Args:
      root: Its folder.
      plan: The region.
      seed: What it was made from.
      rows: What was written of each modality, in order of time.
      parcels: In the order of their numbers.
      numbers: Number of each pixel's parcel, `(h, w)` int32.
    """
    np.save(root / "numbers.npy", numbers)
    np.save(root / "classes.npy", np.where(numbers == CONTESTED, VOID, plan.classes))
    pixels = np.bincount(numbers[numbers > 0], minlength=len(parcels) + 1)
    with open(root / "parcels.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("number", "id", "code", "class", "pixels", "kind"))
        for number, parcel in enumerate(parcels, start=1):
            own = (parcel.id, parcel.code, parcel.label, pixels[number], parcel.kind)
            table.writerow((number, *own))
    modalities = scenes.modalities_of_truth()
    for name, own in modalities.items():
        own |= {"tolerance": TOLERANCE[name], "scenes": list(rows[name])}
    content = {
        "grid": {
            **{"crs": places.CRS, "left": places.LEFT, "top": places.TOP},
            **{"pixel_size": places.PIXEL, "height": plan.size, "width": plan.size},
        },
        "season_start": places.SEASON_START.isoformat(),
        "seed": seed,
        "how": {
            str(code): text
            for code, text in (
                (scenes.MISSING, "no file has a value"),
                (scenes.EXACT, "a file on the grid has it"),
                (scenes.RESAMPLED, "interpolated from a file on another grid"),
                (scenes.EITHER, "both; values and mask are those of the file on the grid"),
                (scenes.EDGE, "whether there is a value depends on the interpolation"),
            )
        },
        "modalities": modalities,
        "special_parcels": {parcel.kind: parcel.id for parcel in parcels if parcel.kind},
    }
    (root / FILE).write_text(json.dumps(content, indent=1), encoding="utf-8")
