"""What the satellites see of a region, one date at a time, on the region's own grid."""

from __future__ import annotations

import dataclasses

import numpy as np

from pastis_jax.data.simulate import optical, radar
from pastis_jax.data.simulate.landscape.places import Orbit
from pastis_jax.data.simulate.landscape.plan import Pass, Plan

OFFSET = 1000
"""Added to reflectance x 10000 in files, as Sen2Cor does since baseline 04.00."""
CLOUDS = 4.0
"""Size of the clouds, those of a patch being 1."""

NO_DATA, SHADOW, VEGETATION, BARE, WATER, MEDIUM, HIGH, CIRRUS = 0, 3, 4, 5, 6, 8, 9, 10
"""Classes of Sen2Cor's scene classification that occur."""
CLOUDED = (SHADOW, MEDIUM, HIGH, CIRRUS)

_RED, _NIR = 2, 6
_LEVELS = 32.0
"""Steps of backscatter for each dB: what 16 bits hold exactly down to -64 dB, and its differences
too, so that a Region's numbers do not depend on where they are rounded."""
_FAINTEST, _BRIGHTEST = -60.0, 20.0


@dataclasses.dataclass(frozen=True)
class Optical:
    """One date of Sentinel-2.

    Attributes:
      reflectance: x 10000, undefined where missing, `(10, h, w)` int16.
      missing: Pixels without a value, `(h, w)` bool.
      scene: Sen2Cor's scene classification, 20 m, `(h / 2, w / 2)` uint8.
    """

    reflectance: np.ndarray
    missing: np.ndarray
    scene: np.ndarray

    @property
    def numbers(self) -> np.ndarray:
        """What a file holds, 0 where missing, `(10, h, w)` uint16."""
        return np.where(self.missing, 0, self.reflectance + OFFSET).astype(np.uint16)


def see(plan: Plan, k: int) -> Optical:
    """Images date `k` of Sentinel-2."""
    own = plan.passes["S2"][k]
    rng = np.random.default_rng(own.seed)
    cloud, shadow = optical.sky(rng, np.array([own.day]), plan.size, plan.knobs, CLOUDS)
    land = optical.landscape(plan.surfaces.on(slice(k, k + 1)), plan.ground.region, plan.within)
    seen = optical.picture(rng, land, cloud, shadow, plan.knobs)[0]
    missing = seen[0] == optical.NODATA
    # A file cannot hold less, its 0 being the mark of what is missing.
    seen = np.maximum(seen, 1 - OFFSET)
    return Optical(seen, missing, _classified(plan, seen, missing, cloud[0], shadow[0]))


def _classified(plan, seen, missing, cloud, shadow):
    """Sen2Cor's scene classification of pixels of 20 m."""
    red, nir = (_halved(seen[band]) for band in (_RED, _NIR))
    index = (nir - red) / np.maximum(nir + red, 1)
    out = np.where(index > 0.4, VEGETATION, BARE)
    out[_halved(plan.wet[plan.ground.region]) > 0.5] = WATER
    out[_halved(shadow) > 0.15] = SHADOW
    opacity = _halved(cloud)
    thin = cloud.max() < 0.5
    out[opacity > 0.1] = CIRRUS if thin else MEDIUM
    out[opacity > 0.6] = HIGH
    out[_halved(missing) == 1] = NO_DATA
    return out.astype(np.uint8)


def _halved(values):
    """Means of squares of 2 x 2 pixels, float32."""
    height, width = values.shape
    squares = values.reshape(height // 2, 2, width // 2, 2)
    return squares.mean((1, 3), dtype=np.float32)


def clouded(scene: np.ndarray) -> np.ndarray:
    """What a Region's mask says of a scene classification: 0 clear, 1 clouded, 255 not known."""
    mask = np.isin(scene, CLOUDED).astype(np.uint8)
    mask[scene == NO_DATA] = 255
    return mask


def listen(plan: Plan, orbit: Orbit, own: Pass) -> np.ndarray:
    """Images one pass of Sentinel-1 as if it saw all of the region.

    Returns:
      VV and VH, dB in whole steps, `(2, h, w)` float32.
    """
    passes = [seen for seen in plan.passes[orbit.name] if seen.sees == own.sees]
    k = passes.index(own)
    rng = np.random.default_rng(own.seed)
    out = np.empty((2, plan.size, plan.size), np.float32)
    for band, level in zip(out, plan.levels[orbit.label], strict=True):
        common = (plan.ground.region, plan.grain[orbit.label], plan.knobs.looks)
        seen = radar.speckled(rng, level[k : k + 1], *common)[0]
        band[:] = np.rint(np.clip(seen, _FAINTEST, _BRIGHTEST) * _LEVELS) / _LEVELS
    return out


def power(level: np.ndarray) -> np.ndarray:
    """Linear power of dB, float32."""
    return (10 ** (level.astype(np.float64) / 10)).astype(np.float32)
