"""A disk without room."""

from __future__ import annotations

import contextlib
import resource


@contextlib.contextmanager
def full_disk(left):
    """Writes fail as on a full disk, beyond `left` bytes of a file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
