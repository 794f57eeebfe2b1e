"""Runs on folders whose names mean something to markup, and where all parcels are void."""

from __future__ import annotations

import json

import foreign
import numpy as np
import patch_factory
import pytest

from experiments import panoptic, parcel, semantic
from pastis_jax.cli import inspect

pytestmark = pytest.mark.long

NARROW = (
    *("--encoder-widths", "8", "8", "--decoder-widths", "8", "8", "--heads", "2"),
    *("--model-features", "8", "--fusion", "single", "--modalities", "S2", "--epochs", "1"),
)


def test_a_run_ends_whatever_its_classes_and_folder_are_called(tmp_path, capsys):
    root = foreign.make_pixel_sets(tmp_path / "my[v2]$data\x1b[2J\udce9")
    content = json.loads((root / "dataset.json").read_text())
    for entry, name in zip(content["nomenclature"]["classes"], ("[/x]", "$\\frac$"), strict=False):
        entry["name"] = name
    (root / "dataset.json").write_text(json.dumps(content))
    out = tmp_path / "run"
    flags = ["--data", str(root), "--cache-dir", str(tmp_path / "cache"), "--out", str(out)]
    parcel.main([*flags, "--fusion", "late", "--epochs", "1", "--batch-size", "8"])
    assert (out / "result.json").exists()
    parcel.main([*flags, "--fusion", "late", "--epochs", "1", "--batch-size", "8"])
    inspect.main([str(out)])
    printed = capsys.readouterr().out
    assert "my[v2]$data\\x1b[2J\\udce9" in "".join(printed.split())
    assert "\x1b" not in printed


@pytest.mark.parametrize("task", [semantic, panoptic], ids=["semantic", "panoptic"])
def test_a_run_whose_parcels_are_all_void_ends(task, tmp_path, capsys):
    root = patch_factory.make_patches(tmp_path / "set")
    for file in (root / "ANNOTATIONS").glob("TARGET_*"):
        target = np.load(file)
        target[0][target[0] > 0] = 19
        np.save(file, target)
    out = tmp_path / "run"
    flags = [*NARROW, *(["--head-widths", "8"] * (task is semantic))]
    task.main(
        [*flags, "--data", str(root), "--cache-dir", str(tmp_path / "cache"), "--out", str(out)]
    )
    assert (out / "result.json").exists()
    assert ("undefined" in capsys.readouterr().out) == (task is panoptic)
