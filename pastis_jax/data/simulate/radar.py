"""Sentinel-1: VV and VH of a canopy over moist soil (a water cloud model), with speckle.

    sigma0 = exp(-depth * W) * soil(moisture, roughness) + (1 - exp(-depth * W)) * canopy

in linear power, where W is the standing crop. Each orbit sees it under another angle, on other
days and through speckle of its own.
"""

from __future__ import annotations

import numpy as np

from pastis_jax.data.simulate.difficulty import Difficulty
from pastis_jax.data.simulate.fields import smooth
from pastis_jax.data.simulate.phenology import Traits, bump, growth

# Reference canopy the crops' differences are counted from, dB.
_VV, _VH = -11.5, -17.5

# Look direction (radians) and mean incidence offset (dB) of the orbits.
_LOOK = {"S1A": np.deg2rad(78.0), "S1D": np.deg2rad(-78.0)}
_INCIDENCE = {"S1A": 0.4, "S1D": -0.4}


def observe(
    rng: np.random.Generator,
    region: np.ndarray,
    traits: list[Traits],
    built: np.ndarray,
    wet: np.ndarray,
    days: np.ndarray,
    moisture: np.ndarray,
    orbit: str,
    tilt: float,
    knobs: Difficulty,
) -> np.ndarray:
    """Images one scene from one orbit.

    Args:
      rng: Source of randomness.
      region: Region of each pixel, `(h, w)`.
      traits: Traits of each region.
      built: Regions of town and roads, `(n,)` bool.
      wet: Regions of open water, `(n,)` bool.
      days: Days since 2018-09-01, `(t,)`.
      moisture: Soil moisture on those days, 0 to 1, `(t,)`.
      orbit: ``S1A`` or ``S1D``.
      tilt: Incidence offset of the scene in this orbit, dB.
      knobs: Noise and signal.

    Returns:
      VV, VH and VV - VH in dB, `(t, 3, h, w)` float16.
    """
    levels = backscatter(rng, traits, built, wet, days, moisture, orbit, tilt, knobs)
    within = texture(rng, len(region))
    vv, vh = (
        speckled(rng, level, region, within, knobs.looks).astype(np.float16) for level in levels
    )
    return np.stack([vv, vh, vv - vh], 1)


def backscatter(
    rng: np.random.Generator,
    traits: list[Traits],
    built: np.ndarray,
    wet: np.ndarray,
    days: np.ndarray,
    moisture: np.ndarray,
    orbit: str,
    tilt: float,
    knobs: Difficulty,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns VV and VH of each region, dB, each `(t, n)`; the arguments are those of `observe`."""
    n = len(traits)
    states = [growth(trait, days) for trait in traits]
    green, dry, rough = (np.stack(x, 1) for x in zip(*states, strict=True))  # t n
    standing = green + 0.6 * dry
    depth = np.array([trait.profile.depth for trait in traits])
    through = np.exp(-1.8 * depth * standing)
    # Rows seen across echo more than rows seen along, as long as the soil shows.
    azimuth = np.array([trait.azimuth for trait in traits])
    rows = 1.5 * np.cos(2 * (azimuth - _LOOK[orbit])) * (0.3 + rough)
    soil = (
        -15.5 + 7.5 * moisture[:, None] + 2.5 * rough + rows,
        -22.5 + 5.5 * moisture[:, None] + 3.0 * rough + 0.3 * rows,
    )
    volume = (
        _VV + knobs.radar * np.array([trait.profile.vv - _VV for trait in traits]),
        _VH + knobs.radar * np.array([trait.profile.vh - _VH for trait in traits]),
    )
    drift = _drift(rng, days, n, knobs.radar_drift)
    incidence = _INCIDENCE[orbit] + tilt
    # Town and water do not follow the seasons.
    fixed = np.where(built, -7.0, -21.0), np.where(built, -14.5, -28.0)
    bands = []
    for band in range(2):
        power = through * _power(soil[band]) + (1 - through) * _power(volume[band])
        level = 10 * np.log10(power) + knobs.radar * _echoes(traits, days, band)
        level += np.array([trait.offset[band] for trait in traits]) + drift[band]
        bands.append(np.where(built | wet, fixed[band], level) + incidence)
    return bands[0], bands[1]


def texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draws what lasts inside parcels, dB, `(h, w)` float32."""
    return 0.5 * smooth(rng, (size, size), 2)


def speckled(
    rng: np.random.Generator,
    level: np.ndarray,
    region: np.ndarray,
    within: np.ndarray,
    looks: float,
) -> np.ndarray:
    """Returns one band as it is seen, dB, `(t, h, w)` float32.

    Args:
      rng: Source of randomness.
      level: The band in each region, dB, `(t, n)`.
      region: Region of each pixel, `(h, w)`.
      within: What varies inside them, dB, `(h, w)`.
      looks: Equivalent number of looks.
    """
    speckle = rng.standard_gamma(looks, (len(level), region.size), dtype=np.float32) / looks
    pixels = level.astype(np.float32)[:, region.ravel()] + within.ravel()
    pixels += 10 * np.log10(np.maximum(speckle, 1e-3))
    return pixels.reshape(len(level), *region.shape)


def _power(level):
    return 10 ** (level / 10)


def _echoes(traits, days, band):
    """Changes of structure, dB, `(t, n)`."""
    out = np.zeros((len(days), len(traits)))
    for n, trait in enumerate(traits):
        for echo in trait.profile.echoes:
            height = (echo.vv, echo.vh)[band]
            out[:, n] += height * bump(days, echo.day + trait.shift, echo.width)
    return out


def _drift(rng, days, n, scale):
    """Slow random change of each region (dew, wind, lodging), dB, `(2, t, n)`."""
    keep = np.exp(-np.diff(days, prepend=days[0]) / 15.0)
    noise = rng.standard_normal((2, len(days), n))
    out = np.empty_like(noise)
    out[:, 0] = noise[:, 0]
    for k in range(1, len(days)):
        out[:, k] = keep[k] * out[:, k - 1] + np.sqrt(1 - keep[k] ** 2) * noise[:, k]
    return scale * out
