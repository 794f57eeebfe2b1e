"""Where prepared data lie, under which name, and how they get there entirely or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Iterable, Iterator

from pastis_jax.errors import DataError


def default_cache() -> pathlib.Path:
    """Returns the folder that prepared datasets are kept in unless one is given."""
    if own := os.environ.get("PASTIS_JAX_CACHE"):
        return pathlib.Path(own)
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "pastis_jax"


def fingerprint(
    root: pathlib.Path, version: str, *, files: Iterable[str], folders: Iterable[str]
) -> tuple[str, int]:
    """Returns a name that changes with a folder's contents, and the size of its arrays (B).

    Args:
      root: The folder.
      version: Version of what is prepared from it.
      files: Its files whose contents count.
      folders: Its folders in which the name, size and time of change of every file count.

    Raises:
      DataError: If something cannot be read.
    """
    digest, total = hashlib.sha256(f"{version} {root}".encode()), 0
    try:
        for name in files:
            digest.update(hashlib.sha256((root / name).read_bytes()).digest())
        for folder in folders:
            with os.scandir(root / folder) as entries:
                stats = sorted((entry.name, entry.stat()) for entry in entries)
            for name, stat in stats:
                digest.update(f"{folder} {name} {stat.st_size} {stat.st_mtime_ns}".encode())
                total += stat.st_size
    except OSError as error:
        where, remedy = error.filename or root, "make the folder readable"
        raise DataError(f"cannot be read ({error.strerror})", where=where, remedy=remedy) from error
    return digest.hexdigest()[:16], total


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
        what = f"cannot be written ({error.strerror or error})"
        remedy = "name another folder by --cache-dir or the environment variable PASTIS_JAX_CACHE"
        raise DataError(what, where=cache, remedy=remedy) from error
    finally:
        for folder in created:
            with contextlib.suppress(OSError):  # not empty: what was written is there
                folder.rmdir()
