"""What a run tells of data that are given to it, and what it does not take; nothing is trained."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import warnings

import numpy as np
import patch_factory as factory
import pytest
from refusal import refused_in_a_line

import pastis_jax
from pastis_jax.cli import console
from pastis_jax.errors import DataWarning, DaysWarning
from pastis_jax.runs import saved
from pastis_jax.types import Series

RUNS = pathlib.Path(__file__).parent / "runs"
MOMENTS = {"S2": ([2150] * 10, [1070] * 10), "S1A": ([-11, -18, 7], [1, 1, 1.4])}


def kept_run(folder, **model):
    """Copies the kept run, as if trained on data like those that are made for tests."""
    folder.mkdir()
    for file in ("dataset.json", "weights.npz"):
        (folder / file).write_bytes((RUNS / "format1" / file).read_bytes())
    content = json.loads((RUNS / "format1" / "run.json").read_text())
    content["model"].update(model)
    content["statistics"] = {
        name: {"mean": mean, "std": std} for name, (mean, std) in MOMENTS.items()
    }
    (folder / "run.json").write_text(json.dumps(content))
    return pastis_jax.open_run(folder)


def change(file, how):
    values = np.load(file)
    np.save(file, how(values).astype(values.dtype))


def day(values):
    """All dates but the first."""
    return np.arange(len(values))[:, None, None, None] > 0


def told(call):
    """What is warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(issubclass(one.category, DataWarning) for one in caught)
    odd = [one for one in caught if not issubclass(one.category, DaysWarning)]
    return [str(one.message) for one in odd]


def test_other_data_are_told_of_in_a_line_each(tmp_path, capsys):
    run = kept_run(tmp_path / "run")
    root = factory.make_patches(tmp_path / "data", patches_per_fold=2)
    other = {"data": root, "cache_dir": tmp_path / "cache"}
    assert told(lambda: run.open_data(**other)) == []
    change(root / "DATA_S2" / "S2_10005.npy", lambda values: np.where(day(values), values, 0))
    change(root / "DATA_S2" / "S2_10001.npy", lambda values: values // 255)
    lines = told(lambda: run.open_data(skip_implausible=True, **other))
    assert all(line.startswith(f"{root}: ") and "\n" not in line for line in lines)
    filled, skipped = (line.removeprefix(f"{root}: ") for line in lines)
    assert filled.startswith("1 of ")
    assert "acquisitions of S2 are 0 in every channel at every pixel" in filled
    assert skipped == "patches left out for implausible values: 1 (10001)"  # no result.json lists
    console.command(lambda: run.open_data(skip_implausible=True, **other))
    printed = capsys.readouterr().err.splitlines()
    assert {f"warning: {line}" for line in lines} <= {*printed}


def observed(run, *, without=None):
    """Three series; the second has no valid date of a modality, the third none at all."""
    series = {}
    for name in run.modalities:
        mean, std = MOMENTS[name]
        noise = np.random.default_rng(0).uniform(-1, 1, (3, 4, 8, 8, len(mean)))
        values = (np.array(mean) + np.array(std) * noise * 0.5).astype(np.float32)
        if name == "S1A":
            values[..., 2] = values[..., 0] - values[..., 1]
        valid = np.ones((3, 4), bool)
        valid[1], valid[2] = name != without, False
        days = np.tile(np.arange(4, dtype=np.int32) * 30, (3, 1))
        series[name] = Series(values, days, valid)
    return series


def test_early_fusion_predicts_nothing_without_a_modality(tmp_path, monkeypatch):
    """Zeros in place of it would give confident probabilities; a sample of nothing gives NaN."""
    late = kept_run(tmp_path / "run")
    assert np.isfinite(late.predict(observed(late, without="S1A"))[:2]).all()
    early = pastis_jax.open_run(tmp_path / "run")
    spec = dataclasses.replace(early.task.spec, fusion="early", auxiliary=False)
    early.task = dataclasses.replace(early.task, spec=spec)
    asked = []
    monkeypatch.setattr(early, "_answer", lambda variables, series: asked.append(series))
    early.predict(observed(early))
    early.predict(observed(early, without="S2"))  # it gives the dates
    assert len(asked) == 2
    words = r"^1 of 3 samples have no valid date of S1A, which early fusion needs \(numbers 1\)"
    with pytest.raises(ValueError, match=words):
        early.predict(observed(early, without="S1A"))
    series = observed(early)
    values = series["S1A"].values.copy()
    values[1] = 0  # valid by name, and filled
    with pytest.raises(ValueError, match=words):
        early.predict({**series, "S1A": series["S1A"].replace(values=values)})


def test_a_run_carries_its_lists_of_samples(tmp_path):
    """It is scored on what it was not trained on, where lists and data were moved."""
    run = kept_run(tmp_path / "run")
    root = factory.make_patches(tmp_path / "data", patches_per_fold=2)
    lists = {"train": [10003, 10008, 10001], "val": [10002], "test": [10010, 10005]}
    file, cache = tmp_path / "lists.json", tmp_path / "cache"
    file.write_text(json.dumps(lists))
    records = run.saved.records | {"data": str(root), "split_lists": str(file)}
    listed = dataclasses.replace(run.saved, records=records, checksums={})
    folder = tmp_path / "listed"
    folder.mkdir()
    saved.write(folder, listed, run.variables, saved.lists_of(records))
    expected = pastis_jax.open_run(folder).open_data(root, cache_dir=cache).splits
    assert {*expected.folds} == {*lists}
    listed = dataclasses.replace(listed, fingerprint=expected.fingerprint.parts)
    saved.write(folder, listed, run.variables, saved.lists_of(records))
    file.unlink()
    moved = pastis_jax.open_run(folder.rename(tmp_path / "moved"))
    opened = [moved.open_data(cache_dir=cache)]
    elsewhere = root.rename(tmp_path / "elsewhere")
    opened.append(moved.open_data(elsewhere, cache_dir=cache))
    for split, names in lists.items():
        for source in (one.splits.sources[split] for one in opened):
            assert {source.identifier(n) for n in range(len(source))} == {*names}
    carried = moved.folder / saved.LISTS
    carried.write_text(json.dumps(lists | {"test": [10010, 10004]}))
    refused_in_a_line(lambda: moved.open_data(elsewhere), "split_lists.json: not what was written")
    carried.unlink()
    refused_in_a_line(lambda: moved.open_data(elsewhere), "split_lists.json: cannot be read")
