"""The index of a shard is read as TensorStore writes it, and checked."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest

from pastis_jax.data.regions.raw_index import ABSENT, crc32c, read_index


@pytest.mark.parametrize(
    ("content", "checksum"),
    [
        (b"\0" * 32, 0x8A9136AA),  # these are RFC 3720's own examples
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
    ],
)
def test_checksums(content, checksum):
    assert crc32c(np.frombuffer(content, np.uint8)) == checksum


def shard(tmp_path, *entries, chunks):
    index = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    checksum = crc32c(np.frombuffer(index, np.uint8)).to_bytes(4, "little")
    (tmp_path / "shard").write_bytes(chunks + index + checksum)
    return os.open(tmp_path / "shard", os.O_RDONLY), len(chunks) + len(index) + 4


NOTHING = (ABSENT, ABSENT)


@pytest.mark.parametrize(
    ("entries", "chunks"),
    [
        ([(8, 8), NOTHING, (0, 8)], b"." * 16),
        ([NOTHING, NOTHING, NOTHING], b""),
        ([(3, 8), (11, 8), NOTHING], b"." * 20),
    ],
)
def test_places(tmp_path, entries, chunks):
    descriptor, length = shard(tmp_path, *entries, chunks=chunks)
    offsets = read_index(descriptor, length, count=len(entries), size=8)
    os.close(descriptor)
    assert offsets == tuple(offset for offset, _ in entries)


@pytest.mark.parametrize("wrong", [(9, 8), (0, 7), (ABSENT, 8), (8, ABSENT), (2**63, 8)])
def test_places_that_cannot_be(tmp_path, wrong):
    descriptor, length = shard(tmp_path, (0, 8), wrong, chunks=b"." * 16)
    with pytest.raises(ValueError, match="chunks that it does not hold"):
        read_index(descriptor, length, count=2, size=8)
    os.close(descriptor)
