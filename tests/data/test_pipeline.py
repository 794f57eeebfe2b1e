"""From records to batches: what is drawn, padded, masked, normalised, and how often."""

from __future__ import annotations

import dataclasses

import chex
import jax
import numpy as np
import pixel_set_factory as factory
import pytest

from pastis_jax.data.batches import evaluation_batches, training_batches
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.normalisation import fill_missing
from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.pixel_sets.encoding import PixelSetEncoding, draw_pixels
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets

CLASSES = ClassMapping.crops(PASTIS_R.nomenclature)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    root = factory.make_pixel_set(folder / "set", parcels_per_fold=9, labels=(1, 2, 4))
    return prepare_pixel_sets(root, cache=folder / "cache", progress=False)


@pytest.fixture(scope="module")
def encode(prepared):
    statistics = prepared.statistics((1, 2, 3))
    return PixelSetEncoding(PASTIS_R, prepared.lengths, statistics, CLASSES, pixels=8)


def test_every_parcel_counts_once_in_evaluation(prepared, encode):
    source = prepared.source((4, 5))
    batches = list(evaluation_batches(source, encode, batch_size=4))
    numbers = np.concatenate([batch.number[batch.real] for batch in batches])
    assert len(source) == 18
    np.testing.assert_array_equal(numbers, np.arange(18))
    assert [source.identifier(n) for n in numbers] == [source[n]["parcel"] for n in range(18)]
    last = batches[-1]
    np.testing.assert_array_equal(last.real, [True, True, False, False])
    for one in last.series.values():
        assert not one.valid[2:].any()
        assert not one.pixels[2:].any()


def test_evaluation_repeats_itself(prepared, encode):
    source = prepared.source((5,))
    first, second = (list(evaluation_batches(source, encode, batch_size=4)) for _ in range(2))
    chex.assert_trees_all_equal(first, second)


@pytest.mark.parametrize("make", [training_batches, evaluation_batches])
def test_several_processes_make_the_batches_of_one(prepared, encode, make):
    """Each reads and encodes its own rows; those beyond the batch are blank."""
    source, seed = prepared.source((4,)), {"seed": 0} if make is training_batches else {}
    parcels = len(source)
    assert parcels == 9
    read = []

    class Spy:
        def __len__(self):
            return parcels

        def __getitem__(self, index):
            read.append(int(index))
            return source[index]

    whole = iter(make(source, encode, batch_size=5, **seed))
    shares = [
        iter(make(Spy(), encode, batch_size=5, rows=range(first, first + 2), **seed))
        for first in (0, 2, 4, 6)
    ]
    for number in range(2):
        expected, parts = next(whole), [next(share) for share in shares]
        joined = jax.tree.map(lambda *x: np.concatenate(x), *parts)
        chex.assert_trees_all_equal(jax.tree.map(lambda x: x[:5], joined), expected)
        assert not joined.real[5:].any()
        assert not any(one.valid[5:].any() for one in joined.series.values())
        if make is evaluation_batches:
            assert joined.real.sum() == (5, 4)[number]
    if make is evaluation_batches:
        # Once each; and again the first of both batches, for the shapes, where rows have no record.
        assert sorted(read) == sorted([*range(9), 0, 5, 5])


def test_an_epoch_holds_every_parcel_and_epochs_differ(prepared, encode):
    source = prepared.source((1, 2))
    stream = training_batches(source, encode, batch_size=9, seed=0)
    epochs = [[next(stream) for _ in range(2)] for _ in range(2)]
    numbers = [np.concatenate([batch.number for batch in epoch]) for epoch in epochs]
    assert sorted(numbers[0]) == sorted(numbers[1]) == list(range(18))
    assert list(numbers[0]) != list(numbers[1])


def test_batches_follow_from_the_seed(prepared, encode):
    source = prepared.source((1, 2))

    def stream(seed):
        batches = training_batches(source, encode, batch_size=4, seed=seed)
        return [next(batches) for _ in range(6)]

    chex.assert_trees_all_equal(stream(3), stream(3))
    assert any((a.number != b.number).any() for a, b in zip(stream(3), stream(4), strict=True))


def test_fewer_parcels_than_a_batch_still_train(prepared, encode):
    batch = next(training_batches(prepared.source((1,)), encode, batch_size=20, seed=0))
    assert batch.real.all()
    assert len(batch.number) == 20


def test_values_days_and_masks_of_a_record(prepared, encode):
    source = prepared.source((1,))
    batch = next(iter(evaluation_batches(source, encode, batch_size=9)))
    for i in range(9):
        record = source[i]
        assert batch.label[i] == record["label"] - 1
        count = record["S2"]["values"].shape[2]
        for modality, one in batch.series.items():
            values, days = record[modality]["values"], record[modality]["days"]
            mean, std = encode.statistics[modality]
            t = len(days)
            np.testing.assert_array_equal(one.days[i, :t], days)
            np.testing.assert_array_equal(one.valid[i], np.arange(one.valid.shape[1]) < t)
            np.testing.assert_array_equal(one.pixels[i], np.arange(8) < min(count, 8))
            normal = (values.astype(np.float32) - mean[:, None]) / std[:, None]
            candidates = {
                tuple(np.round(p, 4)) for p in normal.transpose(2, 0, 1).reshape(count, -1)
            }
            drawn = one.values[i, :t].transpose(1, 0, 2).reshape(8, -1)[one.pixels[i]]
            drawn = [tuple(np.round(p, 4)) for p in drawn]
            assert set(drawn) <= candidates
            assert len(drawn) == min(count, 8)


def test_modalities_draw_the_same_pixels():
    """Early fusion joins channels pixel by pixel."""
    index = np.arange(50.0)
    record = {
        m: {"values": np.broadcast_to(index, (3, c, 50)), "days": np.arange(3, dtype=np.int32)}
        for m, c in (("S2", 10), ("S1A", 3))
    } | {"label": 1, "number": 7}
    statistics = {m: (np.zeros(1), np.ones(1)) for m in ("S2", "S1A")}
    encoding = PixelSetEncoding(PASTIS_R, {"S2": 3, "S1A": 3}, statistics, CLASSES)
    series = encoding(record, np.random.default_rng(0)).series
    np.testing.assert_array_equal(series["S2"].values[0, :, 0], series["S1A"].values[0, :, 0])
    assert len(set(series["S2"].values[0, :, 0])) == 32


def test_geometric_features_are_kept_on_request(prepared, encode):
    record = prepared.source((1,))[3]
    rng = np.random.default_rng(0)
    kept = dataclasses.replace(encode, geometric=True)(record, rng)
    for one in kept.series.values():
        np.testing.assert_allclose(np.expm1(one.geometric), record["geometric_features"], rtol=1e-5)
    assert encode(record, rng).series["S2"].geometric is None


@pytest.mark.parametrize(("count", "real"), [(100, 32), (32, 32), (5, 5), (1, 1), (0, 1)])
def test_drawing_pixels(count, real):
    index, mask = draw_pixels(count, 32, np.random.default_rng(0))
    assert mask.sum() == real
    assert len(set(index[mask])) == real
    assert index.max() < max(count, 1)
    np.testing.assert_array_equal(index[~mask], max(count - 1, 0))


def test_parcel_without_pixels_is_one_zero_pixel(encode):
    record = {
        m: {"values": np.zeros((3, c, 0)), "days": np.arange(3, dtype=np.int32)}
        for m, c in factory.CHANNELS.items()
    } | {"label": 2, "number": 7}
    batch = encode(record, np.random.default_rng(0))
    for one in batch.series.values():
        assert not one.values.any()
        assert one.pixels.sum() == 1
        assert one.valid.sum() == 3


def test_missing_optical_values_are_filled_and_empty_dates_masked():
    values = np.full((4, 2, 4), 100.0)
    values[0, :, 0] = -10000
    values[0, :, 1] = 400
    values[1] = -10000
    values[3, 1] = -10000
    filled, observed = fill_missing(values, values == -10000)
    np.testing.assert_array_equal(observed, [True, False, True, False])
    np.testing.assert_array_equal(filled[0], [[200, 400, 100, 100]] * 2)
    np.testing.assert_array_equal(filled[2], values[2])


def test_repeated_pixels_do_not_weigh_in_what_is_filled(encode):
    """Three pixels: nodata, 1000 and 100, the last one repeated to fill the set."""
    record = {
        m: {
            "values": np.broadcast_to(
                [-10000, 1000, 100] if m == "S2" else [-9, -9, -9], (3, c, 3)
            ),
            "days": np.arange(3, dtype=np.int32),
        }
        for m, c in factory.CHANNELS.items()
    } | {"label": 2, "number": 7}
    series = encode(record, np.random.default_rng(0)).series["S2"]
    mean, std = encode.statistics["S2"]
    np.testing.assert_allclose(series.values[0, 0], (550 - mean) / std, rtol=1e-5)
