"""What a user has of a region: dated scenes and parcels, of which the truth is known."""

from pastis_jax.data.simulate.landscape.generate import REGION_DIFFICULTY, simulate_region

__all__ = ["REGION_DIFFICULTY", "simulate_region"]
