"""A simulator of PASTIS-R: parcels and patches in the official layout, with nothing to download.

Fields grow 18 crops with their own seasons; Sentinel-2 sees them through clouds, Sentinel-1
through speckle. It is made for tests, demonstrations and studies of the method. Scores reached on
it say nothing about real crops.
"""

from pastis_jax.data.simulate.defaults import default_patches, default_pixel_sets, default_small
from pastis_jax.data.simulate.difficulty import Difficulty
from pastis_jax.data.simulate.generate import simulate
from pastis_jax.data.simulate.landscape import REGION_DIFFICULTY, simulate_region
from pastis_jax.data.simulate.writer import is_simulated

__all__ = [
    "REGION_DIFFICULTY",
    "Difficulty",
    "default_patches",
    "default_pixel_sets",
    "default_small",
    "is_simulated",
    "simulate",
    "simulate_region",
]
