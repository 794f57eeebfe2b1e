"""Gradient flow from the command line."""

from __future__ import annotations

import json

import numpy as np
import pixel_set_factory as factory
import pytest
import refusal

from experiments.paper import gradient_flow

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flow")
    root = factory.make_pixel_set(folder / "set", parcels_per_fold=5, labels=(1, 3, 8))
    return ["--data", str(root), "--cache-dir", str(folder / "cache")]


def test_a_run_records_and_draws_and_can_be_repeated(data, tmp_path, capsys):
    arguments = [*data, "--auxiliary", "--epochs", "2", "--batch-size", "8"]
    first, second = tmp_path / "new" / "first.json", tmp_path / "second.json"
    gradient_flow.main([*arguments, "--out", str(first)])
    gradient_flow.main([*arguments, "--beside", str(first), "--out", str(second)])
    result, again = (json.loads(file.read_text()) for file in (first, second))
    assert result["epochs"] == again["epochs"]
    assert result["auxiliary"]
    assert result["learning_rate"] == gradient_flow.LEARNING_RATE
    assert [one["epoch"] for one in result["epochs"]] == [1, 2]
    for one in result["epochs"]:
        assert list(one["flow"]) == ["S2", "S1A", "S1D", "shared"]
        assert list(one["flow"]["S2"]) == ["PSE", "L-TAE", "decoder", "auxiliary decoder"]
        total = sum(sum(parts.values()) for parts in one["flow"].values())
        np.testing.assert_allclose(one["predicted_decrease"], result["learning_rate"] * total)
        assert one["train"]["loss"] > one["train"]["objective"] > 0
        assert 0 <= one["val"]["mIoU"] <= 1
    assert {file.name for file in tmp_path.rglob("*.png")} == {"first.png", "second.png"}
    assert "epoch 2/2" in capsys.readouterr().out


def test_mistakes_end_in_a_line_before_anything_is_written(data, tmp_path, capsys):
    (tmp_path / "other.json").write_text('{"epochs": []}')
    out = ["--out", str(tmp_path / "out.json")]
    for arguments, word in (
        (["--out", str(tmp_path / "out.png")], ".json"),
        (["--out", str(tmp_path / "other.json" / "out.json")], "cannot be written"),
        ([*out, "--beside", str(tmp_path / "other.json")], "other.json"),
        ([*out, "--learning-rate", "0"], "--learning-rate"),
    ):
        with pytest.raises(SystemExit) as caught:
            gradient_flow.main([*data, *arguments])
        assert caught.value.code == 2
        line = capsys.readouterr().err
        assert word in line
        assert line.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["other.json"]


def test_what_is_no_flow_is_refused(tmp_path):
    file = tmp_path / "flow.json"
    refusal.refused_in_a_line(lambda: gradient_flow.read(file), "flow.json")
