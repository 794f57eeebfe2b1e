"""What a run was made by: the devices, the memory it took, the code."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import jax

import pastis_jax


def devices() -> str:
    """Number and kind of the devices."""
    return f"{jax.device_count()} x {jax.devices()[0].device_kind}"


def peak_memory() -> float | None:
    """Most memory that this process has used, in GB; None on Windows, where Python cannot tell."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def memory() -> int | None:
    """Bytes of memory that this process may use; None where Python cannot tell.

    Of a container, its limit.
    """
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    for file in _LIMITS:
        try:
            total = min(total, int(file.read_text()))
        except (OSError, ValueError):  # Not there, or "max".
            continue
    return total if total > 0 else None


_LIMITS = (
    pathlib.Path("/sys/fs/cgroup/memory.max"),
    pathlib.Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def code_version() -> str:
    """Version of this code, with the commit in a checkout of it.

    A repository of something else, in which this package merely lies, has no commit of this code.
    """
    package = pathlib.Path(__file__).resolve().parent
    try:
        top = _git(package.parent, "rev-parse", "--show-toplevel")
        if not os.path.samefile(top, package.parent):
            return pastis_jax.__version__
        _git(package.parent, "ls-files", "--error-unmatch", f"{package.name}/__init__.py")
        commit = _git(
            package.parent, "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"
        )
    except (OSError, subprocess.SubprocessError):
        return pastis_jax.__version__
    return f"{pastis_jax.__version__}, {commit}"


def _git(folder: pathlib.Path, *command: str) -> str:
    """What a git command prints."""
    run = ["git", "-C", str(folder), *command]
    return subprocess.run(
        run, capture_output=True, text=True, timeout=10, check=True
    ).stdout.strip()
