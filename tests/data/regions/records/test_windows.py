"""Windows of a Region as patches: regular ones, and those that lie anywhere."""

from __future__ import annotations

import dataclasses
import json
import pickle

import numpy as np
import pytest
import region_factory as factory

from pastis_jax.data.assignment import Assignment
from pastis_jax.data.batches import training_batches
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.patches.encoding import PatchEncoding
from pastis_jax.data.patches.prepare import prepare_patches
from pastis_jax.data.regions.records.labels import Window
from pastis_jax.data.regions.records.random_windows import RandomWindows
from pastis_jax.data.regions.records.windows import RegionWindows, tiles
from pastis_jax.errors import ArgumentError

VOID = 19


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("region") / "R"
    return root, factory.make_region(root)


@pytest.fixture(scope="module")
def prepared(made, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return prepare_patches(made[0], cache=cache, progress=False)


def expected_labels(truth, rows, columns, folds):
    """Labels where `folds` see them: folds are columns of chunks."""
    numbers = truth["numbers"][rows, columns]
    pixels = np.arange(400)[columns][None] // 128 % 3
    label = np.append(0, truth["label"])[numbers]
    fold = np.append(-1, truth["fold"])[numbers]
    seen = np.isin(pixels, folds) & ((numbers == 0) | np.isin(fold, folds))
    return np.where(seen, label, VOID)


@pytest.mark.parametrize(
    ("shape", "size"), [((300, 400), (128, 128)), ((128, 64), (64, 64)), ((65, 65), (64, 64))]
)
def test_tiles_hold_each_pixel_once(shape, size):
    counts = np.zeros(shape, int)
    for _, window in tiles(shape, size):
        assert window.rows.stop - window.rows.start == size[0]
        assert window.rows.start >= 0
        assert window.rows.stop <= shape[0]
        counts[window.own] += 1
    assert (counts == 1).all()


def test_regular_windows(made, prepared):
    _, truth = made
    folder, seen = prepared.folder, np.zeros((300, 400), int)
    for patch in folder.patches.values():
        window = folder.window(patch)
        series, annotations = folder.check(patch)
        for name, (values, days) in series.items():
            dates = folder.dates(name, window)
            assert days.tolist() == [factory.DAYS[name][t] for t in dates]
            stored = truth[name][dates][:, :, window.rows, window.columns]
            assert np.array_equal(values, stored, equal_nan=True)
        position = (1, 2, 3).index(patch.fold)
        labels = expected_labels(truth, window.rows, window.columns, [position])
        labels[: window.covered[0]] = labels[:, : window.covered[1]] = VOID
        assert np.array_equal(annotations.semantic, labels)
        known = labels != VOID
        numbers = truth["numbers"][window.rows, window.columns]
        assert np.array_equal(annotations.parcel_ids, np.where(known, numbers, 0))
        assert annotations.parcels.max() == len(np.unique(annotations.parcel_ids)) - 1
        seen[window.rows, window.columns] += known
    assert seen.max() == 1
    everywhere = sum(
        expected_labels(truth, slice(0, 300), slice(0, 400), [f]) != VOID for f in range(3)
    )
    assert np.array_equal(seen, everywhere)


def test_a_window_of_two_folds_is_a_patch_of_each(made):
    folder = RegionWindows(made[0], window=100)
    assert {"r0000c0001_1", "r0000c0001_2", "r0000c0000"} <= folder.patches.keys()


def test_days_of_a_window_are_those_that_observed_it(made):
    folder = RegionWindows(made[0], ["S1A"])
    days = {patch.id[5:10]: patch.days["S1A"].tolist() for patch in folder.patches.values()}
    assert days["c0000"] == [100]
    assert days["c0002"] == [5, 100, 210]


def test_series_are_read_date_by_date(made):
    root, truth = made
    folder = RegionWindows(root, ["S2"])
    (values, _) = folder.series(folder.patches["r0001c0001"])["S2"]
    stored = truth["S2"][:, :, 128:256, 128:256]
    assert np.array_equal(values[2], stored[2])
    assert np.array_equal(values[-1], stored[-1])
    assert np.array_equal([*values.parts([3, 0])], stored[[3, 0]])
    assert np.array_equal(np.asarray(values), stored)


def test_clouded_acquisitions_are_missing(made):
    root, truth = made
    folder = RegionWindows(root, ["S2"], max_cloud=0.5)
    stored = folder.series(folder.patches["r0000c0000"])["S2"][0]
    values = np.asarray(stored)
    assert (values[0] == -10000).all()
    assert np.array_equal(values[1:], truth["S2"][1:, :, :128, :128])
    assert np.array_equal([*stored.parts([2, 0])], values[[2, 0]])
    assert folder.identity().differing(RegionWindows(root, ["S2"]).identity().parts)


def encoding(prepared, source, **options):
    lengths = {m: max(n, int(source.dates[m].max())) for m, n in prepared.lengths.items()}
    shared = {
        "dataset": prepared.dataset,
        "lengths": lengths,
        "statistics": prepared.statistics([1, 2]),
        "classes": ClassMapping.of(prepared.dataset.nomenclature),
        "size": prepared.size,
    }
    return PatchEncoding(**shared | options)


@pytest.mark.parametrize("crop", [None, 32])
def test_drawn_windows(made, prepared, crop):
    _, truth = made
    source = prepared.training_source([1, 2], crop=crop, instances=True)
    assert isinstance(source, RandomWindows)
    origins, train = set(), np.zeros((300, 400), int)
    for number in range(len(source)):
        for seed in range(20):
            record = source.draw(number, np.random.default_rng(seed))
            numbers = record["S2"]["values"]
            rows, columns = numbers._rows, numbers._columns
            origins.add((rows.start, columns.start))
            train[rows, columns] += 1
            labels = expected_labels(truth, rows, columns, [0, 1])
            assert np.array_equal(record["semantic"], labels)
            assert (labels != VOID).any()
            assert record["instances"].max() <= source.most_instances
            for name, dates in source.dates.items():
                assert len(record[name]["days"]) <= dates[number]
    assert len(origins) > 10 * len(source)
    assert (train[:, :256] > 0).mean() > (0.99 if crop is None else 0.6)


def test_what_is_drawn_follows_from_the_generator(made, prepared):
    source = prepared.training_source([1, 2])
    encode = encoding(prepared, source, crop=None)
    one, same, other = (encode(source[0], np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.series["S2"].values, same.series["S2"].values)
    assert not np.array_equal(one.label, other.label)
    again = pickle.loads(pickle.dumps(source))
    assert np.array_equal(encode(again[0], np.random.default_rng(1)).label, one.label)


def test_evaluation_of_drawn_windows_is_of_the_regular_ones(made, prepared):
    _, truth = made
    source = prepared.training_source([1, 2], crop=32)
    encode = encoding(prepared, source, crop=32).for_evaluation()
    batch = encode(source[0], np.random.default_rng(0))
    labels = expected_labels(truth, slice(0, 128), slice(0, 128), [0, 1])
    assert np.array_equal(batch.label, encode.classes.lookup[labels])


def test_nothing_is_drawn_of_what_was_left_out(made, prepared):
    folder = prepared.folder
    source = RandomWindows(folder, [1, 2], (64, 64), avoided=["r0000c0001"])
    names = [source.identifier(i) for i in range(len(source))]
    assert "r0000c0001" not in names
    for seed in range(30):
        record = source.draw(names.index("r0000c0000"), np.random.default_rng(seed))
        values = record["S2"]["values"]
        assert values._rows.start >= 128 or values._columns.stop <= 128


def test_classes_without_void_are_refused(made, tmp_path):
    root, _ = made
    folder = RegionWindows(root)
    nomenclature = dataclasses.replace(folder.dataset.nomenclature, void=None)
    dataset = dataclasses.replace(folder.dataset, nomenclature=nomenclature)
    with pytest.raises(Exception, match="its classes have no void, which windows need"):
        RegionWindows(root, dataset=dataset)


def test_a_region_is_not_kept_in_memory(prepared):
    with pytest.raises(ArgumentError, match="windows of a Region are drawn anew"):
        prepared.training_source([1, 2], in_memory=True)


def test_covered_pixels_are_void(made):
    folder = RegionWindows(made[0])
    found = folder.labels.read(Window(slice(0, 64), slice(0, 64), (10, 20)), [0])
    assert (found.semantic[:10] == VOID).all()
    assert (found.semantic[:, :20] == VOID).all()


def test_centres_are_learned_where_parcels_are_known(made, prepared):
    """Beside the train folds lie parcels that nobody may learn of, nor that there are none."""
    source = prepared.training_source([1, 2], instances=True)
    encode = encoding(prepared, source, instances=source.most_instances)
    for seed in range(30):
        batch = encode(source[1], np.random.default_rng(seed))
        heatmap = batch.panoptic.heatmap
        weight = (1 - heatmap) ** 4
        unknown = (batch.label == encode.classes.void) & (batch.panoptic.instances == 0)
        assert (weight[unknown] < 1e-20).all()
        assert (heatmap == 1).sum() <= batch.panoptic.real.sum()
        if unknown.any() and not unknown.all():
            assert weight[~unknown].max() > 0.5
            return
    raise AssertionError("no window was drawn across the border of a fold")


def test_lists_take_the_place_of_folds(made, tmp_path):
    root, _ = made
    names = [*RegionWindows(root).patches]
    file = tmp_path / "lists.json"
    lists = {"train": names[:3], "val": names[3:4], "test": names[4:5]}
    file.write_text(json.dumps(lists))
    lists = Assignment.read(file)
    prepared = prepare_patches(root, assignment=lists, cache=tmp_path, progress=False)
    assert prepared.patches == {"train": 3, "val": 1, "test": 1}
    # What is in no list is not drawn either.
    source = prepared.training_source(["train"])
    assert [source.identifier(i) for i in range(len(source))] == names[:3]
    labels = RegionWindows(root).annotations(RegionWindows(root).patches[names[4]]).semantic
    assert np.array_equal(prepared.source(["test"])[0]["semantic"], labels)


def test_batches_go_on_where_they_stopped(prepared):
    source = prepared.training_source([1, 2], crop=32)
    encode = encoding(prepared, source, crop=32)

    def batches():
        return training_batches(source, encode, batch_size=2, seed=3)

    first, second = batches(), batches()
    whole = [next(first).label for _ in range(4)]
    assert [np.array_equal(next(second).label, whole[i]) for i in range(2)] == [True, True]
    state, third = second.get_state(), batches()
    third.set_state(state)
    assert [np.array_equal(next(third).label, whole[i]) for i in (2, 3)] == [True, True]
    assert not np.array_equal(whole[0], whole[3])
