"""The folder of a run: config.json, metrics.jsonl, result.json."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import pathlib
import shutil
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import filelock
import numpy as np

from pastis_jax.errors import UserError
from pastis_jax.files import LEFT, naming, remove_left, whole, write_whole
from pastis_jax.json_files import read_object
from pastis_jax.text import named
from pastis_jax.training.processes import from_main, is_main, to_main

FOLDERS = ("checkpoints", "tensorboard", "profile")
_WHOLE = (
    *("result.json", "run.json", "dataset.json", "weights.npz", "data.json", "metrics.jsonl"),
    *("learning_curves.png", "confusion_matrix.png", "iou_per_class.png", "pq_per_class.png"),
    "reliability.png",
    *("panel.png", "config.json"),
)
FILES = (
    *FOLDERS,
    LEFT,
    # As earlier versions called what they were writing.
    *(f"{name.split('.')[0]}.partial" for name in _WHOLE),
    *_WHOLE,
)
"""What a run writes into its folder, as patterns; what says that it is one goes last."""

DELETE_RESULT = "delete it: the same command then tests the run again"
"""What to do about a result.json that is damaged."""
LOCK = ".lock"
"""The file in a run's folder that the process at the run holds; a killed one leaves it behind."""


class RunFolder:
    """A run's files: looked at when opened, written from `begin` on.

    Numbers are JSON numbers; NaN (an absent class) is null.

    Of several processes, the main one writes them, and the others nothing.

    Args:
      path: The folder; may be missing, empty, or hold an earlier part of the same run.
      config: JSON-able configuration; a run of the same one is continued. None for a run that
        cannot be continued.
      may_differ: Fields of `config` that do not matter to that.
      places: Fields that say where the data lie: they may differ while the run is not finished, as
        long as the data are those that it was begun with.
      defaults: Values of fields that a stored configuration may lack: they came later.
      overwrite: Start anew even if the folder holds a run.

    Raises:
      UserError: If `path` cannot be written to, or holds a run of another configuration or what is
        not a run; or if the processes of one run have different configurations.

    Attributes:
      path: The folder, absolute.
      continues: Whether it holds an earlier part of the run.
      result: Content of result.json if the run is finished.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        config: Mapping[str, Any] | None = None,
        *,
        may_differ: Collection[str] = (),
        places: Collection[str] = (),
        defaults: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ):
        self.given, self.path = path, pathlib.Path(os.path.expanduser(path)).absolute()
        self.config = None if config is None else jsonable(config)
        self._lock: filelock.BaseFileLock | None = None
        self._defaults, self._places = jsonable(defaults or {}), places
        self._look_again = functools.partial(self._open, may_differ, overwrite)
        self._agree(may_differ)
        self._seen = from_main(lambda: json.dumps(self._look_again()))
        self.continues, self._anew, self.result = json.loads(self._seen)

    def _agree(self, may_differ: Collection[str]) -> None:
        """Refuses processes of one run that were given different configurations."""
        texts = to_main(json.dumps(self.config))

        def compare():
            for i, text in enumerate(texts):
                if differing := _differing(self.config or {}, json.loads(text) or {}, may_differ):
                    fault = f"process {i} was given other settings than process 0 ({differing})"
                    raise UserError(fault, where=self.given, remedy="start all processes alike")
            return ""

        from_main(compare)

    def _open(self, may_differ: Collection[str], overwrite: bool) -> tuple[bool, bool, Any]:
        """Whether a run is continued, or deleted, and the result of a finished one."""
        stored, file = self._look(), self.path / "result.json"
        if stored is None:
            return False, False, None
        if overwrite and self.config is not None:
            self._refuse_to_delete(stored)
            return False, True, None
        going_on = not file.exists() and (self.path / "data.json").exists()
        self._compare(stored, {*may_differ, *self._places} if going_on else may_differ)
        try:
            return True, False, read_object(file, remedy=DELETE_RESULT, any_text=True)
        except FileNotFoundError:
            return True, False, None

    def begin(self, data: Mapping[str, str] | None = None) -> None:
        """Makes the folder, empties it if that was asked for, and writes config.json.

        Args:
          data: Fingerprint of the data, a digest by part; a run goes on with the same data only.

        Raises:
          UserError: If it cannot be written to, or another run is at it, or data have changed.
        """
        from_main(functools.partial(self._begin, data))

    def _begin(self, data: Mapping[str, str] | None) -> str:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock_out_others()
            for folder in FOLDERS:
                if (self.path / folder).is_symlink():
                    self.close()
                    fault, remedy = "a link, which may lead anywhere", "remove it"
                    raise UserError(fault, where=self.path / folder, remedy=remedy)
            if json.dumps(self._look_again()) != self._seen:
                self.close()
                fault = "another run has been here since this one was started"
                raise UserError(fault, where=self.given, remedy="give the command again")
            remove_left(self.path)
            if self._anew:
                for file in (file for pattern in FILES for file in self.path.glob(pattern)):
                    whole_folder = file.is_dir() and not file.is_symlink()
                    shutil.rmtree(file) if whole_folder else file.unlink()
                self._anew = False
            if self.continues:
                self._refuse_changed(data)
                self._note_places()
            elif self.config is not None:
                self.write("data.json", {"fingerprint": data or {}})
                self.write("config.json", self.config)
        except OSError as error:
            fault = f"cannot write here ({error.strerror or error})"
            raise UserError(fault, where=self.given, remedy="give another `out`") from error
        return ""

    def _refuse_changed(self, data: Mapping[str, str] | None) -> None:
        """Refuses to continue a run whose data have changed since it was begun."""
        file, remedy = self.path / "data.json", "bring it back, or start anew by `overwrite`"
        if data is None:
            return
        try:
            before = read_object(file, remedy=remedy).get("fingerprint")
        except FileNotFoundError:
            return
        if not isinstance(before, dict):
            raise UserError("cannot be read (no fingerprint)", where=file, remedy=remedy)
        if differing := sorted(n for n in data.keys() | before if data.get(n) != before.get(n)):
            self.close()
            fault = f"the data of this run have changed since it was begun: {', '.join(differing)}"
            remedy = "bring them back, or start anew by `overwrite`"
            raise UserError(fault, where=self.given, remedy=remedy)

    def _note_places(self) -> None:
        """Writes down where the data lie now."""
        stored = self._look() or {}
        now = {name: (self.config or {}).get(name) for name in self._places}
        if any(stored.get(name) != place for name, place in now.items()):
            self.write("config.json", stored | now)

    def close(self) -> None:
        """Lets other processes continue the run."""
        if self._lock is not None:
            # Deleted while it is held, so that nobody locks a deleted file: filelock looks. Windows
            # deletes no open file; there, the release does.
            with contextlib.suppress(OSError):
                (self.path / LOCK).unlink()
            self._lock.release()
            self._lock = None

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes a JSON file as a whole, or leaves the old one."""
        self._replace(name, json.dumps(jsonable(content), indent=2) + "\n")

    def restart_log(self, lines: Iterable[Mapping[str, Any]] = ()) -> None:
        """Makes metrics.jsonl hold `lines` and nothing else."""
        self._replace("metrics.jsonl", "".join(json.dumps(jsonable(line)) + "\n" for line in lines))

    def log(self, **values: Any) -> None:
        """Adds a line to metrics.jsonl."""
        if not is_main():
            return
        _append(self.path / "metrics.jsonl", json.dumps(jsonable(values)) + "\n")

    def _replace(self, name: str, text: str) -> None:
        if not is_main():
            return
        write_whole(self.path / name, text)

    def _look(self) -> dict[str, Any] | None:
        """Content of config.json if there is one; refuses what cannot become a run's folder."""
        fault, file = None, self.path / "config.json"
        parent = next(p for p in (self.path, *self.path.parents) if p.exists())
        if not parent.is_dir():
            fault = f"{parent} is not a folder"
        elif not os.access(parent, os.W_OK):
            fault = "cannot write here"
        elif (
            not file.exists()
            and parent == self.path
            and any(
                # A run that was killed when it began has left no more than this.
                entry.suffix != ".partial" and entry.name not in (LOCK, "data.json")
                for entry in self.path.iterdir()
            )
        ):
            fault = "this folder is not empty"
        if fault:
            raise UserError(fault, where=self.given, remedy="give another `out`")
        try:
            # Without it, nothing tells whether what else is here may be deleted.
            return read_object(file, remedy="bring it back from a copy, or give another `out`")
        except FileNotFoundError:
            return None

    def _compare(self, stored: Mapping[str, Any], may_differ: Collection[str]) -> None:
        """Refuses to continue a run of another configuration."""
        fault = None
        config = self.config or {}
        stored = {**self._defaults, **stored}
        names = (stored.keys() ^ config.keys()) - {*may_differ}
        if not config or names:
            fault = f"this folder already holds a run of another kind ({', '.join(sorted(names))})"
        elif differing := _differing(stored, config, may_differ):
            fault = f"this folder already holds a run of other settings ({differing})"
        if fault:
            remedy = "give its settings to continue it, another `out`, or `overwrite` to start anew"
            if self._not_to_delete(stored):
                remedy = "give another `out`, or its settings to continue it"
            raise UserError(fault, where=self.given, remedy=remedy)

    def _refuse_to_delete(self, stored: Mapping[str, Any]) -> None:
        """Refuses a folder that holds what none of our runs has written."""
        if fault := self._not_to_delete(stored):
            raise UserError(fault, where=self.given, remedy="move it away, or give another `out`")

    def _not_to_delete(self, stored: Mapping[str, Any]) -> str | None:
        """Why this folder is not to be emptied; None if it may be."""
        ours = {file for pattern in FILES for file in self.path.glob(pattern)}
        others = sorted(file.name for file in set(self.path.iterdir()) - ours - {self.path / LOCK})
        config = self.config or {}
        if not config or 2 * len(stored.keys() & config.keys()) <= len(config):
            return "the config.json in this folder is not of a run"
        return f"this folder holds more than a run ({named(others, most=5)})" if others else None

    def _lock_out_others(self) -> None:
        """Holds the folder until `close`, or until this process ends, however it does."""
        self.close()
        # A soft lock is a mere file, which would outlive a killed process.
        lock = filelock.FileLock(
            self.path / LOCK, blocking=False, thread_local=False, fallback_to_soft=False
        )
        try:
            lock.acquire()
        except filelock.Timeout as error:
            fault, remedy = "another process is at this run", "wait for it, or give another `out`"
            raise UserError(fault, where=self.given, remedy=remedy) from error
        except OSError as error:
            fault = f"cannot lock this file ({error.strerror or error})"
            remedy = "give another `out`, on a file system that has locks"
            raise UserError(fault, where=self.path / LOCK, remedy=remedy) from error
        self._lock = lock


def write_json(path: pathlib.Path, content: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """Writes a JSON file as a whole, or leaves the old one; its folder is made."""
    write_whole(path, json.dumps(jsonable(content), indent=indent) + "\n")


def write_arrays(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays as an uncompressed .npz file as a whole, or leaves the old one."""
    with whole(path) as file:
        np.savez(file, **arrays)


def _append(path: pathlib.Path, line: str) -> None:
    """Adds a line to a file, never to what a link leads to."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)

    with naming(path), open(path, "a", encoding="utf-8", opener=opener) as file:
        file.write(line)


def _differing(
    before: Mapping[str, Any], now: Mapping[str, Any], may_differ: Collection[str]
) -> str:
    """Names the fields that differ, in backquotes; empty if none does."""
    return "; ".join(
        f"`{name}` {_shown(before.get(name))}, now {_shown(now[name])}"
        for name in now
        if name not in may_differ and before.get(name) != now[name]
    )


def _shown(value: Any) -> str:
    """A value as it stands on a command line."""
    if isinstance(value, list):
        return " ".join(map(_shown, value)) or "empty"
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "unset"
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def jsonable(value: Any) -> Any:
    """Turns arrays, mappings and paths into what JSON can hold."""
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return jsonable(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value
