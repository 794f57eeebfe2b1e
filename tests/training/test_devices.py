"""One step on one device and on eight is the same, and no step waits for the host."""

from __future__ import annotations

import functools
import itertools
import json
import os
import pathlib
import subprocess
import sys
from unittest import mock

import jax
import numpy as np
import pytest

from pastis_jax import training
from pastis_jax.metrics import ConfusionMatrix, Mean

pytestmark = pytest.mark.long

HERE = pathlib.Path(__file__).parent
TOLERANCE = 1e-5


@functools.cache
def on_eight_devices(task):
    """What device_runs.py prints."""
    paths = [str(HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, str(HERE / "device_runs.py"), task],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("task", "parallel"),
    [
        *itertools.product(("parcel", "semantic", "panoptic"), ("jit", "pmap")),
        ("parcel", "parts"),
    ],
)
def test_eight_devices_do_what_one_does(task, parallel):
    """Thirteen samples: padded, unevenly spread, and on two devices none or blank ones alone.

    Gradients, parameters after two steps, running statistics and metrics, with temporal dropout and
    dropout; in a second batch five more samples are blank. `parts`: by `jit`, in two parts.
    """
    found = on_eight_devices(task)
    assert found["gradient"] > 0.1
    one = found[parallel]
    assert one["samples"] == 13 + 9
    assert {name: apart for name, apart in one["apart"].items() if not apart <= TOLERANCE} == {}
    assert {"gradients", "parameters", "statistics", "training metrics"} <= one["apart"].keys()
    # A loss that is not finite names all samples, also those of other devices.
    assert one["failed"] == [*found["numbers"], -1, -1, -1]
    # Batch norms see a part at a time: what is done in parts is not what is done at once.
    assert one.get("gradient", 1) > TOLERANCE


def test_rematerialised_frames_stay_where_they_are():
    """In chunks, the frames of a sharded batch are neither gathered nor moved; gradients add up."""
    found = on_eight_devices("frames")
    assert found["apart"] <= TOLERANCE
    assert found["moves"] == []
    assert found["sums"]


def test_every_device_makes_its_own_batch_from_its_own_table():
    """The same batch as one device, by `jit` and by `pmap`, bit for bit; nothing is moved."""
    found = on_eight_devices("table")
    assert found["real"] == 13
    for parallel in ("jit", "pmap"):
        assert found[parallel] == {"same": True, "moves": []}


def test_rows_of_a_batch(monkeypatch):
    """Every process makes rows of its own, as many as the others."""
    placement = training.Placement()
    monkeypatch.setattr(training.Placement, "devices", 8)
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    rows = []
    for process in range(4):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        rows += [list(placement.rows(13))]
    assert rows == np.arange(16).reshape(4, 4).tolist()
    assert [placement.padded(size) for size in (1, 8, 9)] == [8, 8, 16]


class Result:
    """What a step returns before it is computed: remembers who asks for the value."""

    shape, dtype = (), np.dtype(np.float32)

    def __init__(self, value, step, log):
        self.value, self.step, self.log = np.float32(value), step, log

    def is_ready(self):
        return False  # asks without waiting

    def read(self, *_, **__):
        self.log.append(("read", self.step))
        return np.asarray(self.value)

    def block_until_ready(self):
        self.read()
        return self

    __array__ = read

    def __float__(self):
        return float(self.read())

    def __int__(self):
        return int(self.read())

    def __bool__(self):
        return bool(self.read())

    def __str__(self):
        return str(self.read())

    def __lt__(self, other):
        return self.read() < other

    __repr__, __index__, __gt__, __le__, __ge__, __eq__ = __str__, __int__, *(__lt__,) * 4
    __hash__ = None


class Step:
    """A training step that computes nothing and logs when it is dispatched."""

    def __init__(self, log):
        self.log, self.number = log, 0

    def lower(self, *_):
        return self

    def compile(self):
        return self

    def __call__(self, state, metrics, batch):
        self.number += 1
        self.log.append(("dispatch", self.number))

        def later(value):
            return Result(value, self.number, self.log)

        state = jax.tree.map(lambda _: later(0), state)
        mean = Mean(later(1), later(1))
        ids = np.array([-1])
        return state, training.EpochMetrics(mean, later(1), mean, mean_score(), later(-1), ids)


class Blanks:
    """Endless batches."""

    def __next__(self):
        return {"x": np.zeros(jax.device_count())}

    def get_state(self):
        return None


def mean_score():
    return ConfusionMatrix.empty(2)


@pytest.mark.parametrize(
    "read", [float, int, bool, np.asarray, jax.device_get, jax.block_until_ready, str, np.isfinite]
)
def test_a_read_is_noticed(read):
    """So that the next test can fail."""
    log = []
    read(Result(0, 1, log))
    assert ("read", 1) in log


@pytest.mark.parametrize("steps", [3, 40])
def test_no_step_waits_for_the_host(steps, tmp_path):
    """All steps of an epoch are dispatched before the result of any of them is read."""
    log = []
    placement = training.Placement()
    state = training.TrainState(np.int32(0), {"w": np.float32(0)}, {}, ())
    outcome = training.Outcome({"mIoU": 0.5}, None, 1, 1.0)
    checkpoints = mock.Mock(**{"resume.return_value": None})
    training.fit(
        state,
        Blanks(),
        epochs=2,
        steps_per_epoch=steps,
        step=Step(log),
        empty=lambda: training.EpochMetrics.empty(mean_score(), placement.devices),
        validate=lambda state: outcome,
        checkpoints=checkpoints,
        folder=training.RunFolder(tmp_path),
        placement=placement,
    )
    dispatched = [i for i, (what, _) in enumerate(log) if what == "dispatch"]
    assert [log[i][1] for i in dispatched] == list(range(1, 2 * steps + 1))
    for first in (0, steps):
        # From an epoch's first step to its last, nothing is read.
        assert dispatched[first + steps - 1] - dispatched[first] == steps - 1
    assert {step for what, step in log if what == "read"} == {steps, 2 * steps}


def test_no_step_calls_the_host():
    """What is compiled has no way back to Python."""
    setup = on_eight_devices("parcel")
    assert setup["jit"]["callbacks"] == setup["pmap"]["callbacks"] == 0
