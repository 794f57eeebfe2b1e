"""Regions: own scenes and parcels on one grid, from ingestion to the records of training."""

from typing import TYPE_CHECKING

from pastis_jax._lazy import lazily

_PUBLIC = {
    "Given": "pastis_jax.data.regions.sources.given",
    "Grid": "pastis_jax.data.regions.grid",
    "Layer": "pastis_jax.data.regions.manifest",
    "read_manifest": "pastis_jax.data.regions.manifest",
    "write_manifest": "pastis_jax.data.regions.manifest",
    "Region": "pastis_jax.data.regions.store",
    "RegionInspection": "pastis_jax.data.regions.inspection.inspect",
    "inspect_region": "pastis_jax.data.regions.inspection.inspect",
    "is_region": "pastis_jax.data.regions.store",
    "ingest": "pastis_jax.data.regions.ingestion.ingest",
    "propose": "pastis_jax.data.regions.ingestion.ingest",
}
"""Public names, and where they are defined."""

__all__ = [*_PUBLIC]

if TYPE_CHECKING:
    from pastis_jax.data.regions.grid import Grid
    from pastis_jax.data.regions.ingestion.ingest import ingest, propose
    from pastis_jax.data.regions.inspection.inspect import RegionInspection, inspect_region
    from pastis_jax.data.regions.manifest import Layer, read_manifest, write_manifest
    from pastis_jax.data.regions.sources.given import Given
    from pastis_jax.data.regions.store import Region, is_region

__getattr__, __dir__ = lazily(__name__, _PUBLIC)
