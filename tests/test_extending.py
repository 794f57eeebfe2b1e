"""docs/extending.md is run as it stands: its modules, its scripts, its commands."""

from __future__ import annotations

import json
import pathlib
import re
import shlex
import subprocess
import sys

import pixel_set_factory as factory
import pytest
from commands import exit_code

import pastis_jax
from pastis_jax.cli.main import main
from pastis_jax.data.dataset_file import from_json

DOCS = pathlib.Path(__file__).parent.parent / "docs"
SECTIONS = dict(
    re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", (DOCS / "extending.md").read_text(), re.M | re.S)
)
LINES = 40


def blocks(section, language):
    return re.findall(rf"```{language}\n(.*?)```", SECTIONS[section], re.S)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, where modules are found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("PASTIS_JAX_CACHE", str(tmp_path / "cache"))
    return tmp_path


def follow(section, folder, *flags):
    """Writes a section's file and runs its commands; those that train get `flags` too."""
    (code,) = blocks(section, "python")
    assert len(code.splitlines()) < LINES
    name = re.match(r"# (\w+\.py)\n", code)[1]
    pathlib.Path(name).write_text(code)
    for line in blocks(section, "sh")[0].splitlines():
        program, *given = shlex.split(line.replace("FOLDER", str(folder)))
        if program == "python":
            subprocess.run([sys.executable, *given], check=True)
        elif given[0] == "train":
            assert exit_code(lambda given=given: main([*given, *flags, "--out", "run"])) == 0
        else:
            assert exit_code(lambda given=given: main(given)) == 0
    return json.loads(pathlib.Path("run/result.json").read_text())


def small(folder):
    root = factory.make_pixel_set(folder / "set", parcels_per_fold=4, labels=(1, 3, 8))
    return ["--data", str(root), "--epochs", "1", "--batch-size", "4"]


def test_an_encoder(here):
    result = follow("An encoder", None, *small(here))
    assert any("Dense_0" in name for name in result["parameters_by_module"])
    assert pastis_jax.open_run("run").evaluate().scores["OA"] == result["test"]["OA"]


def test_a_fusion_scheme(here):
    result = follow("A fusion scheme", None, *small(here))
    assert result["fusion"] == "gated"
    assert pastis_jax.open_run("run").saved.plugins == ("gated",)


def test_a_modality(here):
    root = factory.make_pixel_set(here / "set", parcels_per_fold=4, labels=(1, 3, 8))
    result = follow("A modality", root, "--epochs", "1", "--batch-size", "4")
    assert result["modalities"] == ["NDVI", "S1A"]


def test_a_dataset(here):
    result = follow("A dataset", here / "own")
    assert list(result["test"]["iou"]) == ["Maize", "Soya"]
    assert result["dataset"] == "Iowa 2023"


def test_the_example_of_dataset_json():
    """That of docs/data.md is complete and right."""
    (text,) = re.findall(r"```json\n(.*?)```", (DOCS / "data.md").read_text(), re.S)
    dataset = from_json(json.loads(text))
    assert dataset.splits is None
    assert {one.unit for one in dataset.modalities} == {"reflectance x 10000", "linear power"}
