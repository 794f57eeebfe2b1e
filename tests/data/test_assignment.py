"""Lists of samples in place of folds: who is in which split, and what statistics come from."""

from __future__ import annotations

import json
import os

import numpy as np
import patch_factory
import pixel_set_factory
import pytest
import refusal

from pastis_jax.data.assignment import Assignment
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches.prepare import prepare_patches
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets
from pastis_jax.errors import DataError

PARCELS = {
    "train": [10005001, 10001000, 10003001, 10002002],
    "val": [10002001, 10001001],
    "test": [10004000],
}
"""Across the folds and within patches, and not in the order of the table; 10003001 is void."""
PATCHES = {"train": [10009, 10001, 10002], "val": [10003], "test": [10008, 10004]}


@pytest.fixture
def lists(tmp_path):
    """Writes lists and reads them as an assignment."""

    def lists(content):
        file = tmp_path / "lists.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return Assignment.read(file)

    return lists


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def pixel_sets(tmp_path):
    return pixel_set_factory.make_pixel_set(tmp_path / "set")


@pytest.fixture
def patches(tmp_path):
    return patch_factory.make_patches(tmp_path / "patches", patches_per_fold=2)


def expected_statistics(files, axes):
    """Mean and deviation over `files` of each one's mean and deviation."""
    series = [np.load(file).astype("f8") for file in files]
    return np.mean([s.mean(axes) for s in series], 0), np.mean([s.std(axes) for s in series], 0)


def identifiers(source):
    return [source.identifier(number) for number in range(len(source))]


def test_parcels(pixel_sets, cache, lists):
    prepared = prepare_pixel_sets(
        pixel_sets, cache=cache, assignment=lists(PARCELS), progress=False
    )
    assert prepared.dataset.folds == ("train", "val", "test")
    assert prepared.dataset.split() == {name: (name,) for name in ("train", "val", "test")}
    assert prepared.dataset.runs == 1
    labels = {int(row[0]): int(row[2]) for row in pixel_set_factory.read_rows(pixel_sets)}
    assert labels[10003001] == 19
    for name, ids in PARCELS.items():
        source = prepared.source((name,))
        crops = sorted({*ids} - {10003001})
        assert identifiers(source) == crops  # the table is sorted
        assert [source[i]["parcel"] for i in range(len(source))] == crops
        assert prepared.counts[name] == {
            label: sum(labels[parcel] == label for parcel in ids)
            for label in {labels[parcel] for parcel in ids}
        }


def test_patches(patches, cache, lists):
    prepared = prepare_patches(patches, cache=cache, assignment=lists(PATCHES), progress=False)
    assert prepared.dataset.folds == ("train", "val", "test")
    assert prepared.dataset.split() == {name: (name,) for name in ("train", "val", "test")}
    assert prepared.patches == {"train": 3, "val": 1, "test": 2}
    assert set(prepared.folder.patches) == {patch for ids in PATCHES.values() for patch in ids}
    for name, ids in PATCHES.items():
        source = prepared.source((name,))
        assert identifiers(source) == sorted(ids)  # in the order of the metadata
        labels = np.concatenate([source[i]["semantic"].ravel() for i in range(len(ids))])
        counts = dict(zip(*np.unique(labels, return_counts=True), strict=True))
        assert prepared.counts[name] == counts
    assert prepared.lengths["S2"] == max(
        len(patch.days["S2"]) for patch in prepared.folder.patches.values()
    )


def test_statistics_of_parcels_come_from_the_train_list_alone(pixel_sets, cache, lists):
    """Also where files of published ones are there: these know nothing of the lists."""
    prepared = prepare_pixel_sets(
        pixel_sets, cache=cache, assignment=lists(PARCELS), progress=False
    )
    for modality, (mean, std) in prepared.statistics(("train",)).items():
        folder = pixel_sets / f"DATA_{modality}"
        files = [
            folder / f"{modality}_{parcel}.npy" for parcel in PARCELS["train"] if parcel != 10003001
        ]
        expected = expected_statistics(files, (0, 2))
        np.testing.assert_allclose(mean, expected[0], rtol=1e-4)
        np.testing.assert_allclose(std, expected[1], rtol=1e-4)
    assert not [part for part in prepared.fingerprint.parts if part.startswith("NORM")]


def test_statistics_of_patches_come_from_the_train_list_alone(patches, cache, lists):
    prepared = prepare_patches(patches, cache=cache, assignment=lists(PATCHES), progress=False)
    for modality, (mean, std) in prepared.statistics(("train",)).items():
        folder = patches / f"DATA_{modality}"
        files = [folder / f"{modality}_{patch}.npy" for patch in PATCHES["train"]]
        expected = expected_statistics(files, (0, 2, 3))
        np.testing.assert_allclose(mean, expected[0], rtol=1e-4)
        np.testing.assert_allclose(std, expected[1], rtol=1e-4)
    assert not [part for part in prepared.fingerprint.parts if part.startswith("NORM")]


def test_the_order_in_a_list_does_not_count(pixel_sets, cache, lists):
    def prepare(content):
        assignment = lists(content)
        return prepare_pixel_sets(pixel_sets, cache=cache, assignment=assignment, progress=False)

    first = prepare(PARCELS)
    again = prepare({name: [*map(str, ids[::-1])] for name, ids in PARCELS.items()})
    assert (again.path, again.fingerprint) == (first.path, first.fingerprint)
    moved = prepare(PARCELS | {"val": PARCELS["val"][:1], "test": [10004000, 10001001]})
    assert moved.path != first.path
    assert moved.fingerprint.differing(first.fingerprint.parts) == ["lists of samples"]
    assert identifiers(moved.source(("test",))) == [10001001, 10004000]


def test_lists_and_folds_lie_side_by_side(patches, cache, lists):
    folds = prepare_patches(patches, cache=cache, progress=False)
    listed = prepare_patches(patches, cache=cache, assignment=lists(PATCHES), progress=False)
    again = prepare_patches(patches, cache=cache, progress=False)
    assert folds.patches == again.patches == dict.fromkeys(range(1, 6), 2)
    assert listed.fingerprint.differing(again.fingerprint.parts)[-1] == "lists of samples"


def test_what_is_left_out_is_not_even_read(patches, cache, lists):
    """A broken patch can be left out."""
    (patches / "DATA_S2" / "S2_10010.npy").write_text("no array")
    (patches / "DATA_S1A" / "S1A_10005.npy").unlink()
    prepared = prepare_patches(patches, cache=cache, assignment=lists(PATCHES), progress=False)
    assert sum(prepared.patches.values()) == 6


@pytest.mark.parametrize("prepare", [prepare_pixel_sets, prepare_patches])
def test_unknown_samples(prepare, pixel_sets, patches, tmp_path, lists):
    root, samples, content = (
        (pixel_sets, "parcels", PARCELS)
        if prepare is prepare_pixel_sets
        else (patches, "patches", PATCHES)
    )
    content = content | {"val": [77, *content["val"], "field-3"]}
    refusal.refused(
        prepare,
        root,
        tmp_path,
        assignment=lists(content),
        match=f"2 of its {samples} are not in the data, 77 first; correct the lists",
        names=os.fspath(tmp_path / "lists.json"),
    )


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "not a JSON file"),
        ("{", "not a JSON file"),
        ([[1], [2], [3]], "not an object of train, val, test"),
        ({"train": [1], "val": [2]}, "not an object of train, val, test"),
        ({"train": [1], "val": [2], "test": [3], "more": [4]}, "not an object of train, val, test"),
        ({"train": [1], "val": 2, "test": [3]}, "val is not a list of samples"),
        ({"train": [1], "val": "2", "test": [3]}, "val is not a list of samples"),
        ({"train": [1], "val": [], "test": [3]}, "val is not a list of samples"),
        ({"train": [1], "val": [True], "test": [3]}, "val: True is no identifier"),
        ({"train": [1], "val": [None], "test": [3]}, "val: None is no identifier"),
        ({"train": [1], "val": [[2]], "test": [3]}, "is no identifier"),
        ({"train": [1], "val": [2.5], "test": [3]}, "'2.5' is no identifier"),
        ({"train": [1], "val": ["a/b"], "test": [3]}, "'a/b' is no identifier"),
        ({"train": [1], "val": [2**63], "test": [3]}, "beyond 64 bits"),
        ({"train": [1], "val": [2], "test": [3, 1]}, "1 is in train and in test; leave it in one"),
        ({"train": [1], "val": [2], "test": ["2.0"]}, "2 is in val and in test; leave it in one"),
        ({"train": [1, "1.0"], "val": [2], "test": [3]}, "1 is in train and in train"),
        ('{"train": [1], "train": [2], "val": [3], "test": [4]}', '"train" occurs twice'),
        ({"train": ["a"], "val": ["a"], "test": ["b"]}, "a is in train and in val"),
    ],
)
def test_lists_of_another_form(content, match, lists):
    with pytest.raises(DataError, match=match) as caught:
        lists(content)
    assert "lists.json: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(DataError, match=r"nowhere.json: file not found; write {.train"):
        Assignment.read(tmp_path / "nowhere.json")


def test_other_facts_of_the_dataset_stay(lists):
    dataset = lists(PARCELS).dataset(PASTIS_R)
    assert dataset.nomenclature == PASTIS_R.nomenclature
    assert dataset.modalities == PASTIS_R.modalities
    assert dataset.season_start == PASTIS_R.season_start
