"""Runs on folders whose names mean something to markup."""

from __future__ import annotations

import json

import foreign
import pytest
from commands import exit_code

from experiments import parcel
from pastis_jax.cli import inspect

pytestmark = pytest.mark.long


def test_a_run_ends_whatever_its_classes_and_folder_are_called(tmp_path, capsys):
    root = foreign.make_pixel_sets(tmp_path / "my[v2]$data")
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
    assert "my[v2]$data" in "".join(printed.split())


def test_a_folder_whose_name_steers_a_terminal_is_refused_before_training(tmp_path, capsys):
    root = foreign.make_pixel_sets(tmp_path / "data\x1b[2J\udce9")
    flags = ["--data", str(root), "--cache-dir", str(tmp_path / "cache")]
    assert exit_code(lambda: parcel.main([*flags, "--out", str(tmp_path / "run")])) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "--data: its path holds what cannot be shown; rename it" in line
    assert "\x1b" not in line
    assert not (tmp_path / "run").exists()
