"""Data parallelism: a one-dimensional mesh over all devices, the batch split along it."""

from __future__ import annotations

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec


def data_mesh() -> jax.sharding.Mesh:
    """A mesh of all devices with the axis `data`."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
    """Sharding of the state: a whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: jax.sharding.Mesh) -> NamedSharding:
    """Sharding of a batch: samples spread over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))
