"""Panoptic targets in batches: what is cut out, classes, slots, whole patches as published."""

from __future__ import annotations

import json

import chex
import jax
import numpy as np
import patch_factory as factory
import pytest
from patch_records import image_record, plain

from pastis_jax.data.batches import evaluation_batches
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches.encoding import PatchEncoding
from pastis_jax.data.patches.instances import centerness
from pastis_jax.data.patches.prepare import prepare_patches
from pastis_jax.data.simulate import simulate
from pastis_jax.errors import ArgumentError


def prepare(root, cache):
    """The patches of a folder, and an encoding with slots for all their instances."""
    prepared = prepare_patches(root, cache=cache, progress=False)
    statistics = prepared.statistics((1, 2, 3))
    classes, most = ClassMapping.of(PASTIS_R.nomenclature), prepared.most_instances
    return prepared, PatchEncoding(
        PASTIS_R, prepared.lengths, statistics, classes, prepared.size, instances=most
    )


def striped(height=12, width=10):
    """A record of upright parcels with background between; the first one is void."""
    instances = np.zeros((height, width), np.int32)
    for number, column in enumerate(range(0, width, 3)):
        instances[number:, column : column + 2] = 7 - number  # against the order of columns
    semantic = np.where(instances > 0, instances + 12, 0).astype(np.uint8)
    return image_record(semantic) | {"instances": instances}


def test_targets_are_those_of_the_cut():
    record = striped()
    encode = plain((12, 10), crop=6, flips=True, turns=True, instances=5)
    counts = set()
    for seed in range(40):
        batch = encode(record, np.random.default_rng(seed))
        target = batch.panoptic
        rows, columns = np.divmod(batch.series["S2"].values[0, 0].astype(int) - 1000, 10)
        there = record["instances"][rows, columns]
        ids = np.unique(there[there > 0])
        counts.add(len(ids))
        number = np.searchsorted(ids, there) + 1
        np.testing.assert_array_equal(target.instances, np.where(there > 0, number, 0))
        np.testing.assert_array_equal(target.real, np.arange(5) < len(ids))
        np.testing.assert_array_equal(target.label[: len(ids)], ids + 12)
        assert target.dropped == 0
        heatmap, zones = centerness(target.instances)
        np.testing.assert_array_equal(target.heatmap, heatmap.astype(np.float32))
        np.testing.assert_array_equal(target.zones, zones)
        for slot in range(len(ids)):
            mask = target.instances == slot + 1
            occupied = mask.any(1).sum(), mask.any(0).sum()
            np.testing.assert_array_equal(target.size[slot], occupied)
    assert len(counts) > 1


def test_too_many_parcels_for_the_slots():
    record = striped()
    target = plain((12, 10), instances=2)(record, np.random.default_rng(0)).panoptic
    assert target.dropped == 2
    np.testing.assert_array_equal(target.label, [18, 19])  # the two largest
    np.testing.assert_array_equal(target.instances > 0, record["instances"] >= 6)
    assert set(np.unique(target.zones)) == {1, 2}


def test_a_cut_without_parcels():
    record = image_record(np.zeros((6, 6), np.uint8)) | {"instances": np.zeros((6, 6), np.int32)}
    target = plain((6, 6), instances=3)(record, np.random.default_rng(0)).panoptic
    chex.assert_trees_all_equal(target, jax.tree.map(np.zeros_like, target))
    assert target.heatmap.dtype == target.size.dtype == np.float32
    assert {x.dtype for x in (target.instances, target.zones, target.label, target.dropped)} == {
        np.dtype(np.int32)
    }


def test_targets_of_whole_patches_are_the_stored_ones(tmp_path):
    root = simulate(tmp_path / "set", parcels=1, patches=5, size=24, progress=False) / "patches"
    prepared, encode = prepare(root, tmp_path / "cache")
    source, most = prepared.source((1, 2, 3, 4, 5), instances=True), 0
    for batch in evaluation_batches(source, encode, batch_size=1):
        target = batch.panoptic
        stored = prepared.folder.instances(
            prepared.folder.patches[source.identifier(batch.number[0])]
        )
        for name in ("instances", "zones", "heatmap"):
            np.testing.assert_array_equal(getattr(target, name)[0], getattr(stored, name))
        most = max(most, target.real.sum())
    assert most == prepared.most_instances > 5


def test_classes_of_instances(tmp_path):
    (tmp_path / "classes.json").write_text(json.dumps({"Void": [16, 17], "Crop": [18, 1]}))
    classes = ClassMapping.read(tmp_path / "classes.json", PASTIS_R.nomenclature)
    target = plain((12, 10), instances=4, classes=classes)(striped(), np.random.default_rng(0))
    void, crop = classes.void, classes.names.index("Crop")
    np.testing.assert_array_equal(target.panoptic.label, [void, void, crop, void])


@pytest.mark.parametrize("groups", [{"Land": [0, 1]}, {"Void": ["Background"]}])
def test_background_must_be_a_class_of_its_own(groups, tmp_path):
    (tmp_path / "classes.json").write_text(json.dumps(groups))
    classes = ClassMapping.read(tmp_path / "classes.json", PASTIS_R.nomenclature)
    plain((4, 4), classes=classes)
    with pytest.raises(
        ArgumentError, match=r"^`class_mapping`: parcels cannot be told from the backg"
    ):
        plain((4, 4), classes=classes, instances=3)
    with pytest.raises(ValueError, match="at least 1 slot"):
        plain((4, 4), instances=0)


def test_semantic_batches_have_no_targets():
    assert plain((12, 10))(striped(), np.random.default_rng(0)).panoptic is None


def test_samples_that_fill_up_have_no_instance(tmp_path):
    root = factory.make_patches(tmp_path / "patches", patches_per_fold=3)
    prepared, encode = prepare(root, tmp_path / "cache")
    source = prepared.source((1,), instances=True)
    batches = list(evaluation_batches(source, encode, batch_size=2))
    panoptic = [batch.panoptic for batch in batches]
    np.testing.assert_array_equal(panoptic[-1].real.sum(1), [4, 0])
    chex.assert_trees_all_equal_shapes_and_dtypes(*panoptic)
