"""What a map says in numbers: map.json, and the table that ends the command."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

import pastis_jax
from pastis_jax.mapping.blocks import NODATA, UNCLASSIFIED, Block, Content
from pastis_jax.mapping.made import Made
from pastis_jax.mapping.parcel_results import ParcelResults

FORMAT = 1
"""Version of map.json."""
_SQUARE_METRES = 10_000
"""Of a hectare."""
_PART = 1 << 20
"""Bytes of a file that are read at once."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tally:
    """What pixels hold, counted block by block.

    Attributes:
      values: Pixels of each value of `crop`, (256,) int64.
      sure: Those of them whose confidence is known, (256,) int64: of the background between
        instances it is not.
      confidence: Sum of `confidence` over these, percent, (256,) int64.
    """

    values: np.ndarray
    sure: np.ndarray
    confidence: np.ndarray

    @classmethod
    def empty(cls) -> Tally:
        """Nothing is counted yet."""
        return cls(*(np.zeros(256, np.int64) for _ in range(3)))

    def counting(self, parts: Iterable[tuple[Block, Content]]) -> Iterator[tuple[Block, Content]]:
        """Gives blocks on, and counts what they hold."""
        for block, content in parts:
            crop, confidence = content["crop"].ravel(), content["confidence"].ravel()
            self.values[:] += np.bincount(crop, minlength=256)
            known = confidence != NODATA
            crop, confidence = crop[known], confidence[known]
            self.sure[:] += np.bincount(crop, minlength=256)
            # Sums of whole numbers below 2^53: exact.
            sums = np.bincount(crop, weights=confidence.astype(np.float64), minlength=256)
            self.confidence[:] += sums.astype(np.int64)
            yield block, content


def title_of(made: Made) -> str:
    """The title of a map, a line."""
    season = made.season
    return f"Crops of {made.region.dataset.name}, {season.start} to {made.last_day}"


def summary_of(
    made: Made, tally: Tally, notes: Sequence[str] = (), results: ParcelResults | None = None
) -> dict[str, Any]:
    """What map.json says but for the files: plain JSON.

    Args:
      made: The map.
      tally: Of its pixels.
      notes: What is odd, or left out, a line each.
      results: Its parcels; None where it has none.
    """
    run, region, season, options = made.run, made.region, made.season, made.options
    classes, grid = made.classes, region.grid
    hectares = grid.pixel_size**2 / _SQUARE_METRES
    total = grid.height * grid.width
    unclassified, unknown = (int(tally.values[value]) for value in (UNCLASSIFIED, NODATA))
    return {
        "format": FORMAT,
        "title": title_of(made),
        "software": f"pastis-jax {pastis_jax.__version__}",
        "run": {
            "folder": run.folder.name,
            "digest": made.key["run"],
            "code": run.saved.code,
            "task": run.task.name,
            "fusion": run.task.spec.fusion,
            "modalities": list(run.modalities),
        },
        "region": {
            "folder": region.root.name,
            "digest": made.key["Region"],
            "name": region.dataset.name,
            **grid.to_json(),
        },
        "season": {
            "start": season.start.isoformat(),
            "until": None if options.until is None else options.until.isoformat(),
            "last": made.last_day.isoformat(),
            "dates": {
                name: [season.date(day).isoformat() for day in one.days]
                for name, one in season.acquired.items()
            },
        },
        "options": {
            **options.to_json(),
            "allow": list(options.allow),
            "max_cloud": made.mapper.max_cloud,
            "digest": made.key["options"],
        },
        "notes": list(notes),
        "pixels": {
            "all": total,
            "classified": total - unclassified - unknown,
            "unclassified": unclassified,
            "nodata": unknown,
        },
        "confidence": _mean(tally, slice(0, NODATA)),
        "classes": [
            {
                "value": value,
                "code": classes.codes[value],
                "name": name,
                "colour": hexadecimal(classes.colours[value]),
                "pixels": int(tally.values[value]),
                "hectares": round(int(tally.values[value]) * hectares, 4),
                "share": _share(int(tally.values[value]), total - unknown),
                "confidence": _mean(tally, slice(value, value + 1)),
            }
            for value, name in enumerate(classes.names)
        ],
        "unclassified": {
            "pixels": unclassified,
            "hectares": round(unclassified * hectares, 4),
            "share": _share(unclassified, total - unknown),
        },
        "nodata": {
            "pixels": unknown,
            "hectares": round(unknown * hectares, 4),
            "share": _share(unknown, total),
        },
        "parcels": None if results is None else _parcels(results),
    }


def _parcels(results: ParcelResults) -> dict[str, int]:
    """Numbers of parcels: all, and of these the ones without a class."""
    unclassified, unknown = (int((results.label == of).sum()) for of in (UNCLASSIFIED, NODATA))
    return {"all": len(results), "unclassified": unclassified, "nodata": unknown}


def _share(part: int, whole: int) -> float | None:
    """A share of what is mapped, to six places; None where nothing is."""
    return round(part / whole, 6) if whole else None


def _mean(tally: Tally, values: slice) -> float | None:
    """Mean confidence of some values, percent; None where that of no pixel is known."""
    pixels = int(tally.sure[values].sum())
    return round(int(tally.confidence[values].sum()) / pixels, 2) if pixels else None


def hexadecimal(colour: Iterable[int]) -> str:
    """A colour as #rrggbb."""
    return "#" + "".join(f"{part:02x}" for part in colour)


def files_of(out: pathlib.Path) -> list[dict[str, Any]]:
    """Name, bytes and SHA-256 of each file of a folder, in the order of their names."""
    found = []
    for file in sorted(path for path in out.rglob("*") if path.is_file()):
        name = file.relative_to(out).as_posix()
        found.append({"name": name, "bytes": file.stat().st_size, "sha256": checksum(file)})
    return found


def checksum(file: pathlib.Path) -> str:
    """SHA-256 of a file, read in parts."""
    whole = hashlib.sha256()
    with file.open("rb") as stream:
        while part := stream.read(_PART):
            whole.update(part)
    return whole.hexdigest()
