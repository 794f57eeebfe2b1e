"""Classical classifiers on the same parcels: features, protocol, refusals."""

from __future__ import annotations

import json

import numpy as np
import pixel_set_factory
import pytest
from commands import exit_code

from experiments import baseline
from pastis_jax.types import Series


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("baseline")
    root = pixel_set_factory.make_pixel_set(
        folder / "set", parcels_per_fold=8, labels=(1, 3, 1, 19)
    )
    return ["--data", str(root), "--cache-dir", str(folder / "cache")]


def test_series_are_interpolated_over_valid_dates_and_real_pixels():
    values = np.full((1, 4, 3, 2), np.nan)
    values[0, 0, :2] = [[1, 10], [3, 30]]  # day 20; the third pixel is not real
    values[0, 2, :2] = [[4, 40], [8, 80]]  # day 0
    valid = np.array([[True, False, True, False]])
    days = np.array([[20, 10, 0, 5]])
    series = Series(values, days, valid, pixels=np.array([[True, True, False]]))
    grid = baseline.on_grid(series, 0, np.array([-5, 0, 10, 20, 30]))
    assert np.array_equal(grid[:, 0], [6, 6, 4, 2, 2])
    assert np.array_equal(grid[:, 1], [60, 60, 40, 20, 20])
    lost = series.replace(valid=np.zeros_like(valid))
    assert np.isnan(baseline.on_grid(lost, 0, np.array([0, 1]))).all()


@pytest.mark.parametrize("model", ["forest", "boosting"])
def test_it_is_tested_on_the_folds_of_the_protocol(data, model, tmp_path, capsys):
    out = tmp_path / "baseline.json"
    words = ["--model", model, "--folds", "1", "2", "--modalities", "S2", "--out", str(out)]
    assert exit_code(lambda: baseline.main([*data, *words])) == 0
    assert "macro F1" in capsys.readouterr().out
    result = json.loads(out.read_text())
    assert result["modalities"] == ["S2"]
    # Two folds of eight parcels, of which two are void.
    assert np.sum(result["confusion"]["0"]) == 12
    assert 0 <= result["by_seed"]["0"]["OA"] <= 1


def test_mistakes_end_in_one_line(data, capsys):
    for words, named in (
        (["--step", "0"], "--step"),
        (["--modalities", "PS"], "PS"),
        (["--out", "scores.txt"], "--out"),
        (["--folds", "9"], "--fold"),
    ):
        assert exit_code(lambda words=words: baseline.main([*data, *words])) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]  # parcels are prepared above it
        assert error.startswith("error: ")
        assert named in error
