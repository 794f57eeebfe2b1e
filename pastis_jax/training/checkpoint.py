"""Checkpoints: the state, how far the run is, its configuration. No other file imports Orbax."""

from __future__ import annotations

import contextlib
import json
import logging
import pathlib
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import serialization
from orbax.checkpoint import v1 as ocp

import pastis_jax
from pastis_jax.errors import UserError
from pastis_jax.json_files import read_object
from pastis_jax.training import checksums
from pastis_jax.training.checkpoint_folders import (
    DEBRIS,
    UNCHECKED,
    complete,
    delete,
    newest,
    place,
)
from pastis_jax.training.logging import jsonable
from pastis_jax.training.processes import from_main, is_main
from pastis_jax.training.state import TrainState
from pastis_jax.training.step import EpochMetrics

KEPT = 2
LATE_FAILURES = 0.5
"""Seconds in which all writes to a full disk have failed."""


class Checkpoints:
    """The newest `last` checkpoints of a run, to continue from, and the `best` one.

    A checkpoint stands in a folder of its own, ``<name>-<epoch>``, or ``<name>-<epoch>.<steps>``
    within the epoch after that one. It takes that name when it is complete and the checksums of its
    files are in it, and it is renamed again before it is deleted: what has such a name is whole,
    however a run ended, and what has been damaged since is known by its checksums. Several
    processes save and load together, in a folder that all of them see.

    Args:
      folder: Where they stand; made when first written.
      config: JSON-able configuration of the run, stored inside every checkpoint.
      keep: Number of `last` checkpoints to keep.
      say: Tells the reader a line.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        config: Mapping[str, Any],
        *,
        keep: int = KEPT,
        say: Callable[[str], None] = print,
    ):
        self.folder, self.config = pathlib.Path(folder).absolute(), jsonable(config)
        self.keep, self._say = keep, say
        self._best_epochs: dict[str, int | None] = {}

    def save(
        self,
        name: str,
        state: TrainState,
        *,
        epoch: int,
        done: int = 0,
        metrics: EpochMetrics | None = None,
        **facts: Any,
    ) -> None:
        """Writes checkpoint `name`; after a `last`, deletes what nothing can continue from.

        Args:
          name: `best` or `last`.
          state: What to keep.
          epoch: Number of finished epochs.
          done: Number of steps of the epoch after it.
          metrics: Metrics of these steps.
          **facts: JSON-able; with `last`, `best_epoch` names the best so far, if any.

        Raises:
          OSError: If it cannot be written, in one line; the checkpoints before it stay.
        """
        path = self.folder / (f"{name}-{epoch:04}" + (f".{done:06}" if done else ""))
        content = {"state": serialization.to_state_dict(state)}
        if metrics is not None:
            content["running"] = serialization.to_state_dict(metrics)
        metadata = {"config": self.config, "version": pastis_jax.__version__, "epoch": epoch}
        metadata |= jsonable({"done": done, **facts})
        with _uninterrupted():
            with _one_line(path):
                scratch = path.with_name(f"{path.name}.{UNCHECKED}")
                from_main(lambda: self._make_room(path, scratch))
                ocp.save_checkpointables(scratch, content, custom_metadata=metadata)
                from_main(lambda: _complete_with_checksums(scratch, path))
            if name == "last":
                self._best_epochs[path.name] = metadata.get("best_epoch")
                if is_main():
                    self._forget()

    def load(self, name: str, like: TrainState) -> TrainState:
        """Reads the newest checkpoint `name` into the shapes and shardings of `like`.

        Raises:
          UserError: If there is no such checkpoint, or it is damaged.
        """

        def choose() -> str:
            path = newest(self.folder, name)
            self._verify(path)
            return path.name

        return _read(self.folder / from_main(choose), {"state": like})["state"]

    def resume(
        self,
        state: TrainState,
        metrics: EpochMetrics,
        *,
        check: Callable[[dict[str, Any]], Any] = dict,
    ) -> tuple[TrainState, EpochMetrics, dict[str, Any]] | None:
        """Reads the newest sound `last`, and deletes what is half-written or was to come after it.

        One that is damaged is told of, and set aside under the name ``<name>-<epoch>.damaged``.

        Args:
          state: Gives shapes and shardings: those of the present devices.
          metrics: The same for running metrics.
          check: Raises a ValueError, KeyError or TypeError where facts are wrong.

        Returns:
          State, metrics and facts; None if nothing was saved yet.

        Raises:
          UserError: If there are checkpoints, but no sound one.
        """
        while True:
            chosen = json.loads(from_main(lambda: json.dumps(self._clean(check))))
            if chosen is None:
                return None
            name, facts = chosen
            try:
                content = _read(self.folder / name, {"state": state, "running": metrics})
            except UserError as error:
                # Of one without checksums, this tells. Several processes may not find the same.
                path, others = self.folder / name, complete(self.folder, "last")[1:]
                if not others or jax.process_count() > 1 or checksums_are_right(path):
                    raise
                self._set_aside(path, error)
                continue
            return content["state"], content["running"], facts

    def sound(
        self, check: Callable[[dict[str, Any]], Any] = dict
    ) -> tuple[pathlib.Path | None, dict[str, Any], dict[pathlib.Path, UserError]]:
        """Looks for the newest `last` that a run can continue from, its `best` sound as well.

        Args:
          check: See `resume`.

        Returns:
          It, its facts, and what is wrong with those that are newer; None if nothing was saved.

        Raises:
          UserError: If there are checkpoints, but no sound one.
        """
        faults: dict[pathlib.Path, UserError] = {}
        for path in reversed(complete(self.folder, "last")):
            try:
                checksums_are_right(path)
                facts = _facts(path)
                with _readable(path):
                    check(facts)
                    best = facts["best_epoch"]
                if best is not None:
                    checksums_are_right(self.folder / f"best-{best:04}")
                return path, facts, faults
            except UserError as error:
                faults[path] = error
        if faults:
            raise next(iter(faults.values()))
        return None, {"best_epoch": None}, {}

    def _verify(self, path: pathlib.Path) -> None:
        if not checksums_are_right(path):
            self._say(
                f"Note: {path} is of a version that wrote no checksums: damage of it may not show."
            )

    def _set_aside(self, path: pathlib.Path, error: UserError) -> None:
        """Keeps a damaged checkpoint out of the way."""
        damaged = path.with_name(f"{path.name}.damaged")
        shutil.rmtree(damaged, ignore_errors=True)
        path.rename(damaged)
        self._say(
            f"Warning: {error.where}: {error.fault}; {path.name} is set aside as {damaged.name}, "
            "and the run continues from the checkpoint before it."
        )

    def _make_room(self, path: pathlib.Path, scratch: pathlib.Path) -> str:
        # Orbax waits minutes for a folder that it cannot make.
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)
        if path.exists():
            delete(path)
        return ""

    def _clean(self, check: Callable[[dict[str, Any]], Any]) -> tuple[str, dict[str, Any]] | None:
        """Deletes what a stopped run left; returns name and facts of the newest sound `last`."""
        if not self.folder.exists():
            return None
        for path in self.folder.iterdir():
            if DEBRIS.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)
        chosen, facts, faults = self.sound(check)
        for path, error in faults.items():
            self._set_aside(path, error)
        for path in complete(self.folder, "best"):
            if place(path)[0] > (facts["best_epoch"] or 0):
                delete(path)
        if chosen is None:
            return None
        self._verify(chosen)
        return chosen.name, facts

    def _forget(self) -> None:
        """Deletes all but the newest `last` and the `best` that these speak of."""
        last, best = (complete(self.folder, name) for name in ("last", "best"))
        for path in last[: -self.keep]:
            delete(path)
        if len(best) > 1:
            needed = self._best_epoch(last[-self.keep :][0]) or 0
            for path in best:
                if place(path)[0] < needed:
                    delete(path)

    def _best_epoch(self, last: pathlib.Path) -> int | None:
        """The best epoch that a `last` speaks of; what this process wrote it has not to read.

        Orbax opens every array to read facts, and TensorStore (0.1.86) never frees the memory in
        which it describes one: some 5 kB each, at every epoch.
        """
        if last.name not in self._best_epochs:
            self._best_epochs[last.name] = _facts(last)["best_epoch"]
        return self._best_epochs[last.name]


def read_facts(folder: pathlib.Path, name: str) -> dict[str, Any]:
    """Reads what was stored beside a state: `config`, `epoch` and the facts given to `save`.

    Args:
      folder: A run's folder of checkpoints.
      name: `best` or `last`.

    Raises:
      UserError: If there is no such checkpoint, or it cannot be read.
    """
    return _facts(newest(folder, name))


def _complete_with_checksums(scratch: pathlib.Path, path: pathlib.Path) -> str:
    checksums.write(scratch)
    scratch.rename(path)
    return ""


def checksums_are_right(path: pathlib.Path) -> bool:
    """Compares a checkpoint with its checksums.

    Returns:
      Whether it has any; checkpoints of earlier versions have none.

    Raises:
      UserError: If it is damaged.
    """
    with _readable(path):
        if not path.is_dir():
            raise ValueError("it is missing")
        return checksums.verify(path)


def _facts(path: pathlib.Path) -> dict[str, Any]:
    file, remedy = path / _METADATA, _REMEDY
    try:
        read_object(file, remedy=remedy)
    except FileNotFoundError:
        raise UserError("file not found", where=file, remedy=remedy) from None
    with _readable(path):
        return dict(ocp.metadata(path).custom_metadata)


_METADATA = "_CHECKPOINT_METADATA"
"""Where Orbax keeps what it returns as metadata."""


def _read(path: pathlib.Path, like: Mapping[str, Any]) -> dict[str, Any]:
    """Reads the parts of a checkpoint that `like` names, each like its value."""
    wanted = {
        name: jax.tree.map(_abstract, serialization.to_state_dict(value))
        for name, value in like.items()
    }
    with _readable(path):
        content = ocp.load_checkpointables(path, wanted)
    return {name: serialization.from_state_dict(like[name], content[name]) for name in like}


def _abstract(leaf: jax.Array) -> jax.ShapeDtypeStruct:
    """Shape, dtype and sharding of `leaf`."""
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


@contextlib.contextmanager
def _readable(path: pathlib.Path):
    """Says in one line that a checkpoint cannot be read; Orbax logs more."""
    logger = logging.getLogger("absl")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    except (UserError, MemoryError, jax.errors.JaxRuntimeError):
        raise
    except Exception as error:  # Of damage, Orbax and TensorStore tell by almost any class.
        fault = f"this checkpoint cannot be read ({_first_line(error)})"
        raise UserError(fault, where=path, remedy=_REMEDY) from error
    finally:
        logger.disabled = before


_REMEDY = "bring it back from a copy, or start anew by `overwrite`"


@contextlib.contextmanager
def _one_line(path: pathlib.Path):
    """Says in one line why a checkpoint was not written; Orbax logs several pages."""
    logger = logging.getLogger("absl")
    before = logger.disabled, sys.unraisablehook
    # Of several failed writes, all but the first come to an event loop that is closed.
    logger.disabled, sys.unraisablehook = True, lambda _: None
    try:
        yield
    # TensorStore reports a full disk as a ValueError.
    except (OSError, ValueError) as error:
        time.sleep(LATE_FAILURES)
        for rest in path.parent.glob(f"{path.name}.*"):
            if DEBRIS.fullmatch(rest.name):
                shutil.rmtree(rest, ignore_errors=True)
        raise OSError(f"{path}: cannot write this checkpoint ({_first_line(error)})") from error
    finally:
        logger.disabled, sys.unraisablehook = before


def _first_line(error: Exception) -> str:
    """The reason, without the pages that follow it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = next(iter(str(error).splitlines()), type(error).__name__).split(" [tensorstore_spec")[0]
    return text if len(text) < 600 else f"{text[:600]}..."


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
