"""Experiments in processes of their own: one, or two that train together."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np

from pastis_jax.training import checkpoint

ROOT = pathlib.Path(__file__).parent.parent
SECONDS = 300
TOLERANCE = 1e-5


def start(task, arguments, devices=1):
    """Starts an experiment with so many devices in a process of its own."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    settings = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    settings["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    settings["JAX_COMPILATION_CACHE_DIR"] = jax.config.jax_compilation_cache_dir
    settings["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    return subprocess.Popen(
        [sys.executable, "-m", f"experiments.{task}", *arguments],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two(task, arguments, other=()):
    """Starts an experiment in two processes, the main one first; `other` is for the other."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    together = ["--distributed", "--coordinator", f"127.0.0.1:{port}", "--processes", "2"]
    return [
        start(task, [*arguments, *together, "--process-id", str(i), *more])
        for i, more in enumerate(((), other))
    ]


def finish(*running):
    """Waits for processes; returns code, output and errors of each."""
    try:
        outputs = [process.communicate(timeout=SECONDS) for process in running]
    finally:
        for process in running:
            process.kill()
    return [(process.returncode, *output) for process, output in zip(running, outputs, strict=True)]


def run_one(task, arguments, devices=1):
    """Runs an experiment in one process, which must end well."""
    ((code, _, errors),) = finish(start(task, arguments, devices))
    assert code == 0, errors


def run_two(task, arguments):
    """Runs an experiment in two processes; returns what the main one printed.

    Both must end well, and the other one say nothing.
    """
    both = finish(*start_two(task, arguments))
    for code, _, errors in both:
        assert code == 0, errors
    (_, printed, shown), (_, silent, hidden) = both
    assert "epoch" in shown
    # Gloo, which joins CPUs, greets from every process.
    assert [line for line in silent.splitlines() if not line.startswith("[Gloo]")] == []
    assert "epoch" not in hidden
    return printed


def numbers(out):
    """Everything in a run's folder that must be the same: result, log, configuration."""
    result = json.loads((out / "result.json").read_text())
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    log = [{k: v for k, v in line.items() if k not in ("seconds", "data_wait")} for line in lines]
    config = json.loads((out / "config.json").read_text())
    times = ("seconds", "throughput", "peak_memory_gb", "folder", "device")
    devices = ("out", "parallel", "distributed", "coordinator", "processes", "process_id")
    return {
        "result": {k: v for k, v in result.items() if k not in times},
        "log": log,
        "config": {k: v for k, v in config.items() if k not in devices},
    }


def arrays(out, name):
    """The state in a run's newest checkpoint `name`, on one device of this process."""
    path = checkpoint.newest(out / "checkpoints", name)
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here),
        checkpoint.ocp.metadata(path).metadata,
    )
    return checkpoint.ocp.load(path, like)


def assert_agree(out, expected):
    """Asserts that two runs agree up to 1e-5: scores, log, last state, gradients; and in files."""
    compare(numbers(out), numbers(expected))
    states = [arrays(folder, "last") for folder in (out, expected)]
    for part in ("params", "batch_stats", "opt_state", "average"):
        if states[1].get(part) is None:
            continue  # Most runs keep no average.
        one, other = (
            np.concatenate([np.ravel(x) for x in jax.tree.leaves(state[part])]) for state in states
        )
        apart = np.linalg.norm(one - other) / np.linalg.norm(other)
        assert apart <= TOLERANCE, (part, apart)
    files = [{path.name for path in folder.iterdir()} for folder in (out, expected)]
    assert files[0] == files[1]


def compare(found, expected):
    """Asserts equality of nested scores, up to 1e-5 where they are not whole numbers."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            compare(found[name], value)
    elif isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            compare(one, other)
    elif isinstance(expected, float):
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)
    else:
        assert found == expected
