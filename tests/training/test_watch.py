"""Parameter table, TensorBoard events, profile."""

from __future__ import annotations

import builtins
import gzip
import json

import jax.numpy as jnp
import pytest

from pastis_jax import training
from pastis_jax.errors import UserError


def test_parameter_table():
    params = {"a": {"x": {"k": jnp.ones((2, 3))}, "y": {"k": jnp.ones(4)}}, "b": jnp.ones(5)}
    assert training.parameter_table(params) == {"a/x": 6, "a/y": 4, "b": 5}
    assert training.parameter_table(params, depth=1) == {"a": 10, "b": 5}


def test_events_hold_every_scalar(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    events = training.Events(tmp_path / "tb")
    for step in (10, 20):
        events.write(step, {"train": {"loss": step / 4}, "val": {"mIoU": 0.5}, "data_wait": 0.25})
    events.close()
    found = {}
    for path in (tmp_path / "tb").iterdir():
        data = path.read_bytes()
        while data:
            size = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + size])
            data = data[16 + size :]
            for value in event.summary.value:
                found[event.step, value.tag] = value.simple_value
    assert found == {
        **{(10, "train/loss"): 2.5, (10, "val/mIoU"): 0.5, (10, "data_wait"): 0.25},
        **{(20, "train/loss"): 5.0, (20, "val/mIoU"): 0.5, (20, "data_wait"): 0.25},
    }


def test_tensorboard_is_optional(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **named):
        if name.split(".")[0] == "tensorboardX":
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="tensorboardX") as error:
        training.Events(tmp_path / "tb")
    assert "pip install 'pastis-jax[tensorboard]'" in str(error.value)
    assert not (tmp_path / "tb").exists()


@pytest.mark.parametrize("steps", [2, 9])
def test_a_profile_of_some_steps(tmp_path, steps):
    """Also where training ends before the last of them."""
    profile, x = training.Profile(tmp_path, first=1, steps=3), jnp.ones((8, 8))
    for _ in range(steps):
        profile.before_step()
        y = x @ x
        profile.after_step(y)
    profile.close(y)
    (trace,) = tmp_path.rglob("*.trace.json.gz")
    with gzip.open(trace) as file:
        assert json.load(file)["traceEvents"]
