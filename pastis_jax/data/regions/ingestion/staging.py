"""The folder in which a Region is made: what is there already, and whether it may be gone on with.

It lies beside the Region to be, `.NAME.ingesting`. Killed at any moment, the same command goes on
where it was left: each step appears whole or not at all, and doing it twice changes nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pastis_jax.data.dataset import Dataset
from pastis_jax.data.regions import writer
from pastis_jax.data.regions.cube import FOLDER
from pastis_jax.data.regions.grid import Grid
from pastis_jax.data.regions.writer import Acquisitions
from pastis_jax.errors import ArgumentError
from pastis_jax.files import held, remove_left, write_whole
from pastis_jax.json_files import read_object

AGAIN = "the same command goes on where it was left"
_KEY, _DAMAGED, _KEPT = "key.json", "damaged.json", "kept.json"
_ALL, _SOME = "region", "kept"
"""Folders of the Region with all acquisitions, and without those that show nothing."""
_COUNTS = "observed"
_REMEDY = "remove this folder and start again"


@dataclasses.dataclass(frozen=True)
class Key:
    """What a Region is made of.

    Attributes:
      options: Digest of the grid, the classes, the parcels, and how they are read.
      acquisitions: Digests of the files of each, by its name.
    """

    options: str
    acquisitions: Mapping[str, str]


def digest(*parts: Any) -> str:
    """Digest of plain JSON."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def stamp(path: str | os.PathLike[str]) -> list[Any]:
    """Size and time of change of a file, or of all in a folder; nothing for what is no file."""
    path = pathlib.Path(path)
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        return [[file.relative_to(path).as_posix(), *stamp(file)] for file in inside]
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def folder_of(out: pathlib.Path) -> pathlib.Path:
    """Where a Region is made."""
    return out.parent / f".{out.name}.ingesting"


class Staging:
    """The folder in which a Region is made.

    Args:
      out: The Region to be.
    """

    def __init__(self, out: pathlib.Path):
        self.out = out
        self.folder = folder_of(out)
        self.all = self.folder / _ALL

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Makes the folder, for this process alone; an empty one does not stay.

        Raises:
          ArgumentError: If another process has it.
          OSError: If it cannot be made.
        """
        with held(self.folder, self.out, lambda: (self.folder / _KEY).exists()):
            yield

    def damaged(self) -> dict[str, list[Any]]:
        """Files that were found damaged and left out, with their stamps."""
        return self._read(_DAMAGED) or {}

    def add_damaged(self, path: str) -> None:
        """Notes that a file is damaged."""
        self._write(_DAMAGED, {**self.damaged(), path: stamp(path)})

    def resume(self, key: Key, *, overwrite: bool) -> list[str] | None:
        """Looks for what an earlier command left.

        Args:
          key: What the Region is made of.
          overwrite: Whether what another command left is removed.

        Returns:
          Names of the acquisitions whose files are others now; None if it begins anew.

        Raises:
          ArgumentError: If another command left it, and it is not to be removed.
        """
        before = self._read(_KEY)
        if before is None:
            self._clear()
            return None
        known = before.get("acquisitions", {})
        now = key.acquisitions
        if before.get("options") != key.options or list(known) != list(now):
            if not overwrite:
                fault = f"another ingest of {self.out.name} was begun in {self.folder}"
                remedy = "repeat that command, or start again with `overwrite`"
                raise ArgumentError(fault, argument="out", remedy=remedy)
            self._clear()
            return None
        changed = [name for name in now if known[name] != now[name]]
        if changed and (self.folder / _KEPT).exists():
            self._clear()  # its acquisitions were put in their last places
            return None
        return changed

    def begin(self, key: Key) -> None:
        """Notes what the Region is made of; from now on the folder stays."""
        self._write(_KEY, dataclasses.asdict(key))

    @property
    def key(self) -> Key:
        """What was noted by `begin`."""
        return Key(**self._read(_KEY))

    def undo(self, modality: str, t: int) -> None:
        """Lets all shards of an acquisition count as not done."""
        shutil.rmtree(self.all / FOLDER / modality / _COUNTS / "c" / str(t), ignore_errors=True)

    def kept(self) -> dict[str, list[int]] | None:
        """Numbers of the acquisitions that show something, by modality, once that is known."""
        return self._read(_KEPT)

    def keep(
        self,
        kept: Mapping[str, Sequence[int]],
        grid: Grid,
        dataset: Dataset,
        acquisitions: Mapping[str, Acquisitions],
        **options: Any,
    ) -> pathlib.Path:
        """Leaves out the acquisitions that show nothing.

        Args:
          kept: Numbers of the others, by modality.
          grid: Of the Region.
          dataset: What it holds then.
          acquisitions: Those that are kept, by modality.
          **options: Of `writer.create`.

        Returns:
          Where the Region lies that has only these.
        """
        self._write(_KEPT, {name: [*numbers] for name, numbers in kept.items()})
        some = self.folder / _SOME
        writer.create(some, grid, dataset, acquisitions, **options)
        for name, numbers in kept.items():
            for array in (self.all / FOLDER / name).iterdir():
                if array.name not in ("values", "mask", _COUNTS, "clouded"):
                    continue
                target = some / FOLDER / name / array.name / "c"
                target.mkdir(exist_ok=True)
                for new, old in enumerate(numbers):
                    # Shards without any value are no files; what was moved is gone.
                    with contextlib.suppress(FileNotFoundError):
                        (array / "c" / str(old)).rename(target / str(new))
        return some

    def publish(self, root: pathlib.Path) -> None:
        """Lets the finished Region take its place, and removes the folder.

        Raises:
          ArgumentError: If something came to lie there meanwhile.
        """
        remove_left(root)
        try:
            root.rename(self.out)  # takes the place of an empty folder
        except OSError as error:
            fault, remedy = f"{self.out} exists by now", "move it away, and repeat the command"
            raise ArgumentError(fault, argument="out", remedy=remedy) from error
        shutil.rmtree(self.folder, ignore_errors=True)

    def discard(self) -> bool:
        """Removes what was begun if not one shard is done; whether something stays."""
        counts = self.all.glob(f"{FOLDER}/*/{_COUNTS}/c/*/*/*")
        stays = next(counts, None) is not None or self.kept() is not None
        if not stays:
            self._clear()
        return stays

    def _clear(self) -> None:
        (self.folder / _KEY).unlink(missing_ok=True)  # first: without it nothing else counts
        for name in (_DAMAGED, _KEPT):
            (self.folder / name).unlink(missing_ok=True)
        for name in (_ALL, _SOME):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return read_object(self.folder / name, remedy=_REMEDY, any_text=True)
        except FileNotFoundError:
            return None

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        write_whole(self.folder / name, json.dumps(content, indent=1))
