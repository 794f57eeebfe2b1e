"""A Region in the official layouts: its records are the Region's."""

from __future__ import annotations

import dataclasses
import json

import jax
import numpy as np
import pytest
import region_factory as factory
from commands import exit_code
from disk import full_disk

from pastis_jax.cli.main import main
from pastis_jax.data.class_mapping import ClassMapping
from pastis_jax.data.patches.encoding import PatchEncoding
from pastis_jax.data.patches.prepare import prepare_patches
from pastis_jax.data.pixel_sets.encoding import PixelSetEncoding
from pastis_jax.data.pixel_sets.prepare import prepare_pixel_sets
from pastis_jax.data.regions.records.export import export, valued
from pastis_jax.errors import UserError


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A Region, its export, and a cache."""
    place = tmp_path_factory.mktemp("export")
    factory.make_region(place / "R", fields=30)
    notes = export(place / "R", place / "E", progress=False)
    left_out, doubled = notes
    assert "left out" in left_out
    assert doubled == (
        "12 of 12 patches have two images of S2 on one day (2023-10-11): "
        "the published dataset class takes such a day for one date"
    )
    return place / "R", place / "E", place / "cache"


def check_alike(one, other):
    leaves = [jax.tree.leaves(tree) for tree in (one, other)]
    for a, b in zip(*leaves, strict=True):
        assert np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f")


def test_parcels_are_alike(folders):
    region, out, cache = folders
    own, official = (
        prepare_pixel_sets(root, cache=cache, progress=False) for root in (region, out)
    )
    assert own.lengths == official.lengths
    assert own.counts == official.counts
    for split in ([1, 2], [3]):
        mine, theirs = own.source(split), official.source(split)
        assert len(mine) == len(theirs)
        statistics = own.statistics(split)
        check_alike(statistics, official.statistics(split))
        encode, other = (
            PixelSetEncoding(
                dataset=prepared.dataset,
                lengths=prepared.lengths,
                statistics=statistics,
                classes=ClassMapping.crops(prepared.dataset.nomenclature),
                pixels=64,
                geometric=True,
            )
            for prepared in (own, official)
        )
        for number in range(len(mine)):
            assert mine[number]["parcel"] == theirs[number]["parcel"]
            for name in own.modalities:
                for field in ("values", "days"):
                    a, b = (x[number][name][field] for x in (mine, theirs))
                    assert a.dtype == b.dtype
                    assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
            rng = np.random.default_rng(number), np.random.default_rng(number)
            check_alike(encode(mine[number], rng[0]), other(theirs[number], rng[1]))


def test_windows_are_alike(folders):
    region, out, cache = folders
    own, official = (
        prepare_patches(root, cache=cache, progress=False) for root in (region, out / "patches")
    )
    assert own.counts == official.counts
    assert own.most_instances == official.most_instances
    assert own.lengths == official.lengths
    for split in ([1, 2], [3]):
        mine, theirs = (x.source(split, instances=True) for x in (own, official))
        assert len(mine) == len(theirs)
        statistics = own.statistics(split)
        check_alike(statistics, official.statistics(split))
        encode, other = (
            PatchEncoding(
                dataset=prepared.dataset,
                lengths=prepared.lengths,
                statistics=statistics,
                classes=ClassMapping.of(prepared.dataset.nomenclature),
                size=prepared.size,
                instances=prepared.most_instances,
            )
            for prepared in (own, official)
        )
        for number in range(len(mine)):
            rng = np.random.default_rng(number), np.random.default_rng(number)
            check_alike(encode(mine[number], rng[0]), other(theirs[number], rng[1]))


def test_metadata_say_where_windows_lie(folders):
    _, out, _ = folders
    content = json.loads((out / "patches" / "metadata.geojson").read_text())
    assert content["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32631"
    first = content["features"][0]
    assert first["properties"]["ID_PATCH"] == 10001
    assert first["properties"]["WINDOW"] == "r0000c0000"
    assert first["properties"]["dates-S1A"] == {"0": 20231210}
    ((ring,),) = first["geometry"]["coordinates"]
    assert ring[0] == [600000.0, 5198720.0]
    assert ring[2] == [601280.0, 5200000.0]
    last = content["features"][-1]["geometry"]["coordinates"][0][0]
    assert last[0] == [600000.0 + 272 * 10, 5200000.0 - 3000]


def test_values_of_classes_fit_in_a_byte():
    dataset = factory.dataset_of()
    assert valued(dataset) is dataset
    classes = tuple(
        dataclasses.replace(entry, code=f"C{entry.code}", value=None)
        for entry in dataset.nomenclature.classes
    )
    named = dataclasses.replace(dataset.nomenclature, classes=classes, background="C0", void="C19")
    made = valued(dataclasses.replace(dataset, nomenclature=named))
    assert [entry.value for entry in made.nomenclature.classes] == [*range(20)]


@pytest.mark.parametrize("flag", ["--pixel-sets", "--patches"])
def test_command_writes_one_layout(folders, tmp_path, flag, capsys):
    main(["export", str(folders[0]), str(tmp_path / "E"), flag])
    assert (tmp_path / "E" / "ANNOTATIONS").is_dir() == (flag == "--patches")
    assert (tmp_path / "E" / "metadata_parcel.csv").is_file() == (flag == "--pixel-sets")
    printed, task = capsys.readouterr().out, "semantic" if flag == "--patches" else "parcel"
    assert f"Wrote {tmp_path / 'E'}" in printed
    assert f"pastis-jax train {task} --data {tmp_path / 'E'}\n" in printed
    assert printed.count("next: ") == 1


def test_a_full_disk_leaves_nothing(folders, tmp_path):
    with full_disk(100_000), pytest.raises(UserError) as caught:
        export(folders[0], tmp_path / "E", progress=False)
    assert "\n" not in str(caught.value)
    assert [*tmp_path.iterdir()] == []


def test_what_is_there_is_kept(folders, capsys):
    region, out, _ = folders
    assert exit_code(lambda: main(["export", str(region), str(out)])) == 2
    assert "not an empty folder" in capsys.readouterr().err
