"""Checksums of a folder that is complete: what tells damage that still reads as numbers."""

from __future__ import annotations

import hashlib
import pathlib

from pastis_jax.files import write_whole
from pastis_jax.json_files import read_text

FILE = "checksums.sha256"
"""Lines as `sha256sum` writes and checks them: digest, two blanks, path."""


def write(folder: pathlib.Path) -> None:
    """Writes the SHA-256 of every file below a folder into it.

    Raises:
      OSError: If it cannot be written.
    """
    lines = [f"{_digest(folder / name)}  {name}\n" for name in _names(folder)]
    write_whole(folder / FILE, "".join(lines))


def verify(folder: pathlib.Path) -> bool:
    """Compares every file below a folder with its checksum.

    Returns:
      Whether there are checksums: a checkpoint of a version that wrote none has none.

    Raises:
      OSError: If a file cannot be read.
      ValueError: Naming a file that is missing, unknown or of other content.
    """
    if not (folder / FILE).exists():
        return False
    written = {}
    for line in read_text(folder / FILE).splitlines():
        digest, _, name = line.partition("  ")
        written[name] = digest
    if differing := sorted(written.keys() ^ {*_names(folder)}):
        raise ValueError(f"{differing[0]} is missing, or none of its files")
    for name, digest in written.items():
        if _digest(folder / name) != digest:
            raise ValueError(f"{name} is not what was written: its checksum differs")
    return True


def _names(folder: pathlib.Path) -> list[str]:
    """Files below a folder but for the checksums, by their paths from there.

    Raises:
      ValueError: If there is something else, such as a link.
    """
    names = []
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise ValueError(f"{path.relative_to(folder)} is no file")
        if path.is_file() and path != folder / FILE:
            names.append(path.relative_to(folder).as_posix())
    return sorted(names)


def _digest(file: pathlib.Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
