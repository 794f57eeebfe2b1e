"""Marks and offsets declared by a reader, and folders that do not say what they are."""

from __future__ import annotations

import json
import math
import os
import pathlib

import foreign
import numpy as np
import patch_factory
import pixel_set_factory
import pytest
from refusal import refused_in_a_line

from pastis_jax.cli.config import configure
from pastis_jax.cli.config import parse as parse_flags
from pastis_jax.cli.train import dataset_of
from pastis_jax.data import dataset_file
from pastis_jax.data.assignment import Assignment
from pastis_jax.data.declared import declare, parse
from pastis_jax.data.inspection import inspect_data
from pastis_jax.data.pastis_r import PARCELS, PASTIS_R, TILES
from pastis_jax.data.patches import PatchFolder, prepare_patches
from pastis_jax.data.pixel_sets import PixelSetFolder, prepare_pixel_sets
from pastis_jax.data.simulate.regions import TILES as SIMULATED
from pastis_jax.data.splits import BatchPlan
from pastis_jax.errors import ArgumentError, DataError
from pastis_jax.runs import fields
from pastis_jax.tasks import ParcelModel, ParcelRecords
from pastis_jax.tasks.parcel import ParcelTask

KINDS = {
    "pixel sets": (pixel_set_factory.make_pixel_set, prepare_pixel_sets, PixelSetFolder),
    "patches": (patch_factory.make_patches, prepare_patches, PatchFolder),
}


# What is declared


def test_numbers_by_modality():
    assert parse("nodata", ("S2=-9999", "S1A=1e3")) == {"S2": -9999, "S1A": 1000}
    assert math.isnan(parse("nodata", ("S2=nan",))["S2"])
    assert parse("nodata", ("S2=-inf",))["S2"] == -math.inf
    for wrong in ("S2", "S2=", "S2=x", "=", "", "S2=1_9", "S2=\uff11\uff19", "S2=\u0661", "S2=1 9"):
        refused_in_a_line(lambda wrong=wrong: parse("offset", (wrong,)), "`offset`: got")
    refused_in_a_line(lambda: parse("nodata", ("A=1", "A=2")), "`nodata`: A occurs twice")


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("S2=-9999", "int16"),
        ("S2=0", "int16"),
        ("S2=65535", "int32"),
        ("S2=nan", "float32"),
        ("S2=0.5", "float32"),
        ("S1A=nan", "float16"),
        ("S1A=-32768", "float16"),
        ("S1A=-9999", "float32"),
    ],
)
def test_a_type_that_cannot_hold_a_mark_becomes_a_wider_one(text, dtype):
    name, mark = text.split("=")
    got = declare(PASTIS_R, (text,), ())[name]
    assert got.dtype == dtype
    assert got.nodata == float(mark) or math.isnan(got.nodata)
    assert got.unit == PASTIS_R[name].unit


def test_what_cannot_be_declared():
    for nodata, offset, words in (
        (("S3=1",), (), ("`nodata`: PASTIS-R has no S3", "choose among S2, S1A, S1D")),
        ((), ("S2=nan",), ("`offset`: S2: offset: nan is no number to add",)),
        ((), ("S2=inf",), ("`offset`: S2: offset: inf",)),
        (("S2=inf",), (), ("`nodata`: S2: nodata:", "cannot hold inf")),
    ):
        refused_in_a_line(lambda a=nodata, b=offset: declare(PASTIS_R, a, b), *words)


def test_an_offset_is_part_of_the_file(tmp_path):
    declared = declare(PASTIS_R, ("S2=-9999",), ("S2=-1000",))
    assert dataset_file.read(dataset_file.write(declared, tmp_path)) == declared
    content = dataset_file.to_json(declared)["modalities"]
    assert content[0]["offset"] == -1000
    assert "offset" not in content[1]  # what is 0 is left out, and older runs have none
    content = dataset_file.to_json(declared)
    content["modalities"][0]["offset"] = "much"
    with pytest.raises(ValueError, match=r"modalities\[0\].offset: not a number"):
        dataset_file.from_json(content)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mark", [-9999, 65535])
def test_another_mark_is_refused_until_it_is_declared(kind, mark, tmp_path):
    make, prepare, _ = KINDS[kind]
    root, cache = make(tmp_path / "set"), tmp_path / "cache"
    file = sorted((root / "DATA_S2").iterdir())[0]
    values = np.load(file).astype(np.int32)
    values[1] = mark
    np.save(file, values)
    options = {"cache": cache, "progress": False}
    with pytest.raises(DataError, match=f"by `nodata` S2={mark}"):
        prepare(root, **options)
    (damage,) = [f.text for f in inspect_data(root, progress=False).findings if f.damage]
    assert f"`nodata` S2={mark}" in damage
    texts = (f"S2={mark}",)
    declared = declare(PASTIS_R, texts, ())
    prepared = prepare(root, dataset=declared, **options)
    assert prepared.dataset == declared
    assert not inspect_data(root, nodata=texts, progress=False).damaged
    assert inspect_data(root, nodata=texts, progress=False).sensed["S2"].missing > 0
    record = prepared.source([1])[0]
    assert record["S2"]["values"].dtype == declared["S2"].dtype
    assert declared["S2"].missing(record["S2"]["values"])[1].all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_declared_is_prepared_anew(kind, tmp_path):
    make, prepare, _ = KINDS[kind]
    root, options = make(tmp_path / "set"), {"cache": tmp_path / "cache", "progress": False}
    first = prepare(root, **options)
    same = prepare(root, dataset=declare(PASTIS_R, (), ()), **options)
    assert same.fingerprint == first.fingerprint
    other = prepare(root, dataset=declare(PASTIS_R, (), ("S2=-100",)), **options)
    assert other.fingerprint.differing(first.fingerprint.parts) == ["declared"]
    assert len([*(tmp_path / "cache").iterdir()]) == 2
    mean, std = other.statistics((1, 2, 3))["S2"]  # the files are of what is stored
    np.testing.assert_allclose(mean, first.statistics((1, 2, 3))["S2"][0] - 100)
    np.testing.assert_array_equal(std, first.statistics((1, 2, 3))["S2"][1])


def test_a_run_has_what_was_declared(tmp_path):
    """Its records are opened with it, and its dataset says it to whatever it predicts from."""
    root = pixel_set_factory.make_pixel_set(tmp_path / "set")
    records = ParcelRecords(
        data=root, nodata=("S2=-9999",), offset=("S2=-100",), cache_dir=tmp_path / "cache"
    )
    stored = json.loads(json.dumps({"nodata": records.nodata, "offset": records.offset}))
    assert fields.restore(ParcelRecords, stored).nodata == records.nodata
    plan = BatchPlan(2, 0, range(2), evaluation_size=2, evaluation_rows=range(2))
    spec = ParcelModel(modalities=("S2", "S1A"))
    splits = ParcelTask.open(records, root, spec, plan)
    assert splits.dataset["S2"].nodata == -9999
    assert splits.dataset["S2"].offset == splits.encode.dataset["S2"].offset == -100
    assert "declared" in splits.fingerprint.parts


def test_flags(tmp_path):
    config = configure("parcel", nodata=("S2=-9999",), offset=("S2=-1000",))
    assert dataset_of(config)["S2"].nodata == -9999
    root = foreign.make_pixel_sets(tmp_path / "foreign")
    config = configure("parcel", data=root, nodata=("PS=65535",))
    assert dataset_of(config)["PS"].nodata == 65535
    with pytest.raises(ArgumentError, match="`nodata`: Foreign has no S2"):
        dataset_of(configure("parcel", data=root, nodata=("S2=0",)))
    flags = ["--nodata", "S2=-9999", "S1A=nan", "--offset", "S2=-1000"]
    given = parse_flags("semantic", flags, prog="")
    assert (given.records.nodata, given.records.offset) == (("S2=-9999", "S1A=nan"), ("S2=-1000",))
    with pytest.raises(ArgumentError, match="`offset`: got 'S2'"):
        configure("semantic", offset=("S2",))


# A folder that does not say what it is


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"TILE": "t15tvg"}, "patch 10003 of tile t15tvg is none of PASTIS-R"),
        ({"TILE": None, "ID_PATCH": 7}, "patch 7 is none of PASTIS-R"),
        ({"TILE": "", "ID_PATCH": "P-7"}, "patch P-7 is none of PASTIS-R"),
    ],
)
def test_other_patches_need_a_description(kind, change, fault, tmp_path):
    make, _, folder = KINDS[kind]
    root = make(tmp_path / "set")
    patch_factory.edit_patch(root, 2, **change)
    words = (f"{root}: no dataset.json, and {fault}: classes are unknown", "docs/data.md")
    refused_in_a_line(lambda: folder(root, complete=False), *words)


def test_patches_of_the_official_tiles():
    assert {*TILES} == {tile.name for tile in SIMULATED}


def relabel(root, kind, codes):
    """Numbers the crops of a folder anew, in turn."""
    if kind == "pixel sets":
        rows = pixel_set_factory.read_rows(root)
        for number, row in enumerate(rows):
            row[2] = str(codes[number % len(codes)])
        pixel_set_factory.write_rows(root, rows)
        return
    for file in (root / "ANNOTATIONS").glob("TARGET_*"):
        target = np.load(file)
        crops = (target[0] > 0) & (target[0] < 19)
        target[0] = np.where(crops, np.array(codes)[target[1] % len(codes)], target[0])
        np.save(file, target)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_another_list(kind, tmp_path):
    make, prepare, _ = KINDS[kind]
    root, options = make(tmp_path / "set"), {"cache": tmp_path / "cache", "progress": False}
    relabel(root, kind, (1, 2, 3))
    words = ("labels are 1 to 3 alone", "Meadow to Corn of PASTIS-R, or classes of one's own?")
    refused_in_a_line(lambda: prepare(root, **options), str(root), *words)
    if kind == "patches":  # of pixel sets, the table alone tells
        texts = [f.text for f in inspect_data(root, progress=False).findings if f.damage]
        assert any(words[0] in text for text in texts)
    dataset_file.write(PASTIS_R, root)
    prepare(root, **options)


@pytest.mark.parametrize("how", ["lists", "skipped"])
def test_a_part_of_patches_may_hold_the_first_classes_alone(how, tmp_path):
    root = patch_factory.make_patches(tmp_path / "set")
    relabel(root, "patches", (1, 2))
    file = root / "ANNOTATIONS" / "TARGET_10005.npy"
    target = np.load(file)
    target[0] = np.where((target[0] > 0) & (target[0] < 19), 7, target[0])
    np.save(file, target)
    options = {"cache": tmp_path / "cache", "progress": False}
    prepare_patches(root, **options)
    if how == "lists":
        lists = tmp_path / "lists.json"
        lists.write_text(json.dumps({"train": [10001, 10002], "val": [10003], "test": [10004]}))
        prepare_patches(root, assignment=Assignment.read(lists), **options)
        relabel(root, "patches", (1, 2))  # and now those of all patches are
        refused_in_a_line(lambda: prepare_patches(root, **options), "labels are 1 to 2 alone")
        return
    series = root / "DATA_S2" / "S2_10005.npy"
    np.save(series, np.load(series) // 255)
    prepare_patches(root, skip_implausible=True, **options)
    texts = [finding.text for finding in inspect_data(root, progress=False).findings]
    assert not any("labels are" in text for text in texts)


@pytest.mark.parametrize("codes", [(1, 3, 4), (2, 3), (1,), (1, 2, 18), tuple(range(1, 19))])
def test_labels_that_may_be_official(codes, tmp_path):
    root = pixel_set_factory.make_pixel_set(tmp_path / "set", parcels_per_fold=4)
    relabel(root, "pixel sets", codes)
    PixelSetFolder(root)


def test_a_part_of_pastis_r_leaves_gaps():
    """Why labels that stop early are no part of it: of 50 parcels, 5 classes alone are hardly
    drawn."""
    share = sum([*PARCELS.values()][:5]) / sum([*PARCELS.values()][:-1])
    assert share**50 < 1e-6


@pytest.mark.skipif("PASTIS_R_PIXELSET" not in os.environ, reason="needs PASTIS_R_PIXELSET")
@pytest.mark.skipif("PASTIS_R_PATCHES" not in os.environ, reason="needs PASTIS_R_PATCHES")
def test_the_real_samples_are_known(tmp_path):
    for variable, prepare in (
        ("PASTIS_R_PIXELSET", prepare_pixel_sets),
        ("PASTIS_R_PATCHES", prepare_patches),
    ):
        root = pathlib.Path(os.environ[variable])
        prepared = prepare(root, cache=tmp_path, progress=False)
        assert prepared.dataset == PASTIS_R
        assert prepared.notes(PASTIS_R.split()) == ()
