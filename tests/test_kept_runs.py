"""Runs that were trained once and are kept: later versions open them, and predict the same."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import patch_factory as factory
import pytest
from commands import exit_code
from refusal import refused_in_a_line

import pastis_jax
from experiments.paper import finished
from pastis_jax.cli import inspect, upgrade
from pastis_jax.data.surveyed import Surveyed
from pastis_jax.errors import DataError
from pastis_jax.tasks import SemanticModel
from pastis_jax.types import Series

RUNS = pathlib.Path(__file__).parent / "runs"


def series(run):
    """Two patches of 8 x 8 pixels on three dates, of which the second lacks one."""
    rng = np.random.default_rng(0)

    def observed(modality):
        mean, std = run.saved.learned.statistics[modality]
        values = mean + std * rng.uniform(-1, 1, (2, 3, 8, 8, len(mean)))
        days = np.tile(np.arange(3, dtype=np.int32) * 30, (2, 1))
        valid = np.array([[True, True, True], [True, False, True]])
        return Series(values.astype(np.float32), days, valid)

    return {name: observed(name) for name in run.modalities}


def predicts_as_then(folder):
    run = pastis_jax.open_run(folder)
    with np.load(RUNS / "format1_expected.npz") as expected:
        np.testing.assert_allclose(run.predict(series(run)), expected["probabilities"], atol=1e-5)


def test_a_run_of_format_1():
    predicts_as_then(RUNS / "format1")
    assert pastis_jax.open_run(RUNS / "format1").task.spec.outside == "extrapolate"


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(SemanticModel)])
def test_a_field_that_came_later_has_its_default(field, tmp_path):
    """As if the run had been written before the field was added, where its value is the default."""
    folder = shutil.copytree(RUNS / "format1", tmp_path / "run")
    content = json.loads((folder / "run.json").read_text())
    default = next(f.default for f in dataclasses.fields(SemanticModel) if f.name == field)
    default = list(default) if isinstance(default, tuple) else default
    if content["model"].pop(field, default) != default:
        pytest.skip("its value is another one")
    (folder / "run.json").write_text(json.dumps(content))
    predicts_as_then(folder)


def test_a_run_of_version_0_1_is_upgraded(tmp_path, capsys, monkeypatch):
    """By the command, with its data; scores and predictions are then what they were.

    It was trained with statistics that are refused today: what was drawn did not matter then.
    """
    root = factory.make_patches(tmp_path / "patches")
    for modality, channels in factory.CHANNELS.items():
        norm = {
            f"Fold_{fold}": {"mean": [100.0 * fold] * channels, "std": [10.0 * fold] * channels}
            for fold in range(1, 6)
        }
        (root / f"NORM_{modality}_patch.json").write_text(json.dumps(norm))
    monkeypatch.setattr(Surveyed, "check", lambda *args, **kwargs: None)
    folder = shutil.copytree(RUNS / "before", tmp_path / "run")
    flags = [str(folder), "--data", str(root), "--cache-dir", str(tmp_path / "cache")]
    assert exit_code(lambda: upgrade.main(flags)) == 0
    predicts_as_then(folder)
    stored = json.loads((folder / "result.json").read_text())["test"]
    scores = pastis_jax.open_run(folder).evaluate().scores
    for name in ("mIoU", "OA", "loss"):
        assert scores[name] == pytest.approx(stored[name], rel=1e-5)
    assert exit_code(lambda: upgrade.main(flags)) == 2
    assert "this run has it all" in capsys.readouterr().err


@pytest.mark.parametrize("argument", ["nodata", "offset"])
def test_what_a_run_declared_is_not_taken_for_that_of_other_data(argument, tmp_path):
    folder = shutil.copytree(RUNS / "format1", tmp_path / "run")
    content = json.loads((folder / "run.json").read_text())
    content["records"][argument] = ["S2=-1000"]
    (folder / "run.json").write_text(json.dumps(content))
    run, root = pastis_jax.open_run(folder), factory.make_patches(tmp_path / "patches")
    words = (f"`{argument}`: the run had S2=-1000", "or () for nothing")
    refused_in_a_line(lambda: run.open_data(root), *words)
    for given in (["S2=-100"], []):  # and then it is another thing that does not fit
        with pytest.raises(DataError, match="the run gives"):
            run.open_data(root, **{argument: given}, cache_dir=tmp_path / "cache")
    refused_in_a_line(lambda: run.open_data(**{argument: ()}), f"`{argument}`: the run has that")


def test_the_papers_tools_take_moved_data_as_the_run_declared_them(tmp_path, monkeypatch):
    monkeypatch.setattr(finished, "read_run", lambda folder: ({}, {}))
    folder = shutil.copytree(RUNS / "format1", tmp_path / "run")
    content = json.loads((folder / "run.json").read_text())
    content["records"]["offset"] = ["S2=-1000"]
    (folder / "run.json").write_text(json.dumps(content))
    data = factory.make_patches(tmp_path / "patches")
    with pytest.raises(DataError, match="the run gives"):  # an offset that they do not have
        finished.open_data(folder, data=data, cache_dir=tmp_path / "cache")


def test_what_is_no_run_is_not_upgraded(tmp_path, capsys):
    assert exit_code(lambda: upgrade.main([str(tmp_path)])) == 2
    assert "result.json: cannot be read" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_inspected(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")  # No line is wrapped, wherever the run lies.
    assert exit_code(lambda: inspect.main([str(RUNS / "format1")])) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "late fusion of S2, S1A, utae" in printed
    assert "are not here" in printed  # its data
    folder = shutil.copytree(RUNS / "format1", tmp_path / "run")
    content = bytearray((folder / "weights.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "weights.npz").write_bytes(content)
    assert exit_code(lambda: inspect.main([str(folder)])) == 1
    assert "1 damaged" in capsys.readouterr().out
