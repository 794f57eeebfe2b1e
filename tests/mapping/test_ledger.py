"""The folder in which a map is made: nothing of another one ever gets into it."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from refusal import refused_in_a_line

from pastis_jax.files import check_new
from pastis_jax.mapping.blocks import Block, write_block
from pastis_jax.mapping.ledger import Ledger, digest

KEY = {"run": "a", "Region": "b", "options": "c"}
BLOCK = Block(slice(0, 4), slice(0, 4))


def begun(out, key=KEY):
    """A map of one block, stopped."""
    ledger = Ledger(out)
    with ledger.held():
        assert not ledger.resume(key, overwrite=False)
        write_block(ledger.blocks, BLOCK, {"crop": np.zeros((4, 4), np.uint8)})
    return ledger


def finished(ledger):
    with ledger.held(), ledger.files() as folder:
        (folder / "crop.tif").write_text("map")


def test_goes_on_with_the_same(tmp_path):
    ledger = begun(tmp_path / "M")
    with ledger.held():
        assert ledger.resume(KEY, overwrite=False)
        assert ledger.done(BLOCK)
    finished(ledger)
    assert [p.name for p in tmp_path.iterdir()] == ["M"]
    assert [p.name for p in (tmp_path / "M").iterdir()] == ["crop.tif"]


@pytest.mark.parametrize("changed", KEY)
def test_never_goes_on_with_another(tmp_path, changed):
    ledger, key = begun(tmp_path / "M"), KEY | {changed: "other"}
    with ledger.held():
        words = ("`out`", str(ledger.folder), f"not the same {changed}", "`overwrite`")
        refused_in_a_line(lambda: ledger.resume(key, overwrite=False), *words)
        assert ledger.done(BLOCK)
        assert not ledger.resume(key, overwrite=True)
        assert not ledger.done(BLOCK)


def test_blocks_that_nothing_is_known_of_are_not_used(tmp_path):
    """Killed while it was emptied, it holds blocks but no key."""
    ledger = begun(tmp_path / "M")
    (ledger.folder / "key.json").unlink()
    with ledger.held():
        assert not ledger.resume(KEY, overwrite=False)
        assert not ledger.done(BLOCK)


def test_a_key_that_cannot_be_read(tmp_path):
    ledger = begun(tmp_path / "M")
    (ledger.folder / "key.json").write_text("{")
    with ledger.held():
        words = ("key.json", "remove this folder")
        refused_in_a_line(lambda: ledger.resume(KEY, overwrite=False), *words)
        assert not ledger.resume(KEY, overwrite=True)


def test_a_block_that_was_being_written_is_not_done(tmp_path):
    ledger = begun(tmp_path / "M")
    (ledger.blocks / f"{BLOCK.name}.npz").rename(ledger.blocks / f".{BLOCK.name}.npz.part")
    with ledger.held():
        ledger.resume(KEY, overwrite=False)
        assert not ledger.done(BLOCK)


def test_nothing_stays_without_a_block(tmp_path):
    ledger = Ledger(tmp_path / "deep" / "M")
    with ledger.held():
        ledger.resume(KEY, overwrite=False)
    assert not ledger.folder.exists()


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "M").mkdir()
    check_new(tmp_path / "M")
    finished(begun(tmp_path / "M"))
    assert (tmp_path / "M" / "crop.tif").exists()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_map_that_is_there(tmp_path, kind):
    out = tmp_path / "M"
    if kind == "folder":
        out.mkdir()
        (out / "mine").write_text("")
    else:
        out.write_text("")
    refused_in_a_line(lambda: check_new(out), "`out`", str(out), "exists already", "new folder")


def test_what_came_to_lie_there_meanwhile_stays(tmp_path):
    ledger = begun(tmp_path / "M")
    (tmp_path / "M").mkdir()
    (tmp_path / "M" / "mine").write_text("kept")
    refused_in_a_line(lambda: finished(ledger), "`out`", "exists by now", "move it away")
    assert (tmp_path / "M" / "mine").read_text() == "kept"
    assert ledger.done(BLOCK)


HOLD = """
import sys, pathlib
from pastis_jax.mapping.ledger import Ledger
with Ledger(pathlib.Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_makes_it(tmp_path):
    out = tmp_path / "M"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    root = pathlib.Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", HOLD, out], cwd=root, **pipes) as other:
        assert other.stdout.readline() == b"held\n"

        def held():
            with Ledger(out).held():
                raise AssertionError("two at a time")

        refused_in_a_line(held, "`out`", str(out), "another process", "wait for it")
        other.stdin.close()
        assert other.wait() == 0
    begun(out)


def test_digest_tells_content_apart():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
