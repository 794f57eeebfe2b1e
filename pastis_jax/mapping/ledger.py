"""The folder in which a map is made: whose it is, which blocks are done, and how it ends.

It lies beside the map to be, `.NAME.predicting`, and holds `key.json`, which tells run, Region and
options apart by their content, and the blocks. Killed at any moment, the same command goes on where
it was left.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from pastis_jax.errors import ArgumentError, UserError
from pastis_jax.files import held, remove_left, write_whole
from pastis_jax.json_files import read_object
from pastis_jax.mapping.blocks import Block, file_of

AGAIN = "the same command goes on where it was left"
_KEY, _BLOCKS, _FILES = "key.json", "blocks", "map"
_REMEDY = "remove this folder and start again"


def digest(content: Any) -> str:
    """Digest of plain JSON."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Ledger:
    """The folder in which a map is made.

    Args:
      out: The map to be.
    """

    def __init__(self, out: pathlib.Path):
        self.out = out
        self.folder = out.parent / f".{out.name}.predicting"
        self.blocks = self.folder / _BLOCKS

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Makes the folder, for this process alone; without a block it does not stay.

        Raises:
          ArgumentError: If another process has it.
          OSError: If it cannot be made.
        """
        with held(self.folder, self.out, lambda: any(self.blocks.glob("*.npz"))):
            yield

    def resume(self, key: Mapping[str, Any], *, overwrite: bool) -> bool:
        """Takes the folder for a map; nothing of another one stays in it.

        Args:
          key: What the map is made of, plain JSON.
          overwrite: Whether what another command left is removed.

        Returns:
          Whether an earlier command of the same map was stopped here.

        Raises:
          ArgumentError: If another command left something, and it is not to be removed.
          UserError: If it cannot be told which one.
        """
        try:
            before = read_object(self.folder / _KEY, remedy=_REMEDY, any_text=True)
        except FileNotFoundError:
            before = None
        except UserError:
            if not overwrite:
                raise
            before = None
        if before == key:
            return True
        if before is not None and not overwrite and any(self.blocks.glob("*.npz")):
            changed = sorted(n for n in {*before, *key} if before.get(n) != key.get(n))
            fault = f"another map was begun in {self.folder}: not the same {' and '.join(changed)}"
            remedy = "repeat that command, or start again with `overwrite`"
            raise ArgumentError(fault, argument="out", remedy=remedy)
        (self.folder / _KEY).unlink(missing_ok=True)
        shutil.rmtree(self.blocks, ignore_errors=True)
        self.blocks.mkdir()
        write_whole(self.folder / _KEY, json.dumps(key, indent=1))
        return False

    def done(self, block: Block) -> bool:
        """Whether a block is there."""
        return file_of(self.blocks, block).exists()

    @contextlib.contextmanager
    def files(self) -> Iterator[pathlib.Path]:
        """Gives a folder for the files of the map, which becomes `out` at the end.

        Raises:
          ArgumentError: If something came to lie there meanwhile.
        """
        folder = self.folder / _FILES
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder
        remove_left(folder)
        try:
            folder.rename(self.out)  # takes the place of an empty folder
        except OSError as error:
            fault, remedy = f"{self.out} exists by now", "move it away, and repeat the command"
            raise ArgumentError(fault, argument="out", remedy=remedy) from error
        shutil.rmtree(self.folder, ignore_errors=True)
