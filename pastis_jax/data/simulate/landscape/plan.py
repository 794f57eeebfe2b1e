"""All that is decided of a region before it is imaged."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping

import numpy as np

from pastis_jax.data.simulate import optical, phenology, radar, regions
from pastis_jax.data.simulate.difficulty import Difficulty
from pastis_jax.data.simulate.fields import Ground, neighbours
from pastis_jax.data.simulate.landscape import places
from pastis_jax.data.simulate.landscape.ground import Plots, lay_out_region
from pastis_jax.data.simulate.scene import BACKGROUND, VOID, assign, cluster, shares

CLIMATE = regions.TILES[1]
"""Season, soil and rain are those of the tile next to it."""


@dataclasses.dataclass(frozen=True)
class Pass:
    """One day on which something is seen.

    Attributes:
      day: Days since the season's start.
      sees: Names of the tiles of Sentinel-2 that were taken; the number of the orbit of Sentinel-1.
      seed: Source of all that is drawn while imaging.
    """

    day: int
    sees: tuple[str, ...]
    seed: np.random.SeedSequence

    @property
    def date(self) -> datetime.date:
        """The day as a date."""
        return places.SEASON_START + datetime.timedelta(self.day)


@dataclasses.dataclass(frozen=True)
class Plan:
    """A region before it is imaged.

    Attributes:
      size: Its side, pixels.
      ground: Its parcels and background.
      plots: What was put in by hand.
      grown: Label of the crop on each parcel, void or not, 1 to 18, `(parcels,)`.
      passes: Of each modality, in order of time.
      surfaces: What Sentinel-2 sees of each region of the ground on its days.
      within: What varies inside them.
      levels: Of each orbit of Sentinel-1, VV and VH of each region on its days, dB, `(2, t, n)`.
      grain: Of each orbit, what varies inside regions, dB, `(h, w)`.
      wet: Which regions of the ground are water, `(n,)` bool.
      knobs: How hard crops are to tell apart.
    """

    size: int
    ground: Ground
    plots: Plots
    grown: np.ndarray
    passes: Mapping[str, tuple[Pass, ...]]
    surfaces: optical.Surfaces
    within: optical.Texture
    levels: Mapping[str, np.ndarray]
    grain: Mapping[str, np.ndarray]
    wet: np.ndarray
    knobs: Difficulty

    @property
    def labels(self) -> np.ndarray:
        """Official label of each parcel, 19 where void, `(parcels,)`."""
        return np.where(self.ground.void, VOID, self.grown)

    @property
    def numbers(self) -> np.ndarray:
        """Number of each pixel's parcel, from 1; 0 on background; `(h, w)` int32."""
        region = self.ground.region
        return np.where(region < self.ground.parcels, region + 1, 0).astype(np.int32)

    @property
    def classes(self) -> np.ndarray:
        """Official label of each pixel, `(h, w)` uint8."""
        return np.concatenate([[BACKGROUND], self.labels]).astype(np.uint8)[self.numbers]


def plan(*, size: int, dates: int, seed: int, knobs: Difficulty) -> Plan:
    """Decides all of a region but its images.

    Args:
      size: Side, pixels.
      dates: Dates of each modality.
      seed: Source of all that is drawn.
      knobs: How hard crops are to tell apart.
    """
    streams = np.random.SeedSequence(seed).spawn(8)
    shape, crops, farms, land, sky, days, inside, echoes = map(np.random.default_rng, streams)
    ground, plots = lay_out_region(shape, size)
    grown = _crops(crops, farms, ground, knobs)
    passes = _passes(days, dates, streams[5])

    season = knobs.region_shift * (CLIMATE.shift + 0.5 * land.standard_normal())
    bright = CLIMATE.soil * np.exp(0.1 * land.standard_normal())
    tilts = land.normal(0, 0.4, len(places.ORBITS))
    profiles = [phenology.CROPS[int(label)] for label in grown]
    profiles += [phenology.COVERS[name] for name in ground.covers]
    traits = [
        phenology.draw(land, profile, season=season, azimuth=ground.azimuth, knobs=knobs)
        for profile in profiles
    ]
    kind = np.array([""] * ground.parcels + list(ground.covers))
    built, wet = kind == "urban", kind == "water"
    moist = regions.moisture(sky, CLIMATE)

    when = np.array([seen.day for seen in passes["S2"]])
    surfaces = optical.surfaces(traits, built, wet, when, moist[when], bright, knobs)
    levels, grain = {}, {}
    for orbit, tilt in zip(places.ORBITS, tilts, strict=True):
        own = [seen.day for seen in passes[orbit.name] if seen.sees == (orbit.label,)]
        when = np.array(own)
        common = (traits, built, wet, when, moist[when], orbit.name, tilt, knobs)
        levels[orbit.label] = np.stack(radar.backscatter(echoes, *common)).astype(np.float32)
        grain[orbit.label] = radar.texture(echoes, size)
    within = optical.texture(inside, size)
    return Plan(*(size, ground, plots, grown, passes, surfaces, within, levels, grain, wet, knobs))


def _crops(crops, farms, ground, knobs):
    """Draws what grows on each parcel: every crop on some, rare ones on fewer."""
    grown = crops.choice(18, ground.parcels, p=shares(knobs)) + 1
    fold = np.where(ground.void, 0, 1)
    labelled = np.flatnonzero(fold)
    grown[labelled] = assign(crops, fold[labelled], [CLIMATE] * len(labelled), knobs)
    return cluster(farms, grown, fold, neighbours(ground), knobs.clustering)


def _passes(rng, dates, stream):
    """Draws the days of each modality, and who sees what on them."""
    tiles = [(places.WEST, places.EAST)] * dates
    # Some days one tile alone was taken, or came without clouds from the archive.
    tiles[3::8] = [(places.WEST,)] * len(tiles[3::8])
    tiles[5::8] = [(places.EAST,)] * len(tiles[5::8])
    grid = np.arange(2, places.SEASON_DAYS, 5)
    chosen = np.sort(rng.choice(grid, dates, replace=False))
    planned = {"S2": list(zip(chosen, tiles, strict=True))}
    for name in ("S1A", "S1D"):
        planned[name] = []
        orbits = [orbit for orbit in places.ORBITS if orbit.name == name]
        for k, orbit in enumerate(orbits):
            slots = np.arange(orbit.first, places.SEASON_DAYS, orbit.every)
            own = (dates + len(orbits) - 1 - k) // len(orbits)
            kept = slots[np.linspace(0, len(slots) - 1, own).round().astype(int)]
            planned[name] += [(day, (orbit.label,)) for day in kept]
        planned[name].sort()
    seeds = iter(stream.spawn(sum(map(len, planned.values()))))
    return {
        name: tuple(Pass(int(day), sees, next(seeds)) for day, sees in rows)
        for name, rows in planned.items()
    }
