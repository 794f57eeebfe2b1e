"""Data parallelism: a one-dimensional mesh over all devices, the batch spread along it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import PyTree

Parallel = Literal["jit", "pmap"]
Part = Literal["whole", "batch", "batches"]
"""What lies whole on every device, is spread over them, or is several of these."""
AXIS = "data"


def data_mesh() -> jax.sharding.Mesh:
    """A mesh of all devices with the axis `data`, those of a process next to each other."""
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    return jax.sharding.Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
    """Sharding of the state: a whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: jax.sharding.Mesh) -> NamedSharding:
    """Sharding of a batch: samples spread over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where state, metrics and batches lie, and how a step runs over the devices.

    Attributes:
      mesh: The devices.
      parallel: `jit`: one program over sharded arrays, whose sums XLA makes global. `pmap`: a
        program for each device, which sums over `axis_name` by itself.
      parts: Number of parts that training takes a batch in, one after another, to save memory.
    """

    mesh: jax.sharding.Mesh = dataclasses.field(default_factory=data_mesh)
    parallel: Parallel = "jit"
    parts: int = 1

    @property
    def devices(self) -> int:
        """Number of devices, those of all processes."""
        return self.mesh.size

    @property
    def axis_name(self) -> str | None:
        """Name of the axis that models, losses and metrics sum over; None where XLA does it."""
        return AXIS if self.parallel == "pmap" else None

    def padded(self, batch_size: int) -> int:
        """Smallest number of samples, from `batch_size` on, that makes parts and shares even."""
        least = self.devices * self.parts
        return -(-batch_size // least) * least

    def rows(self, batch_size: int) -> range:
        """Which samples of every batch this process makes; from `batch_size` on, blank ones."""
        share = self.padded(batch_size) // jax.process_count()
        return range(jax.process_index() * share, (jax.process_index() + 1) * share)

    def whole(self, tree: PyTree) -> PyTree:
        """Copies state or metrics, which every process has, to every device."""
        return _put(tree, replicated(self.mesh))

    def whole_like(self, tree: PyTree) -> PyTree:
        """Shapes of a state that would lie whole on every device; `tree` has shapes and types."""
        sharding = replicated(self.mesh)
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
        )

    def batch(self, batch: PyTree) -> PyTree:
        """Spreads a batch over the devices.

        Args:
          batch: This process's samples of it: `rows`.

        Raises:
          ValueError: If the devices cannot share them evenly.
        """
        local = self.devices // jax.process_count()
        size = len(jax.tree.leaves(batch)[0])
        if size % local:
            raise ValueError(
                f"{size} samples on {local} devices: fill the batch up with blank ones"
            )
        if self.parallel == "pmap":
            batch = jax.tree.map(lambda x: x.reshape(local, -1, *x.shape[1:]), batch)
        return _put(batch, split(self.mesh))

    def batches(self, batches: PyTree) -> PyTree:
        """Spreads several batches of one shape, stacked, over the devices; not under `pmap`."""
        return _put(batches, NamedSharding(self.mesh, PartitionSpec(None, AXIS)))

    def compiled(
        self,
        step: Callable[..., Any],
        arguments: Sequence[Part],
        *,
        donate: Sequence[int],
        result: Part = "whole",
    ) -> Callable[..., Any]:
        """Compiles `step` over the devices; by default what it returns is on every one of them.

        Args:
          step: Under `pmap` it gets a device's samples, and returns the same on all devices or, if
            that is the result, what a batch has of a device's samples.
          arguments: What each of its arguments is.
          donate: Numbers of the arguments whose memory the results may take.
          result: What it returns.
        """
        if self.parallel == "pmap":
            axes = {"whole": None, "batch": 0}
            return jax.pmap(
                step,
                axis_name=AXIS,
                in_axes=tuple(axes[kind] for kind in arguments),
                out_axes=axes[result],
                devices=list(self.mesh.devices.flat),
                donate_argnums=donate,
            )
        shardings = {
            "whole": replicated(self.mesh),
            "batch": split(self.mesh),
            "batches": NamedSharding(self.mesh, PartitionSpec(None, AXIS)),
        }
        return jax.jit(
            step,
            in_shardings=tuple(shardings[kind] for kind in arguments),
            out_shardings=shardings[result],
            donate_argnums=donate,
        )


def sum_over(tree: PyTree, axis_name: str | None) -> PyTree:
    """Sums over the devices of a mapped axis; nothing to do without one."""
    return tree if axis_name is None else jax.lax.psum(tree, axis_name)


def join_over(tree: PyTree, axis_name: str | None) -> PyTree:
    """Joins the samples of all devices of a mapped axis; nothing to do without one."""
    return tree if axis_name is None else jax.lax.all_gather(tree, axis_name, tiled=True)


def _put(tree: PyTree, sharding: NamedSharding) -> PyTree:
    """Places what this process has; every process calls it."""
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)
    return jax.tree.map(
        lambda x: (
            x
            if isinstance(x, jax.Array) and x.sharding == sharding
            else jax.make_array_from_process_local_data(sharding, np.asarray(x))
        ),
        tree,
    )
