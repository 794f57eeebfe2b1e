"""The folder of a run: config.json, metrics.jsonl, result.json."""

from __future__ import annotations

import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from pastis_jax.errors import UserError


class RunFolder:
    """Writes a run's files. Numbers are JSON numbers; NaN (an absent class) is null.

    Args:
      path: The folder; made if missing, refused if it holds a run.

    Raises:
      UserError: If `path` cannot be written to or already holds a run.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = self.check(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / "metrics.jsonl").write_text("")
        except OSError as error:
            what = f"cannot write here ({error.strerror})"
            raise UserError(what, where=path, remedy="give another --out") from error

    @staticmethod
    def check(path: str | os.PathLike[str]) -> pathlib.Path:
        """Refuses a folder that holds something or cannot be made; writes nothing.

        Call it before work that would be in vain.

        Returns:
          `path`, absolute.

        Raises:
          UserError: If a run cannot be written there.
        """
        absolute = pathlib.Path(os.path.expanduser(path)).absolute()
        what = None
        if (absolute / "config.json").exists():
            what = "this folder already holds a run"
        elif absolute.is_dir() and any(absolute.iterdir()):
            what = "this folder is not empty"
        else:
            there = next(p for p in (absolute, *absolute.parents) if p.exists())
            if not there.is_dir():
                what = f"{there} is not a folder"
            elif not os.access(there, os.W_OK):
                what = "cannot write here"
        if what:
            raise UserError(what, where=path, remedy="give another --out")
        return absolute

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes a JSON file as a whole, or leaves the old one."""
        target = self.path / name
        scratch = target.with_suffix(".partial")
        scratch.write_text(json.dumps(jsonable(content), indent=2) + "\n")
        scratch.replace(target)

    def log(self, **values: Any) -> None:
        """Adds a line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(jsonable(values)) + "\n")


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
