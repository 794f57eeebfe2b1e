"""Two processes train as one device does: same numbers, one of them prints and writes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import chex
import jax
import patch_factory
import pixel_set_factory as factory
import processes
import pytest

from pastis_jax import training
from pastis_jax.cli import console

pytestmark = pytest.mark.long

SMALL_STEPS = ["--learning-rate", "1e-6"]
"""Adam makes a step of full length of a gradient that is zero but for rounding."""


NARROW = ["--encoder-widths", "8", "8", "--decoder-widths", "8", "8", "--heads", "2"]
NARROW += ["--model-features", "8", "--modalities", "S1A", "--fusion", "single"]
NARROW += ["--batch-size", "3"]
MAPS = {
    "semantic": [*NARROW, "--head-widths", "8"],
    "panoptic": [*NARROW, "--warmup", "0", "--max-instances", "24", "--shape-size", "4"],
}


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    root = patch_factory.make_patches(folder / "set")
    return ["--data", str(root), "--cache-dir", str(folder / "cache")]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    # Deviations of a pixel or two, and norms over a date or two, magnify rounding.
    many = {"pixels": (12, 40), "dates": (8, 12)}
    labels = (1, 3, 8, 18, 5)
    root = factory.make_pixel_set(folder / "set", parcels_per_fold=7, labels=labels, **many)
    return ["--data", str(root), "--cache-dir", str(folder / "cache")]


@pytest.fixture(scope="module")
def arguments(data):
    """Five samples a batch, which two processes cannot share evenly."""
    given = [*data, "--fusion", "single", "--temporal-dropout", "--removed-optical", "0.5"]
    given += ["--compute-statistics", "--batch-size", "5", "--epochs", "2", *SMALL_STEPS]
    return [*given, "--checkpoint-steps", "2"]


@pytest.fixture(scope="module")
def whole(arguments, tmp_path_factory):
    """A run by two processes that was never stopped, and what it printed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return out, processes.run_two("parcel", [*arguments, "--out", str(out)])


def test_two_processes_do_what_one_device_does(arguments, whole, tmp_path):
    out, printed = whole
    assert "test mIoU" in printed
    # In a process too, as XLA has other settings in the suite's own.
    processes.run_one("parcel", [*arguments, "--out", str(tmp_path / "one")])
    processes.assert_agree(out, tmp_path / "one")


@pytest.mark.parametrize("task", MAPS)
def test_two_processes_map_as_two_devices_do(task, patches, tmp_path):
    """Three patches a batch, which two processes cannot share evenly.

    That several devices do what one does, `test_devices.py` tests step by step: over an epoch of
    patches rounding alone can move gradients by more than 1e-5.
    """
    arguments = [*patches, *MAPS[task], *SMALL_STEPS, "--temporal-dropout", "--epochs", "1"]
    two, one = tmp_path / "two", tmp_path / "one"
    assert "test" in processes.run_two(task, [*arguments, "--out", str(two)])
    processes.run_one(task, [*arguments, "--out", str(one)], devices=2)
    processes.assert_agree(two, one)


def test_two_processes_killed_at_once_end_as_if_they_had_not(arguments, whole, tmp_path):
    """Within a checkpoint, which both write; bit for bit."""
    out, (expected, _) = tmp_path / "run", whole
    arguments = [*arguments, "--out", str(out)]
    running = processes.start_two("parcel", arguments)
    deadline = time.monotonic() + processes.SECONDS
    while not list(out.glob("checkpoints/last-0001.000002*")):
        assert all(one.poll() is None for one in running), processes.finish(*running)
        assert time.monotonic() < deadline
        time.sleep(0.0005)
    for one in running:
        one.kill()
    assert {code for code, *_ in processes.finish(*running)} == {-signal.SIGKILL}
    assert not (out / "result.json").exists()
    printed = processes.run_two("parcel", arguments)
    assert f"Continuing {out} from epoch" in printed
    assert processes.numbers(out) == processes.numbers(expected)
    for name in ("best", "last"):
        chex.assert_trees_all_equal(*(processes.arrays(run, name) for run in (out, expected)))


def test_a_mistake_in_the_data_ends_all_processes(tmp_path):
    """One says what is wrong, in one line; the other does not wait for it."""
    root = factory.make_pixel_set(tmp_path / "set")
    victim = sorted((root / "DATA_S1A").iterdir())[-1]
    victim.write_bytes(victim.read_bytes()[:100])
    given = ["--data", str(root), "--cache-dir", str(tmp_path / "cache"), "--fusion", "late"]
    given += ["--out", str(tmp_path / "run")]
    (code, _, errors), (other, silent, _) = processes.finish(*processes.start_two("parcel", given))
    assert code == 2
    assert victim.name in errors.strip().splitlines()[-1]
    assert other != 0
    assert silent == ""
    assert not (tmp_path / "run").exists()


def test_processes_given_other_settings_end_at_once(data, tmp_path):
    given = [*data, "--fusion", "single", "--out", str(tmp_path / "run")]
    running = processes.start_two("parcel", given, other=["--epochs", "3"])
    (code, _, errors), (other, silent, _) = processes.finish(*running)
    assert code == 2
    assert "process 1 was given other settings" in errors.strip().splitlines()[-1]
    assert "--epochs" in errors
    assert other != 0
    assert silent == ""
    assert not (tmp_path / "run").exists()


REFUSED = [
    (["--distributed"], "--coordinator"),
    (["--processes", "2"], "--distributed"),
    (["--distributed", "--parallel", "pmap"], "--parallel"),
    (["--distributed", "--coordinator", "127.0.0.1:1", "--processes", "2"], "--process-id"),
]


def test_mistakes_end_in_one_line_and_code_2(data, tmp_path):
    """All in one process, in which JAX has not looked for devices yet."""
    script = """
import sys
from experiments import parcel
for flags in sys.argv[1].split(";"):
    try:
        parcel.main([*flags.split(), *sys.argv[2:]])
    except SystemExit as end:
        print(end.code)
"""
    flags = ";".join(" ".join(flags) for flags, _ in REFUSED)
    run = subprocess.run(
        [sys.executable, "-c", script, flags, *data, "--out", str(tmp_path / "run")],
        cwd=processes.ROOT,
        capture_output=True,
        text=True,
        timeout=processes.SECONDS,
        check=True,
    )
    assert run.stdout.split() == ["2"] * len(REFUSED)
    for line, (_, named) in zip(run.stderr.splitlines(), REFUSED, strict=True):
        assert line.startswith("error: ")
        assert named in line
    assert not (tmp_path / "run").exists()


def test_who_prints_is_known_without_asking_for_devices():
    """A process that starts others leaves the devices to them."""
    script = """
from pastis_jax.cli import console
from jax._src import xla_bridge
console.say("here")
print(xla_bridge.backends_are_initialized())
"""
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=processes.ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["here", "False"]


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (OSError("full"), 1), (ValueError(), 1)]
)
def test_one_of_many_that_failed_does_not_wait_for_the_others(error, code, monkeypatch):
    ended = []
    monkeypatch.setattr(training.processes, "FAREWELL_SECONDS", 0.01)
    monkeypatch.setattr(training.processes.os, "_exit", ended.append)

    def run():
        raise error

    for others in (False, True):
        monkeypatch.setattr(jax.distributed, "is_initialized", lambda others=others: others)
        with pytest.raises((SystemExit, ValueError)):
            console.command(run)
        time.sleep(0.1)
        assert ended == [code] * others
