"""What was prepared is known again by a folder's content, wherever it lies and of whatever age."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import patch_factory
import pixel_set_factory
import pytest

from pastis_jax.data import dataset_file
from pastis_jax.data.cache import SAMPLED, fingerprint
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches.prepare import prepare_patches
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets


class Kind(NamedTuple):
    """One of the two layouts."""

    make: Callable
    prepare: Callable
    ids: tuple[int, ...]


KINDS = {
    "pixel sets": Kind(pixel_set_factory.make_pixel_set, prepare_pixel_sets, (10001000, 10003002)),
    "patches": Kind(patch_factory.make_patches, prepare_patches, (10001, 10003)),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def root(kind, tmp_path):
    return kind.make(tmp_path / "data")


@pytest.fixture
def prepare(kind, tmp_path):
    """Prepares a folder; returns what was prepared and the number of datasets in the cache."""

    def prepare(root, **arguments):
        prepared = kind.prepare(root, cache=tmp_path / "cache", progress=False, **arguments)
        return prepared, len(list((tmp_path / "cache").iterdir()))

    return prepare


def test_a_copy_is_known_again(root, prepare, tmp_path):
    first, _ = prepare(root)
    copy = shutil.copytree(root, tmp_path / "elsewhere" / "copy", copy_function=shutil.copyfile)
    shutil.rmtree(root)
    second, count = prepare(copy)
    assert count == 1
    assert second.fingerprint == first.fingerprint
    assert second.root == copy
    record = second.source([3])[0]
    assert len(record["S2"]["values"]) == len(record["S2"]["days"])


def test_age_does_not_count(root, prepare):
    first, _ = prepare(root)
    for file in root.rglob("*"):
        os.utime(file, ns=(0, file.stat().st_mtime_ns + 10**9))
    second, count = prepare(root)
    assert count == 1
    assert second.fingerprint == first.fingerprint


def test_stray_files_do_not_count(root, prepare):
    first, _ = prepare(root)
    for folder in (root, *(path for path in root.iterdir() if path.is_dir())):
        for name in (".DS_Store", "notes.txt", "S2_notes.txt", "S2_1.npy.part", "._S2_1.npy"):
            (folder / name).write_text("stray")
    second, count = prepare(root)
    assert count == 1
    assert second.fingerprint == first.fingerprint


def change_array(root, identifier):
    file = root / "DATA_S1A" / f"S1A_{identifier}.npy"
    values = np.load(file)
    values[:, :2] -= 1  # whose difference stays
    np.save(file, values)
    return "DATA_S1A/S1A_*"


def add_array(root, identifier):
    shutil.copyfile(root / "DATA_S2" / f"S2_{identifier}.npy", root / "DATA_S2" / "S2_more.npy")
    return "DATA_S2/S2_*"


def change_metadata(root, identifier):
    file = root / "metadata.geojson"
    file.write_text(file.read_text().replace("t31tfm", "t30uxv"))
    return "metadata.geojson"


def describe_dataset(root, identifier):
    dataset_file.write(dataclasses.replace(PASTIS_R, name="Mine"), root)
    return "dataset.json"


@pytest.mark.parametrize("change", [change_array, add_array, change_metadata, describe_dataset])
def test_changes_count(change, kind, root, prepare):
    first, _ = prepare(root)
    part = change(root, kind.ids[1])
    second, count = prepare(root)
    assert count == 2
    assert second.fingerprint.differing(first.fingerprint.parts) == [part]
    assert second.fingerprint.name != first.fingerprint.name


def test_a_removed_array_counts(kind, root, prepare):
    add_array(root, kind.ids[0])
    prepare(root)
    (root / "DATA_S2" / "S2_more.npy").unlink()
    assert prepare(root)[1] == 2


def test_only_what_is_used_counts_for_a_run(kind, root, prepare):
    """A modality that was not asked for may change, be damaged, empty or gone."""
    first, _ = prepare(root, modalities=["S2"])
    change_array(root, kind.ids[1])
    (root / "DATA_S1D" / f"S1D_{kind.ids[1]}.npy").write_bytes(b"")
    second, count = prepare(root, modalities=["S2"])
    assert count == 1
    assert second.fingerprint == first.fingerprint
    shutil.rmtree(root / "DATA_S1A")
    assert prepare(root, modalities=["S2"])[0].fingerprint == first.fingerprint


def test_what_was_prepared_with_others_serves(kind, root, prepare):
    """One modality of three that were prepared is not prepared again; two of one are."""
    every, count = prepare(root)
    for names in (["S1A"], ["S1D", "S2"]):
        some, now = prepare(root, modalities=names)
        assert now == count
        assert {*some.modalities} == {*names}
        assert some.fingerprint.name != every.fingerprint.name
        record, whole = some.source([2])[0], every.source([2])[0]
        for name in names:
            np.testing.assert_array_equal(record[name]["values"], whole[name]["values"])
    change_array(root, kind.ids[1])
    prepare(root, modalities=["S1A"])
    assert prepare(root, modalities=["S2", "S1A"])[1] == count + 2


def test_statistics_count_for_a_run_and_prepare_nothing(root, prepare):
    first, _ = prepare(root)
    (file,) = root.glob("NORM*_S1D_*.json")
    file.write_text(file.read_text().replace("-10.75", "-10.5"))
    second, count = prepare(root)
    assert count == 1
    assert second.fingerprint.differing(first.fingerprint.parts) == [file.name]


def test_the_table_of_parcels_counts(tmp_path):
    root, cache = pixel_set_factory.make_pixel_set(tmp_path / "set"), tmp_path / "cache"
    first = prepare_pixel_sets(root, cache=cache, progress=False)
    rows = pixel_set_factory.read_rows(root)
    rows[0][4] = "99"
    pixel_set_factory.write_rows(root, rows)
    second = prepare_pixel_sets(root, cache=cache, progress=False)
    assert second.path != first.path
    assert second.source([1])[0]["geometric_features"][0] == 99


@pytest.mark.parametrize("name", ["TARGET", "ParcelIDs"])
def test_annotations_count(name, tmp_path):
    root, cache = patch_factory.make_patches(tmp_path / "patches"), tmp_path / "cache"
    first = prepare_patches(root, cache=cache, progress=False)
    file = root / "ANNOTATIONS" / f"{name}_10003.npy"
    annotation = np.load(file)
    annotation[..., -1] += 1
    np.save(file, annotation)
    second = prepare_patches(root, cache=cache, progress=False)
    assert second.fingerprint.differing(first.fingerprint.parts) == [f"ANNOTATIONS/{name}_*"]
    assert len(list(cache.iterdir())) == 2


def test_stored_instances_count(tmp_path):
    root, cache = patch_factory.make_patches(tmp_path / "patches"), tmp_path / "cache"
    prepare_patches(root, cache=cache, progress=False)
    (root / "INSTANCE_ANNOTATIONS").mkdir()
    for name in ("INSTANCES", "ZONES", "HEATMAP"):
        dtype = float if name == "HEATMAP" else int
        file = root / "INSTANCE_ANNOTATIONS" / f"{name}_10003.npy"
        np.save(file, np.zeros((16, 16), dtype))
    prepare_patches(root, cache=cache, progress=False)
    assert len(list(cache.iterdir())) == 2


# Which bytes count


@pytest.fixture
def arrays(tmp_path):
    """A folder of 100 arrays."""
    (tmp_path / "many").mkdir()
    for number in range(100):
        np.save(tmp_path / "many" / f"X_{number:03}.npy", np.full(4, number))
    return tmp_path


def test_samples_are_spread_over_all_arrays(arrays):
    def name():
        return fingerprint(arrays, folders=[("many", "X")]).name

    counted = []
    for number in range(100):
        before, file = name(), arrays / "many" / f"X_{number:03}.npy"
        np.save(file, np.load(file) + 1)
        if name() != before:
            counted.append(number)
    assert len(counted) == SAMPLED
    assert set(np.diff(counted)) == {3, 4}
    assert counted[0] == 0
    assert counted[-1] >= 96


def test_all_arrays_of_a_whole_folder_count(arrays):
    before = fingerprint(arrays, whole=[("many", "X")]).name
    for number in range(100):
        file = arrays / "many" / f"X_{number:03}.npy"
        np.save(file, np.load(file) + 1)
        after = fingerprint(arrays, whole=[("many", "X")]).name
        assert after != before
        before = after


def test_beginning_and_end_of_a_large_array_count_and_all_of_a_whole_one(tmp_path):
    (tmp_path / "large").mkdir()
    file = tmp_path / "large" / "X_1.npy"
    content = np.zeros(300_000, np.uint8)

    def names(place=None):
        changed = content.copy()
        if place is not None:
            changed[place] = 1
        np.save(file, changed)
        folders = [("large", "X")]
        sampled, whole = (
            fingerprint(tmp_path, folders=folders),
            fingerprint(tmp_path, whole=folders),
        )
        assert sampled.bytes == whole.bytes == file.stat().st_size
        return sampled.name, whole.name

    sampled, whole = names()
    for place, noticed in ((0, True), (150_000, False), (-1, True)):
        other = names(place)
        assert (other[0] != sampled) is noticed
        assert other[1] != whole


# What is asked of the disk


class CountedEntry:
    """An entry of a listing that counts who asks for more than its name."""

    def __init__(self, entry, asked):
        self._entry, self._asked = entry, asked

    def __getattr__(self, name):
        if name not in ("name", "path"):
            self._asked.append(self._entry.path)
        return getattr(self._entry, name)

    def __fspath__(self):
        return self._entry.path


class CountedListing:
    """What `os.scandir` returns, of counted entries."""

    def __init__(self, entries, asked):
        self._entries, self._asked = entries, asked

    def __iter__(self):
        return (CountedEntry(entry, self._asked) for entry in self._entries)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._entries.close()


def test_a_prepared_folder_is_listed_and_not_looked_at_file_by_file(
    kind, prepare, tmp_path, monkeypatch
):
    """On a network disk, asking hundreds of thousands of files for their state takes minutes."""
    if kind.make is patch_factory.make_patches:
        root = kind.make(tmp_path / "many", patches_per_fold=20, size=(8, 8))
    else:
        root = kind.make(tmp_path / "many", parcels_per_fold=20, pixels=(1, 3))
    prepare(root)
    asked, opened = [], []

    def counting(function, names):
        def counted(path, *arguments, **keywords):
            if isinstance(path, str | os.PathLike) and os.fspath(path).startswith(str(root)):
                names.append(os.fspath(path))
            return function(path, *arguments, **keywords)

        return counted

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path=".": CountedListing(scandir(path), asked))
    monkeypatch.setattr(os, "stat", counting(os.stat, asked))
    monkeypatch.setattr(os, "lstat", counting(os.lstat, asked))
    monkeypatch.setattr(io, "open", counting(io.open, opened))
    prepare(root)
    monkeypatch.undo()

    assert [name for name in asked if name.startswith(str(root))]  # the files of metadata
    assert not [name for name in asked if name.endswith(".npy")]
    folders = [os.path.basename(os.path.dirname(name)) for name in opened if name.endswith(".npy")]
    assert {folders.count(f"DATA_{name}") for name in PASTIS_R.names} == {SAMPLED}
    # Of labels all count; of the parcels' identifiers some.
    labels = 100 + SAMPLED if kind.make is patch_factory.make_patches else 0
    assert len(folders) == 3 * SAMPLED + labels
