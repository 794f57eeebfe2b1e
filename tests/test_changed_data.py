"""Data that change while a run reads them: one line, and the last checkpoint stays."""

from __future__ import annotations

import json
import os

import commands
import numpy as np
import patch_factory
import pixel_set_factory
import pytest
from refusal import refused_in_a_line
from tiers import all_but, long

from experiments import parcel, semantic
from pastis_jax import training
from pastis_jax.data.patches.prepare import prepare_patches

PATCHES = ["--fusion", "single", "--modalities", "S2", "--batch-size", "2", "--epochs", "3"]
PATCHES += ["--encoder-widths", "8", "8", "--decoder-widths", "8", "8", "--head-widths", "8"]
PATCHES += ["--heads", "2", "--model-features", "8"]
PARCELS = ["--fusion", "single", "--modalities", "S2", "--batch-size", "4", "--epochs", "3"]


def cut(file):
    os.truncate(file, file.stat().st_size // 2)


def change_in_place(file):
    with file.open("r+b") as stream:
        stream.seek(-8, os.SEEK_END)
        stream.write(bytes(8))
    os.utime(file, ns=(1, 1))  # clocks of disks are coarse


@pytest.fixture
def after_an_epoch(monkeypatch):
    """Does something as soon as the first epoch is kept."""

    def arrange(work):
        save = training.Checkpoints.save

        def saving(self, name, *arguments, **facts):
            save(self, name, *arguments, **facts)
            if name == "last" and facts["epoch"] == 1:
                work()

        monkeypatch.setattr(training.Checkpoints, "save", saving)

    return arrange


def stopped(command, arguments, out, capsys):
    """Runs until it is stopped; returns the line that it ends with."""
    assert commands.exit_code(lambda: command.main([*arguments, "--out", str(out)])) == 2
    (line,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error")]
    assert training.read_facts(out / "checkpoints", "last")["epoch"] == 1
    assert not (out / "result.json").exists()
    return line


@pytest.mark.parametrize(
    "case",
    all_but(
        1,
        [
            ("DATA_S2/S2_10001.npy", cut),
            ("DATA_S2/S2_10001.npy", change_in_place),
            ("DATA_S2/S2_10004.npy", change_in_place),  # of validation
            ("ANNOTATIONS/TARGET_10001.npy", change_in_place),
        ],
    ),
)
def test_patches_that_change(case, after_an_epoch, tmp_path, capsys):
    name, damage = case
    root = patch_factory.make_patches(tmp_path / "set", size=(8, 8), dates=(2, 3))
    after_an_epoch(lambda: damage(root / name))
    arguments = [*PATCHES, "--data", str(root), "--cache-dir", str(tmp_path / "cache")]
    line = stopped(semantic, arguments, tmp_path / "run", capsys)
    assert str(root / name) in line


@long
def test_prepared_parcels_that_change(after_an_epoch, tmp_path, capsys):
    root, cache = pixel_set_factory.make_pixel_set(tmp_path / "set"), tmp_path / "cache"
    after_an_epoch(lambda: os.utime(next(cache.rglob("*fold_1*")), ns=(1, 1)))
    arguments = [*PARCELS, "--data", str(root), "--cache-dir", str(cache)]
    assert "was changed while it is in use" in stopped(parcel, arguments, tmp_path / "run", capsys)


@long
def test_metadata_may_go_once_they_are_read(after_an_epoch, tmp_path):
    root = patch_factory.make_patches(tmp_path / "set", size=(8, 8), dates=(2, 3))
    after_an_epoch((root / "metadata.geojson").unlink)
    arguments = [*PATCHES, "--data", str(root), "--cache-dir", str(tmp_path / "cache")]
    semantic.main([*arguments, "--out", str(tmp_path / "run")])
    assert json.loads((tmp_path / "run" / "result.json").read_text())["data"] == "given"


@pytest.mark.parametrize("instances", [False, True])
def test_a_source_notices_what_it_read(instances, tmp_path):
    root = patch_factory.make_patches(tmp_path / "set", size=(8, 8), dates=(2, 3))
    prepared = prepare_patches(root, cache=tmp_path / "cache", progress=False)
    names = ["DATA_S1D/S1D", "ANNOTATIONS/TARGET"] + ["ANNOTATIONS/ParcelIDs"] * instances
    for name in names:
        source = prepared.source([1, 2], instances=instances)
        kept = prepared.source([1], in_memory=True, instances=instances)
        file = root / f"{name}_10001.npy"
        source[0], kept[0]
        source.unchanged()
        change_in_place(root / f"{name}_10003.npy")  # of no fold that is used
        source.unchanged()
        change_in_place(file)
        words = (str(file), "was changed while it is in use")
        refused_in_a_line(source.unchanged, *words)
        refused_in_a_line(lambda source=source: source[0], *words)
        file.rename(root / "moved")
        refused_in_a_line(source.unchanged, str(file), "cannot be read any more")
        (root / "moved").rename(file)
        kept.unchanged()
        np.testing.assert_array_equal(kept[0]["semantic"], source_again(prepared)["semantic"])


def source_again(prepared):
    return prepared.source([1])[0]
