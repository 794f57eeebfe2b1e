"""Configurations that are made in code."""

from __future__ import annotations

import pathlib

from pastis_jax.cli import config


def test_paths_may_be_text(tmp_path):
    text = config.configure("semantic", out="runs/mid", cache_dir=str(tmp_path), data=None)
    path = config.configure("semantic", out=pathlib.Path("runs/mid"), cache_dir=tmp_path)
    assert text == path
    assert text.stored()["out"] == str(pathlib.Path("runs/mid").absolute())
