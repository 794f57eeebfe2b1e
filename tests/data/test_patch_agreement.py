"""Annotations that contradict each other: what refuses them, what tells of them."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil

import numpy as np
import patch_factory as factory
import pytest

from pastis_jax.cli.instances import write_instances
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.inspection import inspect_data
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches.agreement import (
    ParcelFolds,
    SharedParcels,
    contradictions,
    tell_shared,
)
from pastis_jax.data.patches.encoding import PatchEncoding
from pastis_jax.data.patches.folder import PatchFolder
from pastis_jax.data.patches.prepare import prepare_patches
from pastis_jax.errors import DataError

PATCH, OTHER = 10003, 10001
FOLDS = {"train": (1, 2, 3), "val": (4,), "test": (5,)}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    root = factory.make_patches(tmp_path_factory.mktemp("sound") / "patches")
    for number, patch in enumerate(sorted(PatchFolder(root).patches)):  # no two patches alike
        for name in ("TARGET", "ParcelIDs"):
            file = root / "ANNOTATIONS" / f"{name}_{patch}.npy"
            values = np.roll(np.load(file), number, -1)
            if name == "ParcelIDs":
                values = np.where(values, values.astype(np.int64) + 2**32 * number, 0)
            np.save(file, values)
    write_instances(root, overwrite=False, progress=False)
    return root


@pytest.fixture
def root(sound, tmp_path):
    return pathlib.Path(shutil.copytree(sound, tmp_path / "patches"))


def prepared(root, tmp_path):
    return prepare_patches(root, cache=tmp_path / "cache", progress=False)


def file_of(root, name, patch=PATCH):
    folder = "ANNOTATIONS" if name in ("TARGET", "ParcelIDs") else "INSTANCE_ANNOTATIONS"
    return root / folder / f"{name}_{patch}.npy"


def change(root, name, function, patch=PATCH):
    file = file_of(root, name, patch)
    np.save(file, function(np.load(file)))


def swap(root, name):
    first, second = (file_of(root, name, patch) for patch in (PATCH, OTHER))
    a, b = np.load(first), np.load(second)
    np.save(first, b), np.save(second, a)


def without(root, *names):
    for name in names:
        for file in root.glob(f"*/{name}_*.npy"):
            file.unlink()


def two_labels(target):
    row, column = np.argwhere(target[1] == 1)[0]
    target[0, row, column] = 1 if target[0, row, column] != 1 else 2
    return target


def merged(values):
    """The first two parcels as one."""
    first, second = np.unique(values[values > 0])[:2]
    return np.where(values == second, first, values)


def number_lost(target):
    row, column = np.argwhere(target[1] == 1)[0]
    target[1, row, column] = 0
    return target


CASES = {
    "a parcel with two labels": (
        lambda root: change(root, "TARGET", two_labels),
        ("TARGET_10003.npy", "1 of 3 parcels of TARGET have several labels, the first is 1: "),
    ),
    "a crop pixel of no parcel": (
        lambda root: change(root, "TARGET", number_lost),
        ("TARGET_10003.npy", "1 of 126 crop pixels are of none of the parcels of TARGET"),
    ),
    "TARGET swapped": (lambda root: swap(root, "TARGET"), ("ParcelIDs_1000", "(2 of 5 patches")),
    "INSTANCES swapped": (
        lambda root: swap(root, "INSTANCES"),
        ("INSTANCES_10001.npy", "crop pixels are of none of the instances", "(2 of 5 patches"),
    ),
    "INSTANCES all 0": (
        lambda root: change(root, "INSTANCES", np.zeros_like),
        ("INSTANCES_10003.npy", "126 of 126 crop pixels are of none of the instances"),
    ),
    "INSTANCES all 1": (
        lambda root: change(root, "INSTANCES", np.ones_like),
        ("INSTANCES_10003.npy", "1 of 1 instances have several labels"),
    ),
    "INSTANCES coarser": (
        lambda root: change(root, "INSTANCES", merged),
        (
            "INSTANCES_10003.npy",
            "1 of 3 instances hold several parcels of TARGET",
        ),
    ),
    "INSTANCES finer": (
        lambda root: change(root, "INSTANCES", lambda a: a + 50 * (a > 0) * (np.arange(16) % 2)),
        ("INSTANCES_10003.npy", "4 of 4 parcels of TARGET hold several instances"),
    ),
    "INSTANCES on background": (
        lambda root: change(root, "INSTANCES", lambda a: np.where(a == 0, a.max() + 1, a)),
        ("INSTANCES_10003.npy", "pixels of instances are background"),
    ),
    "ZONES of no instance": (
        lambda root: change(root, "ZONES", lambda a: a + 70),
        ("ZONES_10003.npy", "4 numbers are of no instance, 71 the first"),
    ),
    "ParcelIDs all 0": (
        lambda root: change(root, "ParcelIDs", np.zeros_like),
        ("ParcelIDs_10003.npy", "126 of 126 crop pixels are of none of the parcels of ParcelIDs"),
    ),
    "ParcelIDs coarser": (
        lambda root: change(root, "ParcelIDs", merged),
        ("ParcelIDs_10003.npy", "1 of 3 parcels of ParcelIDs hold several parcels of TARGET"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_contradictions_refuse_panoptic_runs_alone(case, root, tmp_path):
    spoil, words = CASES[case]
    spoil(root)
    data = prepared(root, tmp_path)  # semantic runs go on
    data.source([1, 3])
    notes = data.notes(FOLDS)
    with pytest.raises(DataError) as caught:
        data.source([1, 3], instances=True)
    of_all = str(caught.value).replace(" of 2 patches", " of 5 patches")
    assert notes == (of_all,)
    for word in words:
        assert word in notes[0]
    assert "\n" not in notes[0]
    findings = [one.text for one in inspect_data(root, progress=False).findings if one.damage]
    told = notes[0].split(" (")[0]
    assert any(text.startswith(told) for text in findings)


def test_all_contradictions_are_listed(root):
    change(root, "TARGET", number_lost)
    change(root, "TARGET", number_lost, OTHER)
    change(root, "INSTANCES", np.zeros_like)
    texts = [one.text for one in inspect_data(root, progress=False).findings if one.damage]
    names = [pathlib.Path(text.split(":")[0]).name for text in texts]
    assert names == ["TARGET_10001.npy", "TARGET_10003.npy", "INSTANCES_10003.npy"]


def test_sound_annotations_are_told_of_in_no_way(root, tmp_path):
    data = prepared(root, tmp_path)
    data.source([1, 2, 3, 4, 5], instances=True)
    assert data.contradictions == {}
    assert data.notes(FOLDS) == ()
    assert not any("parcel" in one.text for one in inspect_data(root, progress=False).findings)


@pytest.mark.parametrize("numbered", ["TARGET", "ParcelIDs", "INSTANCES"])
def test_numbers_in_one_file_are_enough(numbered, root, tmp_path):
    if numbered != "TARGET":
        for patch in PatchFolder(root).patches:
            change(root, "TARGET", lambda a: np.stack([a[0], 0 * a[1], a[2]]), patch)
    without(root, *({"ParcelIDs", "INSTANCES"} - {numbered}))
    data = prepared(root, tmp_path)
    assert data.most_instances == 4
    assert data.source([1], instances=True)[0]["instances"].max() == 4


def test_without_parcels_only_semantic_runs_go_on(root, tmp_path):
    for patch in PatchFolder(root).patches:
        change(root, "TARGET", lambda a: np.stack([a[0], 0 * a[1], a[2]]), patch)
    without(root, "ParcelIDs", "INSTANCES")
    data = prepared(root, tmp_path)
    assert data.notes(FOLDS) == ()
    match = "TARGET_10001.npy: its 1.. crop pixels are of no parcel, and there is no ParcelIDs"
    with pytest.raises(DataError, match=match):
        data.source([1, 2], instances=True)
    with pytest.raises(DataError, match=match):
        write_instances(root, overwrite=True, progress=False)
    looked = inspect_data(root, progress=False)
    assert not looked.damaged
    assert any("5 patches have crops and no parcel" in one.text for one in looked.findings)


def test_void_and_background_are_apart(root, tmp_path):
    """Void pixels in a parcel or in none, parcels that are background: real data have the last."""

    def some_void(target):
        rows, columns = np.nonzero(target[1] == 1)
        target[0, rows[-3:], columns[-3:]] = 19  # in a parcel of a crop
        target[:2, -1, -1] = 19, 0  # of no parcel
        target[:2, -1, 0] = 0, 77  # a parcel that is background
        return target

    change(root, "TARGET", some_void)
    without(root, "ParcelIDs", "INSTANCES")
    data = prepared(root, tmp_path)
    record = data.source([3], instances=True)[0]
    encode = PatchEncoding(
        PASTIS_R,
        data.lengths,
        data.statistics((1, 2, 3)),
        ClassMapping.of(PASTIS_R.nomenclature),
        data.size,
        instances=data.most_instances,
    )
    target = encode(record, np.random.default_rng(0)).panoptic
    assert target.instances[-1, -1] == 0
    labels = np.load(file_of(root, "TARGET"))
    first = target.instances[labels[1] == 1]
    assert len(set(first.tolist())) == 1
    crop = set(labels[0][labels[1] == 1].tolist()) - {19}
    assert {int(target.label[first[0] - 1])} == crop  # its crop, not its void pixels


def test_instances_beyond_32_bits_are_refused(root, tmp_path):
    for number in (2**31, 2**32 + 1):
        change(root, "INSTANCES", lambda a, number=number: np.where(a == 1, number, a))
        match = (
            f"INSTANCES_10003.npy: instance {number} is beyond 32 bits: they are numbered from 1; "
        )
        with pytest.raises(DataError, match=match):
            prepared(root, tmp_path)
        change(root, "INSTANCES", lambda a, number=number: np.where(a == number, 1, a))


# Parcels of several folds


def test_parcels_of_several_folds_are_named(root, tmp_path):
    ids = np.load(file_of(root, "ParcelIDs", 10001))
    for patch in (10003, 10004):  # of folds 3 and 4
        target = np.load(file_of(root, "TARGET", 10001))
        np.save(file_of(root, "TARGET", patch), target)
        np.save(file_of(root, "ParcelIDs", patch), ids)
        np.save(file_of(root, "INSTANCES", patch), np.load(file_of(root, "INSTANCES", 10001)))
        np.save(file_of(root, "ZONES", patch), np.load(file_of(root, "ZONES", 10001)))
    data = prepared(root, tmp_path)
    (note,) = data.notes(FOLDS)
    void = ids[np.load(file_of(root, "TARGET", 10001))[0] == 19][0]
    named = ", ".join(str(i) for i in np.unique(ids[(ids > 0) & (ids != void)]))
    assert note.startswith(f"3 parcels of ParcelIDs ({named}) have crop pixels in patches of train")
    assert data.notes({"train": (1, 3, 4), "val": (2,), "test": (5,)}) == ()
    texts = [one.text for one in inspect_data(root, progress=False).findings if not one.damage]
    assert any(named in text and "of several folds" in text for text in texts)


def test_parcels_are_counted_once():
    parcels = ParcelFolds(["a", "b", "c"])
    for fold, ids in (("a", [1, 2, 3, 9]), ("b", [2, 3, 4]), ("a", [3]), ("c", [3, 9])):
        parcels.add(np.array(ids), fold)
    assert parcels.shared() == [
        SharedParcels(("a", "b"), 1, (2,)),
        SharedParcels(("a", "c"), 1, (9,)),
        SharedParcels(("a", "b", "c"), 1, (3,)),
    ]
    assert tell_shared(parcels.shared(), "x").startswith("3 parcels of ParcelIDs (2, 3, 9) have")
    assert tell_shared([], "x") is None


def test_numbers_within_patches_accuse_of_nothing(root, tmp_path):
    """They recur in every patch, where parcels lie in one and few of them in a second."""
    for patch in PatchFolder(root).patches:
        parcels = np.load(file_of(root, "TARGET", patch))[1]
        np.save(file_of(root, "ParcelIDs", patch), parcels.astype(np.int32))
    data = prepared(root, tmp_path)
    (note,) = data.notes(FOLDS)
    assert note.startswith("a number of ParcelIDs lies in 5.0 patches on average: numbered within")
    assert prepared(root, tmp_path).notes(FOLDS) == (note,)  # read again
    texts = [one.text for one in inspect_data(root, progress=False).findings]
    assert not any("have crop pixels in patches of" in text for text in texts)


@pytest.mark.parametrize("background", [0, None])
def test_without_parcels_nothing_contradicts_itself(background):
    nomenclature = dataclasses.replace(PASTIS_R.nomenclature, background=background)
    semantic, none = np.array([[1, 1, 2], [2, 3, 19]]), np.zeros((2, 3), np.int64)
    (found,) = contradictions(semantic, {"TARGET": none}, nomenclature)
    assert found.absent
    assert found.fault.startswith("its 5 crop pixels are of no parcel, and there is no ParcelIDs")
    ids = np.array([[7, 7, 8], [8, 9, 10]])
    assert list(contradictions(semantic, {"TARGET": none, "ParcelIDs": ids}, nomenclature)) == []
    (wrong,) = contradictions(semantic, {"TARGET": ids // 9}, nomenclature)
    assert not wrong.absent


@pytest.mark.skipif("PASTIS_R_PATCHES" not in os.environ, reason="needs PASTIS_R_PATCHES")
def test_real_annotations_agree(tmp_path):
    root = pathlib.Path(os.environ["PASTIS_R_PATCHES"])
    folder = PatchFolder(root)
    for patch in folder.patches.values():
        assert folder.has_instances(patch)
        assert folder.contradictions(patch, folder.annotations(patch)) == []
