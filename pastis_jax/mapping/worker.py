"""What a worker of a cluster does: predicts blocks, once it is sure to make the same map."""

from __future__ import annotations

import functools
import hashlib
import os
import socket
import threading

import jax

import pastis_jax
from pastis_jax.errors import UserError
from pastis_jax.mapping.blocks import Block
from pastis_jax.mapping.mapper import Work, open_mapper

_SHARED = "run, Region and map must lie on a file system that all workers share, at the same path"
ALIKE = "install the same on all workers"
_ONE_AT_A_TIME = threading.Lock()


def version() -> str:
    """Of what decides the bytes of a map, beside what it is made of."""
    return f"pastis_jax {pastis_jax.__version__}, jax {jax.__version__}"


def seen_of(work: Work) -> str:
    """Digest of small files that work is done with; that of the map stands for all the others.

    Raises:
      UserError: If one cannot be read, or nothing can be written.
    """
    here, digest = f"a worker on {socket.gethostname()}", hashlib.sha256()
    files = [work.run / name for name in ("run.json", "dataset.json", "weights.npz")]
    files += [work.region / name for name in ("region.json", "dataset.json")]
    files += [work.out.parent / "key.json"]
    if work.options.parcels is not None:
        files.append(work.options.parcels)
    for file in files:
        try:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        except OSError as error:
            fault = f"{here} cannot read it ({error.strerror})"
            raise UserError(fault, where=file, remedy=_SHARED) from error
    if not os.access(work.out, os.W_OK):
        raise UserError(f"{here} cannot write there", where=work.out, remedy=_SHARED)
    return digest.hexdigest()


@functools.lru_cache(maxsize=1)
def check(work: Work, seen: str, asked: str) -> str:
    """Refuses this process if it would make another map; returns its kind of device.

    Args:
      work: What is to be done.
      seen: What the process that asks sees, of `seen_of`.
      asked: What that process is made of, of `version`.

    Raises:
      UserError: If this process sees something else, or is made of something else.
    """
    here = f"a worker on {socket.gethostname()}"
    if version() != asked:
        fault = f"{here} has {version()}; what asks it has {asked}"
        raise UserError(fault, where="the cluster", remedy=ALIKE)
    if seen_of(work) != seen:
        fault = f"{here} sees other files there"
        raise UserError(fault, where=f"{work.run}, {work.region}, {work.out}", remedy=_SHARED)
    open_mapper.cache_clear()  # of an earlier map, whose run lay in the same folder perhaps
    return jax.default_backend()


def predict(work: Work, seen: str, asked: str, block: Block) -> str:
    """Predicts a block and writes it; returns its name.

    A worker with several threads predicts one block at a time: its memory is that of one.

    Raises:
      UserError: As `check`, and as what predicts.
      OSError: If the block cannot be written.
    """
    with _ONE_AT_A_TIME:
        check(work, seen, asked)
        work(block)
    return block.name
