"""Where the chunks of a file lie that are stored as they are: the index at the end of a shard."""

from __future__ import annotations

import functools
import os

import numpy as np

ABSENT = 2**64 - 1
"""Place of a chunk that was never written."""
_CHECKSUM = 4
"""Size of what follows the index (B)."""
_POLYNOMIAL = 0x82F63B78
"""Of CRC-32C, its bits reversed."""


def read_index(descriptor: int, length: int, *, count: int, size: int) -> tuple[int, ...]:
    """Reads where each chunk of a shard begins (B); ABSENT for none.

    Args:
      descriptor: Of the shard.
      length: Of the shard (B).
      count: Number of its chunks.
      size: Of each (B).

    Raises:
      ValueError: If the index is damaged, or chunks are not where it has them.
      OSError: If it cannot be read.
    """
    end = length - 16 * count - _CHECKSUM
    if end < 0:
        raise ValueError(f"{length:,} bytes, less than its index has")
    content = os.pread(descriptor, length - end, end)
    index = np.frombuffer(content[:-_CHECKSUM], np.uint8)
    if len(content) < length - end or crc32c(index) != int.from_bytes(content[-4:], "little"):
        raise ValueError("its index has another checksum than it was written with")
    offsets, sizes = index.view("<u8").reshape(count, 2).T.tolist()
    for offset, own in zip(offsets, sizes, strict=True):
        if not offset == own == ABSENT and not (own == size and offset + size <= end):
            raise ValueError("its index tells of chunks that it does not hold")
    return tuple(offsets)


def crc32c(content: np.ndarray) -> int:
    """Checksum of bytes, (n,) uint8: what each adds at its place is known for all its values."""
    parts = _shares(len(content))[np.arange(len(content)), content]
    return int(np.bitwise_xor.reduce(parts)) ^ _of_zeros(len(content))


def _after(state: np.ndarray) -> np.ndarray:
    """States of the checksum after one more byte that is 0."""
    return _table()[state & 0xFF] ^ (state >> 8)


@functools.cache
def _table() -> np.ndarray:
    """State after each byte, from the state 0, (256,) uint32."""
    state = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        state = np.where(state & 1, (state >> 1) ^ np.uint32(_POLYNOMIAL), state >> 1)
    return state


@functools.lru_cache(maxsize=4)
def _shares(length: int) -> np.ndarray:
    """What each byte adds to the checksum of so many, (length, 256) uint32."""
    shares = np.empty((length, 256), np.uint32)
    state = _table()
    for place in range(length - 1, -1, -1):
        shares[place], state = state, _after(state)
    return shares


@functools.lru_cache(maxsize=4)
def _of_zeros(length: int) -> int:
    """Checksum of so many bytes that are 0."""
    state = np.array([0xFFFFFFFF], np.uint32)
    for _ in range(length):
        state = _after(state)
    return int(state[0]) ^ 0xFFFFFFFF
