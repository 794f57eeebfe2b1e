"""Where prepared data lie, under which name, and how they get there entirely or not at all."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import io
import itertools
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pastis_jax.data.reading import LARGEST_TEXT, PLAIN, restore
from pastis_jax.errors import DataError
from pastis_jax.files import open_regular


def default_cache() -> pathlib.Path:
    """Returns the folder that prepared datasets are kept in unless one is given."""
    if own := os.environ.get("PASTIS_JAX_CACHE"):
        return pathlib.Path(own)
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "pastis_jax"


SAMPLED = 32
"""Most arrays of a folder whose contents count in its fingerprint, evenly spaced among all."""
_EDGE = 1 << 16
"""Bytes that count at the beginning and at the end of such an array."""
_LARGEST_ARRAY = 1 << 40


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """What a folder's contents are known by, wherever it lies.

    Attributes:
      parts: A digest by file, or by folder of arrays.
      bytes: About the size of all arrays.
    """

    parts: Mapping[str, str]
    bytes: int = 0

    @property
    def name(self) -> str:
        """One digest of all parts."""
        text = "".join(f"{name} {digest}\n" for name, digest in sorted(self.parts.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def adding(self, parts: Mapping[str, str]) -> Fingerprint:
        """Returns the same with more parts."""
        return dataclasses.replace(self, parts={**self.parts, **parts})

    def differing(self, other: Mapping[str, str]) -> list[str]:
        """Names the parts in which `other`, the parts of another one, differs."""
        names = sorted(self.parts.keys() | other.keys())
        return [name for name in names if self.parts.get(name) != other.get(name)]


def known_as(
    identity: Fingerprint,
    root: pathlib.Path,
    others: Iterable[str],
    prepared: Callable[[Fingerprint], bool],
) -> Fingerprint:
    """Returns the fingerprint under which modalities of a folder were prepared.

    Args:
      identity: Of the folder with these modalities alone; the result if nothing was prepared.
      root: The folder.
      others: Further modalities of the folder: what was prepared with some of them serves as well.
        They are only looked at for that, and one that cannot be read was not prepared.
      prepared: Whether something was prepared under a fingerprint.
    """
    return next(filter(prepared, _with_others(identity, root, others)), identity)


def _with_others(
    identity: Fingerprint, root: pathlib.Path, others: Iterable[str]
) -> Iterator[Fingerprint]:
    yield identity
    parts = {}
    for name in others:
        with contextlib.suppress(DataError):
            parts[name] = fingerprint(root, folders=[(f"DATA_{name}", name)]).parts
    for number in range(1, len(parts) + 1):
        for chosen in itertools.combinations(parts.values(), number):
            yield identity.adding(dict(collections.ChainMap(*chosen)))


def fingerprint(
    root: pathlib.Path,
    *,
    files: Iterable[str] = (),
    folders: Iterable[tuple[str, str]] = (),
    whole: Iterable[tuple[str, str]] = (),
) -> Fingerprint:
    """Returns a digest of what a folder holds, by its content: neither path nor time count.

    Folders are listed, and no file in them is asked for its state, which takes minutes on a network
    disk: of the arrays in a folder all names count, and the beginnings, ends and sizes of at most
    `SAMPLED` of them. An array of another content under an old name is noticed where it is among
    these.

    Args:
      root: The folder.
      files: Its files whose contents count; one that is missing counts as such.
      folders: Its folders of arrays, and the word their files' names begin with, as in
        ``<word>_<id>.npy``; other files in them, copies that some program named say, do not
        count.
      whole: The same for folders in which the whole content of every array counts.

    Raises:
      DataError: If something cannot be read.
    """
    parts, total = {}, 0
    try:
        for name in files:
            parts[name] = _of_file(root / name)
        for chosen, every in ((folders, False), (whole, True)):
            for folder, word in chosen:
                parts[f"{folder}/{word}_*"], size = _of_arrays(root / folder, word, every=every)
                total += size
    except FileNotFoundError as error:
        where = pathlib.Path(error.filename)
        raise DataError("file not found", where=where, remedy=restore(where)) from error
    except OSError as error:
        where, remedy = error.filename or root, "make the folder readable"
        raise DataError(f"cannot be read ({error.strerror})", where=where, remedy=remedy) from error
    return Fingerprint(parts, total)


def _of_file(file: pathlib.Path) -> str:
    try:
        with open_regular(file) as stream:
            _end(stream, file, LARGEST_TEXT)
            return hashlib.sha256(stream.readall()).hexdigest()[:16]
    except FileNotFoundError:
        return "missing"


def _end(stream: io.FileIO, file: pathlib.Path, most: int) -> int:
    """Size of a file (B); a damaged one may pretend any."""
    size = stream.seek(0, os.SEEK_END)
    if size > most:
        raise OSError(None, f"{size:,} bytes long", os.fspath(file))
    stream.seek(0)
    return size


def _of_arrays(folder: pathlib.Path, word: str, *, every: bool) -> tuple[str, int]:
    """Digest of a folder of arrays, and about their size (B)."""
    pattern = re.compile(rf"{re.escape(word)}_-?{PLAIN}\.npy")
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if pattern.fullmatch(entry.name))
    digest = hashlib.sha256("\n".join(names).encode())
    count = len(names) if every else min(SAMPLED, len(names))
    sample, total = [names[number * len(names) // count] for number in range(count)], 0
    for name in sample:
        with open_regular(folder / name) as file:
            size = _end(file, folder / name, LARGEST_TEXT if every else _LARGEST_ARRAY)
            total += size
            digest.update(f"{name} {size}".encode())
            if every or size <= 2 * _EDGE:
                digest.update(file.readall())
            else:
                digest.update(file.read(_EDGE))
                file.seek(size - _EDGE)
                digest.update(file.readall())
    return digest.hexdigest()[:16], round(total * len(names) / max(count, 1))


def amount(size: float) -> str:
    """A number of bytes for a reader."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:.0f} B"


def is_sound(path: pathlib.Path, read: Callable[[], Any]) -> bool:
    """Whether there is what was prepared; what is damaged is removed.

    Args:
      path: A file or a folder.
      read: Reads it; raises a ValueError that tells what is damaged.

    Raises:
      DataError: If it cannot be read, sound as it may be, or not be removed.
    """
    if not os.path.lexists(path):
        return False
    try:
        read()
    except ValueError as error:
        _discard(path, error)
        return False
    return True


def _discard(path: pathlib.Path, why: object) -> None:
    """Removes what was prepared and is damaged, and says so; it is made anew then.

    Raises:
      DataError: If it cannot be removed.
    """
    reason = " ".join(str(why).split())
    print(f"What was prepared in {path} is damaged ({reason}): it is made anew.", flush=True)
    with writing(path.parent):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(cache: pathlib.Path) -> Iterator[None]:
    """Makes the folder `cache` to write in; if nothing was written, it is gone afterwards.

    Raises:
      DataError: In place of an OSError.
    """
    created = [folder for folder in (cache, *cache.parents) if not folder.exists()]
    try:
        cache.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        fault = f"cannot be written ({error.strerror or error})"
        remedy = "name another folder by `cache_dir` or the environment variable PASTIS_JAX_CACHE"
        raise DataError(fault, where=cache, remedy=remedy) from error
    finally:
        for folder in created:
            with contextlib.suppress(OSError):  # not empty: what was written is there
                folder.rmdir()
