"""Blocks of a map, and the files that keep them."""

from __future__ import annotations

import numpy as np
import pytest
from refusal import refused_in_a_line

from pastis_jax.data.regions.grid import Grid
from pastis_jax.mapping import blocks
from pastis_jax.mapping.blocks import Block, blocks_of, percent, read_block, write_block

BLOCK = Block(slice(1024, 1100), slice(2048, 2060))


def test_they_tile_the_region():
    grid = Grid("EPSG:32631", 0.0, 0.0, 10.0, height=1100, width=2060)
    made, count = [*blocks_of(grid)], np.zeros((1100, 2060), int)
    for block in made:
        count[block.rows, block.columns] += 1
    assert (count == 1).all()
    names = [block.name for block in made]
    assert names == [f"r000{i}c000{j}" for i in range(2) for j in range(3)]
    assert made[-1] == BLOCK
    assert BLOCK.shape == (76, 12)


def test_names_follow_the_size(monkeypatch):
    monkeypatch.setattr(blocks, "SHARD", 32)
    made = [*blocks_of(Grid("EPSG:32631", 0.0, 0.0, 10.0, height=40, width=30))]
    assert [block.name for block in made] == ["r0000c0000", "r0001c0000"]


def test_percent():
    shares = np.array([0, 0.004, 0.996, 1, np.nan, 0.5], np.float32)
    assert percent(shares).tolist() == [0, 0, 100, 100, 255, 50]
    assert percent(shares).dtype == np.uint8


def test_the_same_content_gives_the_same_bytes(tmp_path, monkeypatch):
    content = {"crop": np.arange(20, dtype=np.uint8).reshape(4, 5), "parcel": np.arange(3)}
    files = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_block(tmp_path / name, BLOCK, content)
        files.append((tmp_path / name / f"{BLOCK.name}.npz").read_bytes())
        monkeypatch.setattr("time.time", lambda: 2e9)
        monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    assert files[0] == files[1]
    assert [*(tmp_path / "a").iterdir()] == [tmp_path / "a" / f"{BLOCK.name}.npz"]
    back = read_block(tmp_path / "a", BLOCK)
    assert back.keys() == content.keys()
    np.testing.assert_array_equal(back["crop"], content["crop"])
    assert read_block(tmp_path / "a", BLOCK, "parcel").keys() == {"parcel"}


@pytest.mark.parametrize("damage", ["cut", "emptied", "gone", "another"])
def test_a_damaged_block(tmp_path, damage):
    write_block(tmp_path, BLOCK, {"crop": np.zeros((64, 64), np.uint8)})
    file = tmp_path / f"{BLOCK.name}.npz"
    whole = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes({"cut": whole[: len(whole) // 2], "emptied": b""}.get(damage, whole))
    names = ("dates",) if damage == "another" else ()
    words = (str(file), "cannot be read", "remove this file")
    refused_in_a_line(lambda: read_block(tmp_path, BLOCK, *names), *words)
