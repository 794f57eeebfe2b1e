"""Reading and checking the official patch folder, and random access to it."""

from __future__ import annotations

import gc
import json
import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import patch_factory as factory
import pytest

from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches import prepare as module
from pastis_jax.data.patches.encoding import PatchEncoding
from pastis_jax.data.patches.folder import PatchFolder
from pastis_jax.data.patches.instances import centerness, instances_from_parcels
from pastis_jax.data.patches.prepare import prepare_patches
from pastis_jax.data.simulate import simulate


@pytest.fixture
def root(tmp_path):
    return factory.make_patches(tmp_path / "patches", patches_per_fold=2, size=(16, 18))


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def test_folder(root):
    folder = PatchFolder(root)
    assert folder.modalities == ("S2", "S1A", "S1D")
    assert list(folder.patches) == list(range(10001, 10011))
    assert [patch.fold for patch in folder.patches.values()] == [1, 2, 3, 4, 5] * 2
    assert PatchFolder(root, ["S1D", "S2"]).modalities == ("S2", "S1D")


def test_series_are_what_is_stored(root):
    folder = PatchFolder(root)
    for patch in folder.patches.values():
        opened, (checked, _) = folder.series(patch), folder.check(patch)
        assert list(opened) == list(checked) == ["S2", "S1A", "S1D"]
        for modality, (values, days) in opened.items():
            stored = np.load(folder.file(patch, modality))
            assert isinstance(values, np.memmap)
            assert not isinstance(checked[modality][0], np.memmap)
            np.testing.assert_array_equal(np.array(values), stored, strict=True)
            np.testing.assert_array_equal(checked[modality][0], stored, strict=True)
            np.testing.assert_array_equal(days, patch.days[modality])
            assert len(days) == len(values)


@pytest.mark.parametrize(
    ("modality", "dtype"), [("S2", "i4"), ("S2", "f4"), ("S2", ">i2"), ("S1A", "f8")]
)
def test_other_dtypes_are_cast(modality, dtype, root):
    folder = PatchFolder(root)
    patch = folder.patches[10001]
    file = folder.file(patch, modality)
    stored = np.load(file)
    np.save(file, stored.astype(dtype))
    for series in (folder.series(patch), folder.check(patch)[0]):
        np.testing.assert_array_equal(series[modality][0], stored, strict=True)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i8"])
def test_annotations(dtype, root):
    folder = PatchFolder(root)
    patch = folder.patches[10003]
    file = folder.file(patch, "TARGET")
    target = np.load(file)
    np.save(file, target.astype(dtype))
    got = folder.annotations(patch)
    np.testing.assert_array_equal(got.semantic, target[0].astype(np.int32), strict=True)
    np.testing.assert_array_equal(got.parcels, target[1].astype(np.int64), strict=True)
    np.testing.assert_array_equal(got.fine, target[2].astype(np.int64), strict=True)
    ids = np.load(folder.file(patch, "ParcelIDs"))
    np.testing.assert_array_equal(got.parcel_ids, ids.astype(np.int64), strict=True)


def test_threads_may_read_at_once(root):
    """Python 3.11.7 fails when a collection interrupts NumPy's parsing of a header."""

    def other_threads_go_on(*_):
        time.sleep(0)

    folder, before = PatchFolder(root), gc.get_threshold()
    gc.callbacks.append(other_threads_go_on)
    try:
        gc.set_threshold(20)
        with ThreadPoolExecutor(4) as pool:
            opened = list(pool.map(folder.target, [*folder.patches.values()] * 5))
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(other_threads_go_on)
    assert len(opened) == 50


def test_parcel_ids_are_optional(tmp_path):
    folder = PatchFolder(factory.make_patches(tmp_path / "patches", extras=False))
    patch = folder.patches[10001]
    assert folder.annotations(patch).parcel_ids is None
    instances = folder.instances(patch).instances
    np.testing.assert_array_equal(instances, folder.annotations(patch).parcels)


def test_instances_follow_the_parcel_ids(root):
    folder = PatchFolder(root)
    patch = folder.patches[10001]
    parcels, got = folder.annotations(patch).parcels, folder.instances(patch)
    np.testing.assert_array_equal(got.instances, np.where(parcels, 5 - parcels, 0))
    assert got.heatmap.max() == 1
    assert {array.dtype for array in (got.instances, got.zones)} == {np.dtype(np.int32)}
    assert got.heatmap.dtype == np.float32


def test_instances_leave_background_and_gaps_out():
    parcels = np.array([[0, 7, 7], [3, 9, 9]])
    grown = np.array([[0, 1, 1], [0, 1, 1]], bool)
    np.testing.assert_array_equal(instances_from_parcels(parcels, grown), [[0, 1, 1], [0, 2, 2]])


def test_stored_instances_equal_computed_ones(tmp_path):
    root = simulate(tmp_path / "set", parcels=1, patches=1, size=16, progress=False) / "patches"
    folder = PatchFolder(root)
    patch = next(iter(folder.patches.values()))
    stored = folder.instances(patch)
    assert folder.has_instances(patch)
    folder.file(patch, "ZONES").unlink()
    folder = PatchFolder(root)
    assert not folder.has_instances(patch)
    for name, array in vars(folder.instances(patch)).items():
        np.testing.assert_array_equal(array, getattr(stored, name), strict=True)
    np.save(folder.file(patch, "ZONES"), np.full((16, 16), 3))
    assert (PatchFolder(root).instances(patch).zones == 3).all()


def test_dates_are_kept_as_they_are(root, cache):
    dates = {"0": 20170101, "1": 20190105, "2": 20190105, "3": 20210101}
    factory.edit_patch(root, 0, **{"dates-S2": dates})
    folder = PatchFolder(root)
    file = folder.file(folder.patches[10001], "S2")
    np.save(file, np.load(file)[:4])
    record = prepare_patches(root, cache=cache, progress=False).source([1])[0]
    np.testing.assert_array_equal(record["S2"]["days"], [-608, 126, 126, 853])
    assert len(record["S2"]["values"]) == 4


# Preparation


def test_prepared(root, cache):
    before = {file: file.stat().st_mtime_ns for file in root.rglob("*")}
    prepared, folder = prepare_patches(root, cache=cache, progress=False), PatchFolder(root)
    assert before == {file: file.stat().st_mtime_ns for file in root.rglob("*")}
    patches = folder.patches.values()
    assert prepared.size == (16, 18)
    assert prepared.patches == {1: 2, 2: 2, 3: 2, 4: 2, 5: 2}
    assert prepared.lengths == {m: max(len(p.days[m]) for p in patches) for m in folder.modalities}
    labels = np.concatenate([folder.target(p)[0].ravel() for p in patches if p.fold == 3])
    assert prepared.counts[3] == dict(zip(*np.unique(labels, return_counts=True), strict=True))
    mean, std = prepared.statistics((1, 2, 3))["S1D"]
    np.testing.assert_allclose(mean, [-10.5, -17.5, 7.5])
    np.testing.assert_allclose(std, [1.25] * 3)


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize("instances", [False, True])
def test_source(in_memory, instances, root, cache):
    prepared, folder = prepare_patches(root, cache=cache, progress=False), PatchFolder(root)
    source = prepared.source((4, 1), in_memory=in_memory, instances=instances)
    patches = [folder.patches[i] for i in (10004, 10009, 10001, 10006)]
    assert repr(source) == "PatchSource(4 patches, S2, S1A, S1D)"
    copy = pickle.loads(pickle.dumps(source))
    assert len(source) == len(copy) == 4
    size = 0
    for i, patch in enumerate(patches):
        record, semantic = source[i], folder.target(patch)[0]
        np.testing.assert_array_equal(copy[i]["semantic"], semantic)
        np.testing.assert_array_equal(record["semantic"], semantic, strict=True)
        np.testing.assert_array_equal(record["parcels"], folder.target(patch)[1], strict=True)
        assert (record["patch"], record["number"]) == (patch.id, i)
        assert source.identifier(i) == patch.id
        size += record["semantic"].nbytes + record["parcels"].nbytes
        assert ("instances" in record) is instances
        if instances:
            numbers = folder.instances(patch).instances
            np.testing.assert_array_equal(record["instances"], numbers, strict=True)
            size += numbers.nbytes
        for modality, (values, days) in folder.series(patch).items():
            np.testing.assert_array_equal(record[modality]["values"], values)
            np.testing.assert_array_equal(record[modality]["days"], days, strict=True)
            assert source.dates[modality][i] == len(days)
            assert isinstance(record[modality]["values"], np.memmap) is not in_memory
            assert not record[modality]["values"].flags.writeable
            size += record[modality]["values"].nbytes
    assert source.nbytes == size
    assert (source[0] is source[0]) is in_memory
    with pytest.raises(IndexError):
        source[4]


def test_most_instances(root, cache):
    prepared = prepare_patches(root, cache=cache, progress=False)
    assert prepared.most_instances == 4
    folder = PatchFolder(root)
    file = folder.file(folder.patches[10007], "TARGET")
    target = np.load(file)
    target[1, 0, :3] = 90, 91, 92
    np.save(file, target)
    ids = folder.file(folder.patches[10007], "ParcelIDs")
    np.save(ids, target[1].astype(np.int32))
    assert prepare_patches(root, cache=cache, progress=False).most_instances == 7
    target[0] = 0
    for patch in folder.patches.values():
        np.save(folder.file(patch, "TARGET"), target)
    assert prepare_patches(root, cache=cache, progress=False).most_instances == 1


def test_stored_instances_are_those_of_records(root, cache):
    folder = PatchFolder(root)
    patch = folder.patches[10001]
    instances, zones, heatmap = folder.make_instances(folder.annotations(patch))
    renumbered = np.where(instances > 0, 5 - instances, 0)
    (root / "INSTANCE_ANNOTATIONS").mkdir()
    for name, array in (("INSTANCES", renumbered), ("ZONES", zones), ("HEATMAP", heatmap)):
        np.save(folder.file(patch, name), array)
    prepared = prepare_patches(root, cache=cache, progress=False)
    record = prepared.source([1], instances=True)[0]
    np.testing.assert_array_equal(record["instances"], renumbered)
    assert not record["instances"].flags.writeable


def test_a_copy_of_a_source_in_memory_carries_no_patch(root, cache):
    source = prepare_patches(root, cache=cache, progress=False).source([1, 2], in_memory=True)
    before = len(pickle.dumps(source))
    source[0]
    assert len(pickle.dumps(source)) == before


def test_second_use_checks_nothing(root, cache, monkeypatch):
    first = prepare_patches(root, cache=cache, progress=False)
    files = {file: file.stat().st_mtime_ns for file in cache.rglob("*")}
    assert len(files) == 1
    monkeypatch.setattr(module, "_examine", None)
    second = prepare_patches(root, modalities=["S1D"], cache=cache, progress=False)
    assert second.modalities == ("S1D",)
    assert second.lengths == {"S1D": first.lengths["S1D"]}
    assert set(second.source([1])[0]).isdisjoint({"S2", "S1A"})
    assert files == {file: file.stat().st_mtime_ns for file in cache.rglob("*")}


@pytest.mark.parametrize("what", ["array", "metadata", "annotation"])
def test_changed_folder_is_checked_anew(what, root, cache):
    prepare_patches(root, modalities=["S2"], cache=cache, progress=False)
    if what == "array":
        file = root / "DATA_S2" / "S2_10003.npy"
        np.save(file, np.load(file) + 1)
    elif what == "annotation":
        file = root / "ANNOTATIONS" / "TARGET_10003.npy"
        target = np.load(file)
        target[2] += 1
        np.save(file, target)
    else:
        factory.edit_patch(root, 0, Fold=2)
    prepared = prepare_patches(root, modalities=["S2"], cache=cache, progress=False)
    assert len(list(cache.iterdir())) == 2
    assert prepared.patches[1] == (1 if what == "metadata" else 2)


@pytest.mark.parametrize("checked_before", [False, True])
def test_computed_statistics(checked_before, root, cache):
    folder = PatchFolder(root)
    if checked_before:
        prepare_patches(root, cache=cache, progress=False)
    for file in root.glob("NORM_*"):
        file.unlink()
    prepared = prepare_patches(root, cache=cache, compute_statistics=True, progress=False)
    for modality, statistics in prepared.statistics([2, 4]).items():
        for moment, got in zip((np.mean, np.std), statistics, strict=True):
            expected = [
                np.mean(
                    [
                        moment(np.load(folder.file(p, modality)).astype("f8"), (0, 2, 3))
                        for p in folder.patches.values()
                        if p.fold == fold
                    ],
                    0,
                )
                for fold in (2, 4)
            ]
            np.testing.assert_allclose(got, np.mean(expected, 0), rtol=1e-4)


def test_nodata_does_not_count_for_statistics(root, cache):
    folder = PatchFolder(root)
    file = folder.file(folder.patches[10001], "S2")
    values = np.load(file)
    values[0, :, :8] = -10000
    np.save(file, values)
    prepared = prepare_patches(root, cache=cache, compute_statistics=True, progress=False)
    kept = np.where(values == -10000, np.nan, values.astype(float))
    other = np.load(folder.file(folder.patches[10006], "S2")).astype(float)
    expected = (np.nanmean(kept, (0, 2, 3)) + other.mean((0, 2, 3))) / 2
    np.testing.assert_allclose(prepared.statistics([1])["S2"][0], expected, rtol=1e-4)


def test_output_is_one_progress_bar(root, cache):
    code = f"""
from pastis_jax.data.patches.prepare import prepare_patches
prepare_patches({os.fspath(root)!r}, cache={os.fspath(cache)!r})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    lines = [line for line in done.stderr.replace("\r", "\n").splitlines() if line]
    assert all(line.startswith("Checking patches (once)") for line in lines)
    assert "10/10" in lines[-1]


def test_facts_are_plain_json(root, cache):
    prepare_patches(root, cache=cache, progress=False)
    (file,) = cache.iterdir()
    facts = json.loads(file.read_text())
    assert facts["size"] == [16, 18]
    assert str(root) not in file.read_text()  # a copy of the folder has the same


@pytest.mark.skipif("PASTIS_R_PATCHES" not in os.environ, reason="needs PASTIS_R_PATCHES")
def test_real_sample(cache):
    root = os.environ["PASTIS_R_PATCHES"]
    prepared, folder = prepare_patches(root, cache=cache, progress=False), PatchFolder(root)
    assert sum(prepared.patches.values()) == len(folder.patches)
    assert prepared.statistics((1, 2, 3))["S2"][0].shape == (10,)
    for patch in folder.patches.values():
        stored, annotations = folder.instances(patch), folder.annotations(patch)
        # The published numbers are those of ParcelIDs: the parcels' own numbers are a permutation.
        ours = instances_from_parcels(annotations.parcels, annotations.semantic > 0)
        pairs = np.unique(np.stack([ours.ravel(), stored.instances.ravel()]), axis=1)
        assert pairs.shape[1] == ours.max() + 1 == stored.instances.max() + 1
        heatmap, zones = centerness(stored.instances)
        np.testing.assert_allclose(stored.heatmap, heatmap, atol=1e-6)
        assert (stored.zones == zones).mean() > 0.999
    encode = PatchEncoding(
        PASTIS_R,
        prepared.lengths,
        prepared.statistics((1, 2, 3)),
        ClassMapping.of(PASTIS_R.nomenclature),
        prepared.size,
        instances=prepared.most_instances,
    )
    source = prepared.source([f for f, n in prepared.patches.items() if n], instances=True)
    for i in range(len(source)):
        target = encode(source[i], np.random.default_rng(0)).panoptic
        stored = folder.instances(folder.patches[source[i]["patch"]])
        assert target.dropped == 0
        np.testing.assert_array_equal(target.instances, stored.instances)
        np.testing.assert_allclose(target.heatmap, stored.heatmap, atol=1e-6)
        assert (stored.zones == target.zones).mean() > 0.999
