"""Blocks that workers make: what is refused, what is bounded, what a death does."""

from __future__ import annotations

import os
import pickle
import shutil

import dying_work as dying
import pytest
from refusal import refused_in_a_line
from tiers import long

import pastis_jax
from pastis_jax import extras
from pastis_jax.data.regions.grid import SHARD, Grid
from pastis_jax.errors import ArgumentError, DataError, UserError
from pastis_jax.mapping import cluster, worker
from pastis_jax.mapping.blocks import blocks_of
from pastis_jax.mapping.predict import executor, one_by_one

distributed = pytest.importorskip("distributed")
GRID = Grid("EPSG:32631", 0.0, 0.0, 10.0, 6 * SHARD, 1)
BLOCKS = tuple(blocks_of(GRID))
NAMES = [block.name for block in BLOCKS]


def silent(line):
    raise AssertionError(line)


def names(folder):
    return sorted(file.stem for file in folder.glob("*.npz"))


def test_one_worker_is_this_process():
    assert executor(None, None) is one_by_one
    assert executor(1, None) is one_by_one


@pytest.mark.parametrize(
    ("workers", "scheduler", "words"),
    [
        (0, None, ["`workers`", "got 0", "1 or more"]),
        (2, "tcp://10.0.0.1:8786", ["`scheduler`", "leave `workers` out"]),
        (1, "tcp://10.0.0.1:8786", ["`scheduler`", "leave `workers` out"]),
    ],
)
def test_workers_that_cannot_be(workers, scheduler, words):
    refused_in_a_line(lambda: executor(workers, scheduler), *words)


@pytest.mark.parametrize("given", [(2, None), (None, "tcp://10.0.0.1:8786")])
def test_without_the_extra(given, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    refused_in_a_line(lambda: executor(*given), "distributed", 'pip install "pastis-jax[region]"')


def test_what_comes_with_an_extra():
    refused_in_a_line(
        lambda: extras.need("no_such_thing.at_all", "any"),
        "no_such_thing: is not installed",
        "the extra any",
    )
    assert extras.need("os.path", "any") is os.path


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, ["0", "1", "2"]), ("4,6", ["4", "6", ""]), ("", ["", "", ""]), ("GPU-a, 1", None)],
)
def test_a_device_for_each(visible, expected, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    given = [cluster.devices_of(place)["CUDA_VISIBLE_DEVICES"] for place in range(3)]
    assert given == (expected or ["GPU-a", "1", ""])


@pytest.mark.parametrize("kind", [UserError, DataError])
def test_errors_travel(kind):
    error = kind("cannot be read", where="a file", remedy="bring it back")
    error.add_note("said beside")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert (again.fault, again.where, again.remedy) == (error.fault, error.where, error.remedy)
    assert again.__notes__ == ["said beside"]
    travelled = pickle.loads(pickle.dumps(ArgumentError("no", argument="crs", remedy="do")))
    assert str(travelled) == "`crs`: no; do"


# A worker that would make another map


def test_a_worker_that_fits(tmp_path):
    work = dying.make(tmp_path)
    assert worker.check(work, worker.seen_of(work), worker.version()) == "cpu"


@pytest.mark.parametrize("lost", ["run/weights.npz", "region/region.json", ".map.predicting"])
def test_a_worker_that_does_not_see(lost, tmp_path):
    work = dying.make(tmp_path)
    seen = worker.seen_of(work)
    gone = tmp_path / lost
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    refused_in_a_line(
        lambda: worker.check(work, seen, worker.version()),
        lost,
        "a worker on ",
        "file system that all workers share",
    )


@pytest.mark.parametrize(
    "other", ["run/run.json", "region/dataset.json", ".map.predicting/key.json"]
)
def test_a_worker_that_sees_something_else(other, tmp_path):
    work = dying.make(tmp_path)
    seen = worker.seen_of(work)
    (tmp_path / other).write_text("other")
    refused_in_a_line(
        lambda: worker.check(work, seen, worker.version()), "sees other files there", str(work.run)
    )


def test_a_worker_of_another_version(tmp_path, monkeypatch):
    work = dying.make(tmp_path)
    asked = worker.version()
    monkeypatch.setattr(pastis_jax, "__version__", "0.0.1")
    refused_in_a_line(
        lambda: worker.check(work, worker.seen_of(work), asked),
        "has pastis_jax 0.0.1, jax",
        asked,
        "install the same",
    )


# A cluster that is there already; its workers are threads here


@pytest.fixture
def there():
    """A cluster of two workers."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(processes=False, protocol="tcp", **options) as made:
        yield made


def test_blocks_of_a_cluster(there, tmp_path):
    told, work = [], dying.make(tmp_path)
    cluster.on_scheduler(there.scheduler_address, work, BLOCKS, told.append, silent)
    assert names(work.out) == sorted(NAMES)
    assert sorted(block.name for block in told) == sorted(NAMES)


def test_an_error_of_a_worker_is_that_of_one_process(there, tmp_path):
    work = dying.make(tmp_path, wrong=NAMES[2])
    refused_in_a_line(
        lambda: cluster.on_scheduler(there.scheduler_address, work, BLOCKS, lambda _: None, silent),
        f"{work.region}: cannot be read; bring it back",
    )


def test_few_blocks_are_asked_for_at_once(there, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_IN_FLIGHT", 1)
    work, left = dying.make(tmp_path), []

    class Counted(tuple):
        def __iter__(self):
            for block in BLOCKS:
                left.append(block)
                yield block

    ahead = []
    cluster.on_scheduler(
        there.scheduler_address, work, Counted(BLOCKS), lambda _: ahead.append(len(left)), silent
    )
    assert ahead == [4, 5, 6, 6, 6, 6]  # twice the workers, then one for each that ended


def test_workers_of_another_version_are_named(there, tmp_path, monkeypatch):
    work = dying.make(tmp_path)
    monkeypatch.setattr(
        distributed.Client,
        "get_versions",
        lambda self, packages: {"workers": {"tcp://w:1": {"packages": {"pastis_jax": None}}}},
    )
    refused_in_a_line(
        lambda: cluster.on_scheduler(there.scheduler_address, work, BLOCKS, lambda _: None, silent),
        "worker tcp://w:1: has no pastis_jax, not ",
        "install",
    )


def test_devices_of_several_kinds(there, tmp_path, monkeypatch):
    kinds = {"tcp://w:1": "gpu", "tcp://w:2": "cpu"}
    monkeypatch.setattr(distributed.Client, "run", lambda *_: kinds)
    refused_in_a_line(
        lambda: cluster.on_scheduler(
            there.scheduler_address, dying.make(tmp_path), BLOCKS, lambda _: None, silent
        ),
        "of several kinds (1 cpu, 1 gpu)",
        "as there are devices",
    )


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "no address", "inproc://"])
def test_no_scheduler_there(address, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    refused_in_a_line(
        lambda: cluster.on_scheduler(address, dying.make(tmp_path), BLOCKS, lambda _: None, silent),
        "`scheduler`",
        f"{address} cannot be reached",
        "tcp://HOST",
    )


def test_the_scheduler_dies(there, tmp_path):
    work = dying.make(tmp_path, seconds=0.2)
    refused_in_a_line(
        lambda: cluster.on_scheduler(
            there.scheduler_address, work, BLOCKS, lambda _: there.close(), silent
        ),
        "the scheduler is gone",
        "repeat the command",
    )
    assert len(names(work.out)) < len(BLOCKS)


@pytest.mark.parametrize("state", ["has no workers: waiting", "pauses: its workers are at the lim"])
def test_a_cluster_that_does_nothing_is_told_of(state, there, tmp_path, monkeypatch):
    workers = {"tcp://w:1": {"status": "paused"}} if "paus" in state else {}
    monkeypatch.setattr(distributed.Client, "scheduler_info", lambda *_, **__: {"workers": workers})
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0.01)
    said, work = [], dying.make(tmp_path, seconds=0.1)
    cluster.on_scheduler(there.scheduler_address, work, BLOCKS, lambda _: None, said.append)
    (line,) = said
    assert line.startswith(f"Note: the cluster at {there.scheduler_address} {state}")


# Processes of this machine


@long
def test_a_death_is_mended(tmp_path):
    """Of five blocks in two processes, one kills its process three times."""
    told, work = [], dying.make(tmp_path, deadly=NAMES[1], times=cluster.DEATHS - 1)
    cluster.on_workers(2, work, BLOCKS, told.append, silent)
    assert names(work.out) == sorted(NAMES)
    assert len([*work.out.glob("died*")]) == cluster.DEATHS - 1
    assert len(told) == len(BLOCKS)


@long
def test_a_block_that_always_kills_is_named(tmp_path):
    said, work = [], dying.make(tmp_path, deadly=NAMES[1])
    refused_in_a_line(
        lambda: cluster.on_workers(9, work, BLOCKS[:3], lambda _: None, said.append),
        f"block {NAMES[1]}: its process died 4 times",
        "memory",
    )
    assert said == ["Note: 3 blocks are left to predict: no more workers than that are started"]


@long
def test_an_error_ends_all_processes(tmp_path):
    psutil = pytest.importorskip("psutil")
    work = dying.make(tmp_path, wrong=NAMES[0], seconds=0.5)
    refused_in_a_line(
        lambda: cluster.on_workers(2, work, BLOCKS, lambda _: None, silent),
        f"{work.region}: cannot be read; bring it back",
    )
    left = [p.cmdline() for p in psutil.Process().children(recursive=True)]
    assert not [line for line in left if "spawn_main" in " ".join(line)]
