"""Real runs that are killed, stopped and given again by the same command."""

from __future__ import annotations

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import chex
import numpy as np
import pixel_set_factory as factory
import processes
import pytest

from experiments import parcel
from pastis_jax import training
from pastis_jax.cli import train
from pastis_jax.data.batches import training_batches

pytestmark = pytest.mark.long

ROOT = pathlib.Path(__file__).parent.parent
EPOCHS = 4
ARGUMENTS = ["--fusion", "single", "--epochs", str(EPOCHS), "--batch-size", "8", "--seed", "3"]
ARGUMENTS += ["--checkpoint-steps", "2", "--temporal-dropout", "--ema", "0.9"]
ARGUMENTS += ["--learning-rate", "1e-2"]
SMALL_STEPS = ["--epochs", "2", "--learning-rate", "1e-6"]
TIMES = ("seconds", "throughput", "peak_memory_gb", "folder")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    factory.make_pixel_set(folder / "set", parcels_per_fold=16, labels=(1, 3, 1, 8))
    return folder


class Process:
    """A run in a process of its own."""

    def __init__(self, data, out, *more, devices=1):
        self.out, self.log = out, data / f"{out.name}.log"
        flags = f"--xla_force_host_platform_device_count={devices}"
        environment = {
            **os.environ,
            "XLA_FLAGS": flags,
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": str(ROOT),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            "JAX_COMPILATION_CACHE_DIR": str(data / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        command = [sys.executable, "-m", "experiments.parcel", *ARGUMENTS, *more]
        command += ["--data", str(data / "set"), "--cache-dir", str(data / "cache")]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--out", str(out)],
                env=environment,
                cwd=data,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def finish(self):
        """Waits for the end; returns what it printed."""
        code = self.process.wait(timeout=120)
        assert code == 0, self.log.read_text()
        return self.log.read_text()

    def stop_when(self, reached):
        """Stops the process as soon as `reached` holds, and not an instant after."""
        deadline = time.monotonic() + 120
        while self.process.poll() is None and time.monotonic() < deadline:
            if reached():
                # Stopped, it cannot go on between the look and the kill.
                self.process.send_signal(signal.SIGSTOP)
                if reached():
                    break
                self.process.send_signal(signal.SIGCONT)
            time.sleep(0.0005)
        assert self.process.poll() is None, self.log.read_text()

    def kill_when(self, reached):
        """Kills the process as soon as `reached` holds."""
        self.stop_when(reached)
        self.process.kill()
        self.process.wait()

    def written(self, pattern):
        return sorted(path.name for path in (self.out / "checkpoints").glob(pattern))


def numbers(out):
    """Everything that must be the same: result, log, configuration."""
    result = json.loads((out / "result.json").read_text())
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    kept = [{k: v for k, v in line.items() if k not in ("seconds", "data_wait")} for line in lines]
    config = {**json.loads((out / "config.json").read_text()), "out": None}
    return {k: v for k, v in result.items() if k not in TIMES}, kept, config


def arrays(out, name):
    """The state in a checkpoint."""
    return training.checkpoint.ocp.load(training.checkpoint.newest(out / "checkpoints", name))


@pytest.fixture(scope="module")
def whole(data):
    """A run that was never stopped."""
    run = Process(data, data / "whole")
    run.finish()
    scores = [line["val"]["mIoU"] for line in numbers(run.out)[1]]
    assert len(set(scores)) > 1, "the epochs must differ, or the best is always the first"
    return run.out


@pytest.fixture(scope="module")
def killed(data, whole):
    """A run killed within its first checkpoint, continued, and killed within a later one."""
    out = data / "killed"
    partly = "*.orbax-checkpoint-tmp*"
    run = Process(data, out)
    run.kill_when(lambda: run.written(partly))
    assert not run.written("last-0000.000002")
    run = Process(data, out)
    run.kill_when(lambda: run.written("last-0001") and run.written(partly))
    return out


@pytest.mark.filterwarnings("ignore:Sharding info not provided")
def test_a_run_killed_at_any_moment_ends_as_if_it_had_not(data, whole, killed):
    """Within checkpoints, and at moments drawn by chance: of a whole run, and near its end."""
    out = data / "by chance"
    shutil.copytree(killed, out)
    seconds = json.loads((whole / "result.json").read_text())["seconds"]["total"]
    early, moment = seconds * random.random(), random.random() / 2
    run = Process(data, out)
    time.sleep(early)
    run.process.kill()
    run.process.wait()
    run = Process(data, out)
    while run.process.poll() is None and not run.written("last-0002"):
        time.sleep(0.001)
    time.sleep(moment)
    run.process.kill()
    run.process.wait()
    when = f"killed {early:.3f} s after its start, and {moment:.3f} s after an epoch"

    text = Process(data, out).finish()
    assert f"Continuing {out}" in text or "finished" in text, when
    assert numbers(out) == numbers(whole), when
    for name in ("best", "last"):
        chex.assert_trees_all_equal(arrays(out, name), arrays(whole, name))
    left = [sorted(p.name for p in (path / "checkpoints").iterdir()) for path in (out, whole)]
    assert left[0] == left[1]
    assert {p.name for p in out.iterdir()} == {p.name for p in whole.iterdir()}


def test_a_killed_run_continues_on_two_devices(data, tmp_path):
    """In small steps, and few: in large ones, a difference in rounding grows by the step."""
    whole, out = tmp_path / "whole", tmp_path / "killed"
    run = Process(data, whole, *SMALL_STEPS)
    run.stop_when(lambda: run.written("last-0001"))
    shutil.copytree(whole, out)  # What a kill would leave behind.
    run.process.send_signal(signal.SIGCONT)
    run.finish()
    text = Process(data, out, *SMALL_STEPS, devices=2).finish()
    assert f"Continuing {out} from epoch 2" in text
    processes.assert_agree(out, whole)
    logs = [processes.numbers(folder)["log"] for folder in (out, whole)]
    assert logs[0][0] == logs[1][0], "epoch 1 is the first process's, bit for bit"
    assert logs[0][1] != logs[1][1], "and epoch 2 is not"


def command(data, out, *more):
    """A run in this process."""
    arguments = [*ARGUMENTS, "--data", str(data / "set"), "--cache-dir", str(data / "cache")]
    parcel.main([*arguments, "--out", str(out), *more])


def test_a_finished_run_is_shown_again_and_not_trained(data, whole, capsys, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    monkeypatch.setattr(train, "train", None)
    command(data, whole)
    text = capsys.readouterr().out
    assert "finished" in text
    assert "test mIoU" in text
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def test_other_arguments_are_refused_by_name(data, whole, capsys, monkeypatch):
    """A path is the same path from anywhere; where data are cached does not matter."""
    monkeypatch.chdir(data)
    monkeypatch.setattr(train, "train", None)
    command(data, "whole", "--data", "set", "--cache-dir", "elsewhere")
    assert "finished" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        command(data, whole, "--seed", "4", "--ema", "0.5", "--data", str(data))
    assert stopped.value.code == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    for part in ("--seed 3, now 4", "--ema 0.9, now 0.5", f"now {data};", "--data "):
        assert part in error
    assert "--fold" not in error


def test_a_kill_before_the_result_tests_and_reports_again(data, whole):
    out = data / "untested"
    shutil.copytree(whole, out)
    for name in ("result.json", "learning_curves.png"):
        (out / name).unlink()
    checkpoints = sorted((out / "checkpoints").iterdir())
    Process(data, out).finish()
    assert "after its last epoch" in (data / "untested.log").read_text()
    assert numbers(out) == numbers(whole)
    assert sorted((out / "checkpoints").iterdir()) == checkpoints
    assert (out / "learning_curves.png").exists()


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (OSError("full"), 1)])
def test_what_stops_a_run_says_how_to_continue_it(data, tmp_path, capsys, monkeypatch, error, code):
    monkeypatch.chdir(tmp_path)

    def stop(*_, **__):
        raise error

    monkeypatch.setattr(training, "fit", stop)
    arguments = [*ARGUMENTS, "--data", str(data / "set"), "--cache-dir", str(data / "cache")]
    with pytest.raises(SystemExit) as stopped:
        parcel.main(arguments)
    assert stopped.value.code == code
    printed = capsys.readouterr()
    (out,) = (tmp_path / "runs").iterdir()
    remedy = f"the same command with --out runs/{out.name} continues this run"
    assert remedy in printed.err.splitlines()[-1]
    assert f"--out runs/{out.name}" in printed.out  # For runs that cannot say so at their end.
    assert not list(out.glob("result.json"))


def test_overwrite_starts_anew(data, whole, tmp_path, monkeypatch):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    seen = []

    def begin(config, folder, started):
        folder.begin()
        seen.extend(path.name for path in out.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", begin)
    with pytest.raises(SystemExit):
        command(data, out, "--seed", "4", "--overwrite")
    assert set(seen) == {".lock", "data.json", "config.json"}
    assert json.loads((out / "config.json").read_text())["seed"] == 4


def test_the_state_of_batches_is_that_of_what_was_taken():
    """Not of what the threads have prepared meanwhile."""
    source = [{"number": i} for i in range(10)]

    def batches():
        def encode(record, rng):
            return np.array([record["number"], rng.integers(1000)])

        return training_batches(source, encode, batch_size=3, seed=1)

    whole, first = batches(), batches()
    expected = [next(whole) for _ in range(9)]
    for _ in range(4):
        next(first)
    time.sleep(0.2)
    state = json.loads(json.dumps(first.get_state()))
    resumed = batches()
    resumed.set_state(state)
    for batch in expected[4:]:
        np.testing.assert_array_equal(next(resumed), batch)
    np.testing.assert_array_equal(next(first), expected[4])
