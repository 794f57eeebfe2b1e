"""Panoptic segmentation from the command line: schemes, options, mistakes."""

from __future__ import annotations

import json
import os

import numpy as np
import patch_factory as factory
import pytest

from experiments import panoptic

SIZES = ["--encoder-widths", "8", "8", "--decoder-widths", "8", "8", "--heads", "2"]
SIZES += ["--model-features", "8", "--batch-size", "2", "--epochs", "2", "--warmup", "1"]
SIZES += ["--max-instances", "24", "--shape-size", "4"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("panoptic")
    return ["--data", str(factory.make_patches(folder / "set")), "--cache-dir", str(folder / "c")]


def run(arguments, out):
    panoptic.main([*arguments, "--out", str(out)])
    return json.loads((out / "result.json").read_text())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--fusion", "single", "--min-confidence", "0.1", "--no-mask-conv", "--legacy-void"],
        ["--fusion", "early", "--temporal-dropout", "--crop", "8", "--modalities", "S2", "S1A"],
    ],
    ids=" ".join,
)
def test_it_trains_tests_and_reports(data, tmp_path, capsys, arguments):
    result = run([*data, *SIZES, *arguments], tmp_path / "run")
    assert result["task"] == "panoptic"
    test = result["test"]
    assert all(0 <= test[name] <= 1 for name in ("SQ", "RQ", "PQ"))
    assert set(test["per_class"]["Corn"]) == {"SQ", "RQ", "PQ"}
    assert 0 <= result["min_confidence"] < 1
    if "--min-confidence" in arguments:
        assert result["min_confidence"] == 0.1
    log = (tmp_path / "run" / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    # The warm-up trains centerness alone.
    assert lines[0]["train"]["shape"] == 0 < lines[1]["train"]["shape"]
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files >= {"panel.png", "pq_per_class.png", "learning_curves.png", "result.json"}
    assert "test PQ" in capsys.readouterr().out


REFUSED = [
    (["--fusion", "decision"], "--fusion"),
    (["--fusion", "late", "--auxiliary"], "--auxiliary"),
    (["--min-confidence", "2"], "--min-confidence"),
    (["--max-instances", "0"], "--max-instances"),
    (["--warmup", "-1"], "--warmup"),
]


@pytest.mark.parametrize(("arguments", "named"), REFUSED, ids=lambda x: " ".join(x))
def test_mistakes_end_in_one_line_and_code_2(data, arguments, named, tmp_path, capsys):
    out = tmp_path / "run"
    with pytest.raises(SystemExit) as exit_:
        panoptic.main([*data, *SIZES, "--fusion", "single", *arguments, "--out", str(out)])
    assert exit_.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert named in error
    assert not out.exists()


@pytest.mark.skipif("PASTIS_R_PATCHES" not in os.environ, reason="PASTIS_R_PATCHES is not set")
@pytest.mark.parametrize("scheme", ["mid", "late"])
def test_the_real_sample_trains_and_tests(scheme, tmp_path_factory):
    folder = tmp_path_factory.mktemp(scheme)
    root = os.environ["PASTIS_R_PATCHES"]
    arguments = ["--data", root, "--fusion", scheme, "--cache-dir", str(folder / "cache")]
    result = run([*arguments, *SIZES], folder / "run")
    assert 0 <= result["test"]["PQ"] <= 1
    assert np.isfinite(result["test"]["loss"])
