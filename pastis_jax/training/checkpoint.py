"""Checkpoints: the state with the configuration that built it. No other file imports Orbax."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import signal
import threading
from collections.abc import Mapping
from typing import Any

import jax
from flax import serialization
from orbax.checkpoint import v1 as ocp

from pastis_jax.errors import UserError
from pastis_jax.training.logging import jsonable
from pastis_jax.training.state import TrainState


class Checkpoints:
    """The `best` and the `last` checkpoint of a run.

    A checkpoint stands in a folder of its own, ``<name>-<epoch>``; the one before goes when the new
    one is complete, so there is a whole one at any time.

    Args:
      folder: Where they stand; made when first written.
      config: JSON-able configuration of the run, stored inside every checkpoint.
    """

    def __init__(self, folder: pathlib.Path, config: Mapping[str, Any]):
        self.folder, self.config = pathlib.Path(folder).absolute(), jsonable(config)

    def save(self, name: str, state: TrainState, *, epoch: int, **facts: Any) -> None:
        """Writes checkpoint `name` with JSON-able `facts` about it."""
        before = list(self.folder.glob(f"{name}-*"))
        metadata = {"config": self.config, "epoch": epoch, **facts}
        with _uninterrupted():
            ocp.save(
                self.folder / f"{name}-{epoch:04}",
                serialization.to_state_dict(state),
                custom_metadata=metadata,
            )
            for old in before:
                shutil.rmtree(old)

    def load(self, name: str, like: TrainState) -> TrainState:
        """Reads checkpoint `name` into the shapes and shardings of `like`.

        Raises:
          UserError: If there is no such checkpoint.
        """
        path = newest(self.folder, name)
        abstract = jax.tree.map(_abstract, serialization.to_state_dict(like))
        return serialization.from_state_dict(like, ocp.load(path, abstract))


def _abstract(leaf: jax.Array) -> jax.ShapeDtypeStruct:
    """Shape, dtype and sharding of `leaf`."""
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


@contextlib.contextmanager
def _uninterrupted():
    """Lets Ctrl-C wait: Orbax writes in threads that do not survive it in good order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def read_facts(folder: pathlib.Path, name: str) -> dict[str, Any]:
    """Reads what was stored beside a state: `config`, `epoch` and the facts given to `save`.

    Args:
      folder: A run's folder of checkpoints.
      name: `best` or `last`.

    Raises:
      UserError: If there is no such checkpoint.
    """
    return dict(ocp.metadata(newest(folder, name)).custom_metadata)


def newest(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Returns the newest complete checkpoint `name`.

    Raises:
      UserError: If there is none.
    """
    # What was not finished has a longer name.
    complete = sorted(folder.glob(f"{name}-[0-9][0-9][0-9][0-9]"))
    if not complete:
        raise UserError(f"no checkpoint {name!r} here", where=folder, remedy="train this run first")
    return complete[-1]
