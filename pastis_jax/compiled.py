"""Compiled programs kept on disk: what was compiled once starts in seconds.

JAX keeps them, in the project's cache. Whoever can write there decides what this process executes,
so that the folder is the user's own. A program is for one kind of processor: on another one that
shares the folder, over a network say, it may use instructions that are not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import platform
import stat
import warnings

import filelock
import jax

from pastis_jax.data.cache import default_cache

FOLDER = "compiled"
LARGEST = 1 << 30
"""Bytes that all programs of a user take at most on one kind of processor; the one that was used
longest ago goes first."""
LEAST_SECONDS = 0.2
"""Programs that compile faster are not kept."""
_LOCK_SECONDS = 5
_ALIKE = ("model name", "flags", "CPU implementer", "CPU part", "Features")
"""What /proc/cpuinfo tells of the instructions that a processor has."""


def keep(cache: str | os.PathLike[str] | None = None) -> pathlib.Path | None:
    """Keeps what this process and those that it starts compile, from now on.

    Commands call it before anything is compiled. Settings of JAX's own cache that a user made are
    left as they are: JAX_ENABLE_COMPILATION_CACHE=false, say, keeps nothing.

    Args:
      cache: Folder of what is prepared; None for the default one.

    Warns:
      RuntimeWarning: If the folder cannot be written, or is not the user's own: nothing is kept.

    Returns:
      Where they are kept; None if they are not, or where the user has said.
    """
    if jax.config.jax_compilation_cache_dir or not jax.config.jax_enable_compilation_cache:
        return None
    root = default_cache() if cache is None else pathlib.Path(cache)
    folder = root / FOLDER / f"{_user()}-{processor()}"
    try:
        folder = folder.expanduser().absolute()
        _make(folder)
        _sweep(folder)
    except (OSError, RuntimeError, filelock.Timeout) as error:
        reason = getattr(error, "strerror", None) or error
        text = f"{folder}: compiled programs are not kept there ({reason})"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
        return None
    for name, value in {
        "jax_compilation_cache_dir": str(folder),
        "jax_compilation_cache_max_size": LARGEST,
        "jax_persistent_cache_min_compile_time_secs": LEAST_SECONDS,
    }.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)  # for processes that this one starts
    return folder


def processor() -> str:
    """Digest of the kind of processor that programs are compiled for here."""
    facts = [platform.system(), platform.machine(), platform.processor()]
    with contextlib.suppress(OSError):
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        # Of hybrid processors every kind counts.
        facts += sorted({line for line in lines if line.split("\t")[0] in _ALIKE})
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _make(folder: pathlib.Path) -> None:
    """Makes the folder; refuses one that others can write or replace, or that is no folder itself.

    Raises:
      OSError: If it is refused, or cannot be made or written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode):
        raise OSError(None, "it is no folder")
    if hasattr(os, "getuid") and (state.st_uid != os.getuid() or state.st_mode & 0o022):
        raise OSError(None, "others can write there")
    if not os.access(folder, os.W_OK):
        raise OSError(None, "it cannot be written")
    for above in folder.resolve().parents if hasattr(os, "getuid") else ():
        state = above.stat()
        loose = state.st_mode & stat.S_IWOTH and not state.st_mode & stat.S_ISVTX
        if state.st_uid not in (0, os.getuid()) or loose:
            raise OSError(None, f"others can replace what is in {above}")


def _sweep(folder: pathlib.Path) -> None:
    """Removes what a process was writing when it was killed: JAX dates a program once it is whole.

    Raises:
      OSError: If it cannot be removed.
      Timeout: If another process holds the folder's lock for long.
    """
    with filelock.FileLock(folder / ".lockfile", timeout=_LOCK_SECONDS, fallback_to_soft=False):
        for file in folder.glob("*-cache"):
            dated = file.with_name(file.name.removesuffix("-cache") + "-atime")
            if not dated.exists() or not dated.stat().st_size:
                file.unlink()
                dated.unlink(missing_ok=True)
