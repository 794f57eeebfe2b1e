"""Batches of a run from packed parcels: those of its records, on a device or on the host."""

from __future__ import annotations

import dataclasses
import json

import chex
import jax
import numpy as np
import pixel_set_factory as factory
import pytest
from refusal import refused_in_a_line

from pastis_jax import training
from pastis_jax.cli import config, train
from pastis_jax.errors import DataError
from pastis_jax.runs import on_device

PIXELS = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Parcels with missing dates and pixels, one without pixels, a fold without a modality."""
    folder = tmp_path_factory.mktemp("on_device")
    root = factory.make_pixel_set(folder / "set", parcels_per_fold=9, labels=(1, 3, 8, 19))
    for number, file in enumerate(sorted((root / "DATA_S2").iterdir())):
        values = np.load(file)
        values[number % len(values), :, :3] = -10000
        values[(number + 1) % len(values)] = -10000
        values[(number + 2) % len(values)] = 0
        np.save(file, values)
    for name in factory.CHANNELS:
        file = sorted((root / f"DATA_{name}").iterdir())[-3]
        np.save(file, np.load(file)[:, :, :0])
    return folder


def open_splits(folder, **options):
    given = {"fusion": "mid", "batch_size": 4, "pixels": PIXELS, "cache_dir": folder / "cache"}
    options = {"compute_statistics": True, **given, **options}
    chosen = train.for_data(config.configure("parcel", data=folder / "set", **options))
    return train.open_splits(chosen)[0]


@pytest.fixture(scope="module")
def splits(folder):
    return open_splits(folder, geometric=True)


def feed_of(splits, asked="auto"):
    placement = training.Placement()
    return on_device.feed_of(splits, placement, placement, asked=asked)


@pytest.fixture
def no_room(monkeypatch):
    monkeypatch.setattr(on_device, "_room", lambda _: (1000.0, "a device"))


def assert_same(batch, record_batch):
    """The same but for rounding, where it is not masked."""
    for name in ("label", "real", "number"):
        np.testing.assert_array_equal(getattr(batch, name), getattr(record_batch, name))
    for name, one in record_batch.series.items():
        own = batch.series[name]
        np.testing.assert_array_equal(own.valid, one.valid)
        np.testing.assert_array_equal(own.pixels, one.pixels)
        np.testing.assert_array_equal(own.days * own.valid, one.days * one.valid)
        np.testing.assert_array_equal(own.geometric, one.geometric)
        seen = (one.valid[:, :, None] & one.pixels[:, None])[..., None]
        expected = np.where(seen, one.values, 0)
        np.testing.assert_allclose(own.values, expected, rtol=1e-6, atol=1e-6)


def test_evaluation_takes_the_pixels_that_records_give(splits):
    """So a run that is opened again finds the scores that it was given."""
    feed = feed_of(splits)
    for split in ("train", "val", "test"):
        made = [*feed.evaluation(split)]
        assert isinstance(made[0].label, jax.Array)
        for batch, expected in zip(made, splits.evaluation(split), strict=True):
            assert_same(jax.device_get(batch), expected)


def test_an_epoch_holds_every_parcel_and_epochs_differ(splits):
    """Without a seam: the batches of two epochs, which no batch divides."""
    feed, source, size = feed_of(splits).training(), splits.sources["train"], 4
    assert len(source) % size
    batches = [jax.device_get(next(feed)) for _ in range(2 * len(source) // size)]
    numbers = np.concatenate([batch.number for batch in batches])
    epochs = [numbers[: len(source)], numbers[len(source) : 2 * len(source)]]
    assert sorted(epochs[0]) == [*range(len(source))]
    assert len({*epochs[1]}) == len(epochs[1])
    assert epochs[0][: len(epochs[1])].tolist() != epochs[1].tolist()
    for batch in batches:
        assert batch.real.all()
        for number, label, pixels in zip(
            batch.number, batch.label, batch.series["S2"].pixels, strict=True
        ):
            record = source[number]
            assert label == splits.classes.lookup[record["label"]]
            assert pixels.sum() == max(1, min(record["S2"]["values"].shape[2], PIXELS))
    other = dataclasses.replace(splits, plan=dataclasses.replace(splits.plan, seed=1))
    one, another = next(feed_of(splits).training()), next(feed_of(other).training())
    assert one.number.tolist() != another.number.tolist()


def test_every_drawn_pixel_is_one_of_the_parcel(splits):
    """And each at most once; a parcel is drawn anew each time."""
    feed, source, seen = feed_of(splits).training(), splits.sources["train"], {}
    mean, std = splits.encode.statistics["S1A"]
    for batch in (jax.device_get(next(feed)) for _ in range(12)):
        one = batch.series["S1A"]
        for place, number in enumerate(batch.number):
            stored = source[number]["S1A"]["values"].astype(np.float32)
            t, _, n = stored.shape
            every = ((stored - mean[:, None]) / std[:, None]).transpose(2, 0, 1)
            drawn = one.values[place, :t].transpose(1, 0, 2)[one.pixels[place]]
            if not n:
                continue
            apart = np.abs(drawn[:, None] - every).max((2, 3))
            assert (apart.min(1) < 1e-4).all()
            chosen = apart.argmin(1).tolist()
            assert len(set(chosen)) == len(chosen) == min(n, PIXELS)
            if n > PIXELS + 4:
                seen.setdefault(int(number), set()).add(frozenset(chosen))
    assert all(len(sets) > 1 for sets in seen.values())
    assert seen


def test_batches_go_on_from_a_state(splits):
    whole, first = (feed_of(splits).training() for _ in range(2))
    expected = [next(whole) for _ in range(6)]
    for _ in range(4):
        next(first)
    state, resumed = json.loads(json.dumps(first.get_state())), feed_of(splits).training()
    resumed.set_state(state)
    for batch in expected[4:]:
        chex.assert_trees_all_equal(next(resumed), batch)


def test_the_host_makes_the_same_batches_bit_for_bit(splits, no_room):
    host = feed_of(splits)
    assert "on the host, as they do not fit on a device" in host.where
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(on_device, "_room", lambda _: (None, ""))
        feed = feed_of(splits)
    made, expected = host.training(), feed.training()
    for _ in range(5):
        batch = next(made)
        assert isinstance(batch.label, np.ndarray)
        chex.assert_trees_all_equal(batch, jax.device_get(next(expected)))
    for batch, other in zip(host.evaluation("test"), feed.evaluation("test"), strict=True):
        chex.assert_trees_all_equal(batch, jax.device_get(other))


def test_what_does_not_fit_is_refused_in_a_line(splits, no_room):
    words = ("`data_on_device`", "of a device 1.0 kB are free", "give auto")
    refused_in_a_line(lambda: feed_of(splits, "on"), *words)


def test_records_alone_pack_nothing(splits):
    feed = feed_of(dataclasses.replace(splits, packed=None), "off")
    assert feed.where is None
    assert isinstance(next(feed.training()).label, np.ndarray)


def test_a_mapped_table_is_not_copied(splits):
    packed = splits.packed()
    tables = on_device._Tables(splits, packed)
    tables.put(training.Placement().whole)
    for name, values in tables._values.items():
        (buffer,) = [shard.data for shard in values.addressable_shards]
        assert buffer.unsafe_buffer_pointer() == packed.series[name].values.ctypes.data


def test_packed_files_that_change_are_noticed(folder, tmp_path):
    splits = open_splits(folder, cache_dir=tmp_path)
    feed = feed_of(splits)
    feed.unchanged()
    (file,) = tmp_path.rglob("S2.values")
    file.touch()
    with pytest.raises(DataError, match=r"S2\.values"):
        feed.unchanged()
