"""Sentinel-2: ten reflectances from soil and canopy, clouds, their shadows and missing strips."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage

from pastis_jax.data.simulate.difficulty import Difficulty
from pastis_jax.data.simulate.fields import smooth
from pastis_jax.data.simulate.phenology import Traits, bump, growth

NODATA = -10000

# Reflectances of closed covers, in the bands B2 B3 B4 B5 B6 B7 B8 B8A B11 B12.
_GREEN = np.array([0.026, 0.050, 0.032, 0.085, 0.245, 0.320, 0.345, 0.365, 0.185, 0.090])
_DRY = np.array([0.070, 0.100, 0.140, 0.170, 0.205, 0.230, 0.255, 0.280, 0.330, 0.230])
_SOIL = np.array([0.080, 0.110, 0.140, 0.165, 0.185, 0.205, 0.225, 0.240, 0.310, 0.270])
_URBAN = np.array([0.120, 0.140, 0.160, 0.170, 0.180, 0.190, 0.200, 0.210, 0.230, 0.210])
_WATER = np.array([0.050, 0.050, 0.040, 0.035, 0.028, 0.025, 0.022, 0.020, 0.010, 0.008])
_CLOUD = np.array([0.50, 0.49, 0.50, 0.51, 0.53, 0.55, 0.55, 0.56, 0.36, 0.30])

_GROUPS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])  # visible and red edge, near and short-wave IR

TINTS = {
    "yellow": np.array([-0.005, 0.055, 0.050, 0.055, 0.030, 0.020, 0.020, 0.020, 0.010, 0.010]),
    "white": np.array([0.040, 0.040, 0.040, 0.035, 0.015, 0.010, 0.005, 0.005, 0.000, 0.000]),
    "violet": np.array([0.020, -0.005, 0.025, 0.010, -0.030, -0.040, -0.040, -0.040, 0.010, 0.010]),
    "ears": np.array([0.010, 0.010, 0.025, 0.025, -0.030, -0.050, -0.055, -0.055, 0.035, 0.030]),
    "rust": np.array([0.000, -0.008, 0.035, 0.030, -0.010, -0.030, -0.030, -0.030, 0.030, 0.035]),
}
"""Change of a closed canopy's reflectance by each kind of short event, `(10,)`."""


def canopy(traits: Traits, days: np.ndarray, knobs: Difficulty) -> np.ndarray:
    """Returns the reflectance of one region's canopy alone, `(t, 10)`.

    Args:
      traits: The region.
      days: Days since 2018-09-01, `(t,)`.
      knobs: Strength of lasting and short spectral differences.
    """
    profile = traits.profile
    green, dry, _ = growth(traits, days)
    lasting = np.array([profile.chlorophyll**-0.8, profile.nir, profile.water**-0.7])
    leaves = _GREEN * (lasting**knobs.spectrum * traits.pigment)[_GROUPS]
    share = (dry / (green + dry + 1e-6))[:, None]
    out = (1 - share) * leaves + share * _DRY * traits.pigment[_GROUPS]
    for event in profile.events:
        height = knobs.event * event.strength
        when = bump(days, event.day + traits.shift, event.width * knobs.event_width)
        out = out + height * when[:, None] * TINTS[event.kind]
    return out


def sky(
    rng: np.random.Generator, days: np.ndarray, size: int, knobs: Difficulty, scale: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Draws clouds and their shadows.

    Args:
      rng: Source of randomness.
      days: Days since 2018-09-01, `(t,)`.
      size: Side of the patch, pixels.
      knobs: Share of covered images.
      scale: Size of the clouds, those of a patch being 1.

    Returns:
      Opacity of the clouds and depth of the shadows, 0 to 1, each `(t, h, w)` float32.
    """
    # Cloudier in winter; the mean over a year is the share asked for.
    chance = knobs.clouds * (1 + 0.35 * np.cos(2 * np.pi * (days - 120) / 365))
    covered = rng.random(len(days)) < chance
    whole = rng.random(len(days)) < 0.45
    share = np.where(whole, 1.0, rng.uniform(0.05, 0.85, len(days)))
    thick = np.where(rng.random(len(days)) < 0.25, 0.35, 1.0)  # some are thin cirrus
    cloud = np.zeros((len(days), size, size), np.float32)
    shadow = np.zeros_like(cloud)
    index = np.flatnonzero(covered)
    if not len(index):
        return cloud, shadow
    reach = min(max(4, size // 8), 64)
    wide = smooth(rng, (len(index), size + 2 * reach, size + 2 * reach), 7 * scale)
    wide += 0.25 * smooth(rng, wide.shape, 2 * scale)
    shift = rng.integers(reach // 2, reach + 1, (len(index), 2))
    shift *= np.where(rng.random((len(index), 2)) < 0.5, -1, 1)
    for t, field, (dy, dx) in zip(index, wide, shift, strict=True):
        level = -9.0 if share[t] == 1.0 else np.quantile(field, 1 - share[t])
        opacity = np.clip((field - level) * 3, 0, 1) * thick[t]
        cloud[t] = opacity[reach : reach + size, reach : reach + size]
        part = opacity[reach + dy : reach + dy + size, reach + dx : reach + dx + size]
        shadow[t] = 0.6 * part * (1 - cloud[t])
    return cloud, shadow


@dataclasses.dataclass(frozen=True)
class Texture:
    """What lasts inside parcels: each varies smoothly from pixel to pixel, `(h, w)` float32.

    Attributes:
      vigour: Multiplier of the cover.
      early: Advance of the season, in units of four days.
      bright: Multiplier of the soil's brightness.
    """

    vigour: np.ndarray
    early: np.ndarray
    bright: np.ndarray


@dataclasses.dataclass(frozen=True)
class Surfaces:
    """Each region on each day, before any pixel is made of it.

    Attributes:
      cover: Green and dry cover, `(t, n)`.
      gain: Green cover that four days add, `(t, n)`.
      leaves: Reflectance of the canopy, `(t, 10, n)` float32.
      ground: Reflectance of what lies below, `(t, 10, n)` float32.
      bare: Share that is never covered, `(n,)`.
    """

    cover: np.ndarray
    gain: np.ndarray
    leaves: np.ndarray
    ground: np.ndarray
    bare: np.ndarray

    def on(self, dates: slice) -> Surfaces:
        """What is seen on some of the days."""
        parts = (getattr(self, name)[dates] for name in ("cover", "gain", "leaves", "ground"))
        return Surfaces(*parts, self.bare)


def observe(
    rng: np.random.Generator,
    region: np.ndarray,
    traits: list[Traits],
    built: np.ndarray,
    wet: np.ndarray,
    days: np.ndarray,
    moisture: np.ndarray,
    soil: float,
    knobs: Difficulty,
) -> np.ndarray:
    """Images one scene.

    Args:
      rng: Source of randomness.
      region: Region of each pixel, `(h, w)`.
      traits: Traits of each region.
      built: Regions of town and roads, `(n,)` bool.
      wet: Regions of open water, `(n,)` bool.
      days: Days since 2018-09-01, `(t,)`.
      moisture: Soil moisture on those days, 0 to 1, `(t,)`.
      soil: Soil brightness of the scene, about 1.
      knobs: Noise and signal.

    Returns:
      Reflectance x 10000, -10000 where missing, `(t, 10, h, w)` int16.
    """
    seen = surfaces(traits, built, wet, days, moisture, soil, knobs)
    land = landscape(seen, region, texture(rng, len(region)))
    return picture(rng, land, *sky(rng, days, len(region), knobs), knobs)


def surfaces(
    traits: list[Traits],
    built: np.ndarray,
    wet: np.ndarray,
    days: np.ndarray,
    moisture: np.ndarray,
    soil: float,
    knobs: Difficulty,
) -> Surfaces:
    """Returns what each region looks like; the arguments are those of `observe`."""
    states = [growth(trait, days) for trait in traits]
    ahead = np.stack([growth(trait, days + 4.0)[0] for trait in traits], 1)  # t n
    green, dry, rough = (np.stack(x, 1) for x in zip(*states, strict=True))
    leaves = np.stack([canopy(trait, days, knobs) for trait in traits], 2)  # t 10 n
    bare = np.array([trait.profile.bare for trait in traits])
    bright = np.array([trait.soil for trait in traits]) * soil
    ground = _SOIL[:, None] * bright  # 10 n
    ground = np.where(built, _URBAN[:, None] * bright, np.where(wet, _WATER[:, None], ground))
    # Wet soil is darker, and so is freshly worked soil.
    dark = (1 - 0.4 * moisture[:, None] * ~wet) * (1 - 0.2 * rough)
    ground = ground * dark[:, None]
    return Surfaces(
        green + dry, ahead - green, leaves.astype(np.float32), ground.astype(np.float32), bare
    )


def texture(rng: np.random.Generator, size: int) -> Texture:
    """Draws what varies inside parcels: vigour and timing, and the soil.

    Args:
      rng: Source of randomness.
      size: Side of the patch, pixels.
    """
    vigour = 1 + 0.10 * smooth(rng, (size, size), 3) + 0.05 * smooth(rng, (size, size), 1)
    early = 0.5 * smooth(rng, (size, size), 5)
    return Texture(vigour, early, np.exp(0.06 * smooth(rng, (size, size), 2)))


def landscape(seen: Surfaces, region: np.ndarray, within: Texture) -> np.ndarray:
    """Returns reflectances without air and noise, `(t, 10, h, w)` float32.

    Args:
      seen: What the regions look like.
      region: Region of each pixel, `(h, w)`.
      within: What varies inside them.
    """
    gather = region.ravel()
    area = seen.cover[:, gather] * within.vigour.ravel()
    area += seen.gain[:, gather] * within.early.ravel()
    cover = (1 - np.exp(-2.2 * np.clip(area, 0, None))) * (1 - seen.bare[gather])
    cover = cover.astype(np.float32)[:, None]
    image = seen.leaves[:, :, gather] * cover
    image += (seen.ground[:, :, gather] * within.bright.ravel()) * (1 - cover)
    image = image.reshape(*image.shape[:2], *region.shape)
    # The sensor's point spread mixes neighbouring pixels.
    image = ndimage.gaussian_filter1d(image, 0.5, axis=2, truncate=2.0)
    return ndimage.gaussian_filter1d(image, 0.5, axis=3, truncate=2.0)


def picture(
    rng: np.random.Generator,
    image: np.ndarray,
    cloud: np.ndarray,
    shadow: np.ndarray,
    knobs: Difficulty,
) -> np.ndarray:
    """Adds haze, clouds, noise and missing strips.

    Args:
      rng: Source of randomness.
      image: Reflectances of the land, `(t, 10, h, w)` float32; not kept.
      cloud: Opacity of the clouds, `(t, h, w)`.
      shadow: Depth of their shadows, `(t, h, w)`.
      knobs: Noise.

    Returns:
      Reflectance x 10000, -10000 where missing, `(t, 10, h, w)` int16.
    """
    t, size = len(image), image.shape[-1]
    haze = 0.01 * np.abs(rng.standard_normal((t, 1, 1, 1))) * np.linspace(1, 0, 10)[:, None, None]
    gain = np.exp(knobs.image_gain * rng.standard_normal((t, 10, 1, 1)))
    image = image * gain.astype(np.float32) + haze.astype(np.float32)
    image *= 1 - shadow[:, None]
    for k in np.flatnonzero(cloud.any((1, 2))):
        tops = 0.8 + 0.5 * rng.random() + 0.08 * smooth(rng, (size,) * 2, 4)
        for band, white in zip(image[k], _CLOUD, strict=True):
            band += cloud[k] * ((white * tops).astype(np.float32) - band)
    image += knobs.pixel_noise * rng.standard_normal(image.shape, dtype=np.float32)
    out = np.clip(np.rint(image * 10000), -2000, 20000).astype(np.int16)
    out[np.broadcast_to(_missing(rng, t, size)[:, None], out.shape)] = NODATA
    return out


def _missing(rng, t, size):
    """Draws the rare slanted strips at the edge of a swath that hold no data, `(t, h, w)` bool."""
    y, x = np.mgrid[:size, :size]
    hit = rng.random(t) < 0.012
    edge = rng.uniform(0.05, 0.45, t) * size
    return hit[:, None, None] & (x + 0.2 * y < edge[:, None, None])
