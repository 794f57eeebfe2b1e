"""From patches to batches: what is cut, turned, filled, masked, normalised, and how often."""

from __future__ import annotations

import dataclasses
import itertools
import json

import chex
import jax
import numpy as np
import patch_factory as factory
import pytest
from patch_records import image_record, normalised, plain

from pastis_jax.data.batches import evaluation_batches, training_batches
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.patches.capacity import frame_capacity
from pastis_jax.data.patches.encoding import PatchEncoding
from pastis_jax.data.patches.prepare import prepare_patches
from pastis_jax.errors import ArgumentError
from pastis_jax.temporal_dropout import drop_dates


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patches")
    root = factory.make_patches(folder / "patches", patches_per_fold=3)
    return prepare_patches(root, cache=folder / "cache", progress=False)


@pytest.fixture(scope="module")
def encode(prepared):
    statistics, classes = prepared.statistics((1, 2, 3)), ClassMapping.of(PASTIS_R.nomenclature)
    return PatchEncoding(PASTIS_R, prepared.lengths, statistics, classes, prepared.size)


def test_whole_patch(prepared, encode):
    source = prepared.source((1,))
    for i in range(len(source)):
        record, batch = source[i], normalised(encode(source[i], np.random.default_rng(0)))
        assert batch.number == record["number"] == i
        assert source.identifier(i) == record["patch"]
        assert batch.label.dtype == batch.number.dtype == np.int32
        np.testing.assert_array_equal(batch.label, record["semantic"])
        for modality, one in batch.series.items():
            values, days = record[modality]["values"], record[modality]["days"]
            t, c, h, w = values.shape
            mean, std = encode.statistics[modality]
            assert one.values.shape == (prepared.lengths[modality], h, w, c)
            assert one.values.dtype == np.float32
            expected = (values.transpose(0, 2, 3, 1) - mean) / std
            np.testing.assert_allclose(one.values[:t], expected, rtol=1e-5, atol=1e-5)
            assert not one.values[t:].any()
            np.testing.assert_array_equal(one.valid, np.arange(len(one.valid)) < t)
            np.testing.assert_array_equal(one.days[:t], days)
            assert one.pixels is None


def test_values_in_memory_give_the_same(prepared, encode):
    mapped, kept = (prepared.source((2,), in_memory=kept) for kept in (False, True))
    for i in range(3):
        batches = [encode(source[i], np.random.default_rng(0)) for source in (mapped, kept, kept)]
        chex.assert_trees_all_equal(*batches)


def test_crops_flips_and_turns_are_the_same_everywhere():
    semantic = np.random.default_rng(0).integers(0, 20, (9, 10)).astype(np.uint8)
    record = image_record(semantic)
    encode = plain((9, 10), crop=5, flips=True, turns=True)
    corners, steps = set(), set()
    for seed in range(300):
        batch = normalised(encode(record, np.random.default_rng(seed)))
        image = batch.series["S2"].values[0, :, :, 0] - 1000
        rows, columns = np.divmod(image.astype(int), 10)
        np.testing.assert_array_equal(batch.label, semantic[rows, columns])
        for one in batch.series.values():
            np.testing.assert_array_equal(one.values[1, ..., 2], image + 1100)
        top, left = rows.min(), columns.min()
        assert (rows.max() - top, columns.max() - left) == (4, 4)
        corners.add((top, left))
        down = rows[1, 0] - rows[0, 0], columns[1, 0] - columns[0, 0]
        right = rows[0, 1] - rows[0, 0], columns[0, 1] - columns[0, 0]
        steps.add((*down, *right))
    assert corners == set(itertools.product(range(5), range(6)))
    assert len(steps) == 8  # the symmetries of the square


def test_turns_alone_never_flip():
    record = image_record(np.zeros((4, 4), np.uint8))
    encode = plain((4, 4), turns=True)
    corners = set()
    for seed in range(40):
        values = normalised(encode(record, np.random.default_rng(seed))).series["S1A"].values
        corners.add((float(values[0, 0, 0, 0]), float(values[0, 0, 3, 0])))
    assert corners == {(1000, 1003), (1003, 1033), (1033, 1030), (1030, 1000)}


def test_flips_alone_never_turn():
    record = image_record(np.zeros((4, 6), np.uint8))
    encode = plain((4, 6), flips=True)
    corners = set()
    for seed in range(40):
        values = normalised(encode(record, np.random.default_rng(seed))).series["S1A"].values
        assert values.shape == (4, 4, 6, 3)
        corners.add(float(values[0, 0, 0, 0]))
    assert corners == {1000, 1005, 1030, 1035}


def test_evaluation_keeps_whole_patches_as_they_are():
    record = image_record(np.arange(16).reshape(4, 4).astype(np.uint8))
    encode = plain((4, 4), crop=2, flips=True, turns=True, date=1).for_evaluation()
    for seed in range(10):
        batch = normalised(encode(record, np.random.default_rng(seed)))
        np.testing.assert_array_equal(batch.label, record["semantic"])
        np.testing.assert_array_equal(
            batch.series["S2"].values[..., 0], record["S2"]["values"][1:2, 0]
        )


def test_nodata_is_filled_and_empty_dates_are_masked():
    record = image_record(np.zeros((4, 4), np.uint8))
    values = record["S2"]["values"].copy()
    values[0, 3, 0, :2] = -10000
    values[1, 5] = -10000
    record["S2"]["values"] = values
    one = normalised(plain((4, 4))(record, np.random.default_rng(0))).series["S2"]
    np.testing.assert_array_equal(one.valid, [True, False, True, False])
    assert not one.values[1].any()
    np.testing.assert_array_equal(one.days, [0, 1, 2, 0])
    expected = values[0].transpose(1, 2, 0).astype(float)
    expected[0, :2, 3] = np.delete(values[0, 3].ravel(), [0, 1]).mean()
    np.testing.assert_allclose(one.values[0], expected)
    np.testing.assert_array_equal(one.values[2], values[2].transpose(1, 2, 0))


def test_a_crop_without_an_observation_is_masked():
    record = image_record(np.zeros((4, 8), np.uint8))
    values = record["S2"]["values"].copy()
    values[0, 2, :, :4] = -10000
    record["S2"]["values"] = values
    encode = plain((4, 8), crop=4)
    batches = [
        normalised(encode(record, np.random.default_rng(seed))).series["S2"] for seed in range(30)
    ]
    for one in batches:
        assert one.valid[0] == (one.values[1, 0, 0, 0] > 1100)  # the crop starts right of column 0
    assert {bool(one.valid[0]) for one in batches} == {True, False}


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2018-09-01", 0),
        ("2018-09-20", 1),
        ("2018-09-21", 1),  # halfway between days 10 and 30: the earlier
        ("2018-09-22", 2),
        ("2021-01-01", 2),
        (0, 0),
        (2, 2),
        (-1, 2),
        (-3, 0),
    ],
)
def test_one_date(date, expected):
    record = image_record(np.zeros((4, 4), np.uint8))
    days = np.array([4, 10, 30], np.int32)
    for modality in factory.CHANNELS:
        record[modality]["days"] = days
    batch = normalised(plain((4, 4), date=date)(record, np.random.default_rng(0)))
    for one in batch.series.values():
        assert one.values.shape[0] == one.valid.sum() == 1
        assert one.values[0, 0, 0, 0] == 1000 + 100 * expected
        assert one.days[0] == days[expected]


def test_earlier_of_two_close_dates_in_a_file_out_of_order():
    record = image_record(np.zeros((4, 4), np.uint8))
    record["S2"]["days"] = np.array([30, 90, 10], np.int32)
    one = normalised(plain((4, 4), date="2018-09-21")(record, np.random.default_rng(0))).series[
        "S2"
    ]
    assert one.days[0] == 10
    assert one.values[0, 0, 0, 0] == 1200


@pytest.mark.parametrize(("date", "expected"), [(0, 2), (1, 0), (2, 1), (-1, 1), (-3, 2)])
def test_numbers_of_dates_go_by_the_calendar(date, expected):
    record = image_record(np.zeros((4, 4), np.uint8))
    record["S2"]["days"] = np.array([30, 90, 10], np.int32)
    one = normalised(plain((4, 4), date=date)(record, np.random.default_rng(0))).series["S2"]
    assert one.values[0, 0, 0, 0] == 1000 + 100 * expected


@pytest.mark.parametrize(
    ("date", "gone", "expected"),
    [(0, (0,), 1), (-1, (2,), 1), ("2018-09-20", (1,), 0), (1, (0, 1), 2), (1, (2,), 1)],
)
def test_a_date_that_shows_nothing_gives_way_to_the_closest(date, gone, expected):
    """One channel without a pixel is enough; where none shows anything, the date is masked."""
    record = image_record(np.zeros((4, 4), np.uint8))
    record["S2"]["days"] = np.array([4, 10, 30], np.int32)
    values = record["S2"]["values"].copy()
    values[list(gone), 5] = -10000
    record["S2"]["values"] = values
    encode = plain((4, 4), date=date)
    one = normalised(encode(record, np.random.default_rng(0))).series["S2"]
    assert one.valid.tolist() == [True]
    assert (one.values[0, 0, 0, 0], one.days[0]) == (1000 + 100 * expected, (4, 10, 30)[expected])
    record["S2"]["values"] = np.full_like(values, -10000)
    assert not encode(record, np.random.default_rng(0)).series["S2"].valid.any()


@pytest.mark.parametrize("date", [3, -4])
def test_date_number_out_of_range(date):
    record = image_record(np.zeros((4, 4), np.uint8))
    with pytest.raises(
        ArgumentError, match=rf"`date`: patch 7 has 3 dates of S2, none of number {date}; give"
    ):
        plain((4, 4), date=date)(record, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"crop": 0}, "^`crop`: got 0; give 1 to 8"),
        ({"crop": 9}, "^`crop`: got 9; give 1 to 8"),
        (
            {"turns": True},
            "^`turns`: patches of 8 x 12 pixels cannot be turned; .* add `crop`",
        ),
        ({"date": "June"}, "^`date`: June is not a day; write it as YYYY-MM-DD"),
        ({"date": "2019-02-30"}, "^`date`: 2019-02-30 is not a day"),
    ],
)
def test_impossible_encodings(arguments, match):
    with pytest.raises(ArgumentError, match=match):
        plain((8, 12), **arguments)


def test_classes(prepared, encode, tmp_path):
    (tmp_path / "classes.json").write_text(json.dumps({"Crop": list(range(1, 19))}))
    classes = ClassMapping.read(tmp_path / "classes.json", PASTIS_R.nomenclature)
    record = prepared.source((1,))[0]
    label = dataclasses.replace(encode, classes=classes)(record, np.random.default_rng(0)).label
    np.testing.assert_array_equal(label == 0, record["semantic"] == 0)
    np.testing.assert_array_equal(label == 2, record["semantic"] == 19)
    assert set(np.unique(label)) == {0, 1, 2}


def test_what_travels_is_what_is_stored(prepared, encode):
    """Of the 16 bits of an observation none is added; padding and what is cut take no part."""
    record = prepared.source((1,))[0]
    sample = dataclasses.replace(encode, crop=6)(record, np.random.default_rng(0))
    for modality, one in sample.series.items():
        values = np.asarray(record[modality]["values"])
        t, c = values.shape[:2]
        assert one.values.dtype == PASTIS_R[modality].dtype == values.dtype
        assert one.values.shape == (prepared.lengths[modality], c, 6, 6)
        assert not one.values[t:].any()
        cuts = np.lib.stride_tricks.sliding_window_view(values, (6, 6), (2, 3))
        assert (cuts == one.values[:t, :, None, None]).all((0, 1, 4, 5)).any()


# Batches


def test_every_pixel_counts_once_in_evaluation(prepared, encode):
    source = prepared.source((4, 5))
    batches = list(evaluation_batches(source, encode, batch_size=4))
    np.testing.assert_array_equal(batches[-1].real, [True, True, False, False])
    numbers = np.concatenate([batch.number[batch.real] for batch in batches])
    np.testing.assert_array_equal(numbers, np.arange(6))
    assert [source.identifier(n) for n in numbers] == [source[n]["patch"] for n in range(6)]
    labels = np.concatenate([batch.label[batch.real].ravel() for batch in batches])
    counts = np.bincount(labels, minlength=20)
    expected = [sum(prepared.counts[f].get(label, 0) for f in (4, 5)) for label in range(20)]
    np.testing.assert_array_equal(counts, expected)
    for one in batches[-1].series.values():
        assert not one.valid[2:].any()


def test_training_batches_follow_from_the_seed(prepared, encode):
    encode = dataclasses.replace(encode, crop=6, flips=True, turns=True)

    def stream(seed):
        batches = training_batches(prepared.source((1, 2)), encode, batch_size=4, seed=seed)
        return [next(batches) for _ in range(4)]

    first = stream(3)
    chex.assert_trees_all_equal(first, stream(3))
    assert first[0].label.shape == (4, 6, 6)
    assert first[0].series["S2"].values.shape == (4, prepared.lengths["S2"], 10, 6, 6)
    assert any((a.label != b.label).any() for a, b in zip(first, stream(4), strict=True))


# Room for frames


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 7, 9])
def test_capacity_is_the_largest_total_that_can_occur(batch_size):
    """All orders of two or more epochs of four records, cut in batches anywhere."""
    dates = [5, 3, 9, 4]
    orders = list(itertools.permutations(dates))
    largest = 0
    for head in range(5):
        for first, last in itertools.product(orders, orders):
            middle = max(0, -(-(batch_size - head) // 4) - 1)
            stretch = [*first[4 - head :], *dates * middle, *last][:batch_size]
            largest = max(largest, sum(stretch))
    assert frame_capacity(dates, batch_size) == largest


def test_capacity_holds_for_batches_across_epochs(prepared, encode):
    source = prepared.source((1, 2))
    batches = training_batches(source, encode, batch_size=5, seed=0)
    seen = {m: [] for m in prepared.modalities}
    twice = False
    for _ in range(60):
        batch = next(batches)
        twice |= len(set(batch.number)) < 5
        for modality, one in batch.series.items():
            seen[modality].append(one.valid.sum())
    assert twice
    for modality, frames in seen.items():
        capacity = frame_capacity(source.dates[modality], 5)
        assert max(frames) <= capacity <= 5 * max(source.dates[modality])


def test_capacity_with_dropout():
    dates, rate = [45] * 30, 0.4
    capacity = frame_capacity(dates, 4, 1 - rate)
    assert 108 < capacity == 108 + 27 < frame_capacity(dates, 4)
    valid = np.ones((4, 45), bool)
    keys = jax.random.split(jax.random.key(0), 2000)
    drop = jax.vmap(lambda key: drop_dates(key, valid, rate).sum())
    frames = np.asarray(drop(keys))
    assert frames.max() <= capacity
    assert frames.max() > 108 + 27 / 2


def test_capacity_with_dropout_of_single_dates():
    """The last date of a series is never dropped."""
    assert frame_capacity([1] * 500, 128, 0.6) == 128
