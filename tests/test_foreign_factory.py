"""The factory of the foreign dataset writes what it says."""

from __future__ import annotations

import csv
import itertools
import json

import foreign
import numpy as np
import pytest
from foreign import DATASET

from pastis_jax.data import dataset_file

NOMENCLATURE = DATASET.nomenclature


@pytest.fixture(scope="module")
def pixel_sets(tmp_path_factory):
    return foreign.make_pixel_sets(tmp_path_factory.mktemp("foreign") / "pixel_sets")


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    return foreign.make_patches(tmp_path_factory.mktemp("foreign") / "patches", patches_per_fold=2)


@pytest.fixture(params=["pixel_sets", "patches"])
def root(request):
    return request.getfixturevalue(request.param)


def properties(root):
    """What the metadata says of each patch, by its identifier as files hold it."""
    features = json.loads((root / "metadata.geojson").read_text())["features"]
    return {str(one["properties"]["ID_PATCH"]): one["properties"] for one in features}


def parcels(root):
    with (root / "metadata_parcel.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def series(root, item):
    return {n: np.load(root / f"DATA_{n}" / f"{n}_{item}.npy") for n in DATASET.names}


def items(root):
    """Each parcel's or patch's identifier, patch, fold and number of the class, None for many."""
    if (root / "ANNOTATIONS").exists():
        return [(patch, patch, entry["Fold"], None) for patch, entry in properties(root).items()]
    return [
        (row["ID_PARCEL"], row["ID_PATCH"], row["Fold"], NOMENCLATURE.number_of(row["Label"]))
        for row in parcels(root)
    ]


def test_both_layouts_describe_themselves(root):
    assert dataset_file.read(root / dataset_file.FILE) == DATASET


def test_background_is_neither_first_nor_lowest():
    values = [one.value for one in NOMENCLATURE.classes]
    assert len(NOMENCLATURE.crops) == 6
    assert NOMENCLATURE.background_number not in (0, len(values) - 1, int(np.argmin(values)))
    assert len({type(one.code) for one in NOMENCLATURE.crops}) == 2
    assert NOMENCLATURE.void == -1


def test_series_have_the_shape_and_dtype_they_are_described_with(root):
    entries, lengths, spatial = properties(root), set(), set()
    for item, patch, _, _ in items(root):
        for modality in DATASET.modalities:
            values = series(root, item)[modality.name]
            listed = entries[patch][f"dates-{modality.name}"]
            assert values.dtype == modality.dtype
            assert values.shape[:2] == (len(listed), len(modality.channels))
            lengths.add((modality.name, len(listed)))
        shapes = {values.shape[2:] for values in series(root, item).values()}
        assert len(shapes) == 1
        spatial |= shapes
    assert len(lengths) == 3 * len(DATASET.modalities)
    if root.name == "patches":
        assert spatial == {(24, 40)}
    else:
        assert min(spatial) >= (3,)
        assert max(spatial) <= (12,)


def test_as_many_files_as_items(root):
    for name in DATASET.names:
        wanted = {f"{name}_{item}.npy" for item, *_ in items(root)}
        assert {file.name for file in (root / f"DATA_{name}").iterdir()} == wanted


def test_dates_rise_within_the_season(root):
    for entry, name in itertools.product(properties(root).values(), DATASET.names):
        dates = list(entry[f"dates-{name}"].values())
        assert dates == sorted(set(dates))
        assert min(dates) >= 20230701
        assert max(dates) <= 20240630


def test_identifiers_are_text_and_long_integers(root):
    ids = [entry["ID_PATCH"] for entry in properties(root).values()]
    assert ids[:3] == ["P-07", 3301010001, 2**40 + 5]
    assert len({str(one) for one in ids}) == len(ids) == 8
    assert {entry["Fold"] for entry in properties(root).values()} == set(DATASET.folds)


def test_some_values_are_missing_but_never_a_whole_item(root):
    for modality in DATASET.modalities[:2]:
        share = [modality.missing(series(root, i)[modality.name]).mean() for i, *_ in items(root)]
        assert 0.02 < np.mean(share) < 0.06
        assert max(share) < 1
    for item, *_ in items(root):
        assert np.isfinite(series(root, item)["SAR"]).all()
        assert (series(root, item)["SAR"] > 0).all()
        assert series(root, item)["PS"].max() < 10000
        assert np.nanmax(np.abs(series(root, item)["NDVI"])) <= 1


def test_statistics_are_those_of_the_files(root):
    pattern = "NORM_{}_patch.json" if root.name == "patches" else "NORM_PARCEL_{}_set.json"
    for modality in DATASET.modalities:
        norms = json.loads((root / pattern.format(modality.name)).read_text())
        assert list(norms) == [f"Fold_{fold}" for fold in DATASET.folds]
        for fold in DATASET.folds:
            means, stds = [], []
            for item, _, other, number in items(root):
                if other == fold and number != NOMENCLATURE.void_number:
                    for channel in np.moveaxis(series(root, item)[modality.name], 1, 0):
                        if modality.nodata is None:
                            measured = channel
                        else:
                            measured = channel[~modality.missing(channel)]
                        means.append(measured.mean(dtype=np.float64))
                        stds.append(measured.std(dtype=np.float64))
            for key, expected in (("mean", means), ("std", stds)):
                expected = np.reshape(expected, (-1, len(modality.channels))).mean(0)
                np.testing.assert_allclose(norms[f"Fold_{fold}"][key], expected, rtol=1e-6)


def test_two_parcels_of_every_crop_in_every_fold(pixel_sets):
    rows, folds = parcels(pixel_sets), properties(pixel_sets)
    assert [*rows[0]] == ["ID_PARCEL", "ID_PATCH", "Label", "Fold"]
    counts = {(row["Fold"], NOMENCLATURE.number_of(row["Label"])): 0 for row in rows}
    for row in rows:
        assert folds[row["ID_PATCH"]]["Fold"] == row["Fold"]
        counts[row["Fold"], NOMENCLATURE.number_of(row["Label"])] += 1
    numbers = {*range(len(NOMENCLATURE.classes))} - {NOMENCLATURE.background_number}
    assert counts == dict.fromkeys(itertools.product(DATASET.folds, numbers), 2)
    ids = [row["ID_PARCEL"] for row in rows]
    assert ids[:3] == ["007", str(2**40 + 5), "7"]
    assert len(set(ids)) == len(ids)


def test_parcels_of_patches_are_rectangles_apart(patches):
    seen, numbers_seen = [], set()
    for patch in properties(patches):
        target = np.load(patches / "ANNOTATIONS" / f"TARGET_{patch}.npy")
        ids = np.load(patches / "ANNOTATIONS" / f"ParcelIDs_{patch}.npy")
        assert (target.shape, target.dtype) == ((3, 24, 40), np.int64)
        assert (ids.shape, ids.dtype) == ((24, 40), np.int64)
        labels, parcel, fine = target
        numbers = NOMENCLATURE.numbers(labels)
        numbers_seen |= set(numbers.flat)
        np.testing.assert_array_equal(parcel == 0, NOMENCLATURE.is_background(numbers))
        np.testing.assert_array_equal(parcel == 0, ids == 0)
        assert set(parcel.flat) == set(range(8))
        for one in range(1, 8):
            inside = np.argwhere(parcel == one)
            (top, left), (bottom, right) = inside.min(0), inside.max(0) + 1
            assert (parcel[top:bottom, left:right] == one).all()
            around = parcel[top - 1 : bottom + 1, left - 1 : right + 1]
            assert around.shape == (bottom - top + 2, right - left + 2)
            assert set(around.flat) == {0, one}
            for kind in (labels, fine, ids):
                assert len(set(kind[parcel == one])) == 1
            seen.append(ids[top, left])
    assert numbers_seen == set(range(len(NOMENCLATURE.classes)))
    assert len(set(seen)) == len(seen)
    assert min(seen) > 2**40


def test_the_same_seed_writes_the_same_files(tmp_path):
    for make in (foreign.make_pixel_sets, foreign.make_patches):
        roots = [make(tmp_path / f"{make.__name__}-{n}", seed=n // 2) for n in range(3)]
        contents = [
            {f.relative_to(root): f.read_bytes() for f in root.rglob("*.*") if f.is_file()}
            for root in roots
        ]
        assert contents[0] == contents[1]
        assert contents[0] != contents[2]


@pytest.mark.parametrize("name", DATASET.names)
def test_classes_can_be_told_apart(pixel_sets, name):
    """The parcel of another fold with the nearest mean tells the class, in every modality."""
    features, numbers, folds = [], [], []
    for item, _, fold, number in items(pixel_sets):
        modality, values = DATASET[name], series(pixel_sets, item)[name].astype(np.float64)
        missing = np.ma.nomask if modality.nodata is None else modality.missing(values)
        features.append(np.ma.masked_array(values, missing).mean((0, 2)).data)
        numbers.append(number)
        folds.append(fold)
    features, numbers, folds = np.array(features), np.array(numbers), np.array(folds)
    features /= features.std(0)
    apart = np.linalg.norm(features[:, None] - features, axis=-1)
    apart[folds[:, None] == folds] = np.inf
    found = numbers[apart.argmin(1)]
    assert np.mean(found == numbers) > 0.6  # chance: 1 of 7
