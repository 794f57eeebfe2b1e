"""One scene: a patch of ground, its crops and its weather, seen by all sensors at every pixel."""

from __future__ import annotations

import dataclasses

import numpy as np

from pastis_jax.data.pastis_r import PARCELS, PASTIS_R
from pastis_jax.data.simulate import optical, phenology, radar
from pastis_jax.data.simulate.difficulty import Difficulty
from pastis_jax.data.simulate.fields import Ground
from pastis_jax.data.simulate.regions import Tile, moisture

CROPS, BACKGROUND, VOID = (
    getattr(PASTIS_R.nomenclature, name) for name in ("crops", "background", "void")
)


@dataclasses.dataclass(frozen=True)
class Scene:
    """All that is decided of a scene before it is imaged.

    Attributes:
      patch: Its ID_PATCH.
      fold: Its fold, 1 to 5.
      tile: Its tile.
      ground: Its regions.
      grown: Label of the crop grown on each parcel, void or not, 1 to 18, `(parcels,)`.
      days: Acquisition days of each modality since 2018-09-01.
      season: Shift of the tile's season this year, days.
      seed: Source of all that is drawn while imaging.
      ring: Footprint in EPSG:2154, metres, `(5, 2)`.
    """

    patch: int
    fold: int
    tile: Tile
    ground: Ground
    grown: np.ndarray
    days: dict[str, np.ndarray]
    season: float
    seed: np.random.SeedSequence
    ring: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """Official label of each parcel, 19 where void, `(parcels,)`."""
        return np.where(self.ground.void, VOID, self.grown)

    @property
    def parcel(self) -> np.ndarray:
        """Number of each pixel's parcel, from 1; 0 on background; `(h, w)`."""
        region = self.ground.region
        return np.where(region < self.ground.parcels, region + 1, 0)

    @property
    def semantic(self) -> np.ndarray:
        """Official label of each pixel, `(h, w)`."""
        return np.concatenate([[BACKGROUND], self.labels])[self.parcel]

    @property
    def fine(self) -> np.ndarray:
        """Fine crop code of each pixel, 0 on background, `(h, w)`. Codes are made up."""
        return np.concatenate([[0], 8 * self.grown + np.arange(len(self.grown)) % 3])[self.parcel]


def image(scene: Scene, knobs: Difficulty) -> dict[str, np.ndarray]:
    """Images a scene.

    Args:
      scene: The scene.
      knobs: Strength of signals and nuisances.

    Returns:
      ``S2``, `(t, 10, h, w)` int16; ``S1A`` and ``S1D``, `(t, 3, h, w)` float16.
    """
    # A stream for each purpose: what one sensor draws never moves what another sees.
    land, sky, *eyes = (np.random.default_rng(s) for s in scene.seed.spawn(5))
    ground = scene.ground
    season = scene.season + knobs.scene_shift * land.standard_normal()
    bright = scene.tile.soil * np.exp(0.1 * land.standard_normal())
    tilt = land.normal(0, 0.4, 2)
    profiles = [phenology.CROPS[int(label)] for label in scene.grown]
    profiles += [phenology.COVERS[name] for name in ground.covers]
    traits = [
        phenology.draw(land, profile, season=season, azimuth=ground.azimuth, knobs=knobs)
        for profile in profiles
    ]
    kind = np.array([""] * ground.parcels + list(ground.covers))
    water = moisture(sky, scene.tile)
    common = (ground.region, traits, kind == "urban", kind == "water")
    out = {}
    days = scene.days["S2"]
    out["S2"] = optical.observe(eyes[0], *common, days, water[days], bright, knobs)
    for orbit, rng, lean in zip(("S1A", "S1D"), eyes[1:], tilt, strict=True):
        days = scene.days[orbit]
        out[orbit] = radar.observe(rng, *common, days, water[days], orbit, lean, knobs)
    return out


def shares(knobs: Difficulty) -> np.ndarray:
    """Returns the share of each crop among labelled parcels, `(18,)`, summing to 1."""
    share = np.array([PARCELS[crop.name] for crop in CROPS], float) ** knobs.imbalance
    return share / share.sum()


def assign(
    rng: np.random.Generator, folds: np.ndarray, tiles: list[Tile], knobs: Difficulty
) -> np.ndarray:
    """Chooses the crop of each labelled parcel: every crop in every fold, rare crops rarer.

    Args:
      rng: Source of randomness.
      folds: Fold of each parcel, `(parcels,)`.
      tiles: Tile of each parcel, `parcels` long.
      knobs: Imbalance, and the least number of parcels of a crop in a fold.

    Returns:
      Labels 1 to 18, `(parcels,)`.
    """
    share = shares(knobs)
    favour = np.ones((len(folds), len(CROPS)))
    for row, tile in zip(favour, tiles, strict=True):
        for label, times in tile.favours.items():
            row[label - 1] = times
    out = np.zeros(len(folds), int)
    for fold in np.unique(folds):
        members = np.flatnonzero(folds == fold)
        counts = _counts(share, len(members), knobs.least_per_fold)
        # The rarest crop chooses its ground first.
        for crop in np.argsort(share):
            free = members[out[members] == 0]
            liking = favour[free, crop] / favour[free, crop].sum()
            out[rng.choice(free, counts[crop], replace=False, p=liking)] = crop + 1
    return out


def cluster(
    rng: np.random.Generator, grown: np.ndarray, folds: np.ndarray, pairs: np.ndarray, share: float
) -> np.ndarray:
    """Makes some parcels grow what one beside them grows, as where a farmer holds both.

    Crops are exchanged within a fold, so each stays as frequent as it was.

    Args:
      rng: Source of randomness.
      grown: Label of the crop of each parcel, `(parcels,)`.
      folds: Fold of each parcel, 0 for those to leave alone, `(parcels,)`.
      pairs: Parcels that touch, `(pairs, 2)`.
      share: Share of the parcels to change, 0 to 1; fewer where nothing is left to exchange.

    Returns:
      New labels, `(parcels,)`.
    """
    grown, settled = grown.copy(), folds == 0
    left = round(share * int((~settled).sum()))
    for a, b in rng.permutation(rng.permuted(pairs, axis=1)):
        if left <= 0:
            break
        if settled[a] or folds[b] == 0 or grown[a] == grown[b]:
            continue
        others = np.flatnonzero(~settled & (folds == folds[a]) & (grown == grown[b]))
        others = others[others != b]
        if len(others):
            c = rng.choice(others)
            grown[a], grown[c] = grown[c], grown[a]
            settled[a] = settled[b] = True
            left -= 1
    return grown


def _counts(share, total, least):
    """Splits `total` parcels by share, each crop getting at least `least` if there are enough."""
    least = min(least, total // len(share))
    counts = np.maximum(np.floor(share * total).astype(int), least)
    while counts.sum() != total:
        # Take from, or give to, the crop farthest above, or below, its share.
        excess = np.where(counts > least, counts - share * total, -np.inf)
        if counts.sum() > total:
            counts[np.argmax(excess)] -= 1
        else:
            counts[np.argmin(counts - share * total)] += 1
    return counts
