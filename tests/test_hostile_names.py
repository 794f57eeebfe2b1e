"""Runs on folders whose names mean something to markup."""

from __future__ import annotations

import json

import foreign
import pytest

from experiments import parcel
from pastis_jax.cli import inspect

pytestmark = pytest.mark.long


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
