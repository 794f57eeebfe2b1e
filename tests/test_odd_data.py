"""What a run tells of data that are given to it, and what it does not take; nothing is trained."""

from __future__ import annotations

import json
import pathlib
import warnings

import numpy as np
import patch_factory as factory

import pastis_jax
from pastis_jax.cli import console
from pastis_jax.errors import DataWarning, DaysWarning

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
