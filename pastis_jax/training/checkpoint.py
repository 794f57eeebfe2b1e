"""Checkpoints: the state with the configuration that built it. No other file imports Orbax."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
from flax import serialization
from orbax.checkpoint import v1 as ocp

from pastis_jax.errors import UserError
from pastis_jax.training.logging import jsonable
from pastis_jax.training.state import TrainState


class Checkpoints:
    """The `best` and the `last` checkpoint of a run, each replaced as a whole.

    Args:
      folder: Where they stand; made when first written.
      config: JSON-able configuration of the run, stored inside every checkpoint.
    """

    def __init__(self, folder: pathlib.Path, config: Mapping[str, Any]):
        self.folder, self.config = pathlib.Path(folder).absolute(), jsonable(config)

    def save(self, name: str, state: TrainState, **facts: Any) -> None:
        """Writes checkpoint `name` with JSON-able `facts` about it (epoch, scores)."""
        tree = serialization.to_state_dict(state)
        ocp.save(
            self.folder / name,
            tree,
            overwrite=True,
            custom_metadata={"config": self.config, **facts},
        )

    def load(self, name: str, like: TrainState) -> TrainState:
        """Reads checkpoint `name` into the shapes and shardings of `like`.

        Raises:
          UserError: If there is no such checkpoint.
        """
        path = _existing(self.folder / name)
        abstract = jax.tree.map(_abstract, serialization.to_state_dict(like))
        return serialization.from_state_dict(like, ocp.load(path, abstract))


def _abstract(leaf: jax.Array) -> jax.ShapeDtypeStruct:
    """Shape, dtype and sharding of `leaf`."""
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


def read_facts(path: pathlib.Path) -> dict[str, Any]:
    """Reads what was stored beside a state: `config` and the facts given to `save`.

    Raises:
      UserError: If there is no checkpoint at `path`.
    """
    return dict(ocp.metadata(_existing(path)).custom_metadata)


def _existing(path: pathlib.Path) -> pathlib.Path:
    """Returns `path` if a checkpoint stands there.

    Raises:
      UserError: If not.
    """
    if not ocp.is_orbax_checkpoint(path):
        raise UserError("there is no checkpoint here", where=path, remedy="train this run first")
    return path
