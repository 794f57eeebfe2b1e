"""Many commands, each with a result of its own, run one after another or several at a time.

Each cell is a command that anyone can type; it runs in a process of its own, so that one that fails
or is killed leaves the others alone. What is done is not done again; what was stopped goes on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import queue
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pastis_jax.cli import console
from pastis_jax.errors import UserError
from pastis_jax.text import plain
from pastis_jax.training import write_json

Status = Literal["done", "failed", "missing"]
ROOT = "{root}"
"""Stands in commands for the folder of the cells, which may be moved."""

LOOK_BACK, LONGEST_ERROR = 4096, 1000
"""Bytes at the end of a log in which its last line is looked for, and characters kept of it."""
SHARED_DEVICE = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
"""Lets several processes share the memory of a GPU, which the first would take whole."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """A command, and the file that is there when it has succeeded.

    Attributes:
      name: Path of the cell, below the folder that all cells share.
      command: Module and flags, but for `--out`.
      out: Value of `--out`, below that folder.
      result: The file, below that folder.
      needs: Names of the cells whose results it reads.
      alone: Whether nothing else may run beside it: it measures time.
    """

    name: str
    command: tuple[str, ...]
    out: str
    result: str
    needs: tuple[str, ...] = ()
    alone: bool = False


@dataclasses.dataclass(frozen=True)
class Shard:
    """One of several machines that share the cells.

    Attributes:
      index: Its number, from 0.
      count: Number of machines.
    """

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Reads ``i/n``.

        Raises:
          UserError: If it is not that.
        """
        try:
            index, count = map(int, text.split("/"))
        except ValueError:
            index, count = -1, 0
        if not 0 <= index < count:
            remedy = "give 0/4, 1/4, 2/4 and 3/4 on four machines, say"
            raise UserError(f"got {text!r}", where="--shard", remedy=remedy)
        return cls(index, count)

    def of(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells of this machine; one that needs others goes where the first of these goes."""
        home: dict[str, int] = {}
        free = 0
        for cell in cells:
            if cell.needs:
                home[cell.name] = home[cell.needs[0]]
            else:
                home[cell.name], free = free % self.count, free + 1
        return [cell for cell in cells if home[cell.name] == self.index]


class Cells:
    """Cells in a folder.

    Args:
      root: The folder; made when first written.
      cells: Each after those that it needs.

    Raises:
      UserError: If `root` holds what another command has made of a cell.
    """

    def __init__(self, root: pathlib.Path, cells: Sequence[Cell]):
        self.root, self.cells = root, {cell.name: cell for cell in cells}
        for cell in cells:
            record = self.record(cell)
            if not record or not (root / cell.out).exists():
                continue
            if _essential(record["command"]) != _essential(cell.command):
                before, now = shlex.join(record["command"]), shlex.join(cell.command)
                raise UserError(
                    f"{cell.name} was made by `{before}`, now it would be `{now}`",
                    where=root,
                    remedy="give the same settings to go on, or another --out",
                )

    def status(self, cell: Cell) -> Status:
        """Whether `cell` has succeeded, failed, or is to be run.

        Also what was made from a result that has changed since is to be run.
        """
        record = self.record(cell)
        status = record.get("status", "missing")
        if status != "done":
            return status
        finished = (self.root / cell.result).exists() and record.get("needs", {}) == self._needs(
            cell
        )
        return "done" if finished else "missing"

    def record(self, cell: Cell) -> Mapping[str, Any]:
        """`command` and `status` of the last time that `cell` was started, empty if never.

        Once it has ended also `seconds`, `error`, and digests of the results that it `needs`.
        """
        try:
            return json.loads(self._file(cell, "json").read_text())
        except FileNotFoundError:
            return {}

    def run(
        self,
        *,
        workers: int = 1,
        shard: Shard | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Runs the cells that are not done; prints a line for each that ends.

        What fails is written down, and the others go on. Ctrl-C and SIGTERM stop all that run.

        Args:
          workers: Number of cells to run at a time.
          shard: Which part of the cells this machine runs; by default all.
          environment: Environment variables of the commands, beside those there are.
        """
        mine = (shard or Shard()).of(list(self.cells.values()))
        waiting = [cell for cell in mine if self.status(cell) != "done"]
        count, running = len(waiting), {}
        ended, numbers = queue.SimpleQueue(), itertools.count(1)
        if len(mine) > count:
            console.say(f"{len(mine) - count} of {len(mine)} cells are there already.")
        with tempfile.TemporaryDirectory(prefix="pastis_jax-") as compiled, _terminable():
            # Cells that compile the same program, of other seeds say, compile it once.
            given = {
                "JAX_COMPILATION_CACHE_DIR": compiled,
                **(SHARED_DEVICE if workers > 1 else {}),
            }
            given |= {**os.environ, **(environment or {})}
            try:
                while waiting or running:
                    ready = [c for c in waiting if self._ready(c)]
                    for cell in ready[: max(0, workers - len(running))]:
                        if running and (cell.alone or any(c.alone for c in running)):
                            break
                        waiting.remove(cell)
                        running[cell] = self._start(cell, given)
                        _tell(ended, cell, running[cell][0])
                    if not running:
                        break  # What waits needs what failed, or what another machine does.
                    cell = ended.get()
                    process, start = running.pop(cell)
                    self._finish(cell, process.returncode, time.time() - start)
                    self._say(cell, f"[{next(numbers)}/{count}]")
            finally:
                for process, _ in running.values():
                    process.terminate()  # It may ignore Ctrl-C; stopped anywhere, it goes on.
                for process, _ in running.values():
                    process.wait()
        for cell in waiting:
            missing = next(n for n in cell.needs if self.status(self.cells[n]) != "done")
            console.say(f"{cell.name}: not run, it needs {missing}")

    def _ready(self, cell: Cell) -> bool:
        return all(self.status(self.cells[name]) == "done" for name in cell.needs)

    def _start(self, cell: Cell, environment: Mapping[str, str]) -> tuple[subprocess.Popen, float]:
        log = self._file(cell, "log")
        log.parent.mkdir(parents=True, exist_ok=True)
        record = {"command": list(cell.command), "status": "missing"}
        if cell.needs:  # An earlier result is of what is there no more.
            (self.root / cell.result).unlink(missing_ok=True)
        write_json(self._file(cell, "json"), record)
        given = [text.replace(ROOT, str(self.root)) for text in cell.command]
        command = [sys.executable, "-m", *given, "--out", str(self.root / cell.out)]
        with log.open("w") as file:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        return process, time.time()

    def _finish(self, cell: Cell, code: int, seconds: float) -> None:
        """Writes down how `cell` ended."""
        done = code == 0 and (self.root / cell.result).exists()
        record = {
            "command": list(cell.command),
            "status": "done" if done else "failed",
            "needs": self._needs(cell),
            "seconds": seconds,
            "error": None if done else self._why(cell, code),
        }
        write_json(self._file(cell, "json"), record)

    def _why(self, cell: Cell, code: int) -> str:
        """The last line of a log, which says what went wrong."""
        with self._file(cell, "log").open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOOK_BACK))
            lines = log.read().decode(errors="replace").replace("\r", "\n").split("\n")
        killed = f"killed by signal {-code} (9: often for want of memory)" if code < 0 else ""
        last = next((line for line in reversed(lines) if line.strip()), f"exit code {code}")
        return killed or plain(last, LONGEST_ERROR)

    def _say(self, cell: Cell, number: str) -> None:
        record = self.record(cell)
        text = f"done, {record['seconds']:.0f} s"
        if record["status"] == "failed":
            text = f"FAILED: {record['error']} (all of it: {self._file(cell, 'log')})"
        console.say(f"{number} {cell.name}: {text}")

    def _needs(self, cell: Cell) -> Mapping[str, str | None]:
        """Digests of the results that `cell` is made from."""
        files = {name: self.root / self.cells[name].result for name in cell.needs}
        return {
            name: hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None
            for name, file in files.items()
        }

    def _file(self, cell: Cell, suffix: str) -> pathlib.Path:
        return self.root / "cells" / f"{cell.name}.{suffix}"


def _tell(ended: queue.SimpleQueue[Cell], cell: Cell, process: subprocess.Popen) -> None:
    """Puts `cell` into `ended` as soon as its process has ended; returns at once."""

    def wait() -> None:
        process.wait()
        ended.put(cell)

    threading.Thread(target=wait, name=cell.name, daemon=True).start()


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Makes SIGTERM an exception, which ends this process as soon as its children have ended."""

    def end(*_):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # A second one would leave children behind.
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _essential(command: Sequence[str]) -> list[str]:
    """A command without `--cache-dir`, which changes no result."""
    command = [word for word in command if not word.startswith("--cache-dir=")]
    if "--cache-dir" in command:
        del command[(at := command.index("--cache-dir")) : at + 2]
    return command
