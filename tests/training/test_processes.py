"""Two processes train as one does: same numbers, one of them prints and writes."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pixel_set_factory as factory
import pytest

ROOT = pathlib.Path(__file__).parents[2]
SECONDS = 240


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    root = factory.make_pixel_set(folder / "set", parcels_per_fold=7, labels=(1, 3, 8, 18, 5))
    return ["--data", str(root), "--cache-dir", str(folder / "cache")]


def start(arguments, *, devices=1):
    """Starts the parcel experiment in a process of its own with some simulated devices."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    settings = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    settings["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.parcel", *arguments],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*running):
    """Waits for processes; returns code, output and errors of each."""
    try:
        outputs = [process.communicate(timeout=SECONDS) for process in running]
    finally:
        for process in running:
            process.kill()
    return [(process.returncode, *output) for process, output in zip(running, outputs, strict=True)]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def pair(port: int) -> list[list[str]]:
    """Flags of the two processes."""
    together = ["--distributed", "--coordinator", f"127.0.0.1:{port}", "--processes", "2"]
    return [[*together, "--process-id", str(i)] for i in range(2)]


def results(out):
    """The content of result.json, and of the last line of metrics.jsonl."""
    last = (out / "metrics.jsonl").read_text().splitlines()[-1]
    return json.loads((out / "result.json").read_text()), json.loads(last)


def test_two_processes_get_the_numbers_of_one(data, tmp_path):
    """Five samples a batch, which two processes cannot share evenly.

    The one process has two devices too, so that no sum is rounded otherwise: in two epochs Adam
    makes more of that than of most mistakes. (test_devices.py: two devices do what one does.)
    """
    arguments = [*data, "--fusion", "single", "--temporal-dropout"]
    arguments += ["--removed-optical", "0.5", "--batch-size", "5", "--epochs", "2"]
    outs = [tmp_path / "two", tmp_path / "one"]
    port = free_port()
    both = finish(*(start([*arguments, *flags, "--out", str(outs[0])]) for flags in pair(port)))
    for code, _, errors in both:
        assert code == 0, errors
    (_, printed, shown), (_, silent, hidden) = both
    assert "test mIoU" in printed
    assert "epoch 2/2" in shown
    # Gloo, which joins CPUs, greets from every process.
    assert [line for line in silent.splitlines() if not line.startswith("[Gloo]")] == []
    assert "epoch" not in hidden
    ((code, _, errors),) = finish(start([*arguments, "--out", str(outs[1])], devices=2))
    assert code == 0, errors

    (two, last_of_two), (one, last_of_one) = map(results, outs)
    assert two["confusion"] == one["confusion"]
    assert two["best_epoch"] == one["best_epoch"]
    for name in ("test", "val", "test_removed_optical"):
        compare(two[name], one[name])
    for name in ("train", "val"):
        compare(last_of_two[name], last_of_one[name])
    files = [{path.name for path in out.iterdir()} for out in outs]
    assert files[0] == files[1]


def compare(found, expected):
    """Asserts equality up to 1e-5 of nested scores."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, dict):
            compare(found[name], value)
        elif value is None:
            assert found[name] is None
        else:
            np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5, err_msg=name)


def test_a_mistake_in_the_data_ends_all_processes(data, tmp_path):
    """One says what is wrong, in one line; the other does not wait for it."""
    root = factory.make_pixel_set(tmp_path / "set")
    victim = sorted((root / "DATA_S1A").iterdir())[-1]
    victim.write_bytes(victim.read_bytes()[:100])
    arguments = ["--data", str(root), "--cache-dir", str(tmp_path / "cache"), "--fusion", "late"]
    arguments += ["--out", str(tmp_path / "run")]
    both = finish(*(start([*arguments, *flags]) for flags in pair(free_port())))
    (code, _, errors), (other, silent, _) = both
    assert code == 2
    assert victim.name in errors.strip().splitlines()[-1]
    assert other != 0
    assert silent == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--distributed"], "--coordinator"),
        (["--processes", "2"], "--distributed"),
        (["--distributed", "--parallel", "pmap"], "--parallel"),
        (["--distributed", "--coordinator", "127.0.0.1:1", "--processes", "2"], "--process-id"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else x,
)
def test_mistakes_end_in_one_line_and_code_2(data, flags, named, tmp_path):
    ((code, _, errors),) = finish(start([*data, *flags, "--out", str(tmp_path / "run")]))
    assert code == 2
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert named in errors
