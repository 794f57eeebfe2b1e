"""Records packed into long arrays: the same values, written whole, damage noticed."""

from __future__ import annotations

import os

import numpy as np
import pixel_set_factory as factory
import pytest

from pastis_jax.data.pastis_r import PASTIS_R
from pastis_jax.data.pixel_sets import packed, packing
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets
from pastis_jax.errors import DataError


@pytest.fixture
def root(tmp_path):
    return factory.make_pixel_set(tmp_path / "set", parcels_per_fold=4)


@pytest.fixture
def prepared(root, tmp_path):
    return prepare_pixel_sets(root, cache=tmp_path / "cache", progress=False)


def folder_of(prepared):
    return prepared.path.parent.parent / f"packed-{packing.PACKED_VERSION}"


def parcel_of(one, pixels, number):
    """Values (t, c, n) of a parcel."""
    count, dates, first = pixels[number], one.dates[number], one.first[number]
    rows = packed.rows_of(dates)
    values = one.values[first : first + rows * count]
    values = values.reshape(count, rows * packed.DATES, values.shape[-1])
    assert not values[:, dates:].any()
    return values[:, :dates].transpose(1, 2, 0)


def assert_same(opened, source):
    assert len(opened) == len(source)
    for number, record in enumerate(source):
        assert opened.label[number] == record["label"]
        assert opened.parcel[number] == str(record["parcel"])
        np.testing.assert_array_equal(opened.geometric[number], record["geometric_features"])
        for name, one in opened.series.items():
            values, days = record[name]["values"], record[name]["days"]
            found = parcel_of(one, opened.pixels, number)
            np.testing.assert_array_equal(found, values, strict=True)
            np.testing.assert_array_equal(one.days[number, : len(days)], days)
            assert not one.days[number, len(days) :].any()


def test_every_value_of_every_fold_is_there(prepared):
    everything = prepared.packed(progress=False)
    assert_same(everything, prepared.source([1, 2, 3, 4, 5]))
    # Fold after fold, in any order; the values are not copied.
    some = everything.of(["fold_5", "fold_2"])
    assert_same(some, prepared.source([5, 2]))
    assert some.folds["fold_2"].stop == len(some)
    assert np.shares_memory(some.series["S2"].values, everything.series["S2"].values)


def test_what_was_packed_is_used_again(root, prepared, tmp_path):
    one = prepare_pixel_sets(root, modalities=["S1A"], cache=tmp_path / "cache", progress=False)
    assert one.path == prepared.path
    assert [*one.packed(progress=False).series] == ["S1A"]
    first = {file: file.stat().st_mtime_ns for file in folder_of(one).glob("S1A*")}
    assert len(first) == 2
    assert_same(prepared.packed(progress=False), prepared.source([1, 2, 3, 4, 5]))
    assert all(file.stat().st_mtime_ns == before for file, before in first.items())
    files = {file: file.stat().st_mtime_ns for file in folder_of(one).iterdir()}
    assert {file.name for file in files} == {"lock", "parcels.npz"} | {
        f"{m}{end}" for m in prepared.modalities for end in (".npz", ".values")
    }
    prepared.packed(progress=False)
    assert files == {file: file.stat().st_mtime_ns for file in folder_of(one).iterdir()}


@pytest.mark.parametrize("name", ["S2.values", "S1A.npz", "parcels.npz"])
@pytest.mark.parametrize("how", ["cut", "flipped", "gone"])
def test_what_is_damaged_is_packed_anew(prepared, capsys, name, how):
    prepared.packed(progress=False)
    file = folder_of(prepared) / name
    content = bytearray(file.read_bytes())
    if how == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif how == "flipped":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    else:
        file.unlink()
    assert_same(prepared.packed(progress=False), prepared.source([1, 2, 3, 4, 5]))
    assert ("is damaged" in capsys.readouterr().out) == (how != "gone" or name == "S2.values")


def test_what_changes_while_it_is_used_is_noticed(prepared):
    opened = prepared.packed(progress=False)
    opened.files.check()
    os.utime(folder_of(prepared) / "S2.values", ns=(1, 1))
    with pytest.raises(DataError, match=r"S2\.values"):
        opened.files.check()


def test_room_is_looked_at_before_anything_is_written(prepared, monkeypatch):
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda _: type("Disk", (), {"free": 1000}))
    with pytest.raises(DataError, match=r"needed on its disk, which has 1\.0 kB"):
        prepared.packed(progress=False)
    assert [file.name for file in folder_of(prepared).iterdir()] in (["lock"], [])


def test_more_rows_than_can_be_counted_are_refused_before(prepared, monkeypatch):
    monkeypatch.setattr(packed, "MOST_ROWS", 10)
    with pytest.raises(DataError, match="of at most 10"):
        prepared.packed(progress=False)
    assert not list(folder_of(prepared).glob("*.values*"))


def test_a_packing_that_fails_leaves_nothing(prepared, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(packing._Series, "columns", fail)
        with pytest.raises(DataError, match="No space left"):
            prepared.packed(progress=False)
    # A process that was killed leaves its part, which the next one removes.
    (folder_of(prepared) / f"S2.values.{'0' * 8}.partial").write_bytes(b"half")
    assert_same(prepared.packed(progress=False), prepared.source([1, 2, 3, 4, 5]))
    assert not list(folder_of(prepared).glob("*.partial"))


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [
        *(("int16", "=i2"), (">i2", "=i2"), ("uint8", "u1"), (">f2", "=f2")),
        *(("int32", "=f4"), ("float64", "=f4"), (">i8", "=f4")),
    ],
)
def test_types_become_those_of_the_machine(dtype, kept):
    """Wide ones are float32, as the encoding of a record makes them."""
    values = np.arange(7 * 2 * 3).reshape(7, 2, 3).astype(dtype)
    rows = packed.packed_rows(values)
    assert rows.dtype == np.dtype(kept)
    assert rows.dtype.isnative
    assert rows.shape == (3 * 2, packed.DATES, 2)
    expected = values.astype(np.float32).transpose(2, 0, 1)
    np.testing.assert_array_equal(rows.reshape(3, 8, 2)[:, :7], expected)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda x: x, False),
        (lambda x: np.where(np.arange(5)[:, None] == 1, 0, x), False),  # a channel, as dark is
        (lambda x: x * (np.arange(4) != 2)[:, None, None], True),  # a date
        (lambda x: x * (np.arange(12) != 7).reshape(4, 1, 3), True),  # a pixel of a date
        (lambda x: np.where(np.arange(60).reshape(4, 5, 3) == 31, -10000, x), True),
    ],
)
def test_parcels_that_may_lack_something_are_known(change, expected):
    sensor = PASTIS_R["S2"]
    assert packed.has_holes(change(np.full((4, 5, 3), 700)).astype(np.int16), sensor) == expected
