"""Facts about the machine and the code that a run keeps, and what is said where there is none."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import pastis_jax
from pastis_jax import machine
from pastis_jax.cli import console


def git(folder, *command):
    person = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(folder), *person, *command], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def version_of_a_copy(root):
    """What the code says of itself that is copied into `root`."""
    (root / "pastis_jax").mkdir(parents=True)
    for name in ("__init__.py", "machine.py"):
        shutil.copy(pathlib.Path(pastis_jax.__file__).parent / name, root / "pastis_jax")

    def say():
        code = "from pastis_jax import machine; print(machine.code_version())"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    return say


@pytest.mark.parametrize("below", ["", "vendor"], ids=["at its top", "below"])
def test_the_commit_of_another_repository_is_not_that_of_the_code(tmp_path, below):
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "another project")
    say = version_of_a_copy(tmp_path / below)
    assert say() == pastis_jax.__version__
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "with the package")
    commit = git(tmp_path, "rev-parse", "--short=10", "HEAD")
    assert say() == pastis_jax.__version__ + ("" if below else f", {commit}")


def test_code_in_no_repository_has_a_version(tmp_path):
    assert version_of_a_copy(tmp_path)() == pastis_jax.__version__


def test_memory_is_told_where_it_can_be(monkeypatch):
    assert 0.01 < machine.peak_memory() < 1000
    monkeypatch.setitem(sys.modules, "resource", None)  # As on Windows.
    assert machine.peak_memory() is None


def test_a_table_without_memory_says_nothing_of_it(capsys):
    result = {
        **{"title": "A run", "best_epoch": 1, "epochs": 2, "parameters": 3, "samples": "parcels"},
        **{"throughput": {"train": 1.0, "inference": 2.0}, "seconds": {"train": 1.0}},
        **{"val": {"mIoU": 0.5, "OA": 0.5}, "test": {"mIoU": 0.5, "OA": 0.5, "iou": {"Corn": 0.5}}},
    }
    for memory, said in ((1.5, True), (None, False)):
        console.show_result(
            {**result, "peak_memory_gb": memory}, scores=("mIoU", "OA"), per_class="IoU"
        )
        assert ("peak memory" in capsys.readouterr().out) == said
