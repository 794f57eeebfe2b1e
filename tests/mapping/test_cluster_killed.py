"""`pastis-jax predict` in several processes, killed, interrupted: always the same map."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import map_factory
import pytest
import region_factory
from tiers import long

from pastis_jax.mapping.ledger import AGAIN

pytest.importorskip("distributed")
pytest.importorskip("rasterio")
psutil = pytest.importorskip("psutil")
ROOT = pathlib.Path(__file__).parent.parent.parent
SECONDS = 900
GRID = dataclasses.replace(region_factory.GRID, height=2100, width=64)
"""Three blocks."""


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A Region of three blocks, a run, and the map that one process makes of them."""
    folder = tmp_path_factory.mktemp("cluster")
    region_factory.make_region(folder / "region", grid=GRID)
    map_factory.make_run(folder / "run", "semantic", folder / "region", window=(64, 64))
    assert start(folder, folder / "one").wait(SECONDS) == 0, said(folder / "one")
    return folder


def start(folder, out, *flags):
    """Starts the command in a group of its own."""
    settings = {"PYTHONPATH": str(ROOT), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    settings["JAX_COMPILATION_CACHE_DIR"] = jax.config.jax_compilation_cache_dir
    settings["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    command = [sys.executable, "-m", "pastis_jax.cli", "predict", "--run", str(folder / "run")]
    command += ["--data", str(folder / "region"), "--out", str(out), *flags]
    with out.with_suffix(".err").open("wb") as stream:
        return subprocess.Popen(
            command,
            env={**os.environ, **settings},
            stdout=subprocess.DEVNULL,
            stderr=stream,
            start_new_session=True,
        )


def said(out):
    return out.with_suffix(".err").read_text()


def workers_of(running):
    """The processes that predict."""
    found = []
    for child in psutil.Process(running.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            found += [child] * any("spawn_main" in word for word in child.cmdline())
    return found


def until(running, happens):
    """Waits for something to be true; returns it."""
    end = time.monotonic() + SECONDS
    while not (what := happens()):
        assert running.poll() is None, "it ended before"
        assert time.monotonic() < end
        time.sleep(0.01)
    return what


def blocks_of(out):
    return [*(out.parent / f".{out.name}.predicting" / "blocks").glob("*.npz")]


def same(given, out):
    """Asserts that a map is that of one process, and nothing is left beside it."""
    expected = {file.name: file.read_bytes() for file in sorted((given / "one").rglob("*.*"))}
    assert {file.name: file.read_bytes() for file in sorted(out.rglob("*.*"))} == expected
    assert not (out.parent / f".{out.name}.predicting").exists()


def gone(processes):
    """Asserts that processes end at once."""
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert not alive


def listening(processes):
    """Addresses that processes wait for others at."""
    return {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }


@long
def test_four_workers_and_no_open_port(given, tmp_path):
    running = start(given, tmp_path / "map", "--workers", "4")
    until(running, lambda: blocks_of(tmp_path / "map"))
    there = workers_of(running)
    assert 0 < len(there) <= 3  # as many as blocks
    assert listening([psutil.Process(running.pid), *there]) == {"127.0.0.1"}
    assert running.wait(SECONDS) == 0, said(tmp_path / "map")
    assert said(tmp_path / "map") == ""
    gone(there)
    same(given, tmp_path / "map")


@long
def test_the_command_is_killed_in_a_block(given, tmp_path):
    running = start(given, tmp_path / "map", "--workers", "2")
    until(running, lambda: blocks_of(tmp_path / "map"))
    there = workers_of(running)
    running.kill()
    running.wait()
    gone(there)
    assert 0 < len(blocks_of(tmp_path / "map")) < 3
    running = start(given, tmp_path / "map", "--workers", "2")
    assert running.wait(SECONDS) == 0, said(tmp_path / "map")
    same(given, tmp_path / "map")


@long
def test_workers_are_killed(given, tmp_path):
    """Both, once a block is there: at least one of them is in another block."""
    running = start(given, tmp_path / "map", "--workers", "2")
    until(running, lambda: blocks_of(tmp_path / "map"))
    there = workers_of(running)
    for one in there:
        one.kill()
    assert len(blocks_of(tmp_path / "map")) < 3
    pids = {one.pid for one in there}
    assert until(running, lambda: {one.pid for one in workers_of(running)} - pids)
    assert running.wait(SECONDS) == 0, said(tmp_path / "map")
    assert said(tmp_path / "map") == ""
    same(given, tmp_path / "map")


@long
def test_ctrl_c(given, tmp_path):
    """Sent to the whole group, as a terminal does."""
    running = start(given, tmp_path / "map", "--workers", "2")
    until(running, lambda: blocks_of(tmp_path / "map"))
    there = workers_of(running)
    os.killpg(running.pid, signal.SIGINT)
    assert running.wait(SECONDS) == 130
    gone(there)
    assert said(tmp_path / "map") == f"interrupted; {AGAIN}\n"
    running = start(given, tmp_path / "map")
    assert running.wait(SECONDS) == 0, said(tmp_path / "map")
    same(given, tmp_path / "map")
