"""Preparing a folder once, and reading it at random afterwards."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import numpy as np
import pixel_set_factory as factory
import pytest
import tensorflow_datasets as tfds

from pastis_jax.data.cache import default_cache
from pastis_jax.data.pixel_sets import crop_pixel_sets_dataset_builder as builder
from pastis_jax.data.pixel_sets import prepare
from pastis_jax.data.pixel_sets.folder import PixelSetFolder
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets
from pastis_jax.errors import ArgumentError


@pytest.fixture
def root(tmp_path):
    return factory.make_pixel_set(tmp_path / "pixel_set")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def assert_same_as_folder(prepared, folder):
    by_fold = {f: [p for p in folder.parcels if p.fold == f and p.label < 19] for f in range(1, 6)}
    for folds in ((1,), (2, 3, 4), (5, 1)):
        source, parcels = prepared.source(folds), [p for fold in folds for p in by_fold[fold]]
        assert len(source) == len(parcels)
        for i, parcel in enumerate(parcels):
            item = source[i]
            assert (item["label"], item["patch"]) == (parcel.label, parcel.patch)
            assert (item["parcel"], item["number"]) == (parcel.id, i)
            assert source.identifier(i) == parcel.id
            features = item["geometric_features"]
            np.testing.assert_array_equal(features, parcel.geometric_features, strict=True)
            for modality, (values, days) in folder.read(parcel).items():
                np.testing.assert_array_equal(item[modality]["values"], values, strict=True)
                np.testing.assert_array_equal(item[modality]["days"], days, strict=True)


def test_round_trip(root, cache, monkeypatch):
    monkeypatch.setattr(builder, "PARCELS_PER_SHARD", 2)
    before = {file: file.stat().st_mtime_ns for file in root.rglob("*")}
    prepared, folder = prepare_pixel_sets(root, cache=cache, progress=False), PixelSetFolder(root)
    assert_same_as_folder(prepared, folder)
    assert before == {file: file.stat().st_mtime_ns for file in root.rglob("*")}
    assert prepared.modalities == ("S2", "S1A", "S1D")
    longest = max(len(patch.days["S1A"]) for patch in folder.patches.values())
    assert prepared.lengths["S1A"] == longest
    assert sum(sum(labels.values()) for labels in prepared.counts.values()) == len(folder.parcels)
    assert prepared.counts[1] == {1: 1, 3: 1, 8: 1}
    assert prepared.counts[2] == {1: 1, 3: 1, 19: 1}


def test_tfds_reads_the_same(root, cache):
    prepared = prepare_pixel_sets(root, cache=cache, progress=False)
    opened = tfds.builder_from_directory(prepared.path)
    theirs, ours = opened.as_data_source("fold_2+fold_3"), prepared.source([2, 3])
    assert len(theirs) == len(ours)
    for expected, item in zip(theirs, (ours[i] for i in range(len(ours))), strict=True):
        for modality in prepared.modalities:
            for key in ("values", "days"):
                np.testing.assert_array_equal(item[modality][key], expected[modality][key])
        for key in ("label", "geometric_features"):
            np.testing.assert_array_equal(item[key], expected[key])
        for key in ("parcel", "patch"):
            assert str(item[key]) == expected[key].decode()
        assert expected["fold"].decode() == str(item["patch"] - 10000)
    assert (opened.name, str(opened.version)) == ("crop_pixel_sets", "2.4.0")
    assert opened.info.features["label"].int2str(3) == "Corn"
    void = [row[0].encode() for row in factory.read_rows(root) if row[2] == "19"]
    assert [item["parcel"] for item in opened.as_data_source("void")] == void


def test_parcels_without_pixels(root, cache):
    folder = PixelSetFolder(root)
    for modality in folder.modalities:
        file = folder.file(folder.parcels[1], modality)
        np.save(file, np.load(file)[:, :, :0])
    item = prepare_pixel_sets(root, cache=cache, progress=False).source([1])[1]
    assert item["S2"]["values"].shape == (len(item["S2"]["days"]), 10, 0)


def test_second_use_writes_nothing(root, cache, monkeypatch):
    first = prepare_pixel_sets(root, cache=cache, progress=False)
    files = {file: file.stat().st_mtime_ns for file in cache.rglob("*")}
    assert not [file for file in files if "download" in file.name or file.name.startswith(".")]
    monkeypatch.setattr(prepare, "_write", None)
    second = prepare_pixel_sets(root, modalities=["S1D"], cache=cache, progress=False)
    assert second.path == first.path
    assert second.modalities == ("S1D",)
    assert set(second.source([1])[0]).isdisjoint({"S2", "S1A"})
    assert files == {file: file.stat().st_mtime_ns for file in cache.rglob("*")}


@pytest.mark.parametrize("what", ["array", "metadata"])
def test_changed_folder_is_prepared_anew(what, root, cache):
    first = prepare_pixel_sets(root, modalities=["S2"], cache=cache, progress=False)
    file = next((root / "DATA_S2").iterdir())
    if what == "array":
        np.save(file, np.load(file) + 1)
    else:
        rows = factory.read_rows(root)
        rows[0][2] = "5"
        factory.write_rows(root, rows)
    second = prepare_pixel_sets(root, modalities=["S2"], cache=cache, progress=False)
    assert second.path != first.path
    assert_same_as_folder(second, PixelSetFolder(root, ["S2"]))


def test_statistics_of_train_folds(root, cache):
    prepared = prepare_pixel_sets(root, cache=cache, progress=False)
    mean, std = prepared.statistics((1, 2, 3))["S1D"]
    np.testing.assert_allclose(mean, [-10.5, -17.5, 7.5])
    np.testing.assert_allclose(std, [1.25] * 3)


def test_computed_statistics(root, cache):
    for file in root.glob("NORM_*"):
        file.unlink()
    prepared = prepare_pixel_sets(root, cache=cache, compute_statistics=True, progress=False)
    statistics, source = prepared.statistics([2, 4]), prepared.source
    for modality in prepared.modalities:
        for moment, got in zip((np.mean, np.std), statistics[modality], strict=True):
            per_fold = [
                np.mean([moment(s[i][modality]["values"].astype("f8"), (0, 2)) for i in range(2)])
                for s in (source([2]), source([4]))
            ]
            assert got.shape == (len(got),)
            np.testing.assert_allclose(got.mean(), np.mean(per_fold), rtol=1e-4)


def test_source_pickles(root, cache):
    source = prepare_pixel_sets(root, cache=cache, progress=False).source([1, 2])
    source[0]
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy[1]["S2"]["values"], source[1]["S2"]["values"])


def test_default_cache(root, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("PASTIS_JAX_CACHE", raising=False)
    assert default_cache() == tmp_path / "xdg" / "pastis_jax"
    monkeypatch.setenv("PASTIS_JAX_CACHE", str(tmp_path / "own"))
    assert prepare_pixel_sets(root, progress=False).path.is_relative_to(tmp_path / "own")


def test_unknown_modality(root, cache):
    for modalities, what in (((), "there is none"), (("S3", "S2"), "has no S3")):
        match = f"^`modalities`: .*{what}; choose among S2, S1A, S1D"
        with pytest.raises(ArgumentError, match=match):
            prepare_pixel_sets(root, modalities=modalities, cache=cache)
    assert not cache.exists()


def test_output_is_one_progress_bar_and_tensorflow_stays_out(root, cache):
    code = f"""
import sys
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets
prepare_pixel_sets({os.fspath(root)!r}, cache={os.fspath(cache)!r}).source([1])[0]
assert not {{"tensorflow", "pandas"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    lines = [line for line in done.stderr.replace("\r", "\n").splitlines() if line]
    assert lines
    assert all(line.startswith("Preparing parcels") for line in lines)
    assert "15/15" in lines[-1]


@pytest.mark.skipif("PASTIS_R_PIXELSET" not in os.environ, reason="needs PASTIS_R_PIXELSET")
def test_real_sample(cache):
    root = os.environ["PASTIS_R_PIXELSET"]
    prepared = prepare_pixel_sets(root, cache=cache, progress=False)
    assert_same_as_folder(prepared, PixelSetFolder(root))
    assert prepared.statistics((1, 2, 3))["S2"][0].shape == (10,)
