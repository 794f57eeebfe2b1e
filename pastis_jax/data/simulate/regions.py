"""The four tiles: where they lie, when their satellites pass, and how their weather goes."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Tile:
    """One Sentinel-2 tile of PASTIS-R.

    Attributes:
      name: Its name in the metadata.
      code: First digit of its patches' ids.
      origin: South-west corner of the area that patches fall in, EPSG:2154, metres.
      turn: Angle from the axes of EPSG:2154 to those of the tile's UTM zone, degrees, at its
        centre.
      shift: Usual delay of the season, in standard deviations.
      soil: Usual soil brightness.
      rain: Rainy days per day.
      favours: Crops grown more often here, by label, and how much more.
    """

    name: str
    code: int
    origin: tuple[float, float]
    turn: float
    shift: float
    soil: float
    rain: float
    favours: dict[int, float]


TILES = (
    Tile("t30uxv", 1, (380e3, 6_800e3), 4.4, 0.6, 0.9, 0.26, {1: 1.5, 2: 2.0, 3: 1.5, 8: 0.1}),
    Tile("t31tfm", 3, (740e3, 6_640e3), 0.0, 0.2, 1.0, 0.18, {4: 2.0, 5: 2.0, 14: 1.3}),
    Tile("t31tfj", 2, (760e3, 6_280e3), 0.1, -1.4, 1.2, 0.11, {8: 4.0, 11: 2.0, 12: 2.0, 16: 2.5}),
    Tile("t32ulu", 4, (970e3, 6_740e3), -4.4, 0.6, 0.95, 0.2, {3: 2.0, 9: 2.0, 13: 1.5, 8: 1.2}),
)

LAST_DAY = 445  # 20 November 2019


def acquisitions(rng: np.random.Generator, count: int) -> list[dict[str, np.ndarray]]:
    """Draws the acquisition days of `count` tiles.

    Args:
      rng: Source of randomness.
      count: Number of tiles.

    Returns:
      For each tile, the days since 2018-09-01 of ``S2`` (38 to 61 of a 5-day grid with gaps),
      ``S1A`` and ``S1D`` (65 to 70 of two 6-day grids), each `(t,)` int64, rising.
    """
    # One tile is seen often, one seldom, the others between.
    optical = rng.permutation(np.linspace(38, 56, count).astype(int)) + rng.integers(0, 6, count)
    out = []
    for dates in optical:
        first = rng.integers(13, 20)
        grid = np.arange(first, LAST_DAY - 15, 5)
        tile = {"S2": np.sort(rng.choice(grid, dates, replace=False))}
        start = rng.integers(25, 31)
        for orbit, delay in (("S1A", 0), ("S1D", int(rng.integers(2, 5)))):
            grid = start + delay + 6 * np.arange(70)
            kept = rng.choice(70, rng.integers(65, 71), replace=False)
            tile[orbit] = grid[np.sort(kept)]
        out.append(tile)
    return out


def moisture(rng: np.random.Generator, tile: Tile) -> np.ndarray:
    """Draws a scene's daily soil moisture, 0 to 1, for days 0 to `LAST_DAY` + 30, `(days,)`.

    Rain falls more often and dries more slowly in winter.

    Args:
      rng: Source of randomness.
      tile: The scene's tile.
    """
    days = np.arange(LAST_DAY + 31)
    winter = 0.5 + 0.5 * np.cos(2 * np.pi * (days - 130) / 365)
    rain = (rng.random(len(days)) < tile.rain * (0.6 + 0.8 * winter)) * rng.gamma(
        2, 0.15, len(days)
    )
    level, out = 0.4, np.empty(len(days))
    for day in days:
        level = min(1.0, level * np.exp(-1 / (7 + 12 * winter[day])) + rain[day])
        out[day] = level
    return out


def footprints(rng: np.random.Generator, tile: Tile, count: int, side: float) -> np.ndarray:
    """Places patches in a tile without overlap.

    Args:
      rng: Source of randomness.
      tile: The tile.
      count: Number of patches.
      side: Side of a patch, metres.

    Returns:
      Closed rings in EPSG:2154, metres, counter-clockwise, `(count, 5, 2)`.
    """
    pitch = max(1800.0, 1.3 * side)
    across = max(int(90e3 // pitch), int(np.ceil(np.sqrt(count))))
    spots = np.stack(np.divmod(rng.permutation(across**2)[:count], across), 1) * pitch
    # A square turned by a few degrees needs at most 1.1 of its side.
    spots = spots + rng.uniform(0, pitch - 1.1 * side, spots.shape)
    angle = np.deg2rad(tile.turn)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]]) * side / 2
    centre = np.array(tile.origin) + spots[:, ::-1] + 0.55 * side
    return np.round(centre[:, None] + square @ turn.T, 2)
