"""Another sensor, calendar, nomenclature and other identifiers: from the folder to the batch."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import json
import pathlib
import pickle

import numpy as np
import pytest
import tensorflow_datasets as tfds
from patch_records import normalised

from pastis_jax.cli.instances import write_instances
from pastis_jax.data import dataset_file
from pastis_jax.data.assignment import Assignment
from pastis_jax.data.batches import evaluation_batches
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.dataset import CropClass, Dataset, Modality, Nomenclature
from pastis_jax.data.patches.crop_patches_dataset_builder import Builder
from pastis_jax.data.patches.encoding import PatchEncoding
from pastis_jax.data.patches.folder import PatchFolder
from pastis_jax.data.patches.prepare import prepare_patches
from pastis_jax.data.pixel_sets.encoding import PixelSetEncoding
from pastis_jax.data.pixel_sets.folder import PixelSetFolder
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets
from pastis_jax.errors import ArgumentError, DataError

CLASSES = (
    CropClass("wheat", "Wheat", (200, 180, 60), 110),
    CropClass("fallow?", "Not known", (255, 255, 255), 7),
    CropClass(40, "Maize", (240, 240, 0)),
    CropClass("none", "No parcel", (0, 0, 0), 255),
    CropClass("B-12", "Bean", (20, 140, 20), -3),
)
"""By number: labels of patches are 110, 7, 40, 255 and -3."""
MALI = Dataset(
    name="Mali",
    modalities=(
        Modality("L8", ("B", "G", "R", "N"), "float32", "reflectance", nodata=float("nan")),
        Modality("L-band", ("HH", "HV"), "float32", "linear power"),
    ),
    nomenclature=Nomenclature(CLASSES, background="none", void="fallow?"),
    season_start=datetime.date(2021, 5, 1),
    folds=("north", "south", "east", 2022),
)
DATES = {"L8": (20210501, 20210620, 20211231), "L-band": (20210430, 20220101)}
DAYS = {"L8": (0, 50, 244), "L-band": (-1, 245)}
SPACE = (6, 8)
LARGE = (2**31, 2**32 + 5, 5, 3301010001)
"""Identifiers: in 32 bits the second is the third, and the others are negative."""
IDS = ("fr-0012", "007", 2**32 + 5, 5)
"""Of four samples, one in each fold."""


def series(rng, name, space):
    shape = (len(DATES[name]), len(MALI[name].channels), *space)
    values = rng.uniform(0.03, 0.4, shape).astype(np.float32)
    if name == "L-band":
        values[:, 1] /= 4  # cross-polarised backscatter is the weaker one
    if name == "L8" and space[-1] > 1:
        values[1, :, ..., 0] = np.nan
    return values


def make(root, ids, dataset=MALI):
    """Writes what both layouts have: the dataset, the metadata and folders."""
    root.mkdir()
    dataset_file.write(dataset, root)
    dates = {
        f"dates-{name}": {str(i): date for i, date in enumerate(dates)}
        for name, dates in DATES.items()
    }
    properties = [
        {"ID_PATCH": identifier, "Fold": str(fold), **dates}
        for identifier, fold in zip(ids, dataset.folds, strict=True)
    ]
    features = [{"type": "Feature", "properties": entry} for entry in properties]
    (root / "metadata.geojson").write_text(json.dumps({"features": features}))
    for name in DATES:
        (root / f"DATA_{name}").mkdir()
    return root


def make_pixel_sets(root, rows, *, pixels=5):
    """Writes pixel sets: one patch in each fold; `rows` are parcel, label and fold."""
    rng = np.random.default_rng(0)
    make(root, [f"patch-{fold}" for fold in MALI.folds])
    with (root / "metadata_parcel.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(("Label", "Fold", "ID_PARCEL", "Remark", "ID_PATCH"))
        for parcel, label, fold in rows:
            table.writerow((label, fold, parcel, "", f"patch-{MALI.fold(fold)}"))
            for name in DATES:
                file = root / f"DATA_{name}" / f"{name}_{parcel}.npy"
                np.save(file, series(rng, name, (pixels,)))
    return root


def make_patches(root, *, ids=IDS, parcels=None, parcel_ids=None, dataset=MALI):
    """Writes patches, one in each fold, with stripes of four parcels and background between.

    Args:
      root: Folder to make.
      ids: Identifiers of the patches.
      parcels: Numbers of the parcels within a patch, as `TARGET` holds them.
      parcel_ids: Identifiers of the parcels, as `ParcelIDs` holds them; None writes none.
      dataset: What `dataset.json` says.
    """
    rng = np.random.default_rng(0)
    make(root, ids, dataset)
    (root / "ANNOTATIONS").mkdir()
    stripe = np.broadcast_to(np.arange(8) // 2, SPACE)
    grown = np.broadcast_to(np.arange(6)[:, None] < 5, SPACE)
    for identifier in ids:
        for name in DATES:
            np.save(root / f"DATA_{name}" / f"{name}_{identifier}.npy", series(rng, name, SPACE))
        values = np.array([110, -3, 40, 7])
        numbers = np.array(parcels or (1, 2, 3, 4))
        target = [
            np.where(grown, values[stripe], 255),
            np.where(grown, numbers[stripe], 0),
            np.zeros(SPACE, int),
        ]
        np.save(root / "ANNOTATIONS" / f"TARGET_{identifier}.npy", np.array(target))
        if parcel_ids is not None:
            parcel_map = np.where(grown, np.array(parcel_ids)[stripe], 0)
            np.save(root / "ANNOTATIONS" / f"ParcelIDs_{identifier}.npy", parcel_map)
    return root


def prepare(function, root, **arguments):
    cache = root.parent / "cache"
    arguments = {"compute_statistics": True} | arguments
    return function(root, cache=cache, progress=False, **arguments)


ROWS = [
    *((LARGE[i], "wheat", "north") for i in range(4)),
    ("field-3", "40", "south"),
    ("007", "B-12", "south"),
    (-8, " 40.0", "east"),
    (2**63 - 1, "wheat", 2022),
    (-(2**63), "fallow?", "2022.0"),
]


@pytest.fixture
def pixel_sets(tmp_path):
    return make_pixel_sets(tmp_path / "mali", ROWS)


# Identifiers


def test_parcels_keep_their_identifiers(pixel_sets):
    prepared = prepare(prepare_pixel_sets, pixel_sets)
    assert [p.id for p in PixelSetFolder(pixel_sets).parcels] == [row[0] for row in ROWS]
    source = prepared.source(("north", "south", "east", 2022))
    copy = pickle.loads(pickle.dumps(source))
    expected = [row[0] for row in ROWS[:-1]]
    assert [source[i]["parcel"] for i in range(len(source))] == expected
    assert [copy.identifier(i) for i in range(len(source))] == expected
    assert [source[i]["patch"] for i in (0, 5)] == ["patch-north", "patch-south"]
    for i, parcel in enumerate(expected):
        stored = np.load(pixel_sets / "DATA_L-band" / f"L-band_{parcel}.npy")
        np.testing.assert_array_equal(source[i]["L-band"]["values"], stored, strict=True)


def test_patches_keep_their_identifiers(tmp_path):
    root = make_patches(tmp_path / "mali")
    prepared = prepare(prepare_patches, root)
    assert tuple(prepared.folder.patches) == IDS
    source = prepared.source(MALI.folds)
    for i, patch in enumerate(IDS):
        assert source[i]["patch"] == source.identifier(i) == patch
        stored = np.load(root / "DATA_L-band" / f"L-band_{patch}.npy")
        np.testing.assert_array_equal(source[i]["L-band"]["values"], stored, strict=True)


def test_numbers_written_as_text_are_numbers(tmp_path):
    """Tables that went through floats keep the ".0"; a leading zero is part of a name."""
    make_patches(tmp_path / "mali", ids=("12", "7.0", "07", 8.0))
    root = tmp_path / "mali"
    for name in ("DATA_L8/L8", "DATA_L-band/L-band", "ANNOTATIONS/TARGET"):
        for identifier in (7, 8):
            (root / f"{name}_{identifier}.0.npy").rename(root / f"{name}_{identifier}.npy")
    assert tuple(PatchFolder(root).patches) == (12, 7, "07", 8)


def test_lists_of_text_and_of_large_numbers(tmp_path, pixel_sets):
    content = {"train": ["field-3", 2**32 + 5], "val": ["5"], "test": ["007", 2**63 - 1]}
    (tmp_path / "lists.json").write_text(json.dumps(content))
    assignment = Assignment.read(tmp_path / "lists.json")
    prepared = prepare(prepare_pixel_sets, pixel_sets, assignment=assignment)
    sources = {name: prepared.source((name,)) for name in content}
    assert {name: [s.identifier(i) for i in range(len(s))] for name, s in sources.items()} == {
        "train": [2**32 + 5, "field-3"],
        "val": [5],
        "test": ["007", 2**63 - 1],
    }


@pytest.mark.parametrize(
    ("given", "dtype"), [("ParcelIDs", "int64"), ("ParcelIDs", "uint64"), ("TARGET", "int64")]
)
def test_large_parcel_numbers_stay_distinct_instances(given, dtype, tmp_path):
    arguments = {"parcel_ids" if given == "ParcelIDs" else "parcels": LARGE}
    root = make_patches(tmp_path / "mali", **arguments)
    for file in (root / "ANNOTATIONS").glob(f"{given}_*"):
        np.save(file, np.load(file).astype(dtype))
    prepared = prepare(prepare_patches, root)
    assert prepared.most_instances == 4
    record = prepared.source(("north",), instances=True)[0]
    order = np.argsort(np.argsort(LARGE)) + 1
    np.testing.assert_array_equal(record["instances"][0], np.repeat(order, 2))
    np.testing.assert_array_equal(record["instances"][5], 0)
    if given == "TARGET":
        np.testing.assert_array_equal(record["parcels"][0], np.repeat(LARGE, 2))
    annotations = prepared.folder.annotations(prepared.folder.patches["007"])
    if given == "ParcelIDs":
        np.testing.assert_array_equal(annotations.parcel_ids[0], np.repeat(LARGE, 2))
    assert write_instances(root, overwrite=False, progress=False) == 4
    stored = prepare(prepare_patches, root).source(("north",), instances=True)[0]
    np.testing.assert_array_equal(stored["instances"], record["instances"])


def test_builders_write_any_identifier(tmp_path, pixel_sets):
    root = make_patches(tmp_path / "patches", parcel_ids=LARGE)
    builder = Builder(dataset=MALI, data_dir=tmp_path / "out", progress=False)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=root))
    opened = tfds.builder_from_directory(builder.data_dir)
    (record,) = opened.as_data_source("fold_north")
    assert record["patch"].decode() == "fr-0012"
    np.testing.assert_array_equal(record["parcel_ids"][0], np.repeat(LARGE, 2))
    opened = tfds.builder_from_directory(prepare(prepare_pixel_sets, pixel_sets).path)
    names = [record["parcel"].decode() for record in opened.as_data_source("fold_south")]
    assert names == ["field-3", "007"]
    (void,) = opened.as_data_source("void")
    assert void["parcel"].decode() == str(-(2**63))


# Labels


def test_labels_of_parcels_are_matched_by_code(pixel_sets):
    prepared = prepare(prepare_pixel_sets, pixel_sets)
    assert prepared.counts == {
        "north": {0: 4},
        "south": {2: 1, 4: 1},
        "east": {2: 1},
        2022: {0: 1, 1: 1},
    }
    source = prepared.source(("south", "east"))
    assert [source[i]["label"] for i in range(3)] == [2, 4, 2]
    assert source[0]["geometric_features"].shape == (0,)
    assert prepared.geometric_features == 0


@pytest.mark.parametrize(
    ("label", "match"),
    [
        ("110", "unknown label 110; labels are wheat, fallow., 40, B-12"),  # a value is no code
        ("Wheat", "unknown label Wheat"),  # nor is a name
        ("none", "label none is No parcel, which no parcel is"),
        ("40.5", "unknown label 40.5"),
    ],
)
def test_labels_of_no_class(label, match, tmp_path):
    root = make_pixel_sets(tmp_path / "mali", [(1, label, "north")])
    with pytest.raises(DataError, match=match):
        PixelSetFolder(root)


def test_labels_of_patches_are_values_with_gaps(tmp_path):
    prepared = prepare(prepare_patches, make_patches(tmp_path / "mali"))
    record = prepared.source(("south",))[0]
    np.testing.assert_array_equal(record["semantic"][0], np.repeat([0, 4, 2, 1], 2))
    np.testing.assert_array_equal(record["semantic"][5], 3)
    assert prepared.counts["south"] == {0: 10, 1: 10, 2: 10, 3: 8, 4: 10}


@pytest.mark.parametrize("value", [0, 1, 41, -1, 256, 2**40])
def test_values_of_no_class(value, tmp_path):
    root = make_patches(tmp_path / "mali")
    file = root / "ANNOTATIONS" / "TARGET_007.npy"
    target = np.load(file)
    target[0, 0, 0] = value
    np.save(file, target)
    match = f"TARGET_007.npy: unknown label {value}; values of classes are -3, 7, 40, 110, 255"
    with pytest.raises(DataError, match=match):
        prepare(prepare_patches, root)


def test_patches_of_a_nomenclature_without_values(tmp_path):
    classes = tuple(CropClass(code, code, (0, 0, 0)) for code in ("a", "b", "c"))
    dataset = Dataset(
        "Codes", MALI.modalities, Nomenclature(classes), MALI.season_start, MALI.folds
    )
    root = make_patches(tmp_path / "codes", dataset=dataset)
    with pytest.raises(DataError, match="unknown label -3; values of classes are not given"):
        prepare(prepare_patches, root)


# The background, which is not class 0


def encoding(prepared, **arguments):
    classes = ClassMapping.of(prepared.dataset.nomenclature)
    statistics = prepared.statistics(("north", "south"))
    common = (prepared.dataset, prepared.lengths, statistics, classes, prepared.size)
    return PatchEncoding(*common, **arguments)


def test_background_is_no_instance_and_the_first_class(tmp_path):
    prepared = prepare(prepare_patches, make_patches(tmp_path / "mali"))
    encode = encoding(prepared, instances=prepared.most_instances)
    assert encode.classes.names == ("No parcel", "Wheat", "Maize", "Bean")
    assert encode.classes.codes == ("none", "wheat", 40, "B-12")
    source = prepared.source(("east", 2022), instances=True)
    (batch,) = evaluation_batches(source, encode, batch_size=2)
    np.testing.assert_array_equal(batch.number, [0, 1])
    for label, instances in zip(batch.label, batch.panoptic.instances, strict=True):
        np.testing.assert_array_equal(label[0], np.repeat([1, 3, 2, 4], 2))  # 4 is void
        np.testing.assert_array_equal(label[5], 0)
        np.testing.assert_array_equal(instances[0], np.repeat([1, 2, 3, 4], 2))
        np.testing.assert_array_equal(instances[5], 0)
    np.testing.assert_array_equal(batch.panoptic.label, [[1, 3, 2, 4]] * 2)
    np.testing.assert_array_equal(batch.panoptic.size, [[[5, 2]] * 4] * 2)


def test_classes_of_parcels_leave_background_and_void_out(pixel_sets):
    prepared = prepare(prepare_pixel_sets, pixel_sets)
    classes = ClassMapping.crops(MALI.nomenclature)
    assert classes.names == ("Wheat", "Maize", "Bean")
    statistics = prepared.statistics(("north", "south"))
    encode = PixelSetEncoding(prepared.dataset, prepared.lengths, statistics, classes, 4)
    (batch,) = evaluation_batches(prepared.source(MALI.folds), encode, batch_size=8)
    np.testing.assert_array_equal(batch.label, [0, 0, 0, 0, 1, 2, 1, 0])
    np.testing.assert_array_equal(batch.number, np.arange(8))


def test_without_a_background_all_pixels_belong_to_parcels(tmp_path):
    nomenclature = Nomenclature(CLASSES, void="fallow?")
    dataset = dataclasses.replace(MALI, nomenclature=nomenclature)
    prepared = prepare(prepare_patches, make_patches(tmp_path / "all", dataset=dataset))
    assert prepared.most_instances == 5
    instances = prepared.source(("north",), instances=True)[0]["instances"]
    np.testing.assert_array_equal(instances[0], np.repeat([2, 3, 4, 5], 2))
    np.testing.assert_array_equal(instances[5], 1)
    assert encoding(prepared).classes.background is None
    match = "^`class_mapping`: parcels cannot be told from the background, which is no class"
    with pytest.raises(ArgumentError, match=match):
        encoding(prepared, instances=5)


# Calendar, folds, and observations marked by NaN


def test_days_count_from_the_start_of_the_season(pixel_sets, tmp_path):
    patches = make_patches(tmp_path / "patches")
    for function, root in ((prepare_pixel_sets, pixel_sets), (prepare_patches, patches)):
        record = prepare(function, root).source(("east",))[0]
        for name, days in DAYS.items():
            np.testing.assert_array_equal(record[name]["days"], np.array(days, "i4"), strict=True)
    encode = encoding(prepare(prepare_patches, patches), date="2021-06-15")
    batch = encode(record, np.random.default_rng(0))
    assert {name: int(one.days[0]) for name, one in batch.series.items()} == {
        "L8": 50,
        "L-band": -1,
    }


def test_folds_are_named_in_any_way(pixel_sets):
    prepared = prepare(prepare_pixel_sets, pixel_sets)
    split = prepared.dataset.split(2)
    assert split == {"train": ("south", "east"), "val": (2022,), "test": ("north",)}
    assert [len(prepared.source(folds)) for folds in split.values()] == [3, 1, 4]
    with pytest.raises(DataError, match="no crop parcel in fold west; choose another `fold`"):
        prepared.source(("west",))


@pytest.mark.parametrize("layout", ["pixel sets", "patches"])
def test_what_nan_marks_is_left_out(layout, pixel_sets, tmp_path):
    if layout == "patches":
        prepared = prepare(prepare_patches, make_patches(tmp_path / "patches"))
        encode, axes = encoding(prepared), (0, 2, 3)
    else:
        prepared = prepare(prepare_pixel_sets, pixel_sets)
        classes = ClassMapping.crops(MALI.nomenclature)
        statistics, axes = prepared.statistics(("north", "south")), (0, 2)
        encode = PixelSetEncoding(MALI, prepared.lengths, statistics, classes, 5)
    source = prepared.source(("south",))
    values = [source[i]["L8"]["values"] for i in range(len(source))]
    assert all(np.isnan(v).any() for v in values)
    mean, std = prepared.statistics(("south",))["L8"]
    np.testing.assert_allclose(mean, np.mean([np.nanmean(v, axes) for v in values], 0), rtol=1e-5)
    np.testing.assert_allclose(std, np.mean([np.nanstd(v, axes) for v in values], 0), rtol=1e-5)
    series = normalised(encode(source[0], np.random.default_rng(0))).series["L8"]
    assert np.isfinite(series.values).all()
    assert series.valid.all()
    # The first pixel of the second date is the mean of its others.
    date = np.moveaxis(series.values[1].reshape(*values[0].shape[2:], 4), -1, 0)
    raw = values[0][1]
    mean, std = encode.statistics["L8"]
    filled = np.nanmean(raw.reshape(4, -1), 1)
    np.testing.assert_allclose(date[..., 0].reshape(4, -1)[:, 0], (filled - mean) / std, rtol=1e-4)


def test_all_of_a_date_marked_by_nan_is_masked(tmp_path):
    root = make_patches(tmp_path / "mali")
    file = pathlib.Path(root, "DATA_L8", "L8_007.npy")
    values = np.load(file)
    values[1] = np.nan
    np.save(file, values)
    prepared = prepare(prepare_patches, root)
    batch = encoding(prepared)(prepared.source(("south",))[0], np.random.default_rng(0))
    series = normalised(batch).series["L8"]
    np.testing.assert_array_equal(series.valid, [True, False, True])
    assert np.isfinite(series.values).all()
    assert not series.values[1].any()
